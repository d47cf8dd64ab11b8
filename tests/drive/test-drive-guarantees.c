/* SPDX-License-Identifier: MIT */
/*
 * test-drive-guarantees.c - what holds whatever arrives: drive_run itself asserts that every job ends exactly once,
 * every row is computed once, no batch exceeds its bound, and nothing stays charged. Here: under random traffic, at
 * limits of one, and under a flood. On models: every time below is a model's.
 */
#include <check.h>
#include <stdio.h>

#include "tests/drive/drive.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define RUNS     (NPUMM_TEST_SLOW ? 20 : 100)
#define RUN_JOBS 3000

static struct rng rng;

/* A quarter of them deadlines that can hardly be kept, some groups, all classes, shapes from one row to many. */
static struct drive_client any_client(void)
{
        static const uint64_t depths[] = {16, 64, 384, 1000}, widths[] = {8, 256, 384, 1000};
        const int weights = (int)rng_below(&rng, 6) - 1; /* one is DRIVE_OWN_B */
        struct drive_client client = {
                .uid = (uid_t)rng_between(&rng, 1, 3),
                .weights = weights,
                .class = (enum job_class)rng_below(&rng, CLASS_MAX),
                .deadline_us = rng_once_in(&rng, 4) ? rng_between(&rng, 1, 20000) : 0,
                .group = rng_once_in(&rng, 3) ? rng_between(&rng, 2, 5) : 1,
                .credits = rng_between(&rng, 1,
                                       rng_once_in(&rng, 4) ? 2 : 64), /* as the daemon's clients have */
                .arrivals = rng_once_in(&rng, 2) ? DRIVE_OPEN : DRIVE_CLOSED,
                .depth = rng_between(&rng, 1, 8),
                .think = rng_once_in(&rng, 2) ? DRIVE_EXPONENTIAL : DRIVE_NORMAL,
                .think_us = (double)rng_between(&rng, 1, 300),
                .think_cv = 0.3,
                .pause_share = 0.01,
                .pause_us = (double)rng_between(&rng, 0, 30000),
                .rate_a_s = (double)rng_between(&rng, 100, 5000),
        };

        /* Those that share weights have their shape. */
        client.k = depths[weights < 0 ? rng_below(&rng, 4) : (uint64_t)weights % 4];
        client.n = widths[weights < 0 ? rng_below(&rng, 4) : (uint64_t)weights * 3 % 4];
        client.m = rng_once_in(&rng, 3) ? 1 : rng_between(&rng, 1, 600);
        client.m_most = rng_once_in(&rng, 2) ? client.m + rng_between(&rng, 1, 3000) : 0;
        if (client.weights >= 0) /* one store a user, as in the daemon */
                client.weights += 6 * (int)client.uid;
        return client;
}

