/* SPDX-License-Identifier: MIT */
/*
 * test-client-arenas.c - npumm_alloc: arenas that are not what they should be, and what is asked of a good
 * daemon.
 *
 * No descriptor may be left behind, whatever the daemon does with its own.
 */
#include <sys/resource.h>

#include "tests/unit/visit.h"
#include "tests/unit/suite.h"

#define MIB ((size_t)1 << 20)

static int n_open_fds(void)
{
        int n_open = 0;

        for (int fd = 0; fd < 1024; fd++)
                n_open += fcntl(fd, F_GETFD) >= 0;
        return n_open;
}

static void *alloc(const struct visit *visit, size_t size_bytes)
{
        void *memory = NULL;
        const int r = npumm_alloc(visit->client, size_bytes, &memory);

        ck_assert_msg(r == 0, "%zu bytes: %d: %s", size_bytes, r, npumm_text(visit->client));
        return memory;
}

static void expect_no_room(const struct visit *visit, size_t size_bytes, int result, const char *words)
{
        char guard;
        void *memory = &guard;

        ck_assert_int_eq(npumm_alloc(visit->client, size_bytes, &memory), result);
        ck_assert_ptr_eq(memory, &guard);
        expect_words(npumm_text(visit->client), words);
}

static void ping(const struct visit *visit)
{
        ck_assert_msg(npumm_ping(visit->client, NULL) == 0, "%s", npumm_text(visit->client));
}

/* ---- arenas that are not what they should be ---- */

/* ARENA_CREATED for the request just taken; the descriptor goes. */
static void say_created(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes, int fd)
{
        const struct reply reply = {.type = FRAME_ARENA_CREATED, .id = id, .arena_created = {1, size_bytes}};

        stub_say_more(stub, &reply, NULL, 0, fd);
        closep(&fd);
}

static void no_descriptor(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes)
{
        say_created(stub, id, size_bytes, -1);
}

static void no_seals(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes)
{
        say_created(stub, id, size_bytes, stub_memory(size_bytes, 0));
}

static void one_seal(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes)
{
        say_created(stub, id, size_bytes, stub_memory(size_bytes, F_SEAL_GROW | F_SEAL_SEAL));
}

static void smaller_file(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes)
{
        say_created(stub, id, size_bytes, stub_memory(size_bytes - 4096, STUB_SEALS));
}

static void no_memory_at_all(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes)
{
        say_created(stub, id, size_bytes, open("/dev/null", O_RDWR | O_CLOEXEC));
}

static void smaller_arena(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes)
{
        (void)size_bytes;
        say_created(stub, id, 4096, stub_memory(4096, STUB_SEALS));
}

static void half_a_page(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes)
{
        say_created(stub, id, size_bytes + 100, stub_memory(size_bytes + 100, STUB_SEALS));
}

static void nobody_asked(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes)
{
        say_created(stub, id + 70, size_bytes, stub_memory(size_bytes, STUB_SEALS));
}

static void error_with_descriptor(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes)
{
        const struct reply error = {.type = FRAME_ERROR, .id = id, .outcome = {STATUS_INVALID, "no"}};
        const int fd = stub_memory(size_bytes, STUB_SEALS);

        stub_say_more(stub, &error, NULL, 0, fd);
        (void)close(fd);
}

static const struct arena_lie {
        void (*answer)(struct stub_daemon *stub, uint64_t id, uint64_t size_bytes);
        const char *words;
} lies[] = {
        {no_descriptor, "without a file descriptor"},
        {no_seals, "not sealed"},
        {one_seal, "not sealed"},
        {smaller_file, "another size"},
        {no_memory_at_all, "not sealed"},
        {smaller_arena, "an arena of 4096 bytes"},
        {half_a_page, "no number of pages"},
        {nobody_asked, "does not ask for it"},
        {error_with_descriptor, "a file descriptor that belongs to no reply"},
};

