/* SPDX-License-Identifier: MIT */
/*
 * test-client-end.c - the end of a connection: a daemon that hangs up with words or without, and a process
 * that forks. Each outstanding job ends once, with the reason.
 */
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/unit/visit.h"
#include "tests/unit/suite.h"

/* ---- the daemon hangs up ---- */

#define BIG_M 4096u
#define BIG_K 4096u
#define BIG_N 64u

static const struct farewell {
        unsigned status; /* on the wire */
        int result;
} farewells[] = {
        {STATUS_OK, -ECONNRESET},
        {STATUS_PROTOCOL, NPUMM_STATUS_PROTOCOL},
        {STATUS_TOO_BIG, NPUMM_STATUS_TOO_BIG},
        {STATUS_BUSY, NPUMM_STATUS_BUSY},
        {4711, NPUMM_STATUS_INTERNAL}, /* of a newer daemon */
};

/* Leaves most of a payload unread, so that the client is still sending. */
static void say_bye_in_mid_upload(struct stub_daemon *stub)
{
        const struct farewell *farewell = stub->options.userdata;

        if (!stub_welcome(stub) || !stub_take_head(stub))
                return;
        stub_say_outcome(stub, FRAME_BYE, 0, (enum status)farewell->status, "because");
        (void)shutdown(stub->fd, SHUT_RD);
}

static void expect_not_connected(const struct visit *visit, const struct npumm_matmul *matmul)
{
        const struct npumm_weights_spec spec = {.size = sizeof spec, .k = 1, .n = 1, .b = matmul->b};
        uint64_t weights;
        void *memory;
        char *json;

        ck_assert_int_eq(npumm_dispatch(visit->client, -1), -ENOTCONN);
        ck_assert_int_eq(npumm_alloc(visit->client, 1, &memory), -ENOTCONN);
        ck_assert_int_eq(npumm_submit(visit->client, matmul, NULL, NULL, NULL, NULL), -ENOTCONN);
        ck_assert_int_eq(npumm_matmul(visit->client, matmul), -ENOTCONN);
        ck_assert_int_eq(npumm_ping(visit->client, NULL), -ENOTCONN);
        ck_assert_int_eq(npumm_daemon_status(visit->client, &json), -ENOTCONN);
        ck_assert_int_eq(npumm_cancel(visit->client, 2), -ENOTCONN);
        ck_assert_int_eq(npumm_weights_load(visit->client, &spec, &weights), -ENOTCONN);
        ck_assert_int_eq(npumm_weights_release(visit->client, 1), -ENOTCONN);
        ck_assert_int_eq(npumm_set(visit->client, "policy", "hold"), -ENOTCONN);
        expect_words(npumm_text(visit->client), "not connected");
}

START_TEST(test_bye)
{
        const struct farewell *farewell = &farewells[_i];
        struct visit visit = visit_begin(
                &(struct stub_options){.script = say_bye_in_mid_upload, .userdata = (void *)farewell});
        int8_t *a = calloc(BIG_M, BIG_K), *b = calloc(BIG_K, BIG_N);
        int32_t *c = malloc(BIG_M * BIG_N * sizeof *c);
        const struct npumm_matmul matmul = {.size = sizeof matmul,
                                            .m = BIG_M,
                                            .k = BIG_K,
                                            .n = BIG_N,
                                            .a = a,
                                            .b = b,
                                            .c = c,
                                            .flags = NPUMM_MATMUL_INLINE};
        struct tally tallies[2] = {{0}};
        int r;

        ck_assert(a && b && c);
        for (size_t i = 0; i < ARRAY_SIZE(tallies); i++)
                ck_assert_int_eq(npumm_submit(visit.client, &matmul, NULL, tally_done, &tallies[i], NULL), 0);
        ck_assert_uint_eq(npumm_outstanding(visit.client), ARRAY_SIZE(tallies));
        while ((r = npumm_dispatch(visit.client, -1)) == 0)
                ;
        ck_assert_int_eq(r, farewell->result);
        expect_words(npumm_text(visit.client), "because");
        for (size_t i = 0; i < ARRAY_SIZE(tallies); i++) {
                ck_assert_uint_eq(tallies[i].n_done, 1);
                ck_assert_int_eq(tallies[i].result, farewell->result);
                expect_words(tallies[i].text, "because");
        }
        ck_assert_uint_eq(npumm_outstanding(visit.client), 0);
        expect_not_connected(&visit, &matmul);
        visit_end(&visit);
        free(a);
        free(b);
        free(c);
}
END_TEST

