/* SPDX-License-Identifier: MIT */
/* test-cost.c - the model of a submission's time: what it predicts, and that it learns what it should. */
#include <check.h>
#include <math.h>

#include "daemon/cost.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

static struct rng rng;

/* `macs` of one class. */
static struct cost_work work_of(unsigned class, double macs)
{
        struct cost_work work = {{0}};

        work.macs[class] = macs;
        return work;
}

static bool is_within(double value, double expected, double share)
{
        return fabs(value - expected) <= share * expected;
}

/* ---- predictions ---- */

START_TEST(test_predicts_fixed_and_work)
{
        struct cost_model cost;
        struct cost_work work = {{0}};

        cost_init(&cost, 1000, 0.5);
        ck_assert_uint_eq(cost_whole_ns(cost_predict_ns(&cost, &work)), 1000);
        work.macs[3] = 1;
        ck_assert_uint_eq(cost_whole_ns(cost_predict_ns(&cost, &work)), 1000);
        work.macs[3] = 2;
        ck_assert_uint_eq(cost_whole_ns(cost_predict_ns(&cost, &work)), 1001);
        work.macs[COST_CLASSES - 1] = 4000;
        ck_assert_uint_eq(cost_whole_ns(cost_predict_ns(&cost, &work)), 3001);
        cost.slopes[3].ns_per_mac = 50;
        ck_assert_uint_eq(cost_whole_ns(cost_predict_ns(&cost, &work)), 3100);
}
END_TEST

/* Work beyond all sense is long, and wraps nowhere. */
START_TEST(test_predicts_extremes)
{
        const struct cost_work all = work_of(0, 2e9 * 131071.0 * 2e9), none = {{0}};
        struct cost_model cost;

        cost_init(&cost, 1000, 1);
        ck_assert_uint_eq(cost_whole_ns(cost_predict_ns(&cost, &all)), UINT64_MAX);
        cost_init(&cost, 0, 0); /* a seed of nothing is next to nothing: the model can be divided by */
        ck_assert_double_gt(cost.fixed_ns, 0);
        for (size_t i = 0; i < COST_CLASSES; i++)
                ck_assert_double_gt(cost.slopes[i].ns_per_mac, 0);
        ck_assert_uint_le(cost_whole_ns(cost_predict_ns(&cost, &none)), 1);
}
END_TEST

/* ---- classes ---- */

/* Sizes at both sides of each bound. */
START_TEST(test_classes)
{
        static const uint64_t sizes[4][2] = {{1, 15}, {16, 63}, {64, 383}, {384, 131071}};
        bool is_used[COST_CLASSES] = {false};

        for (size_t k = 0; k < 4; k++) {
                for (size_t n = 0; n < 4; n++) {
                        for (int transposed = 0; transposed < 2; transposed++) {
                                struct product product = {.m = 1,
                                                          .k = sizes[k][0],
                                                          .n = sizes[n][0],
                                                          .b_transposed = transposed};
                                const unsigned class = cost_class(&product);

                                ck_assert_uint_lt(class, COST_CLASSES);
                                ck_assert_msg(!is_used[class], "k %zu n %zu: the class of another shape", k,
                                              n);
                                is_used[class] = true;
                                product.m = 1000; /* how many rows does not matter */
                                product.k = sizes[k][1];
                                product.n = sizes[n][1];
                                ck_assert_uint_eq(cost_class(&product), class);
                        }
                }
        }
}
END_TEST

/* ---- learning ---- */

/* A device that is three times as slow, or as fast, as the seed says is known within a few dozen batches. */
START_TEST(test_learns_the_slope)
{
        static const double slopes[] = {0.1, 0.9};

        for (size_t i = 0; i < ARRAY_SIZE(slopes); i++) {
                struct cost_model cost;
                double last_error = 1;

                cost_init(&cost, 1000, 0.3);
                for (int n = 0; n < 40; n++) {
                        const struct cost_work work = work_of(9, (double)rng_between(&rng, 100000, 1000000));
                        double error;

                        cost_observe(&cost, &work, (uint64_t)(1000 + slopes[i] * work.macs[9]));
                        error = fabs(cost.slopes[9].ns_per_mac - slopes[i]);
                        ck_assert_double_le(error, last_error); /* nearer each time */
                        last_error = error + 1e-4;
                }
                ck_assert(is_within(cost.slopes[9].ns_per_mac, slopes[i], 0.02));
                ck_assert_double_eq_tol(cost.fixed_ns, 1000, 100); /* next to none of the blame */
                for (size_t class = 0; class < COST_CLASSES; class += 1)
                        if (class != 9)
                                ck_assert_double_eq(cost.slopes[class].ns_per_mac, 0.3);
        }
}
END_TEST