static bool tell_lie(struct stub_daemon *stub)
{
        const struct arena_lie *lie = stub->options.userdata;

        if (stub->frame.header.type != FRAME_ARENA_CREATE)
                return false;
        lie->answer(stub, stub->frame.header.request_id, stub->frame.request.arena_create.size_bytes);
        return true;
}

/* The connection is gone, which is told once, and then everything says so. */
static void expect_gone(const struct visit *visit)
{
        ck_assert(visit_is_readable(visit));
        ck_assert_int_eq(npumm_dispatch(visit->client, -1), NPUMM_STATUS_PROTOCOL);
        ck_assert(!visit_is_readable(visit));
        ck_assert_int_eq(npumm_dispatch(visit->client, -1), -ENOTCONN);
        expect_no_room(visit, 1000, -ENOTCONN, "not connected");
}

START_TEST(test_false_arena)
{
        const int n_fds = n_open_fds();
        struct visit visit =
                visit_begin(&(struct stub_options){.frame_fn = tell_lie, .userdata = (void *)&lies[_i]});

        expect_no_room(&visit, 1000, NPUMM_STATUS_PROTOCOL, lies[_i].words);
        expect_gone(&visit);
        visit_end(&visit);
        ck_assert_int_eq(n_open_fds(), n_fds);
}
END_TEST

/* Every arena has number 1. */
static bool say_one_number(struct stub_daemon *stub)
{
        const uint64_t size_bytes = stub->frame.request.arena_create.size_bytes;

        if (stub->frame.header.type != FRAME_ARENA_CREATE)
                return false;
        say_created(stub, stub->frame.header.request_id, size_bytes, stub_memory(size_bytes, STUB_SEALS));
        return true;
}

START_TEST(test_number_used_twice)
{
        const int n_fds = n_open_fds();
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = say_one_number});
        int8_t *memory = alloc(&visit, 10 * MIB);

        expect_no_room(&visit, 10 * MIB, NPUMM_STATUS_PROTOCOL, "number 1, which is taken");
        expect_gone(&visit);
        memset(memory, 1, 10 * MIB); /* stays mapped */
        visit_end(&visit);
        ck_assert_int_eq(n_open_fds(), n_fds);
}
END_TEST

static bool refuse(struct stub_daemon *stub)
{
        if (stub->frame.header.type != FRAME_ARENA_CREATE)
                return false;
        stub_say_outcome(stub, FRAME_ERROR, stub->frame.header.request_id, STATUS_INVALID, "no such luck");
        return true;
}

START_TEST(test_refused_arena)
{
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = refuse});

        expect_no_room(&visit, 1000, NPUMM_STATUS_INVALID, "no such luck");
        ping(&visit);
        visit_end(&visit);
}
END_TEST

/*
 * A descriptor with a reply that has none: PONG to PING, or (with userdata) to nobody right after an arena.
 */
static bool pong_with_descriptor(struct stub_daemon *stub)
{
        const uint64_t id = stub->frame.header.request_id;
        const bool follows_arena = stub->options.userdata != NULL;
        int fd;

        if (stub->frame.header.type != (follows_arena ? FRAME_ARENA_CREATE : FRAME_PING))
                return false;
        fd = stub_memory(4096, STUB_SEALS);
        if (follows_arena) {
                const uint64_t size_bytes = stub->frame.request.arena_create.size_bytes;

                say_created(stub, id, size_bytes, stub_memory(size_bytes, STUB_SEALS));
        }
        stub_say_more(stub, &(struct reply){.type = FRAME_PONG, .id = follows_arena ? 1 : id}, NULL, 0, fd);
        (void)close(fd);
        return true;
}

START_TEST(test_descriptor_with_pong)
{
        const int n_fds = n_open_fds();
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = pong_with_descriptor});

        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0); /* it is an answer, whatever comes with it */
        expect_gone(&visit);
        visit_end(&visit);
        ck_assert_int_eq(n_open_fds(), n_fds);
}
END_TEST

