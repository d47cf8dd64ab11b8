/* SPDX-License-Identifier: MIT */
/*
 * test-bench-latency.c - the histogram against exact, sorted samples: never below them, never more than 1 part in
 * 256 above.
 */
#include "client/cli-bench-latency.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define SAMPLES_MAX 20000u

static struct bench_latency latency, other; /* too large for some stacks */

static void setup(void)
{
        memset(&latency, 0, sizeof latency);
        memset(&other, 0, sizeof other);
}

static int compare(const void *a, const void *b)
{
        const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

/* The smallest sample that `permille` of 1000 do not exceed. */
static uint64_t exact_quantile(const uint64_t *sorted, uint64_t n, unsigned permille)
{
        const uint64_t rank = (n * permille + 999) / 1000;

        return sorted[MAX(rank, (uint64_t)1) - 1];
}

static void expect_quantiles(uint64_t *samples, uint64_t n)
{
        static const unsigned permilles[] = {1, 10, 250, 500, 900, 990, 999, 1000};
        uint64_t before = 0;

        qsort(samples, n, sizeof *samples, compare);
        for (size_t i = 0; i < ARRAY_SIZE(permilles); i++) {
                const uint64_t exact = exact_quantile(samples, n, permilles[i]);
                const uint64_t found = bench_latency_quantile_ns(&latency, permilles[i]);

                ck_assert_uint_ge(found, exact);
                ck_assert_uint_le(found, exact + exact / 256);
                ck_assert_uint_ge(found, before);
                ck_assert_uint_le(found, samples[n - 1]);
                before = found;
        }
        ck_assert_uint_eq(latency.n, n);
        ck_assert_uint_eq(latency.max_ns, samples[n - 1]);
}

START_TEST(test_empty)
{
        ck_assert_uint_eq(bench_latency_quantile_ns(&latency, 500), 0);
        ck_assert_uint_eq(bench_latency_quantile_ns(&latency, 1000), 0);
}
END_TEST

START_TEST(test_single_durations)
{
        /* Around every power of 2, where buckets begin. */
        for (unsigned shift = 0; shift < LATENCY_BITS; shift++) {
                for (int delta = -2; delta <= 2; delta++) {
                        uint64_t ns = (UINT64_C(1) << shift) + (uint64_t)delta;

                        if (delta < 0 && (UINT64_C(1) << shift) < (uint64_t)-delta)
                                continue;
                        setup();
                        bench_latency_add(&latency, ns);
                        expect_quantiles(&ns, 1);
                }
        }
}
END_TEST

/* Of all sizes, from nanoseconds to minutes. */
START_TEST(test_random_durations)
{
        static uint64_t samples[SAMPLES_MAX];
        struct rng rng;

        rng_start(&rng, "test-bench-latency");
        for (unsigned run = 0; run < 50; run++) {
                const uint64_t n = rng_between(&rng, 1, run < 25 ? 30 : SAMPLES_MAX);

                setup();
                for (uint64_t i = 0; i < n; i++) {
                        samples[i] = rng_next(&rng) >> rng_between(&rng, 64 - LATENCY_BITS, 63);
                        bench_latency_add(i % 3 == 0 ? &other : &latency, samples[i]);
                }
                bench_latency_merge(&latency, &other);
                expect_quantiles(samples, n);
        }
}
END_TEST

/* What is beyond the last bucket is counted there. */
START_TEST(test_longest_durations)
{
        bench_latency_add(&latency, UINT64_MAX);
        bench_latency_add(&latency, UINT64_C(1) << LATENCY_BITS);
        bench_latency_add(&latency, 7);
        ck_assert_uint_eq(latency.n, 3);
        ck_assert_uint_eq(latency.max_ns, UINT64_MAX);
        ck_assert_uint_eq(bench_latency_quantile_ns(&latency, 300), 7);
        ck_assert_uint_eq(bench_latency_quantile_ns(&latency, 1000), (UINT64_C(1) << LATENCY_BITS) - 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("bench-latency");
        TCase *tcase = tcase_create("latency");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_empty);
        tcase_add_test(tcase, test_single_durations);
        tcase_add_test(tcase, test_random_durations);
        tcase_add_test(tcase, test_longest_durations);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
