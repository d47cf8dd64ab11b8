/* SPDX-License-Identifier: MIT */
/* test-oracle.c - the judge itself, against numbers worked out by hand. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/oracle.h"
#include "tests/unit/suite.h"

/* The example of proto/README.md, section 17. */
static const int8_t example_a[] = {1, 2, 3, 4, 5, -6};
static const int8_t example_b[] = {7, -8, 9, 10, 11, 12};
static const int8_t example_b_transposed[] = {7, 9, 11, -8, 10, 12};
static const int32_t example_c[] = {58, 48, 7, -54};

static struct oracle_product example(void)
{
        return (struct oracle_product){
                .m = 2, .k = 3, .n = 2, .a = example_a, .lda = 3, .b = example_b, .ldb = 2};
}

START_TEST(test_example)
{
        struct oracle_product product = example();
        int32_t c[4] = {0};

        oracle_rows(&product, 0, 2, c, 2);
        ck_assert_mem_eq(c, example_c, sizeof c);
        product.b = example_b_transposed;
        product.ldb = 3;
        product.b_transposed = true;
        memset(c, 0, sizeof c);
        oracle_rows(&product, 0, 2, c, 2);
        ck_assert_mem_eq(c, example_c, sizeof c);
}
END_TEST

START_TEST(test_leading_dimensions)
{
        static const int8_t a[] = {1, 2, 3, 99, 4, 5, -6};
        static const int8_t b[] = {7, -8, 99, 9, 10, 99, 11, 12};
        const struct oracle_product product = {.m = 2, .k = 3, .n = 2, .a = a, .lda = 4, .b = b, .ldb = 3};
        int32_t c[] = {-1, -1, -1, -1, -1};

        oracle_rows(&product, 1, 1, c, 3);
        ck_assert_mem_eq(c, ((int32_t[]){-1, -1, -1, 7, -54}), sizeof c);
}
END_TEST

/* The judge must see one wrong element, and must not look outside the rows that it is asked about. */
START_TEST(test_check_finds)
{
        const struct oracle_product product = example();
        int32_t c[4];

        memcpy(c, example_c, sizeof c);
        ck_assert(oracle_check(&product, 0, 2, c, 2));
        for (size_t i = 0; i < 4; i++) {
                size_t row = 9, col = 9;

                c[i] ^= 1;
                ck_assert(oracle_find_wrong(&product, 0, 2, c, 2, &row, &col));
                ck_assert_uint_eq(row, i / 2);
                ck_assert_uint_eq(col, i % 2);
                ck_assert(oracle_find_wrong(&product, row, 1, c, 2, &row, &col));
                ck_assert(!oracle_find_wrong(&product, 1 - row, 1, c, 2, &row, &col));
                c[i] ^= 1;
        }
}
END_TEST

START_TEST(test_int8)
{
        static const struct {
                int64_t sum;
                unsigned shift;
                int8_t floor, nearest;
        } cases[] = {
                {0, 0, 0, 0},
                {127, 0, 127, 127},
                {128, 0, 127, 127},
                {-128, 0, -128, -128},
                {-129, 0, -128, -128},
                {1, 1, 0, 0},
                {3, 1, 1, 2},
                {5, 1, 2, 2},
                {-1, 1, -1, 0},
                {-3, 1, -2, -2},
                {-5, 1, -3, -2},
                {7, 2, 1, 2},
                {6, 2, 1, 2},
                {10, 2, 2, 2},
                {-6, 2, -2, -2},
                {-10, 2, -3, -2},
                {-7, 2, -2, -2},
                {-9, 2, -3, -2},
                {255, 1, 127, 127},
                {-257, 1, -128, -128},
                {-255, 1, -128, -128},
                {INT32_MAX, 31, 0, 1},
                {INT32_MIN, 31, -1, -1},
                {INT32_MAX, 24, 127, 127},
                {1 << 30, 31, 0, 0},
                {3 << 29, 31, 0, 1},
                {-(1 << 30), 31, -1, 0},
                {-(3 << 29), 31, -1, -1},
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                ck_assert_int_eq(oracle_int8(cases[i].sum, cases[i].shift, false), cases[i].floor);
                ck_assert_int_eq(oracle_int8(cases[i].sum, cases[i].shift, true), cases[i].nearest);
        }
}
END_TEST