static void hang_up_on_job(struct stub_daemon *stub)
{
        if (stub_welcome(stub))
                (void)stub_take(stub);
}

/* A blocking call hears of it as well. */
START_TEST(test_loss_in_a_blocking_call)
{
        struct visit visit = visit_begin(&(struct stub_options){.script = hang_up_on_job});
        struct small_job job;

        small_job_init(&job, NPUMM_MATMUL_INLINE);
        ck_assert_int_eq(npumm_matmul(visit.client, &job.matmul), -ECONNRESET);
        expect_words(npumm_text(visit.client), "closed the connection");
        ck_assert_int_eq(npumm_ping(visit.client, NULL), -ENOTCONN);
        visit_end(&visit);
}
END_TEST

/* ---- arenas are cleared after a connection ---- */

/* What comes behind DONE, and how the job and the connection end then; with no BYE the status is not used. */
static const struct ending {
        bool has_bye, is_cleared;
        enum status status;
        int result;
        const char *words;
} endings[] = {
        {true, false, STATUS_OK, -ECONNRESET, "because"}, /* the daemon stops */
        {true, true, STATUS_PROTOCOL, NPUMM_STATUS_PROTOCOL, "because"},
        {false, true, STATUS_OK, -ECONNRESET, "closed the connection"},
};

struct clearing {
        const struct ending *ending;
        bool is_in_arena;      /* C */
        bool has_rows_in_time; /* the client is told of the rows before anything else happens */
};

#define PRODUCT 0x01010101 /* any element of it */

/*
 * Makes the one arena that is asked for, ends a job in it, and then ends the connection as the daemon does:
 * the client reads of it all when the product is gone.
 */
static void clear_after_done(struct stub_daemon *stub)
{
        const struct clearing *clearing = stub->options.userdata;
        const struct ending *ending = clearing->ending;
        struct reply created = {.type = FRAME_ARENA_CREATED, .arena_created.arena = 1};
        const struct place *c = &stub->frame.request.matmul.c;
        uint64_t size_bytes, id;
        uint8_t product[SMALL_M * SMALL_N * sizeof(int32_t)];
        ssize_t n;
        int fd;

        if (!stub_welcome(stub) || !stub_take(stub))
                return;
        assert(stub->frame.header.type == FRAME_ARENA_CREATE);
        created.id = stub->frame.header.request_id;
        created.arena_created.size_bytes = size_bytes = stub->frame.request.arena_create.size_bytes;
        fd = stub_memory(size_bytes, STUB_SEALS);
        stub_say_more(stub, &created, NULL, 0, fd);
        if (!stub_take(stub))
                return;
        assert(stub->frame.header.type == FRAME_MATMUL && c->arena == 1);
        id = stub->frame.header.request_id;
        memset(product, 1, sizeof product);
        n = pwrite(fd, product, sizeof product, (off_t)c->offset_bytes);
        assert(n == (ssize_t)sizeof product);
        stub_say_rows(stub, id, 0, SMALL_M, NULL, 0);
        if (clearing->has_rows_in_time)
                stub_await_go(stub);
        stub_say_outcome(stub, FRAME_DONE, id, STATUS_OK, "");
        if (ending->has_bye)
                stub_say_outcome(stub, FRAME_BYE, 0, ending->status, "because");
        (void)shutdown(stub->fd, SHUT_RDWR);
        if (ending->is_cleared &&
            fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size_bytes) < 0)
                assert(false);
        (void)close(fd);
        stub_await_go(stub);
}

/* Nobody gets zeros for a product, and what was brought home before it was cleared counts. */
START_TEST(test_product_is_cleared)
{
        struct clearing clearing = {&endings[_i / 4], (_i & 2) != 0, (_i & 1) != 0};
        const struct ending *ending = clearing.ending;
        const bool is_lost = ending->is_cleared && (clearing.is_in_arena || !clearing.has_rows_in_time);
        struct visit visit =
                visit_begin(&(struct stub_options){.script = clear_after_done, .userdata = &clearing});
        struct tally tally = {0};
        struct small_job job;
        void *memory;
        int r;

        small_job_init(&job, 0);
        if (clearing.is_in_arena) {
                ck_assert_int_eq(npumm_alloc(visit.client, sizeof job.c, &memory), 0);
                job.matmul.c = memory;
        }
        ck_assert_int_eq(npumm_submit(visit.client, &job.matmul, tally_rows, tally_done, &tally, NULL), 0);
        stub_await_rest(visit.stub);
        if (clearing.has_rows_in_time) {
                while (tally.rows == 0)
                        ck_assert_int_eq(npumm_dispatch(visit.client, -1), 0);
                stub_go(visit.stub);
                stub_await_rest(visit.stub);
        }
        while ((r = npumm_dispatch(visit.client, -1)) == 0)
                ;
        ck_assert_int_eq(r, ending->result);
        ck_assert_uint_eq(tally.n_done, 1);
        ck_assert_int_eq(tally.result, is_lost ? ending->result : 0);
        expect_words(tally.text, is_lost ? ending->words : "");
        ck_assert_uint_eq(tally.rows, is_lost && !clearing.has_rows_in_time ? 0 : SMALL_M);
        for (size_t i = 0; !is_lost && i < (size_t)SMALL_M * SMALL_N; i++)
                ck_assert_int_eq(((const int32_t *)job.matmul.c)[i], PRODUCT);
        ck_assert_uint_eq(npumm_outstanding(visit.client), 0);
        small_job_check_guards(&job);
        stub_go(visit.stub);
        visit_end(&visit);
}
END_TEST