/* A device whose true costs are known to the test alone. */
struct truth {
        double fixed_ns;
        double ns_per_mac[COST_CLASSES];
};

static uint64_t took_ns(const struct truth *truth, const struct cost_work *work)
{
        double ns = truth->fixed_ns;

        for (size_t i = 0; i < COST_CLASSES; i++)
                ns += truth->ns_per_mac[i] * work->macs[i];
        return (uint64_t)ns;
}

static double error_of(const struct cost_model *cost, const struct truth *truth, const struct cost_work *work)
{
        const double took = (double)took_ns(truth, work);

        return fabs((double)cost_predict_ns(cost, work) - took) / took;
}

/* Submissions of every size, of one class or several: both parts of the truth come out, though none is seen alone. */
START_TEST(test_learns_from_mixed_sizes)
{
        static const struct {
                double seed_fixed_ns, seed_slope;
        } seeds[] = {{108e3, 0.4e-3}, {30e3, 4e-3}, {1e6, 0.1e-3}};
        static const unsigned classes[] = {18, 26, 3};
        struct truth truth = {.fixed_ns = 108e3};

        truth.ns_per_mac[18] = 0.4e-3;
        truth.ns_per_mac[26] = 0.9e-3;
        truth.ns_per_mac[3] = 5e-3;
        for (size_t seed = 0; seed < ARRAY_SIZE(seeds); seed++) {
                struct cost_model cost;
                double worst = 0;

                cost_init(&cost, seeds[seed].seed_fixed_ns, seeds[seed].seed_slope);
                for (int n = 0; n < 600; n++) {
                        struct cost_work work = {{0}};

                        for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
                                if (rng_once_in(
                                            &rng,
                                            2)) /* from a tenth of the fixed part to thirty times as much */
                                        work.macs[classes[i]] =
                                                pow(10, (double)rng_below(&rng, 2500) / 1000 - 1) *
                                                truth.fixed_ns / truth.ns_per_mac[classes[i]];
                        if (n >= 500)
                                worst = MAX(worst, error_of(&cost, &truth, &work));
                        cost_observe(&cost, &work, took_ns(&truth, &work));
                }
                ck_assert_msg(worst < 0.1, "seed %zu: %g", seed, worst);
                ck_assert_msg(is_within(cost.fixed_ns, truth.fixed_ns, 0.15), "seed %zu: fixed %g", seed,
                              cost.fixed_ns);
                for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
                        ck_assert_msg(is_within(cost.slopes[classes[i]].ns_per_mac,
                                                truth.ns_per_mac[classes[i]], 0.1),
                                      "seed %zu, class %u: %g", seed, classes[i],
                                      cost.slopes[classes[i]].ns_per_mac);
        }
}
END_TEST

/*
 * The powersaver's clock is 2.25 times slower, and the other way round: large work is known within two dozen
 * submissions, all sizes within some more.
 */
START_TEST(test_recovers_after_a_change_of_clock)
{
        static const double changes[] = {2.25, 1 / 2.25};
        const struct cost_work large = work_of(18, 2e9);

        for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
                struct truth truth = {.fixed_ns = 108e3};
                struct cost_model cost;
                double errors = 0;

                truth.ns_per_mac[18] = 0.4e-3;
                cost_init(&cost, truth.fixed_ns, truth.ns_per_mac[18]);
                for (int n = 0; n < 200; n++) {
                        const struct cost_work work = work_of(18, 1e5 * (double)rng_between(&rng, 20, 20000));

                        if (n == 100) {
                                truth.fixed_ns *= changes[i];
                                truth.ns_per_mac[18] *= changes[i];
                                ck_assert_double_gt(error_of(&cost, &truth, &large), 0.5);
                        }
                        if (n == 124)
                                ck_assert_double_lt(error_of(&cost, &truth, &large), 0.15);
                        if (n >= 160)
                                errors += error_of(&cost, &truth, &work) / 40;
                        cost_observe(&cost, &work, took_ns(&truth, &work));
                }
                ck_assert_msg(errors < 0.1, "x %g: %g", changes[i], errors);
        }
}
END_TEST

