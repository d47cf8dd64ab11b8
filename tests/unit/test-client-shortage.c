/* SPDX-License-Identifier: MIT */
/*
 * test-client-shortage.c - libnpumm when memory ends, at each allocation in turn, and when the daemon takes
 * longer to answer than the library waits.
 *
 * The library is linked as npumm-objects-on-fakes: see tests/fake/libc.h.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/fake/libc.h"
#include "tests/unit/visit.h"
#include "tests/unit/suite.h"

/* ---- memory ---- */

#define ALLOCATIONS_MAX 1000 /* in one visit; a guard against never getting to the end */

/* A welcome that does not fit into the room that the client has for small control parts. */
static void welcome_at_length(struct stub_daemon *stub)
{
        char name[FAULT_TEXT_MAX];
        const struct reply welcome = {
                .type = FRAME_WELCOME,
                .id = 1,
                .welcome = {.version_minor = FRAME_VERSION_MINOR,
                            .daemon_version = name,
                            .backend = name,
                            .limits = stub->options.limits},
        };

        memset(name, 'x', sizeof name - 1);
        name[sizeof name - 1] = '\0';
        if (!stub_take(stub))
                return;
        stub_say(stub, &welcome);
        stub_serve(stub);
}

/* Also answers STATUS, whose report the client keeps in memory of its own. */
static bool report_status(struct stub_daemon *stub)
{
        const struct reply report = {.type = FRAME_STATUS_REPORT, .id = stub->frame.header.request_id};

        if (stub->frame.header.type != FRAME_STATUS)
                return false;
        stub_say_more(stub, &report, "{}", 2, -1);
        return true;
}

static void count_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        (void)client;
        (void)job;
        (void)result;
        ++*(unsigned *)userdata;
}

/*
 * Some of everything. Any call may fail; then the text says why, and what has been submitted still ends,
 * once. Returns whether nothing failed.
 */
static bool do_some_of_everything(struct npumm_client *client)
{
        struct small_job staged, inlined;
        struct npumm_weights_spec spec = {.size = sizeof spec, .k = SMALL_K, .n = SMALL_N, .b = staged.b};
        uint64_t weights = 0;
        void *first = NULL, *second = NULL;
        unsigned n_submitted = 0, n_done = 0;
        char *json = NULL;
        bool is_good;

        small_job_init(&staged, 0);
        small_job_init(&inlined, NPUMM_MATMUL_INLINE);
        is_good = npumm_alloc(client, 1000, &first) == 0;
        n_submitted += npumm_submit(client, &staged.matmul, NULL, count_done, &n_done, NULL) == 0;
        n_submitted += npumm_submit(client, &inlined.matmul, NULL, count_done, &n_done, NULL) == 0;
        is_good &= npumm_ping(client, NULL) == 0;
        for (unsigned i = 0; i < 2; i++) {
                spec.flags = i == 0 ? 0 : NPUMM_WEIGHTS_INLINE;
                is_good &= npumm_weights_load(client, &spec, &weights) == 0;
        }
        is_good &= weights != 0 && npumm_weights_release(client, weights) == 0;
        is_good &= npumm_set(client, "policy", "hold") == 0;
        is_good &= npumm_alloc(client, 30 << 20, &second) == 0;
        npumm_free(client, first);
        npumm_free(client, second);
        is_good &= npumm_daemon_status(client, &json) == 0;
        free(json);
        while (npumm_outstanding(client) > 0 && npumm_dispatch(client, -1) == 0)
                ;
        ck_assert_uint_eq(npumm_outstanding(client), 0);
        ck_assert_uint_eq(n_done, n_submitted);
        small_job_check_guards(&staged);
        small_job_check_guards(&inlined);
        return is_good && n_submitted == 2;
}

/* A whole visit in which allocation `n` fails. Returns whether there were as many. */
static bool visit_short_of_memory(long n)
{
        struct stub_daemon *stub = stub_daemon_start(
                &(struct stub_options){.script = welcome_at_length, .frame_fn = report_status});
        const struct npumm_connect_options options = {.size = sizeof options,
                                                      .socket_path = stub->socket_path};
        struct npumm_client *client = NULL;
        char text[NPUMM_TEXT_MAX];
        bool is_good = false, has_failed;
        int r;

        fake_libc_fail_after(n);
        r = npumm_connect(&options, &client, text);
        if (r == 0) {
                is_good = do_some_of_everything(client);
                npumm_close(client);
        } else {
                ck_assert_msg(r == -ENOMEM, "%d: %s", r, text);
                ck_assert_ptr_null(client);
                expect_words(text, "no memory");
        }
        has_failed = fake_libc_has_failed();
        fake_libc_fail_after(-1);
        stub_daemon_stop(stub);
        ck_assert(has_failed || is_good);
        return has_failed;
}

START_TEST(test_each_allocation_fails)
{
        long n = 0;

        while (visit_short_of_memory(n))
                ck_assert_int_lt(++n, ALLOCATIONS_MAX);
        printf("%ld allocations have failed\n", n);
        ck_assert_int_gt(n, 10);
}
END_TEST

/* ---- time ---- */

