/* SPDX-License-Identifier: MIT */
/*
 * test-client-calls.c - which call does what: callbacks run in dispatch and nowhere else, npumm_fd() tells
 * when there is something to dispatch, and in callbacks the program may go on.
 */
#include "tests/unit/visit.h"
#include "tests/unit/suite.h"

/* ---- npumm_fd ---- */

/* Holds the first job back until an arena is asked for. */
static bool end_first_job_late(struct stub_daemon *stub)
{
        static const uint8_t product[SMALL_M * SMALL_N * sizeof(int32_t)];
        uint64_t *held_job = stub->options.userdata;

        if (stub->frame.header.type == FRAME_MATMUL && *held_job == 0) {
                *held_job = stub->frame.header.request_id;
                return true;
        }
        if (stub->frame.header.type == FRAME_ARENA_CREATE) {
                stub_say_rows(stub, *held_job, 0, SMALL_M, product, sizeof product);
                stub_say_outcome(stub, FRAME_DONE, *held_job, STATUS_OK, "");
        }
        return false;
}

/*
 * What comes in while npumm_submit() waits for an arena is told by a later dispatch, which npumm_fd() asks
 * for.
 */
START_TEST(test_news_that_come_in_submit)
{
        uint64_t held_job = 0;
        struct visit visit =
                visit_begin(&(struct stub_options){.frame_fn = end_first_job_late, .userdata = &held_job});
        struct tally first_tally = {0}, second_tally = {0};
        struct small_job first, second;

        small_job_init(&first, NPUMM_MATMUL_INLINE);
        small_job_init(&second, 0); /* needs an arena */
        ck_assert(!visit_is_readable(&visit));
        ck_assert_int_eq(
                npumm_submit(visit.client, &first.matmul, tally_rows, tally_done, &first_tally, NULL), 0);
        ck_assert_int_eq(npumm_dispatch(visit.client, 0), 0);
        ck_assert(!visit_is_readable(&visit));
        ck_assert_int_eq(
                npumm_submit(visit.client, &second.matmul, tally_rows, tally_done, &second_tally, NULL), 0);
        ck_assert_uint_eq(first_tally.n_done, 0);
        ck_assert(visit_is_readable(&visit));
        ck_assert_uint_eq(npumm_outstanding(visit.client), 2);
        tally_await(&first_tally, visit.client);
        tally_await(&second_tally, visit.client);
        ck_assert_int_eq(first_tally.result, 0);
        ck_assert_int_eq(second_tally.result, 0);
        ck_assert(!visit_is_readable(&visit));
        small_job_check_guards(&first);
        small_job_check_guards(&second);
        visit_end(&visit);
}
END_TEST

/* ---- callbacks that go on ---- */

#define CHAIN_JOBS 51u

struct chain {
        struct small_job job;
        unsigned n_left;
};

/* Takes more memory than the arena of the jobs has, sends the next job, gives the memory back. */
static void chain_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        struct chain *chain = userdata;
        void *memory;

        (void)job;
        ck_assert_msg(result == 0, "%d: %s", result, npumm_text(client));
        ck_assert_int_eq(npumm_alloc(client, 20 << 20, &memory), 0);
        if (--chain->n_left > 0)
                ck_assert_int_eq(npumm_submit(client, &chain->job.matmul, NULL, chain_done, chain, NULL), 0);
        npumm_free(client, memory);
}

/* A chain of jobs through arenas and one of inline jobs at once, then blocking calls in their place. */
START_TEST(test_chains)
{
        struct visit visit = visit_begin(&(struct stub_options){0});
        struct chain chains[2];

        for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
                chains[i].n_left = CHAIN_JOBS;
                small_job_init(&chains[i].job, i == 0 ? 0 : NPUMM_MATMUL_INLINE);
                ck_assert_int_eq(
                        npumm_submit(visit.client, &chains[i].job.matmul, NULL, chain_done, &chains[i], NULL),
                        0);
        }
        while (npumm_outstanding(visit.client) > 0)
                ck_assert_msg(npumm_dispatch(visit.client, -1) == 0, "%s", npumm_text(visit.client));
        for (unsigned i = 0; i < 20; i++)
                ck_assert_int_eq(npumm_matmul(visit.client, &chains[i % 2].job.matmul), 0);
        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
                ck_assert_uint_eq(chains[i].n_left, 0);
                small_job_check_guards(&chains[i].job);
        }
        ck_assert_uint_eq(visit.stub->n_matmuls, 2 * CHAIN_JOBS + 20);
        visit_end(&visit);
}
END_TEST

/* ---- ordinary memory ---- */

#define STAGED_JOBS  40u
#define STAGED_BYTES ((size_t)1 << 20)

/* What a job has staged is free again when it is done: 40 jobs of more than 512 KiB need no second arena. */
START_TEST(test_staging_is_given_back)
{
        struct visit visit = visit_begin(&(struct stub_options){0});
        int8_t *a = calloc(1, STAGED_BYTES);
        int32_t c[4];
        const struct npumm_matmul matmul = {.size = sizeof matmul,
                                            .m = ARRAY_SIZE(c),
                                            .k = NPUMM_K_MAX,
                                            .n = 1,
                                            .a = a,
                                            .lda = STAGED_BYTES / ARRAY_SIZE(c),
                                            .b = a,
                                            .c = c};

        ck_assert_ptr_nonnull(a);
        for (unsigned i = 0; i < STAGED_JOBS; i++)
                ck_assert_msg(npumm_matmul(visit.client, &matmul) == 0, "%s", npumm_text(visit.client));
        ck_assert_uint_eq(visit.stub->n_matmuls, STAGED_JOBS);
        ck_assert_uint_eq(visit.stub->n_arenas, 1);
        visit_end(&visit);
        free(a);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-calls");
        TCase *tcase = tcase_create("calls");

        tcase_add_test(tcase, test_news_that_come_in_submit);
        tcase_add_test(tcase, test_chains);
        tcase_add_test(tcase, test_staging_is_given_back);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
