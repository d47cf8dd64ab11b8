/* SPDX-License-Identifier: MIT */
/*
 * test-output.c - from int32 sums to elements of C, against the oracle: every form, every shift, sums at the
 * ends of int32 and around each tie.
 */
#include <check.h>
#include <math.h>

#include "daemon/device/output.h"
#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define SUMS_MAX 512

static struct rng rng;
static int32_t sums[SUMS_MAX];
static size_t n_sums;

static void sum_add(int64_t sum)
{
        if (sum < INT32_MIN || sum > INT32_MAX)
                return;
        ck_assert_uint_lt(n_sums, SUMS_MAX);
        sums[n_sums++] = (int32_t)sum;
}

/* The ends of int32, and each multiple of half of 2^shift near 0 and near the clamps; each by +-2. */
static void setup_sums(unsigned shift)
{
        static const int64_t around[] = {0, INT32_MIN, INT32_MAX};
        const int64_t unit = INT64_C(1) << shift;

        n_sums = 0;
        for (int64_t off = -2; off <= 2; off++) {
                for (size_t i = 0; i < ARRAY_SIZE(around); i++)
                        sum_add(around[i] + off);
                for (int64_t half = -8; half <= 8; half++)
                        sum_add(half * unit / 2 + off);
                for (int64_t half = -4; half <= 4; half++) {
                        sum_add(127 * unit + half * unit / 2 + off);
                        sum_add(-128 * unit + half * unit / 2 + off);
                }
        }
        for (size_t i = 0; i < 32; i++)
                sum_add((int32_t)rng_next(&rng));
}

static void setup(void)
{
        setup_sums(0);
}

/* ---- int32, int8, tile16-shift7 ---- */

START_TEST(test_int32)
{
        int32_t c[2][SUMS_MAX] = {{0}};
        const struct product product = {
                .m = 2, .k = 1, .n = n_sums, .c = c, .ldc = SUMS_MAX, .form = OUTPUT_INT32};

        output_store(&product, 1, 0, sums, n_sums);
        ck_assert_mem_eq(c[1], sums, n_sums * sizeof sums[0]);
        for (size_t i = 0; i < SUMS_MAX; i++)
                ck_assert_int_eq(c[0][i], 0);
}
END_TEST

START_TEST(test_int8)
{
        const unsigned shift = (unsigned)_i;
        int8_t c[SUMS_MAX];

        setup_sums(shift);
        ck_assert_uint_gt(n_sums, 32);
        for (enum rounding rounding = 0; rounding < ROUNDING_MAX; rounding++) {
                const struct product product = {.m = 1,
                                                .k = 1,
                                                .n = n_sums,
                                                .c = c,
                                                .ldc = n_sums,
                                                .form = OUTPUT_INT8,
                                                .shift = shift,
                                                .rounding = rounding};

                output_store(&product, 0, 0, sums, n_sums);
                for (size_t i = 0; i < n_sums; i++) {
                        const int8_t expected =
                                oracle_int8(sums[i], shift, rounding == ROUNDING_NEAREST_EVEN);

                        ck_assert_msg(c[i] == expected, "%d >> %u, rounding %d: %d, must be %d", sums[i],
                                      shift, rounding, c[i], expected);
                }
        }
}
END_TEST

START_TEST(test_tile16_store_clamps)
{
        int8_t c[SUMS_MAX];
        const struct product product = {
                .m = 1, .k = 1, .n = n_sums, .c = c, .ldc = n_sums, .form = OUTPUT_TILE16_SHIFT7};

        output_store(&product, 0, 0, sums, n_sums);
        for (size_t i = 0; i < n_sums; i++)
                ck_assert_int_eq(c[i], oracle_clamp(sums[i]));
}
END_TEST

/* ---- folding ---- */

START_TEST(test_k_step)
{
        for (enum output_form form = 0; form < OUTPUT_MAX; form++) {
                const struct product product = {.k = 1000, .form = form};

                ck_assert_uint_eq(output_k_step(&product), form == OUTPUT_TILE16_SHIFT7 ? 16 : 1000);
        }
}
END_TEST