START_TEST(test_random_traffic)
{
        uint64_t n_expired = 0, n_refused = 0, n_failed = 0, n_cancelled = 0, n_stacked = 0;

        for (int run = 0; run < RUNS; run++) {
                struct drive_spec spec = {
                        .model = rng_once_in(&rng, 8) ? NPU_ORIGIN_MEASURED : NPU_PHOENIX,
                        .policy = (enum policy_kind)rng_below(&rng, POLICY_MAX),
                        .no_stacking = rng_once_in(&rng, 8),
                        .bound_us = rng_between(&rng, 150, 10000),
                        .aging_us = rng_between(&rng, 1000, 100000),
                        .faults = rng_once_in(&rng, 4) ? "error@3,slow@10,error@11" : NULL,
                        .jobs_per_uid = rng_once_in(&rng, 4) ? rng_between(&rng, 1, 20) : 0,
                        .n_jobs = RUN_JOBS,
                        .n_submissions = 20 * RUN_JOBS,
                        .seed = rng_next(&rng),
                        .n_clients = (size_t)rng_between(&rng, 1, 12),
                };
                struct drive_result result;

                for (size_t i = 0; i < spec.n_clients; i++)
                        spec.clients[i] = any_client();
                drive_run(&spec, &result);
                ck_assert_uint_eq(result.n_submitted, result.n_done + result.n_expired + result.n_cancelled +
                                                              result.n_failed + result.n_refused +
                                                              result.n_dropped);
                /* The batch that was running, and one for each class that starved at the same time. */
                ck_assert_uint_le(result.longest_starved_us,
                                  spec.aging_us + (CLASS_MAX + 2) * result.longest_batch_ns / 1000 *
                                                          (spec.faults ? 10 : 1));
                /* Mixed products overlap in what they need, and it learns from them that each is cheaper than alone. */
                if (spec.model == NPU_PHOENIX)
                        ck_assert_double_le(result.longest_of_bound, 2);
                n_expired += result.n_expired;
                n_refused += result.n_refused;
                n_failed += result.n_failed;
                n_cancelled += result.n_cancelled;
                n_stacked += result.stats.rows_stacked;
                drive_result_deinit(&result);
        }
        (void)printf("%d runs: %llu expired, %llu refused, %llu failed, %llu cancelled, %llu rows stacked\n",
                     RUNS, (unsigned long long)n_expired, (unsigned long long)n_refused,
                     (unsigned long long)n_failed, (unsigned long long)n_cancelled,
                     (unsigned long long)n_stacked);
        /* Else some of it was not tried at all. */
        ck_assert(n_expired > 0 && n_refused > 0 && n_failed > 0 && n_cancelled > 0 && n_stacked > 0);
}
END_TEST

/* ---- classes ---- */

/* INTERACTIVE and NORMAL keep the device busy for ever; BULK is served once in each aging interval all the same. */
START_TEST(test_bulk_is_not_starved)
{
        struct drive_spec spec = drive_spec_of(20000, 1, 1000);
        struct drive_result result;

        spec.aging_us = 5000;
        for (int i = 0; i < CLASS_MAX; i++)
                drive_client_add(&spec, 1, 512, i, 64)->class = (enum job_class)i;
        drive_run(&spec, &result);
        (void)printf("done: normal %llu, interactive %llu, bulk %llu in %.2f s; a class waited %llu us at "
                     "most (model)\n",
                     (unsigned long long)result.clients[0].n_done,
                     (unsigned long long)result.clients[1].n_done,
                     (unsigned long long)result.clients[2].n_done, result.seconds,
                     (unsigned long long)result.longest_starved_us);
        ck_assert_uint_gt(result.clients[1].n_done, result.clients[0].n_done);
        ck_assert_uint_ge((uint64_t)result.clients[2].n_done, (uint64_t)(result.seconds * 1e6 / 8000));
        ck_assert_uint_le(result.longest_starved_us, 5000 + 5 * 1000);
        drive_result_deinit(&result);
}
END_TEST

/* That one user's BULK rides in padding is no turn for another's. */
START_TEST(test_riding_along_starves_nobody)
{
        struct drive_spec spec = drive_spec_of(20000, 6, 1000);
        struct drive_result result;

        spec.aging_us = 5000;
        for (int i = 0; i < 2; i++)
                drive_client_add(&spec, 1, 100, 0, i == 0 ? 16 : 2)->class =
                        i == 0 ? CLASS_NORMAL : CLASS_BULK;
        drive_client_add(&spec, 2, 100, 1, 4)->class = CLASS_BULK;
        drive_run(&spec, &result);
        ck_assert_uint_gt(result.clients[1].n_done, 0);
        ck_assert_uint_ge(result.clients[2].n_done, (uint64_t)(result.seconds * 1e6 / 12000));
        drive_result_deinit(&result);
}
END_TEST

/* A user's own flood of INTERACTIVE does not bury its NORMAL, whatever is done for others. */
START_TEST(test_interactive_does_not_bury_normal)
{
        struct drive_spec spec = drive_spec_of(20000, 7, 1000);
        struct drive_result result;

        spec.aging_us = 5000;
        drive_client_add(&spec, 1, 512, 0, 64)->class = CLASS_INTERACTIVE;
        (void)drive_client_add(&spec, 1, 512, 1, 4);
        (void)drive_client_add(&spec, 2, 512, 2, 64);
        drive_run(&spec, &result);
        ck_assert_uint_ge(result.clients[1].n_done, (uint64_t)(result.seconds * 1e6 / 12000));
        drive_result_deinit(&result);
}
END_TEST