/* ---- the process forks ---- */

static bool ignore_jobs(struct stub_daemon *stub)
{
        return stub->frame.header.type == FRAME_MATMUL;
}

/* In the child: whether every function keeps its hands off the parent's client. */
static bool is_left_alone(struct npumm_client *client, const struct npumm_matmul *matmul, uint64_t job,
                          void *memory)
{
        const struct npumm_weights_spec spec = {.size = sizeof spec, .k = 1, .n = 1, .b = matmul->b};
        uint64_t weights;
        void *more;
        char *json;
        const bool is_left =
                npumm_dispatch(client, 0) == -EPERM && npumm_ping(client, NULL) == -EPERM &&
                npumm_weights_load(client, &spec, &weights) == -EPERM &&
                npumm_weights_release(client, 1) == -EPERM && npumm_set(client, "policy", "hold") == -EPERM &&
                npumm_daemon_status(client, &json) == -EPERM && npumm_alloc(client, 1, &more) == -EPERM &&
                npumm_submit(client, matmul, NULL, NULL, NULL, NULL) == -EPERM &&
                npumm_matmul(client, matmul) == -EPERM && npumm_cancel(client, job) == -EPERM &&
                npumm_fd(client) == -1 && npumm_outstanding(client) == 0;

        npumm_free(client, memory);
        npumm_close(client);
        return is_left;
}

START_TEST(test_child_closes)
{
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = ignore_jobs});
        struct tally tally = {0};
        struct small_job small;
        uint64_t job;
        void *memory;
        int status;
        pid_t pid;

        small_job_init(&small, 0);
        ck_assert_int_eq(npumm_alloc(visit.client, 100, &memory), 0);
        ck_assert_int_eq(npumm_submit(visit.client, &small.matmul, tally_rows, tally_done, &tally, &job), 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0)
                _exit(is_left_alone(visit.client, &small.matmul, job, memory) ? 0 : 1);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0);
        ck_assert_int_eq(npumm_cancel(visit.client, job + 5), NPUMM_STATUS_NOT_FOUND);
        expect_words(npumm_text(visit.client), "is not outstanding");
        ck_assert_int_eq(npumm_cancel(visit.client, job), 0);
        tally_await(&tally, visit.client);
        ck_assert_int_eq(tally.result, NPUMM_STATUS_CANCELLED);
        expect_words(tally.text, "cancelled");
        visit_end(&visit);
}
END_TEST

/* A child that lives on with the socket does not keep the connection alive. */
START_TEST(test_child_holds_the_socket)
{
        struct visit visit = visit_begin(&(struct stub_options){0});
        int pipe_fds[2], status;
        pid_t pid;

        ck_assert_int_eq(pipe(pipe_fds), 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                char byte;

                (void)close(pipe_fds[1]);
                _exit(read(pipe_fds[0], &byte, 1) == 0 ? 0 : 1); /* until the parent is through */
        }
        (void)close(pipe_fds[0]);
        visit_end(&visit); /* waits for the stub, and that for the end of the connection */
        (void)close(pipe_fds[1]);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-end");
        TCase *tcase = tcase_create("end");

        tcase_add_loop_test(tcase, test_bye, 0, ARRAY_SIZE(farewells));
        tcase_add_test(tcase, test_loss_in_a_blocking_call);
        tcase_add_loop_test(tcase, test_product_is_cleared, 0, 4 * (int)ARRAY_SIZE(endings));
        tcase_add_test(tcase, test_child_closes);
        tcase_add_test(tcase, test_child_holds_the_socket);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
