/* SPDX-License-Identifier: MIT */
/*
 * test-kernel.c - what a core of the NPU computes, against plain products index by index. Where an element lies is
 * written here again, from xclbin/README.md, sections 3 and 9.
 */
#include <check.h>
#include <string.h>

#include "proto/stream64.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"
#include "xclbin/src/stream64.h"
#include "xclbin/src/tile16.h"

#define SIDE    64
#define STEPS   7 /* tiles in a row */
#define C_TILES 3 /* that take turns */
#define GUARD   16
#define PATTERN 0x5a

static_assert(STREAM64_A_OBJECT_BYTES == 4160 && STREAM64_B_OBJECT_BYTES == 4096 &&
                      STREAM64_C_TILE_BYTES == 16384,
              "objects as the contract has them");

typedef int8_t matrix[SIDE][SIDE];

/* Objects one behind the other, as a core's buffers may lie. */
static _Alignas(32) int32_t a_objects[STEPS][1040], a_before[STEPS][1040];
static _Alignas(32) int8_t b_objects[STEPS][4096], b_before[STEPS][4096];
static _Alignas(32) int32_t c_tiles[C_TILES][4096];
static matrix a[STEPS], b[STEPS];
static uint32_t expected[C_TILES][SIDE][SIDE];
static struct rng rng;

/* ---- layouts ---- */

/* Lays tile `step` of A and B out. Headers hold anything: the core's loop reads them, the kernel does not. */
static void place(size_t step)
{
        int8_t *object = (int8_t *)a_objects[step];

        rng_fill(&rng, object, 64);
        for (size_t r = 0; r < SIDE; r++) {
                for (size_t c = 0; c < SIDE; c++) {
                        object[64 + r / 4 * 256 + c / 8 * 32 + r % 4 * 8 + c % 8] = a[step][r][c];
                        b_objects[step][r / 8 * 512 + c / 8 * 64 + r % 8 * 8 + c % 8] = b[step][r][c];
                }
        }
        memcpy(a_before[step], a_objects[step], sizeof a_before[step]);
        memcpy(b_before[step], b_objects[step], sizeof b_before[step]);
}

static int32_t sum_at(size_t tile, size_t r, size_t c)
{
        int32_t sum;

        memcpy(&sum, (const char *)c_tiles[tile] + 4 * (r / 4 * 256 + c / 8 * 32 + r % 4 * 8 + c % 8), 4);
        return sum;
}

/* ---- the reference ---- */

static void expect_nothing(void)
{
        memset(expected, 0, sizeof expected);
        for (size_t tile = 0; tile < C_TILES; tile++)
                stream64_zero(c_tiles[tile]);
}

static void expect_step(size_t tile, size_t step)
{
        for (size_t r = 0; r < SIDE; r++)
                for (size_t c = 0; c < SIDE; c++)
                        for (size_t k = 0; k < SIDE; k++)
                                expected[tile][r][c] += (uint32_t)(a[step][r][k] * b[step][k][c]);
}

/* One assertion for a tile: Check writes down each. */
static void check_tile(size_t tile)
{
        size_t r = 0, c = 0;

        while (r < SIDE && (uint32_t)sum_at(tile, r, c) == expected[tile][r][c]) {
                c = (c + 1) % SIDE;
                r += c == 0;
        }
        if (r < SIDE)
                ck_abort_msg("C tile %zu, element (%zu, %zu): %d, must be %d", tile, r, c, sum_at(tile, r, c),
                             (int32_t)expected[tile][r][c]);
}

static void check_sources(void)
{
        ck_assert_mem_eq(a_objects, a_before, sizeof a_objects);
        ck_assert_mem_eq(b_objects, b_before, sizeof b_objects);
}

/* No byte but PATTERN. */
static bool is_untouched(const void *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (((const char *)bytes)[i] != PATTERN)
                        return false;
        return true;
}

/* C tile 0 = tile 0 of A times tile 0 of B, and nothing else is written. */
static void check_product(void)
{
        expect_nothing();
        memset(c_tiles[1], PATTERN, sizeof c_tiles[1]);
        place(0);
        stream64_step(a_objects[0], b_objects[0], c_tiles[0]);
        expect_step(0, 0);
        check_tile(0);
        check_sources();
        ck_assert(is_untouched(c_tiles[1], sizeof c_tiles[1]));
}

static void fill(matrix m, int value)
{
        memset(m, value, sizeof(matrix));
}

static void fill_identity(matrix m)
{
        fill(m, 0);
        for (size_t i = 0; i < SIDE; i++)
                m[i][i] = 1;
}

static void setup(void)
{
        rng_fill(&rng, a, sizeof a);
        rng_fill(&rng, b, sizeof b);
        for (size_t step = 0; step < STEPS; step++)
                place(step);
}

