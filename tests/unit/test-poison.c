/* SPDX-License-Identifier: MIT */
/* test-poison.c - every tile of C has its mark, whatever the batch; and one that is left anywhere is found. */
#include "daemon/xrt/poison.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define MACRO_TILES 5
#define TILES       (MACRO_TILES * 16)
#define TILE_WORDS  4096
#define LINE_WORDS  16
#define GAP_BYTES   256 /* between lanes, and before the first */

static const struct stream64_batch batch = {
        .n_jobs = 2,
        .jobs = {{.size = {.m = 1, .n = 3, .k = 1}}, {.size = {.m = 2, .n = 1, .k = 7}}},
        .c = {STREAM64_ARG_C, GAP_BYTES, MACRO_TILES * 65536 + GAP_BYTES},
};

static int32_t c[(TILES * TILE_WORDS * 4 + 5 * GAP_BYTES) / 4];

/* The first word of a tile, counted in each lane by macro-tile, then by core. */
static int32_t *tile_at(size_t tile)
{
        const size_t lane = tile / (MACRO_TILES * 4), in_lane = tile % (MACRO_TILES * 4);

        return c + (GAP_BYTES + lane * (MACRO_TILES * 65536 + GAP_BYTES)) / 4 + in_lane * TILE_WORDS;
}

/* As the device would: 1 everywhere but in the gaps. */
static void compute(void)
{
        for (size_t tile = 0; tile < TILES; tile++)
                for (size_t i = 0; i < TILE_WORDS; i++)
                        tile_at(tile)[i] = 1;
}

START_TEST(test_nothing_else_is_touched)
{
        size_t n_marks = 0;

        memset(c, 0, sizeof c);
        poison_put((uint8_t *)c, &batch);
        for (size_t i = 0; i < ARRAY_SIZE(c); i++)
                n_marks += c[i] == INT32_MIN;
        ck_assert_uint_eq(n_marks, TILES * LINE_WORDS);
        for (size_t tile = 0; tile < TILES; tile++)
                for (size_t i = TILE_WORDS - LINE_WORDS; i < TILE_WORDS; i++)
                        ck_assert_int_eq(tile_at(tile)[i], INT32_MIN);
}
END_TEST

START_TEST(test_computed_is_clean)
{
        struct poison_tile tile;

        compute();
        ck_assert(!poison_is_left((uint8_t *)c, &batch, &tile));
        tile_at(3)[0] = INT32_MIN; /* nothing that the device could leave: only the last line tells */
        ck_assert(!poison_is_left((uint8_t *)c, &batch, &tile));
}
END_TEST

START_TEST(test_any_tile_that_is_left_is_found)
{
        for (size_t left = 0; left < TILES; left++) {
                struct poison_tile tile = {0};

                compute();
                tile_at(left)[TILE_WORDS - 1 - left % LINE_WORDS] = INT32_MIN; /* a part of a line, too */
                ck_assert(poison_is_left((uint8_t *)c, &batch, &tile));
                ck_assert_uint_eq(tile.lane, left / (MACRO_TILES * 4));
                ck_assert_uint_eq(tile.macro_tile, left % (MACRO_TILES * 4) / 4);
                ck_assert_uint_eq(tile.core, left % 4);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("poison");
        TCase *tcase = tcase_create("all");

        tcase_add_test(tcase, test_nothing_else_is_touched);
        tcase_add_test(tcase, test_computed_is_clean);
        tcase_add_test(tcase, test_any_tile_that_is_left_is_found);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