/* A lone BULK job of the same weights rides in the padding of others': nothing gets longer by it. */
START_TEST(test_bulk_fills_padding)
{
        struct drive_spec spec = drive_spec_of(20000, 1, 0);
        double alone_s;
        struct drive_result result;

        spec.aging_us = 10000000;
        (void)drive_client_add(&spec, 1, 16, 0, 4);
        drive_client_add(&spec, 1, 16, 0, 15)->class = CLASS_BULK;
        spec.n_clients = 1;
        drive_run(&spec, &result);
        alone_s = (double)result.clients[0].n_done / result.seconds;
        drive_result_deinit(&result);
        spec.n_clients = 2;
        spec.n_jobs = 60000;
        drive_run(&spec, &result);
        ck_assert_uint_gt(result.clients[1].n_done, result.clients[0].n_done);
        ck_assert_double_ge((double)result.clients[0].n_done / result.seconds, 0.95 * alone_s);
        drive_result_deinit(&result);
}
END_TEST

/* ---- limits of one ---- */

START_TEST(test_one_credit)
{
        struct drive_spec spec = drive_spec_of(1000, 2, 0);
        struct drive_client *client = drive_client_add(&spec, 1, 256, 0, 1);
        struct drive_result result;

        client->credits = 1;
        client->arrivals = DRIVE_OPEN;
        client->rate_a_s = 20000;
        drive_run(&spec, &result);
        ck_assert_double_eq_tol(drive_jobs_a_submission(&result), 1, 1e-9); /* never two at once */
        ck_assert_uint_gt(result.n_dropped, result.n_done);
        drive_result_deinit(&result);
}
END_TEST

START_TEST(test_one_job_a_user)
{
        struct drive_spec spec = drive_spec_of(1000, 3, 0);
        struct drive_result result;

        spec.jobs_per_uid = 1;
        for (int i = 0; i < 4; i++) { /* two connections of each of two users */
                struct drive_client *client = drive_client_add(&spec, (uid_t)i / 2 + 1, 256, i / 2, 1);

                client->arrivals = DRIVE_OPEN;
                client->rate_a_s = 10000;
        }
        drive_run(&spec, &result);
        ck_assert_double_le(drive_jobs_a_submission(&result), 2); /* one of each user */
        ck_assert_uint_gt(result.n_refused, 0);
        drive_result_deinit(&result);
}
END_TEST

/* A deadline of a microsecond is refused at once, whatever waits; one with room is kept under any load it admits. */
START_TEST(test_deadlines)
{
        struct drive_spec spec = drive_spec_of(20000, 4, 1000);
        struct drive_result result;
        double late_us;

        for (int i = 0; i < 3; i++) {
                struct drive_client *client = drive_client_add(&spec, 1, 512, i, 1);

                client->arrivals = DRIVE_OPEN;
                client->rate_a_s = 20000;
        }
        spec.clients[0].deadline_us = 1;
        spec.clients[1].deadline_us = 5000;
        spec.clients[1].m = 2048; /* more than there is time for */
        spec.clients[2].rate_a_s = 3000;
        drive_run(&spec, &result);
        ck_assert_uint_eq(result.clients[0].n_done, 0);
        ck_assert_uint_gt(result.clients[1].n_done, 1000);
        ck_assert_uint_gt(result.n_expired, result.n_submitted / 2 + 1000); /* not the first client's alone */
        /* What was not refused and not given up was done in time, but for what was inside when it passed. */
        late_us = drive_quantile_us(&result.clients[1].latencies, 1);
        (void)printf("deadline 5000 us: %llu done, the last after %.0f us; %llu expired (model)\n",
                     (unsigned long long)result.clients[1].n_done, late_us,
                     (unsigned long long)result.n_expired);
        ck_assert_double_le(late_us, 5000 + 1000);
        drive_result_deinit(&result);
}
END_TEST