/* ---- one tile ---- */

START_TEST(test_zero)
{
        static const int32_t zeros[4096];

        memset(c_tiles, PATTERN, sizeof c_tiles);
        stream64_zero(c_tiles[1]);
        ck_assert_mem_eq(c_tiles[1], zeros, sizeof zeros);
        ck_assert(is_untouched(c_tiles[0], sizeof c_tiles[0]));
        ck_assert(is_untouched(c_tiles[2], sizeof c_tiles[2]));
}
END_TEST

START_TEST(test_random)
{
        check_product();
}
END_TEST

START_TEST(test_identity)
{
        fill_identity(a[0]);
        check_product();
        setup();
        fill_identity(b[0]);
        check_product();
}
END_TEST

/* A one at (_i, k) of A copies row k of B to row _i of C; every other row is 0. Random B has no symmetry. */
START_TEST(test_single_one)
{
        const size_t row = (size_t)_i;

        for (size_t k = 0; k < SIDE; k++) {
                fill(a[0], 0);
                a[0][row][k] = 1;
                place(0);
                expect_nothing();
                for (size_t c = 0; c < SIDE; c++)
                        expected[0][row][c] = (uint32_t)b[0][k][c];
                stream64_step(a_objects[0], b_objects[0], c_tiles[0]);
                check_tile(0);
        }
}
END_TEST

/* _i: which of A and B rise along their columns; the other rises along its rows. */
START_TEST(test_ramps)
{
        for (size_t r = 0; r < SIDE; r++) {
                for (size_t c = 0; c < SIDE; c++) {
                        a[0][r][c] = (int8_t)(_i & 1 ? c : r);
                        b[0][r][c] = (int8_t)((_i & 2 ? c : r) - SIDE / 2);
                }
        }
        check_product();
}
END_TEST

/* Zeros below the diagonal of B: its transpose would put them above. */
START_TEST(test_triangle)
{
        for (size_t r = 0; r < SIDE; r++)
                for (size_t c = 0; c < r; c++)
                        b[0][r][c] = 0;
        check_product();
}
END_TEST

START_TEST(test_extremes)
{
        static const int values[][2] = {{-128, -128}, {-128, 127}, {127, -128}, {127, 127}};

        fill(a[0], values[_i][0]);
        fill(b[0], values[_i][1]);
        check_product();
        ck_assert_int_eq(sum_at(0, SIDE - 1, SIDE - 1), SIDE * values[_i][0] * values[_i][1]);
}
END_TEST

/* ---- many tiles ---- */

/* Each of several C tiles takes `steps` tiles in a row, not the same ones, and starts from zero. */
static void check_row(size_t steps)
{
        expect_nothing();
        for (size_t tile = 0; tile < C_TILES; tile++) {
                for (size_t i = 0; i < steps; i++) {
                        const size_t step = (tile + i) % STEPS;

                        stream64_step(a_objects[step], b_objects[step], c_tiles[tile]);
                        expect_step(tile, step);
                }
        }
        for (size_t tile = 0; tile < C_TILES; tile++)
                check_tile(tile);
        check_sources();
}

START_TEST(test_row)
{
        check_row((size_t)_i);
}
END_TEST

/* Turn by turn, so that what a call would keep of one tile spoils another. */
START_TEST(test_turns)
{
        expect_nothing();
        for (size_t i = 0; i < 4 * C_TILES; i++) {
                const size_t step = (size_t)rng_below(&rng, STEPS);

                stream64_step(a_objects[step], b_objects[step], c_tiles[i % C_TILES]);
                expect_step(i % C_TILES, step);
        }
        for (size_t tile = 0; tile < C_TILES; tile++)
                check_tile(tile);
        check_sources();
}
END_TEST

/* K = 131,071, the longest that there is: sums come within 2^14 of an end of int32. With one more they wrap. */
START_TEST(test_longest)
{
        const int value = _i == 0 ? -128 : 127;
        const int64_t longest = INT64_C(131071) * value * -128;

        expect_nothing();
        fill(a[0], value);
        fill(b[0], -128);
        place(0);
        for (size_t i = 0; i < STREAM64_KT_MAX - 1; i++)
                stream64_step(a_objects[0], b_objects[0], c_tiles[0]);
        for (size_t r = 0; r < SIDE; r++)
                a[0][r][SIDE - 1] = 0;
        place(0);
        stream64_step(a_objects[0], b_objects[0], c_tiles[0]);
        for (size_t i = 0; i < 4096; i++)
                expected[0][i / SIDE][i % SIDE] = (uint32_t)longest;
        check_tile(0);
        ck_assert_int_eq(sum_at(0, 0, 0), longest);
        stream64_step(a_objects[0], b_objects[0], c_tiles[0]);
        expect_step(0, 0);
        check_tile(0);
}
END_TEST