START_TEST(test_descriptor_after_an_arena)
{
        const int n_fds = n_open_fds();
        struct stub_options options = {.frame_fn = pong_with_descriptor, .userdata = &options};
        struct visit visit = visit_begin(&options);
        void *memory;
        const int r = npumm_alloc(visit.client, 1000, &memory);

        ck_assert_msg(r == 0 || r == NPUMM_STATUS_PROTOCOL, "%d: %s", r, npumm_text(visit.client));
        ck_assert_int_eq(npumm_dispatch(visit.client, -1), NPUMM_STATUS_PROTOCOL);
        visit_end(&visit);
        ck_assert_int_eq(n_open_fds(), n_fds);
}
END_TEST

/* ---- what is asked of a good daemon ---- */

/* Sizes double from 16 MiB on; what is larger than the next gets its own. */
static void check_growth(const struct visit *visit, void *small[4], void **ret_big)
{
        const struct stub_daemon *stub = visit->stub;

        small[0] = alloc(visit, 10 * MIB);
        small[1] = alloc(visit, 10 * MIB);
        small[2] = alloc(visit, 30 * MIB);
        *ret_big = alloc(visit, 200 * MIB);
        small[3] = alloc(visit, 100);
        memset(small[0], 1, 10 * MIB);
        memset(small[1], 2, 10 * MIB);
        memset(small[3], 3, 100);
        ck_assert_uint_eq(stub->n_arenas, 4);
        ck_assert_uint_eq(stub->arena_size_bytes[1], 16 * MIB);
        ck_assert_uint_eq(stub->arena_size_bytes[2], 32 * MIB);
        ck_assert_uint_eq(stub->arena_size_bytes[3], 64 * MIB);
        ck_assert_uint_eq(stub->arena_size_bytes[4], 200 * MIB);
        for (size_t i = 0; i < 4; i++)
                ck_assert_uint_eq((uintptr_t)small[i] % 64, 0);
}

/*
 * One empty arena is kept, the largest of at most 64 MiB; the others go back. What was never handed out is
 * left alone.
 */
static void check_release(const struct visit *visit, void *small[4], void *big)
{
        const struct stub_daemon *stub = visit->stub;

        npumm_free(visit->client, (char *)small[0] + 64);
        expect_words(npumm_text(visit->client), "is not what npumm_alloc() gave out");
        npumm_free(visit->client, NULL);
        npumm_free(visit->client, small[2]);
        ping(visit);
        ck_assert_uint_eq(stub->n_released, 0);
        npumm_free(visit->client, big);
        ping(visit);
        ck_assert_uint_eq(stub->n_released, 1);
        npumm_free(visit->client, small[0]);
        npumm_free(visit->client, small[1]);
        npumm_free(visit->client, small[3]);
        ping(visit);
        ck_assert_uint_eq(stub->n_released, 3);
        ck_assert_uint_eq(stub->arena_bytes, 64 * MIB);
}

/* The empty arena goes back to make room; then an arena just large enough will do. */
static void check_limit(const struct visit *visit)
{
        struct stub_daemon *stub = visit->stub;
        void *last;

        stub->options.arena_bytes_max = 300 * MIB;
        (void)alloc(visit, 250 * MIB);
        ck_assert_uint_eq(stub->arena_bytes, 250 * MIB);
        expect_no_room(visit, 260 * MIB, NPUMM_STATUS_BUSY, "the stub's limit for arenas");
        last = alloc(visit, 50 * MIB);
        expect_no_room(visit, 1, NPUMM_STATUS_BUSY, "the stub's limit for arenas");
        npumm_free(visit->client, last);
        expect_no_room(visit, ((size_t)1 << 30) + 1, NPUMM_STATUS_BUSY, "npumm_info::arena_bytes_max");
        expect_no_room(visit, 0, NPUMM_STATUS_INVALID, "0 bytes");
        stub->options.arena_bytes_max = 0;
        for (size_t i = 0; i < 6; i++)
                (void)alloc(visit, 65 * MIB);
}