/* Beside somebody who keeps the device busy, with batches as long as they may be: what is done is done in time. */
START_TEST(test_deadlines_in_long_batches)
{
        static const uint64_t deadlines_us[] = {3000, 6000, 12000, 30000};
        struct drive_spec spec = drive_spec_of(30000, 8, 0);
        struct drive_client *client;
        struct drive_result result;
        double late_us;

        (void)drive_client_add(&spec, 1, 1024, 0, 256);
        client = drive_client_add(&spec, 2, 512, 1, 1);
        client->arrivals = DRIVE_OPEN;
        client->rate_a_s = 1000;
        client->deadline_us = deadlines_us[_i];
        drive_run(&spec, &result);
        late_us = drive_quantile_us(&result.clients[1].latencies, 1);
        (void)printf("deadline %llu us: %llu done, the last after %.0f us; %llu expired (model)\n",
                     (unsigned long long)deadlines_us[_i], (unsigned long long)result.clients[1].n_done,
                     late_us, (unsigned long long)result.n_expired);
        ck_assert_uint_gt(result.clients[1].n_done, 0);
        ck_assert_double_le(late_us, 1.05 * (double)deadlines_us[_i]);
        drive_result_deinit(&result);
}
END_TEST

/* ---- a flood ---- */

/* A million jobs of one user, as fast as they can be sent: those over the cap are refused, another hardly notices. */
START_TEST(test_a_flood_disturbs_nobody_else)
{
        const uint64_t bound_us = 2000;
        const uint64_t n_done = NPUMM_TEST_SLOW ? 5000 : 25000; /* a million are sent until then */
        const double own_us = 108 + 2 * 6 * 1.78;               /* two macro-tiles of six steps */
        struct drive_spec spec = drive_spec_of(n_done, 5, bound_us);
        struct drive_client *flood = drive_client_add(&spec, 1, 1024, 0, 1);
        struct drive_client *other = drive_client_add(&spec, 2, 512, 1, 1);
        struct drive_result result;
        double p99_us;

        spec.jobs_per_uid = 1024;
        flood->arrivals = DRIVE_OPEN;
        flood->rate_a_s = 1e6;
        other->think_us = 500;
        other->think = DRIVE_EXPONENTIAL;
        drive_run(&spec, &result);
        p99_us = drive_quantile_us(&result.clients[1].latencies, 0.99);
        (void)printf("%llu jobs, %llu refused; the other user's p99 %.0f us of %llu jobs (model)\n",
                     (unsigned long long)result.n_submitted, (unsigned long long)result.n_refused, p99_us,
                     (unsigned long long)result.clients[1].n_done);
        ck_assert_uint_ge(result.n_submitted, 40 * n_done);
        ck_assert_uint_ge(result.n_refused, result.n_submitted - n_done - 2048);
        ck_assert_uint_ge(result.clients[1].n_done, n_done / 250);
        ck_assert_double_le(p99_us, 2 * (double)bound_us + own_us);
        drive_result_deinit(&result);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("drive-guarantees");
        TCase *tcase = tcase_create("guarantees");

        rng_start(&rng, "drive-guarantees");
        tcase_set_timeout(tcase, 0);
        tcase_add_test(tcase, test_random_traffic);
        tcase_add_test(tcase, test_bulk_is_not_starved);
        tcase_add_test(tcase, test_riding_along_starves_nobody);
        tcase_add_test(tcase, test_interactive_does_not_bury_normal);
        tcase_add_test(tcase, test_bulk_fills_padding);
        tcase_add_test(tcase, test_one_credit);
        tcase_add_test(tcase, test_one_job_a_user);
        tcase_add_test(tcase, test_deadlines);
        tcase_add_loop_test(tcase, test_deadlines_in_long_batches, 0, 4);
        tcase_add_test(tcase, test_a_flood_disturbs_nobody_else);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