/* ---- tile16 ---- */

static struct {
        int8_t before[GUARD], out[256], after[GUARD];
} tile16;

static int8_t tile16_element(int64_t sum)
{
        int64_t floor = sum / 128;

        if (floor * 128 > sum)
                floor--;
        return (int8_t)(floor < -128 ? -128 : floor > 127 ? 127 : floor);
}

static void check_tile16(const int8_t in[512])
{
        int8_t copy[512];

        memcpy(copy, in, sizeof copy);
        memset(&tile16, PATTERN, sizeof tile16);
        tile16_run(copy, tile16.out);
        ck_assert_mem_eq(copy, in, sizeof copy);
        ck_assert(is_untouched(tile16.before, GUARD) && is_untouched(tile16.after, GUARD));
        for (size_t m = 0; m < 16; m++) {
                for (size_t n = 0; n < 16; n++) {
                        int64_t sum = 0;

                        for (size_t k = 0; k < 16; k++)
                                sum += in[m * 16 + k] * in[256 + k * 16 + n];
                        if (tile16.out[m * 16 + n] != tile16_element(sum))
                                ck_abort_msg("element (%zu, %zu), sum %lld: %d, must be %d", m, n,
                                             (long long)sum, tile16.out[m * 16 + n], tile16_element(sum));
                }
        }
}

START_TEST(test_tile16_random)
{
        int8_t in[512];

        for (size_t i = 0; i < 200; i++) {
                rng_fill(&rng, in, sizeof in);
                for (size_t j = 0; i % 2 == 0 && j < 256; j++)
                        in[j] = (int8_t)(in[j] / 16); /* so that not all is clamped */
                check_tile16(in);
        }
}
END_TEST

/* `sum` in every column of row 0: what it is beyond a multiple of 127, times 1, and elements times 127. */
static void check_tile16_sum(int sum)
{
        int8_t in[512] = {0}, *row = in;
        int rest = sum / 127;

        row[0] = (int8_t)(sum % 127);
        for (size_t k = 1; k < 16; k++) {
                row[k] = (int8_t)(rest > 127 ? 127 : rest < -127 ? -127 : rest);
                rest -= row[k];
        }
        ck_assert_int_eq(rest, 0);
        memset(in + 256, 1, 16);
        memset(in + 256 + 16, 127, 240);
        check_tile16(in);
        ck_assert_int_eq(tile16.out[0], tile16_element(sum));
}

/* Around every multiple of 64 near 0 and near both clamps: quotients, ties between them, and what is below 0. */
START_TEST(test_tile16_edges)
{
        static const int around[] = {0, -128 * 128, 127 * 128, -240000, 240000};

        for (size_t i = 0; i < ARRAY_SIZE(around); i++)
                for (int half = -4; half <= 4; half++)
                        for (int off = -1; off <= 1; off++)
                                check_tile16_sum(around[i] + 64 * half + off);
}
END_TEST

START_TEST(test_tile16_known)
{
        static const struct {
                int a, b, out; /* everywhere */
        } cases[] = {{-128, -128, 127}, {-128, 127, -128}, {127, 127, 127},
                     {1, 1, 0},         {1, -1, -1},       {2, 4, 1}};
        int8_t in[512];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                memset(in, cases[i].a, 256);
                memset(in + 256, cases[i].b, 256);
                check_tile16(in);
                ck_assert_int_eq(tile16.out[0], cases[i].out);
                ck_assert_int_eq(tile16.out[255], cases[i].out);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("kernel");
        TCase *tile = tcase_create("tile"), *tiles = tcase_create("tiles"),
              *original = tcase_create("tile16");

        rng_start(&rng, "kernel");
        tcase_add_checked_fixture(tile, setup, NULL);
        tcase_add_test(tile, test_zero);
        tcase_add_loop_test(tile, test_random, 0, 8);
        tcase_add_test(tile, test_identity);
        tcase_add_loop_test(tile, test_single_one, 0, SIDE);
        tcase_add_loop_test(tile, test_ramps, 0, 4);
        tcase_add_test(tile, test_triangle);
        tcase_add_loop_test(tile, test_extremes, 0, 4);
        suite_add_tcase(suite, tile);
        tcase_add_checked_fixture(tiles, setup, NULL);
        tcase_add_loop_test(tiles, test_row, 1, STEPS + 1);
        tcase_add_loop_test(tiles, test_turns, 0, 4);
        tcase_add_loop_test(tiles, test_longest, 0, 2);
        suite_add_tcase(suite, tiles);
        tcase_add_test(original, test_tile16_random);
        tcase_add_test(original, test_tile16_edges);
        tcase_add_test(original, test_tile16_known);
        suite_add_tcase(suite, original);
        return suite_run(suite);
}