/* All forms but tile16-shift7 have one step: the total is the sum itself, at both ends of int32 too. */
START_TEST(test_fold_keeps_sums)
{
        for (enum output_form form = 0; form < OUTPUT_TILE16_SHIFT7; form++) {
                const struct product product = {.k = 1, .form = form};
                int32_t total[SUMS_MAX] = {0};

                output_fold(&product, sums, total, n_sums);
                ck_assert_mem_eq(total, sums, n_sums * sizeof sums[0]);
        }
}
END_TEST

START_TEST(test_fold_tile16)
{
        const struct product product = {.k = 1, .form = OUTPUT_TILE16_SHIFT7};
        int32_t total[SUMS_MAX] = {0};

        setup_sums(7);
        output_fold(&product, sums, total, n_sums);
        output_fold(&product, sums, total, n_sums);
        for (size_t i = 0; i < n_sums; i++)
                ck_assert_msg(total[i] == 2 * oracle_tile16_share(sums[i]), "sum %d: %d", sums[i], total[i]);
}
END_TEST

/* ---- float32 ---- */

/* Both NaN, or the same bits: -0 is not 0. */
static bool same(float left, float right)
{
        return memcmp(&left, &right, sizeof left) == 0 || (isnan(left) && isnan(right));
}

/* _i: which of the three vectors are there. */
START_TEST(test_float32)
{
        enum { ROWS = 3, COL = 5 };
        static float c[ROWS][COL + SUMS_MAX];
        static float row_scale[ROWS], col_scale[COL + SUMS_MAX], bias[COL + SUMS_MAX];
        const struct product product = {
                .m = ROWS,
                .k = 1,
                .n = COL + n_sums,
                .c = c,
                .ldc = COL + SUMS_MAX,
                .form = OUTPUT_FLOAT32,
                .row_scale = _i & 1 ? row_scale : NULL,
                .col_scale = _i & 2 ? col_scale : NULL,
                .bias = _i & 4 ? bias : NULL,
        };
        const struct oracle_product oracle = {
                .row_scale = product.row_scale, .col_scale = product.col_scale, .bias = product.bias};

        rng_floats(&rng, row_scale, ROWS);
        rng_floats(&rng, col_scale, ARRAY_SIZE(col_scale));
        rng_floats(&rng, bias, ARRAY_SIZE(bias));
        for (size_t row = 0; row < ROWS; row++) {
                output_store(&product, row, COL, sums, n_sums);
                for (size_t i = 0; i < n_sums; i++) {
                        const float expected = oracle_float32(&oracle, row, COL + i, sums[i]);

                        ck_assert_msg(same(c[row][COL + i], expected), "sum %d, vectors %d: %a, must be %a",
                                      sums[i], _i, (double)c[row][COL + i], (double)expected);
                }
        }
}
END_TEST

/* With products and sums fused this would not be 0: each step is rounded by itself. */
START_TEST(test_float32_is_not_contracted)
{
        const float row_scale = 0x1.000002p0F, col_scale = 0x1.000002p0F, bias = -0x1.000004p0F;
        const int32_t one = 1;
        float c = 1;
        const struct product product = {.m = 1,
                                        .k = 1,
                                        .n = 1,
                                        .c = &c,
                                        .ldc = 1,
                                        .form = OUTPUT_FLOAT32,
                                        .row_scale = &row_scale,
                                        .col_scale = &col_scale,
                                        .bias = &bias};

        output_store(&product, 0, 0, &one, 1);
        ck_assert(same(c, 0.0F));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("output");
        TCase *tcase = tcase_create("forms");

        rng_start(&rng, "output");
        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_int32);
        tcase_add_loop_test(tcase, test_int8, 0, MESSAGE_SHIFT_MAX + 1);
        tcase_add_test(tcase, test_tile16_store_clamps);
        tcase_add_test(tcase, test_k_step);
        tcase_add_test(tcase, test_fold_keeps_sums);
        tcase_add_test(tcase, test_fold_tile16);
        tcase_add_loop_test(tcase, test_float32, 0, 8);
        tcase_add_test(tcase, test_float32_is_not_contracted);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