START_TEST(test_float32)
{
        const float row_scale = 0x1.000002p0F, col_scale = 0x1.000002p0F, bias = -0x1.000004p0F;
        struct oracle_product product = {.form = ORACLE_FLOAT32};

        /* 2^24 + 1 is a tie and goes to the even one; 2^24 + 3 too */
        ck_assert_float_eq(oracle_float32(&product, 0, 0, 16777217), 16777216.0F);
        ck_assert_float_eq(oracle_float32(&product, 0, 0, 16777219), 16777220.0F);
        /* (1 + e)^2 = 1 + 2e + e^2: the last term is lost by rounding each step, and only then */
        product.row_scale = &row_scale;
        product.col_scale = &col_scale;
        product.bias = &bias;
        ck_assert_float_eq(oracle_float32(&product, 0, 0, 1), 0.0F);
        ck_assert_float_ne(fmaf(row_scale, col_scale, bias), 0.0F);
}
END_TEST

/* An absent bias is not a bias of 0: -0 + 0 is +0. */
START_TEST(test_float32_absent_vectors)
{
        const float row_scale = -1.0F, bias = 0.0F;
        struct oracle_product product = {.form = ORACLE_FLOAT32, .row_scale = &row_scale};

        ck_assert(signbit(oracle_float32(&product, 0, 0, 0)));
        product.bias = &bias;
        ck_assert(!signbit(oracle_float32(&product, 0, 0, 0)));
}
END_TEST

START_TEST(test_float32_range)
{
        const float small = FLT_MIN, half = 0.25F, large = FLT_MAX;
        struct oracle_product product = {.form = ORACLE_FLOAT32, .row_scale = &small, .col_scale = &half};

        ck_assert_float_eq(oracle_float32(&product, 0, 0, 1), FLT_MIN / 4); /* subnormals are kept */
        ck_assert_float_gt(oracle_float32(&product, 0, 0, 1), 0);
        product.row_scale = &large;
        product.col_scale = &large;
        ck_assert(isinf(oracle_float32(&product, 0, 0, 1)));
        product.bias = &large;
        ck_assert(isinf(oracle_float32(&product, 0, 0, -1)));
}
END_TEST

/* 17 deep: 16 products of -1 come to floor(-16 / 128) = -1, and the one behind them to -1 as well. */
START_TEST(test_tile16)
{
        static const struct {
                size_t k;
                int8_t a, b, expected;
        } cases[] = {
                {1, -1, 1, -1},      {16, -1, 1, -1},      {17, -1, 1, -2},       {16, 1, 1, 0},
                {160, 1, 7, 0},      {160, 8, 1, 10},      {16, -128, -128, 127}, {16, -128, 127, -128},
                {32, 127, 127, 127}, {1, -128, -128, 127}, {17, 2, 4, 1},         {33, -1, 1, -3},
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                int8_t a[160], b[160], c = 0;
                const struct oracle_product product = {.m = 1,
                                                       .k = cases[i].k,
                                                       .n = 1,
                                                       .a = a,
                                                       .lda = 160,
                                                       .b = b,
                                                       .ldb = 1,
                                                       .form = ORACLE_TILE16_SHIFT7};

                memset(a, cases[i].a, sizeof a);
                memset(b, cases[i].b, sizeof b);
                oracle_rows(&product, 0, 1, &c, 1);
                ck_assert_msg(c == cases[i].expected, "case %zu: %d, must be %d", i, c, cases[i].expected);
        }
}
END_TEST

/* A slice is clamped by itself, before the sum: 127 + (-128), not 127 + 127 - 256. */
START_TEST(test_tile16_clamps_twice)
{
        int8_t a[48], b[48], c = 0;
        const struct oracle_product product = {
                .m = 1, .k = 48, .n = 1, .a = a, .lda = 48, .b = b, .ldb = 1, .form = ORACLE_TILE16_SHIFT7};

        memset(a, 127, sizeof a);
        memset(b, 127, 16);
        memset(b + 16, -128, 16);
        memset(b + 32, 1, 16); /* floor(16 * 127 / 128) = 15 */
        oracle_rows(&product, 0, 1, &c, 1);
        ck_assert_int_eq(c, 127 - 128 + 15);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("oracle");
        TCase *tcase = tcase_create("by hand");

        tcase_add_test(tcase, test_example);
        tcase_add_test(tcase, test_leading_dimensions);
        tcase_add_test(tcase, test_check_finds);
        tcase_add_test(tcase, test_int8);
        tcase_add_test(tcase, test_float32);
        tcase_add_test(tcase, test_float32_absent_vectors);
        tcase_add_test(tcase, test_float32_range);
        tcase_add_test(tcase, test_tile16);
        tcase_add_test(tcase, test_tile16_clamps_twice);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