/* Products of one column cost ten times as much a multiply-add: that is learnt of them, and of nothing else. */
START_TEST(test_odd_class_spoils_no_other)
{
        const struct product wide = {.m = 1, .k = 512, .n = 512}, column = {.m = 1, .k = 512, .n = 1};
        struct truth truth = {.fixed_ns = 1000};
        struct cost_model cost;

        truth.ns_per_mac[cost_class(&wide)] = 0.1;
        truth.ns_per_mac[cost_class(&column)] = 1;
        cost_init(&cost, 1000, 0.1);
        for (int n = 0; n < 300; n++) {
                struct cost_work work = {{0}};

                if (rng_once_in(&rng, 2))
                        work.macs[cost_class(&wide)] = (double)rng_between(&rng, 100000, 1000000);
                if (rng_once_in(&rng, 2))
                        work.macs[cost_class(&column)] = (double)rng_between(&rng, 1000, 100000);
                cost_observe(&cost, &work, took_ns(&truth, &work));
                ck_assert_msg(n < 60 || is_within(cost.slopes[cost_class(&wide)].ns_per_mac, 0.1, 0.5),
                              "%d: %g", n, cost.slopes[cost_class(&wide)].ns_per_mac);
        }
        ck_assert(is_within(cost.slopes[cost_class(&wide)].ns_per_mac, 0.1, 0.05));
        ck_assert(is_within(cost.slopes[cost_class(&column)].ns_per_mac, 1, 0.1));
        for (size_t i = 0; i < COST_CLASSES; i++)
                if (i != cost_class(&wide) && i != cost_class(&column))
                        ck_assert_double_eq(cost.slopes[i].ns_per_mac, 0.1);
}
END_TEST

/* Every third run takes up to twice as long, by chance: the model stays where it should, on average. */
START_TEST(test_noise)
{
        struct truth truth = {.fixed_ns = 1000};
        struct cost_model cost;

        truth.ns_per_mac[18] = 0.1;
        cost_init(&cost, 1000, 0.1);
        for (int n = 0; n < 1000; n++) {
                const struct cost_work work = work_of(18, (double)rng_between(&rng, 100000, 1000000));
                const double noise = rng_once_in(&rng, 3) ? 1 + (double)rng_below(&rng, 1000) / 1000 : 1;

                cost_observe(&cost, &work, (uint64_t)((double)took_ns(&truth, &work) * noise));
                ck_assert_double_ge(cost.slopes[18].ns_per_mac, 0.09);
                ck_assert_double_le(cost.slopes[18].ns_per_mac, 0.2);
        }
}
END_TEST

/* The first observations of a class count in full, as the seed knows nothing of it; later ones an eighth. */
static struct cost_model seasoned(double fixed_ns, double ns_per_mac, unsigned class)
{
        struct cost_model cost;

        cost_init(&cost, fixed_ns, ns_per_mac);
        for (int i = 0; i < 40; i++) {
                const struct cost_work work = work_of(class, 1e6);

                cost_observe(&cost, &work, cost_whole_ns(cost_predict_ns(&cost, &work)));
        }
        return cost;
}

/*
 * One run that another program held up for long, or of a shape that is hard on the device, counts as twice as long as
 * expected and no more, or half as long and no less, and moves the slope by an eighth of that.
 */
START_TEST(test_one_surprise)
{
        const struct cost_work work = work_of(5, 1e6);
        struct cost_model cost = seasoned(1, 1, 5);

        cost_observe(&cost, &work, UINT64_C(900000000));
        ck_assert(is_within(cost.slopes[5].ns_per_mac, 1.125, 0.001));
        cost = seasoned(1, 1, 5);
        cost_observe(&cost, &work, 0);
        ck_assert(is_within(cost.slopes[5].ns_per_mac, 1 - 0.125 / 2, 0.001));
        cost_init(&cost, 1, 1); /* the very first one: all of it, and still no more than twice */
        cost_observe(&cost, &work, UINT64_C(900000000));
        ck_assert(is_within(cost.slopes[5].ns_per_mac, 2, 0.001));
}
END_TEST

