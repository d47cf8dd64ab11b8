/* SPDX-License-Identifier: MIT */
/* test-samples.c - what benchmarks say of their measurements: medians, percentiles, intervals, lines. */
#include "tests/bench/samples.h"

#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

/* 1 .. n, in an order of chance. */
static void fill(struct samples *samples, size_t n, struct rng *rng)
{
        samples_clear(samples);
        for (size_t i = 0; i < n; i++)
                samples_push(samples, (double)i + 1);
        for (size_t i = n; i > 1; i--) {
                const size_t j = (size_t)rng_below(rng, i);
                const double value = samples->values[j];

                samples->values[j] = samples->values[i - 1];
                samples->values[i - 1] = value;
        }
}

static struct samples samples;
static struct rng rng;

START_TEST(test_nothing)
{
        const struct summary summary = samples_summarize(&samples);

        ck_assert_uint_eq(summary.n, 0);
        ck_assert(summary.median == 0 && samples_median(&samples) == 0 &&
                  samples_quantile(&samples, 0.5) == 0);
}
END_TEST

START_TEST(test_order_does_not_matter)
{
        for (size_t n = 1; n <= 300; n++) {
                struct summary summary;

                fill(&samples, n, &rng);
                summary = samples_summarize(&samples);
                ck_assert_uint_eq(summary.n, n);
                ck_assert(summary.median == (double)(n + 1) / 2);
                ck_assert(summary.p99 == (double)((99 * n + 99) / 100));
                ck_assert(summary.low >= 1 && summary.low <= summary.median);
                ck_assert(summary.high == (double)(n + 1) - summary.low);
        }
        samples_free(&samples);
}
END_TEST

/* Of a hundred values ranks 40 and 61 are the textbook's 95% interval; we take the next one out, never in. */
START_TEST(test_interval_of_a_hundred)
{
        struct summary summary;

        fill(&samples, 100, &rng);
        summary = samples_summarize(&samples);
        ck_assert(summary.low == 40 && summary.high == 61);
        samples_free(&samples);
}
END_TEST

/* The true median of a skewed distribution is inside in at least 93 of 100 cases. */
START_TEST(test_interval_covers)
{
        enum { TRIALS = 4000 };
        size_t n_inside = 0;

        for (size_t trial = 0; trial < TRIALS; trial++) {
                struct summary summary;

                samples_clear(&samples);
                for (size_t i = 0; i < 7 + trial % 60; i++) {
                        const double x = (double)rng_below(&rng, 1000001) / 1e6;

                        samples_push(&samples, x * x * x);
                }
                summary = samples_summarize(&samples);
                n_inside += summary.low <= 0.125 && 0.125 <= summary.high;
        }
        ck_assert_uint_ge(n_inside, TRIALS * 93 / 100);
        samples_free(&samples);
}
END_TEST

START_TEST(test_line)
{
        const double x[] = {1, 2, 4, 8}, y[] = {5, 7, 11, 19}, bent[] = {5, 7, 11, 20};
        double start, slope;

        fit_line(x, y, 4, &start, &slope);
        ck_assert_double_eq_tol(start, 3, 1e-9);
        ck_assert_double_eq_tol(slope, 2, 1e-9);
        fit_line(x, bent, 4, &start, &slope);
        ck_assert(slope > 2 && start < 3);
}
END_TEST

/* A point of twice the weight is as two points. */
START_TEST(test_line_of_weights)
{
        const double x[] = {1, 2, 5}, y[] = {1, 3, 4}, weights[] = {1, 2, 1};
        const double x_twice[] = {1, 2, 2, 5}, y_twice[] = {1, 3, 3, 4};
        double start, slope, start_twice, slope_twice;

        fit_line_weighted(x, y, weights, 3, &start, &slope);
        fit_line(x_twice, y_twice, 4, &start_twice, &slope_twice);
        ck_assert_double_eq_tol(start, start_twice, 1e-9);
        ck_assert_double_eq_tol(slope, slope_twice, 1e-9);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("samples");
        TCase *tcase = tcase_create("samples");

        rng_start(&rng, "samples");
        tcase_add_test(tcase, test_nothing);
        tcase_add_test(tcase, test_order_does_not_matter);
        tcase_add_test(tcase, test_interval_of_a_hundred);
        tcase_add_test(tcase, test_interval_covers);
        tcase_add_test(tcase, test_line);
        tcase_add_test(tcase, test_line_of_weights);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
