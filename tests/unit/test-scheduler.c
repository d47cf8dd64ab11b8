/* SPDX-License-Identifier: MIT */
/* test-scheduler.c - the order of waiting jobs: first come, first served, and out from anywhere. */
#include <check.h>

#include "daemon/scheduler.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

static struct scheduler scheduler;
static struct rng rng;

static struct job *job_of_rows(uint64_t m)
{
        struct job *job = job_new(0, NULL, NULL, NULL);

        ck_assert_ptr_nonnull(job);
        job->product.m = m;
        return job;
}

START_TEST(test_empty)
{
        struct job *job = job_of_rows(1);

        scheduler_init(&scheduler);
        ck_assert_ptr_null(scheduler_next(&scheduler));
        scheduler_remove(&scheduler, job); /* not there: nothing happens */
        ck_assert_uint_eq(scheduler.depth, 0);
        scheduler_deinit(&scheduler);
        (void)job_free(job);
}
END_TEST

START_TEST(test_first_come_first_served)
{
        struct job *jobs[10];

        scheduler_init(&scheduler);
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
                jobs[i] = job_of_rows(1 + i);
                scheduler_push(&scheduler, jobs[i]);
                ck_assert_uint_eq(scheduler.depth, i + 1);
                ck_assert(jobs[i]->is_queued);
        }
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
                ck_assert_ptr_eq(scheduler_next(&scheduler), jobs[i]);
                ck_assert_ptr_eq(scheduler_next(&scheduler), jobs[i]); /* looking does not take it */
                scheduler_remove(&scheduler, jobs[i]);
                ck_assert(!jobs[i]->is_queued);
                scheduler_remove(&scheduler, jobs[i]); /* twice is once */
                ck_assert_uint_eq(scheduler.depth, ARRAY_SIZE(jobs) - 1 - i);
                (void)job_free(jobs[i]);
        }
        scheduler_deinit(&scheduler);
}
END_TEST

/* Jobs leave from anywhere in the queue; those that stay keep their order. */
START_TEST(test_random_removal)
{
        enum { JOBS = 40 };
        struct job *waiting[JOBS];
        size_t n = 0;

        scheduler_init(&scheduler);
        for (int step = 0; step < 5000; step++) {
                if (n < JOBS && rng_once_in(&rng, 2)) {
                        waiting[n] = job_of_rows(1);
                        scheduler_push(&scheduler, waiting[n++]);
                } else if (n > 0) {
                        const size_t at = (size_t)rng_below(&rng, n);

                        scheduler_remove(&scheduler, waiting[at]);
                        (void)job_free(waiting[at]);
                        n--;
                        memmove(&waiting[at], &waiting[at + 1], (n - at) * sizeof waiting[0]);
                }
                ck_assert_uint_eq(scheduler.depth, n);
                ck_assert_ptr_eq(scheduler_next(&scheduler), n > 0 ? waiting[0] : NULL);
        }
        while (n > 0) {
                ck_assert_ptr_eq(scheduler_next(&scheduler), waiting[0]);
                scheduler_remove(&scheduler, waiting[0]);
                (void)job_free(waiting[0]);
                n--;
                memmove(&waiting[0], &waiting[1], n * sizeof waiting[0]);
        }
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