/* Once with whole replies, once with 7 bytes at a time. */
START_TEST(test_arenas_come_and_go)
{
        const int n_fds = n_open_fds();
        struct visit visit = visit_begin(&(struct stub_options){.drip_bytes = _i == 0 ? 0 : 7});
        void *small[4], *big;

        check_growth(&visit, small, &big);
        check_release(&visit, small, big);
        check_limit(&visit);
        visit_end(&visit);
        ck_assert_int_eq(n_open_fds(), n_fds);
}
END_TEST

START_TEST(test_as_many_arenas_as_allowed)
{
        struct visit visit = visit_begin(&(struct stub_options){
                .limits = {.payload_bytes = 1, .arena_bytes = 1 << 30, .arenas = 3, .jobs = 1}});
        void *memory[3];

        for (size_t i = 0; i < ARRAY_SIZE(memory); i++)
                memory[i] = alloc(&visit, 100 * MIB);
        expect_no_room(&visit, 100 * MIB, NPUMM_STATUS_BUSY, "all 3 arenas");
        npumm_free(visit.client, memory[1]);
        (void)alloc(&visit, 200 * MIB); /* once the empty one is gone */
        visit_end(&visit);
}
END_TEST

/* ---- no descriptor to spare ---- */

/* Makes an arena and keeps its own descriptor until the client has given the arena back. */
static bool keep_descriptor(struct stub_daemon *stub)
{
        int *kept_fd = stub->options.userdata;

        if (stub->frame.header.type == FRAME_ARENA_CREATE && *kept_fd < 0) {
                const uint64_t size_bytes = stub->frame.request.arena_create.size_bytes;
                const struct reply created = {.type = FRAME_ARENA_CREATED,
                                              .id = stub->frame.header.request_id,
                                              .arena_created = {STUB_ARENAS_MAX, size_bytes}};

                *kept_fd = stub_memory(size_bytes, STUB_SEALS);
                stub_say_more(stub, &created, NULL, 0, *kept_fd);
                return true;
        }
        if (stub->frame.header.type == FRAME_ARENA_RELEASE) {
                (void)close(*kept_fd);
                stub->options.frame_fn = NULL;
        }
        return false;
}

/*
 * The process has one free descriptor, and the stub takes it: the client's goes astray, but nothing else
 * does.
 */
START_TEST(test_no_free_descriptor)
{
        int kept_fd = -1, lowest_free_fd, r;
        struct visit visit =
                visit_begin(&(struct stub_options){.frame_fn = keep_descriptor, .userdata = &kept_fd});
        struct rlimit before, tight;
        void *memory;

        lowest_free_fd = dup(STDERR_FILENO);
        ck_assert_int_ge(lowest_free_fd, 0);
        (void)close(lowest_free_fd);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        tight = before;
        tight.rlim_cur = (rlim_t)lowest_free_fd + 1;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
        r = npumm_alloc(visit.client, 100, &memory);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        ck_assert_int_eq(r, -EMFILE);
        expect_words(npumm_text(visit.client), "cannot map an arena");
        ping(&visit);
        ck_assert_uint_eq(visit.stub->n_released, 1);
        (void)alloc(&visit, 100);
        visit_end(&visit);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-arenas");
        TCase *tcase = tcase_create("arenas");

        tcase_add_loop_test(tcase, test_false_arena, 0, ARRAY_SIZE(lies));
        tcase_add_test(tcase, test_number_used_twice);
        tcase_add_test(tcase, test_refused_arena);
        tcase_add_test(tcase, test_descriptor_with_pong);
        tcase_add_test(tcase, test_descriptor_after_an_arena);
        tcase_add_loop_test(tcase, test_arenas_come_and_go, 0, 2);
        tcase_add_test(tcase, test_as_many_arenas_as_allowed);
        tcase_add_test(tcase, test_no_free_descriptor);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
