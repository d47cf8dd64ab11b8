/* SPDX-License-Identifier: MIT */
/*
 * test-bench-figures.c - what counters come to, also where the daemon does not count all of it or something is 0.
 */
#include <math.h>

#include "client/cli-bench.h"
#include "tests/unit/suite.h"

static struct bench_result result;
static struct bench_figures figures;

static void derive(const char *before, const char *after)
{
        result.status_before = (char *)before;
        result.status_after = (char *)after;
        bench_figures_derive(&result, &figures);
}

static void expect_near(double found, double right)
{
        ck_assert_msg(fabs(found - right) <= 1e-9 * fabs(right), "%g is not %g", found, right);
}

static void setup(void)
{
        result = (struct bench_result){.seconds = 2, .jobs = 300, .macs = 4000000000};
        for (unsigned i = 1; i <= 300; i++)
                bench_latency_add(&result.latency, i); /* ns; exact in buckets so small */
}

START_TEST(test_all_there)
{
        derive("{\"backend\": \"cpu\", \"device\": \"a kernel\", \"submissions\": 10, \"submission_jobs\": "
               "20, "
               "\"rows_stacked\": 5, \"macs\": 100, \"padded_macs\": 100}",
               "{\"backend\": \"cpu\", \"device\": \"a kernel\", \"submissions\": 110, \"submission_jobs\": "
               "320, "
               "\"rows_stacked\": 65, \"macs\": 400, \"padded_macs\": 500}");
        expect_near(figures.jobs_per_s, 150);
        expect_near(figures.gops, 4);
        expect_near(figures.p50_us, 0.15);
        expect_near(figures.p90_us, 0.27);
        expect_near(figures.p99_us, 0.297);
        expect_near(figures.p999_us, 0.3);
        expect_near(figures.jobs_per_submission, 3);
        expect_near(figures.rows_stacked, 60);
        expect_near(figures.padding_share, 0.25);
        ck_assert_str_eq(figures.backend, "cpu");
        ck_assert_str_eq(figures.device, "a kernel");
}
END_TEST

/* A daemon that does not count them; a status that is no JSON. */
START_TEST(test_some_missing)
{
        static const char *const statuses[] = {"{}", "[1]", "no JSON", "",
                                               "{\"submissions\": \"1\", \"rows_stacked\": null}"};

        for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
                derive(statuses[i], statuses[i]);
                ck_assert(isnan(figures.jobs_per_submission));
                ck_assert(isnan(figures.rows_stacked));
                ck_assert(isnan(figures.padding_share));
                ck_assert_str_eq(figures.backend, "?");
                ck_assert_str_eq(figures.device, "?");
                expect_near(figures.jobs_per_s, 150);
        }
}
END_TEST

/* Nothing has happened: no figure is 0/0. */
START_TEST(test_nothing_done)
{
        static const char status[] =
                "{\"submissions\": 7, \"submission_jobs\": 9, \"rows_stacked\": 3, \"macs\": 4, "
                "\"padded_macs\": 5}";

        result = (struct bench_result){0};
        derive(status, status);
        ck_assert(isnan(figures.jobs_per_s) && isnan(figures.gops) && isnan(figures.p50_us) &&
                  isnan(figures.p999_us) && isnan(figures.jobs_per_submission) &&
                  isnan(figures.padding_share));
        expect_near(figures.rows_stacked, 0);
}
END_TEST

START_TEST(test_model_says_so)
{
        derive("{}", "{\"backend\": \"sim\", \"device\": \"NPU, 16 cores\"}");
        ck_assert_str_eq(figures.backend, "sim");
        ck_assert_str_eq(figures.device, "NPU, 16 cores; these are figures of a model, not of hardware");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("bench-figures");
        TCase *tcase = tcase_create("figures");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_all_there);
        tcase_add_test(tcase, test_some_missing);
        tcase_add_test(tcase, test_nothing_done);
        tcase_add_test(tcase, test_model_says_so);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