/* Answers PING and ARENA_CREATE only when the client has given both up. */
static void answer_late(struct stub_daemon *stub)
{
        const struct reply pong = {.type = FRAME_PONG, .id = 2};
        struct reply created = {.type = FRAME_ARENA_CREATED, .id = 3, .arena_created.arena = 1};
        int fd;

        if (!stub_welcome(stub) || !stub_take(stub))
                return;
        assert(stub->frame.header.type == FRAME_PING && stub->frame.header.request_id == pong.id);
        if (!stub_take(stub))
                return;
        assert(stub->frame.header.type == FRAME_ARENA_CREATE && stub->frame.header.request_id == created.id);
        created.arena_created.size_bytes = stub->frame.request.arena_create.size_bytes;
        stub_await_go(stub);
        stub_say(stub, &pong);
        fd = stub_memory(created.arena_created.size_bytes, STUB_SEALS);
        stub_say_more(stub, &created, NULL, 0, fd);
        (void)close(fd);
        while (stub_take(stub)) { /* no further arena is asked for */
                assert(stub->frame.header.type == FRAME_PING);
                stub_say(stub, &(struct reply){.type = FRAME_PONG, .id = stub->frame.header.request_id});
        }
}

#define LATE_WEIGHTS 4711u

/* Answers WEIGHTS_LOAD only when the client has given it up. */
static void load_late(struct stub_daemon *stub)
{
        struct reply loaded = {.type = FRAME_WEIGHTS_LOADED, .weights_loaded.weights = LATE_WEIGHTS};

        if (!stub_welcome(stub))
                return;
        do {
                if (!stub_take_head(stub))
                        return;
                if (stub->frame.header.type == FRAME_ARENA_CREATE)
                        stub_make_arena(stub);
        } while (stub->frame.header.type != FRAME_WEIGHTS_LOAD);
        loaded.id = stub->frame.header.request_id;
        stub_await_go(stub);
        for (uint64_t left = stub->frame.header.payload_bytes, n; left > 0; left -= n) {
                uint8_t bytes[65536];

                n = MIN(left, sizeof bytes);
                if (!stub_take_payload(stub, bytes, n))
                        return;
        }
        stub_say(stub, &loaded);
        stub_serve(stub);
}

static bool expect_late_weights(struct stub_daemon *stub)
{
        assert(stub->frame.header.type != FRAME_WEIGHTS_RELEASE ||
               stub->frame.request.weights_release.weights == LATE_WEIGHTS);
        return false;
}

#define LATE_BYTES ((size_t)8 << 20) /* more than a socket takes at once */

static void *page_of_ones(void)
{
        void *memory = mmap(NULL, LATE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        ck_assert(memory != MAP_FAILED);
        return memset(memory, 1, LATE_BYTES);
}

/*
 * Weights that come when nobody wants them any more are released at once, and b may be unmapped before they
 * come: staged, and inline with most of it still to be sent.
 */
START_TEST(test_late_weights)
{
        struct visit visit =
                visit_begin(&(struct stub_options){.script = load_late, .frame_fn = expect_late_weights});
        int8_t *b = page_of_ones();
        const struct npumm_weights_spec spec = {.size = sizeof spec,
                                                .k = LATE_BYTES / 1024,
                                                .n = 1024,
                                                .b = b,
                                                .flags = _i == 0 ? 0 : NPUMM_WEIGHTS_INLINE};
        uint64_t weights = 0;
        void *memory;

        if (_i == 0) { /* an arena for staging, which could not be waited for when time flies */
                ck_assert_int_eq(npumm_alloc(visit.client, 1, &memory), 0);
                npumm_free(visit.client, memory);
        }
        fake_libc_let_time_fly(true);
        ck_assert_int_eq(npumm_weights_load(visit.client, &spec, &weights), -ETIMEDOUT);
        expect_words(npumm_text(visit.client), "did not answer within 60000 ms");
        fake_libc_let_time_fly(false);
        ck_assert_uint_eq(weights, 0);
        ck_assert_int_eq(munmap(b, LATE_BYTES), 0);
        stub_await_rest(visit.stub);
        stub_go(visit.stub);
        ck_assert_msg(npumm_ping(visit.client, NULL) == 0, "%s", npumm_text(visit.client));
        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0); /* the release may be behind the first one */
        ck_assert_uint_eq(visit.stub->n_loads_released, 1);
        /* What was staged is free again: no second arena is asked for. */
        ck_assert_int_eq(npumm_alloc(visit.client, 12 << 20, &memory), 0);
        ck_assert_uint_eq(visit.stub->n_arenas, 1);
        visit_end(&visit);
}
END_TEST

static void close_in_child(struct npumm_client *client)
{
        int status;
        pid_t pid;

        (void)fflush(stdout); /* or the child prints it again */
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                npumm_close(client);
                exit(0); /* not _exit: so that a leak checker has a look at what was given up */
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}

/* A late answer harms nothing, and the late arena serves. Without and with a child that closes its copy. */
START_TEST(test_late_answers)
{
        struct visit visit = visit_begin(&(struct stub_options){.script = answer_late});
        void *memory;

        fake_libc_let_time_fly(true);
        ck_assert_int_eq(npumm_ping(visit.client, NULL), -ETIMEDOUT);
        expect_words(npumm_text(visit.client), "did not answer within 10000 ms");
        ck_assert_int_eq(npumm_alloc(visit.client, 1, &memory), -ETIMEDOUT);
        expect_words(npumm_text(visit.client), "did not make an arena within 10000 ms");
        fake_libc_let_time_fly(false);
        stub_await_rest(
                visit.stub); /* in the child its thread is no more, and what it held would be a leak */
        if (_i == 1)
                close_in_child(visit.client);
        stub_go(visit.stub);
        ck_assert_msg(npumm_ping(visit.client, NULL) == 0, "%s", npumm_text(visit.client));
        ck_assert_msg(npumm_alloc(visit.client, 1, &memory) == 0, "%s", npumm_text(visit.client));
        visit_end(&visit);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-shortage");
        TCase *tcase = tcase_create("shortage");

        tcase_add_test(tcase, test_each_allocation_fails);
        tcase_add_loop_test(tcase, test_late_answers, 0, 2);
        tcase_add_loop_test(tcase, test_late_weights, 0, 2);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