/* Of a mixed one no part moves by more than that either, though its blame may be many times what it is. */
START_TEST(test_one_surprise_of_many_classes)
{
        struct cost_work work = {{0}};
        struct cost_model cost;

        for (double share = 0.3; share < 3; share += 0.1) {
                cost_init(&cost, 100000, 1);
                work.macs[0] = 250000;
                for (size_t i = 1; i < 16; i++)
                        work.macs[i] = 30000 + 1000 * (double)i;
                cost_observe(&cost, &work, (uint64_t)(cost_predict_ns(&cost, &work) * share));
                for (size_t i = 0; i < 16; i++) {
                        ck_assert_double_ge(cost.slopes[i].ns_per_mac, 0.5);
                        ck_assert_double_le(cost.slopes[i].ns_per_mac, 2);
                }
                ck_assert_double_ge(cost.fixed_ns, 50000);
                ck_assert_double_le(cost.fixed_ns, 200000);
        }
}
END_TEST

/* Where the fixed part outweighs the work by far, the slope is anybody's guess: nothing is learnt of it. */
START_TEST(test_small_work_teaches_no_slope)
{
        static const struct {
                double macs;
                uint64_t took_ns;
        } cases[] = {{10, 1}, {10, 4000}, {30, 4000000}, {1, 4000000}, {0, 0}, {0, 1000000}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct cost_work work = work_of(7, cases[i].macs);
                struct cost_model cost;

                cost_init(&cost, 1000, 1);
                cost_observe(&cost, &work, cases[i].took_ns);
                ck_assert_double_eq(cost.slopes[7].ns_per_mac, 1);
                ck_assert_double_ge(cost.fixed_ns, 490);
                ck_assert_double_le(cost.fixed_ns, 2100);
        }
}
END_TEST

/* However short times are measured, there is something to divide by. */
START_TEST(test_model_stays_positive)
{
        const struct cost_work large = work_of(0, 1e18), none = {{0}};
        struct cost_model cost;

        cost_init(&cost, 1000, 1);
        for (int i = 0; i < 1000; i++) {
                cost_observe(&cost, &large, 0);
                cost_observe(&cost, &none, 0);
        }
        ck_assert_double_ge(cost.slopes[0].ns_per_mac, 1e-6);
        ck_assert_double_ge(cost.fixed_ns, 1);
        for (int i = 0; i < 1000; i++) {
                cost_observe(&cost, &large, UINT64_MAX);
                cost_observe(&cost, &none, UINT64_MAX);
        }
        ck_assert(isfinite(cost.fixed_ns) && isfinite(cost.slopes[0].ns_per_mac));
}
END_TEST

/* However long small submissions take, and whatever somebody does to the slopes in between: four seeds at most. */
START_TEST(test_fixed_part_is_bounded)
{
        struct cost_work work = {{0}};
        struct cost_model cost;

        cost_init(&cost, 1000, 1);
        for (int i = 0; i < 1000; i++) {
                work.macs[i % COST_CLASSES] = (double)rng_below(&rng, 1000);
                cost_observe(&cost, &work, UINT64_C(1) << rng_below(&rng, 40));
                ck_assert_double_le(cost.fixed_ns, 4000);
                work.macs[i % COST_CLASSES] = 0;
        }
}
END_TEST

/* What is known of a submission's cost is not learnt away. */
START_TEST(test_a_given_fixed_part_stays)
{
        struct cost_work work = {.macs = {[3] = 1000}};
        struct cost_model cost;

        cost_init(&cost, 5000, 0.3);
        cost.is_fixed_given = true;
        for (int i = 0; i < 1000; i++)
                cost_observe(&cost, &work, 5000 + 2000);
        ck_assert_double_eq(cost.fixed_ns, 5000);
        ck_assert_double_eq_tol(cost.slopes[3].ns_per_mac, 2, 0.1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("cost");
        TCase *tcase = tcase_create("cost");

        rng_start(&rng, "cost");
        tcase_add_test(tcase, test_predicts_fixed_and_work);
        tcase_add_test(tcase, test_predicts_extremes);
        tcase_add_test(tcase, test_classes);
        tcase_add_test(tcase, test_learns_the_slope);
        tcase_add_test(tcase, test_learns_from_mixed_sizes);
        tcase_add_test(tcase, test_fixed_part_is_bounded);
        tcase_add_test(tcase, test_a_given_fixed_part_stays);
        tcase_add_test(tcase, test_recovers_after_a_change_of_clock);
        tcase_add_test(tcase, test_odd_class_spoils_no_other);
        tcase_add_test(tcase, test_noise);
        tcase_add_test(tcase, test_one_surprise);
        tcase_add_test(tcase, test_one_surprise_of_many_classes);
        tcase_add_test(tcase, test_small_work_teaches_no_slope);
        tcase_add_test(tcase, test_model_stays_positive);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
