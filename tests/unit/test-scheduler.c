/* SPDX-License-Identifier: MIT */
/* test-scheduler.c - the order of waiting jobs. */
#include <check.h>

#include "daemon/scheduler.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define AGING_NS UINT64_C(1000000)
#define SLACK_NS 1000.0

static struct scheduler scheduler;
static struct rng rng;

static struct job *job_of_rows(uint64_t m)
{
        struct job *job = job_new(0, NULL, NULL, NULL);

        ck_assert_ptr_nonnull(job);
        job->product.m = m;
        return job;
}

static void push(struct scheduler_client *client, struct job *job)
{
        scheduler_push(&scheduler, client, job, (double)job->product.m, 1);
}

START_TEST(test_empty)
{
        struct job *job = job_of_rows(1);

        scheduler_init(&scheduler, AGING_NS, SLACK_NS);
        ck_assert_ptr_null(scheduler_next(&scheduler, 1));
        scheduler_remove(&scheduler, job); /* not there: nothing happens */
        ck_assert_uint_eq(scheduler.depth, 0);
        ck_assert_uint_eq(scheduler_oldest_ns(&scheduler), 0);
        scheduler_deinit(&scheduler);
        (void)job_free(job);
}
END_TEST

START_TEST(test_first_come_first_served)
{
        struct scheduler_client client;
        struct job *jobs[10];

        scheduler_init(&scheduler, AGING_NS, SLACK_NS);
        ck_assert_int_eq(scheduler_client_init(&scheduler, &client, 1000), 0);
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
                jobs[i] = job_of_rows(1 + i);
                push(&client, jobs[i]);
                ck_assert_uint_eq(scheduler.depth, i + 1);
                ck_assert_ptr_nonnull(jobs[i]->flow);
        }
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
                ck_assert_ptr_eq(scheduler_next(&scheduler, 1), jobs[i]);
                ck_assert_ptr_eq(scheduler_next(&scheduler, 1), jobs[i]); /* looking does not take it */
                scheduler_remove(&scheduler, jobs[i]);
                ck_assert_ptr_null(jobs[i]->flow);
                scheduler_remove(&scheduler, jobs[i]); /* twice is once */
                ck_assert_uint_eq(scheduler.depth, ARRAY_SIZE(jobs) - 1 - i);
                (void)job_free(jobs[i]);
        }
        scheduler_client_deinit(&scheduler, &client);
        scheduler_deinit(&scheduler);
}
END_TEST

/* Jobs leave from anywhere in the queue; those that stay keep their order. */
START_TEST(test_random_removal)
{
        enum { JOBS = 40 };
        struct scheduler_client client;
        struct job *waiting[JOBS];
        size_t n = 0;

        scheduler_init(&scheduler, AGING_NS, SLACK_NS);
        ck_assert_int_eq(scheduler_client_init(&scheduler, &client, 1000), 0);
        for (int step = 0; step < 5000; step++) {
                if (n < JOBS && rng_once_in(&rng, 2)) {
                        waiting[n] = job_of_rows(1);
                        push(&client, waiting[n++]);
                } else if (n > 0) {
                        const size_t at = (size_t)rng_below(&rng, n);

                        scheduler_remove(&scheduler, waiting[at]);
                        (void)job_free(waiting[at]);
                        n--;
                        memmove(&waiting[at], &waiting[at + 1], (n - at) * sizeof waiting[0]);
                }
                ck_assert_uint_eq(scheduler.depth, n);
                ck_assert_ptr_eq(scheduler_next(&scheduler, 1), n > 0 ? waiting[0] : NULL);
        }
        while (n > 0) {
                ck_assert_ptr_eq(scheduler_next(&scheduler, 1), waiting[0]);
                scheduler_remove(&scheduler, waiting[0]);
                (void)job_free(waiting[0]);
                n--;
                memmove(&waiting[0], &waiting[1], n * sizeof waiting[0]);
        }
        scheduler_client_deinit(&scheduler, &client);
        scheduler_deinit(&scheduler);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("scheduler");
        TCase *tcase = tcase_create("order");

        rng_start(&rng, "scheduler");
        tcase_add_test(tcase, test_empty);
        tcase_add_test(tcase, test_first_come_first_served);
        tcase_add_test(tcase, test_random_removal);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
