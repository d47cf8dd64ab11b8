/* SPDX-License-Identifier: MIT */
/* test-cost.c - the model of a submission's time: its directions agree, and it learns what it should. */
#include <check.h>

#include "daemon/cost.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

static struct rng rng;

START_TEST(test_predicts_fixed_and_work)
{
        const struct cost_model cost = {.fixed_ns = 1000, .ns_per_mac = 0.5};

        ck_assert_uint_eq(cost_predict_ns(&cost, 0), 1000);
        ck_assert_uint_eq(cost_predict_ns(&cost, 1), 1000);
        ck_assert_uint_eq(cost_predict_ns(&cost, 2), 1001);
        ck_assert_uint_eq(cost_predict_ns(&cost, 4000), 3000);
}
END_TEST

START_TEST(test_macs_within)
{
        const struct cost_model cost = {.fixed_ns = 1000, .ns_per_mac = 0.5};
        static const struct {
                uint64_t bound_ns, macs;
        } cases[] = {{3000, 4000}, {1001, 2}, {1000, 1}, {999, 1}, {0, 1}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                ck_assert_uint_eq(cost_macs_within(&cost, cases[i].bound_ns), cases[i].macs);
}
END_TEST

/* At least one multiply-add, and never more than 64 bits hold, whatever the bound. */
START_TEST(test_macs_within_extremes)
{
        const struct cost_model free_of_cost = {.fixed_ns = 0, .ns_per_mac = 1e-6};
        const struct cost_model dear = {.fixed_ns = 1e18, .ns_per_mac = 1e18};

        ck_assert_uint_eq(cost_macs_within(&free_of_cost, UINT64_MAX), UINT64_C(9000000000000000000));
        ck_assert_uint_eq(cost_macs_within(&dear, 1), 1);
        ck_assert_uint_eq(cost_macs_within(&dear, 0), 1);
}
END_TEST

/* What fits within a bound is predicted to end within it. */
START_TEST(test_directions_agree)
{
        for (int i = 0; i < 10000; i++) {
                const struct cost_model cost = {
                        .fixed_ns = (double)rng_below(&rng, 1000000),
                        .ns_per_mac = 1e-5 * (double)rng_between(&rng, 1, 1000000),
                };
                const uint64_t bound_ns = rng_between(&rng, 1, UINT64_C(1000000000));
                const uint64_t macs = cost_macs_within(&cost, bound_ns);

                ck_assert_uint_ge(macs, 1);
                if (macs == 1) /* the least there is, whether it fits or not */
                        continue;
                ck_assert_uint_le(cost_predict_ns(&cost, macs), bound_ns);
                ck_assert_uint_ge(cost_predict_ns(&cost, macs + macs / 8 + 2), bound_ns);
        }
}
END_TEST

/* A device that is three times as slow, or as fast, as the seed says is known within a few dozen batches. */
START_TEST(test_learns_the_slope)
{
        static const double slopes[] = {0.1, 0.9};

        for (size_t i = 0; i < ARRAY_SIZE(slopes); i++) {
                struct cost_model cost = {.fixed_ns = 1000, .ns_per_mac = 0.3};
                double last_error = 1;

                for (int n = 0; n < 40; n++) {
                        const uint64_t macs = rng_between(&rng, 100000, 1000000);
                        double error;

                        cost_observe(&cost, macs, (uint64_t)(slopes[i] * (double)macs));
                        error = cost.ns_per_mac > slopes[i] ? cost.ns_per_mac - slopes[i]
                                                            : slopes[i] - cost.ns_per_mac;
                        ck_assert_double_le(error, last_error); /* nearer each time */
                        last_error = error + 1e-4;
                }
                ck_assert_double_eq_tol(cost.ns_per_mac, slopes[i], 0.01 * slopes[i] + 0.01);
                ck_assert_double_eq(cost.fixed_ns, 1000);
        }
}
END_TEST

/* One run that another program held up for long, or of a shape that is hard on the device, counts as twice as long as
 * expected and no more, and moves the slope by an eighth of that. */
START_TEST(test_one_surprise)
{
        struct cost_model cost = {.fixed_ns = 1000, .ns_per_mac = 1};

        cost_observe(&cost, 100000, 900000);
        ck_assert_double_eq_tol(cost.ns_per_mac, 1.125, 1e-9);
        cost.ns_per_mac = 1;
        cost_observe(&cost, 100000, 0);
        ck_assert_double_eq_tol(cost.ns_per_mac, 1 - 0.125 / 2, 1e-9);
}
END_TEST

/* Where the fixed part outweighs the work, the slope is anybody's guess: nothing is learnt. */
START_TEST(test_small_work_teaches_nothing)
{
        static const struct {
                uint64_t macs, took_ns;
        } cases[] = {{10, 1}, {10, 1000}, {999, 4000000}, {1, 4000000}, {0, 0}, {0, 1000000}};
        struct cost_model cost = {.fixed_ns = 1000, .ns_per_mac = 1};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                cost_observe(&cost, cases[i].macs, cases[i].took_ns);
                ck_assert_double_eq(cost.ns_per_mac, 1);
        }
}
END_TEST

/* However short times are measured, the model can be inverted. */
START_TEST(test_slope_stays_positive)
{
        struct cost_model cost = {.fixed_ns = 0, .ns_per_mac = 1};

        for (int i = 0; i < 1000; i++)
                cost_observe(&cost, UINT64_C(1) << 60, 0);
        ck_assert_double_ge(cost.ns_per_mac, 1e-6);
        ck_assert_uint_ge(cost_macs_within(&cost, 1), 1);
        ck_assert_uint_le(cost_macs_within(&cost, UINT64_MAX), UINT64_C(9000000000000000000));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("cost");
        TCase *tcase = tcase_create("cost");

        rng_start(&rng, "cost");
        tcase_add_test(tcase, test_predicts_fixed_and_work);
        tcase_add_test(tcase, test_macs_within);
        tcase_add_test(tcase, test_macs_within_extremes);
        tcase_add_test(tcase, test_directions_agree);
        tcase_add_test(tcase, test_learns_the_slope);
        tcase_add_test(tcase, test_one_surprise);
        tcase_add_test(tcase, test_small_work_teaches_nothing);
        tcase_add_test(tcase, test_slope_stays_positive);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
