/* SPDX-License-Identifier: MIT */
/*
 * test-bench-arrivals.c - chance that repeats itself, and arrivals that are a Poisson process: for one client, and for
 * all of them together, which is what the daemon sees.
 */
#include "client/cli-bench-arrivals.h"
#include "tests/unit/suite.h"

#define CLIENTS  8u
#define RATE     1000.0    /* jobs a second, of all */
#define SLOT_NS  10000000u /* RATE of it: 10 jobs on average */
#define SLOTS    20000u
#define START_NS UINT64_C(5000000000)
#define NUMBERS  2000u /* of a stream that are looked at */
#define SEED     1u

static void streams_fill(uint64_t *numbers, struct bench_random random)
{
        for (size_t i = 0; i < NUMBERS; i++)
                numbers[i] = bench_random_next(&random);
}

static int compare(const void *a, const void *b)
{
        const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

/*
 * Neighbours in any respect have no number in common, let alone a run of them. In 64 bits so few numbers do not meet
 * by chance.
 */
START_TEST(test_streams_are_apart)
{
        static uint64_t numbers[13 * NUMBERS];
        size_t n = 0;

        for (uint64_t i = 0; i < CLIENTS; i++)
                streams_fill(numbers + NUMBERS * n++, bench_random_of(SEED, BENCH_RANDOM_TIMES, i, 0));
        streams_fill(numbers + NUMBERS * n++, bench_random_of(SEED + 1, BENCH_RANDOM_TIMES, 0, 0));
        streams_fill(numbers + NUMBERS * n++, bench_random_of(SEED, BENCH_RANDOM_A, 0, 0));
        streams_fill(numbers + NUMBERS * n++, bench_random_of(SEED, BENCH_RANDOM_A, 0, 1));
        streams_fill(numbers + NUMBERS * n++, bench_random_of(SEED, BENCH_RANDOM_A, 1, 0));
        streams_fill(numbers + NUMBERS * n++, bench_random_of(SEED, BENCH_RANDOM_B, 0, 1));
        qsort(numbers, n * NUMBERS, sizeof *numbers, compare);
        for (size_t i = 1; i < n * NUMBERS; i++)
                ck_assert_uint_ne(numbers[i - 1], numbers[i]);
}
END_TEST

/* How many of the jobs of all `clients` are due in each slot of time. */
static void count_arrivals(uint64_t seed, uint64_t clients, unsigned counts[SLOTS])
{
        memset(counts, 0, SLOTS * sizeof *counts);
        for (uint64_t i = 0; i < clients; i++) {
                struct bench_arrivals arrivals;
                uint64_t slot;

                bench_arrivals_init(&arrivals, seed, i, clients, RATE, START_NS);
                while ((slot = (bench_arrivals_due_ns(&arrivals) - START_NS) / SLOT_NS) < SLOTS) {
                        counts[slot]++;
                        bench_arrivals_pop(&arrivals);
                }
        }
}

/* Of a Poisson process the counts of equal times vary as much as their mean. */
START_TEST(test_arrivals_are_poisson)
{
        static const uint64_t clients[] = {1, 2, CLIENTS};
        static unsigned counts[SLOTS];

        for (uint64_t seed = 1; seed <= 5; seed++) {
                for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
                        double mean = 0, variance = 0;

                        count_arrivals(seed, clients[i], counts);
                        for (size_t j = 0; j < SLOTS; j++)
                                mean += (double)counts[j] / SLOTS;
                        for (size_t j = 0; j < SLOTS; j++)
                                variance += ((double)counts[j] - mean) * ((double)counts[j] - mean) / SLOTS;
                        /* Standard deviations are 0.02 and 0.01: five of them are out of reach. */
                        ck_assert_msg(fabs(mean - RATE * SLOT_NS / 1e9) < 0.12, "mean %g", mean);
                        ck_assert_msg(fabs(variance / mean - 1) < 0.06, "dispersion %g", variance / mean);
                }
        }
}
END_TEST

START_TEST(test_seeds_give_other_times)
{
        struct bench_arrivals one, same, other;

        bench_arrivals_init(&one, 5, 0, 2, RATE, START_NS);
        bench_arrivals_init(&same, 5, 0, 2, RATE, START_NS);
        bench_arrivals_init(&other, 6, 0, 2, RATE, START_NS);
        for (unsigned i = 0; i < 100; i++) {
                ck_assert_uint_eq(bench_arrivals_due_ns(&one), bench_arrivals_due_ns(&same));
                ck_assert_uint_ne(bench_arrivals_due_ns(&one), bench_arrivals_due_ns(&other));
                bench_arrivals_pop(&one);
                bench_arrivals_pop(&same);
                bench_arrivals_pop(&other);
        }
}
END_TEST

/* What is passed over is what would have been due one after the other. */
START_TEST(test_skip)
{
        const uint64_t from_ns = START_NS + 300000000, until_ns = START_NS + 900000000;
        struct bench_arrivals arrivals, skipping;
        uint64_t due_ns, n = 0;

        bench_arrivals_init(&arrivals, SEED, 3, 4, RATE, START_NS);
        skipping = arrivals;
        while ((due_ns = bench_arrivals_due_ns(&arrivals)) < until_ns) {
                n += due_ns >= from_ns;
                bench_arrivals_pop(&arrivals);
        }
        ck_assert_uint_gt(n, 100);
        ck_assert_uint_eq(bench_arrivals_skip(&skipping, from_ns, until_ns), n);
        ck_assert_uint_eq(bench_arrivals_due_ns(&skipping), due_ns);
        ck_assert_uint_eq(bench_arrivals_skip(&skipping, from_ns, until_ns), 0);
}
END_TEST

/* A thousand million a second for ten minutes are not drawn one by one. */
START_TEST(test_skip_out_of_all_reason)
{
        const uint64_t until_ns = START_NS + UINT64_C(600000000000);
        struct bench_arrivals arrivals;
        uint64_t n;

        bench_arrivals_init(&arrivals, SEED, 0, 1, 1e9, START_NS);
        n = bench_arrivals_skip(&arrivals, START_NS, until_ns);
        ck_assert_msg(fabs((double)n / 6e11 - 1) < 1e-4, "%g", (double)n);
        bench_arrivals_init(&arrivals, SEED, 0, 1, 1e9, START_NS);
        n = bench_arrivals_skip(&arrivals, until_ns - 1000000000, until_ns);
        ck_assert_msg(fabs((double)n / 1e9 - 1) < 1e-4, "%g", (double)n);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("bench-arrivals");
        TCase *tcase = tcase_create("arrivals");

        tcase_add_test(tcase, test_streams_are_apart);
        tcase_add_test(tcase, test_arrivals_are_poisson);
        tcase_add_test(tcase, test_seeds_give_other_times);
        tcase_add_test(tcase, test_skip);
        tcase_add_test(tcase, test_skip_out_of_all_reason);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
