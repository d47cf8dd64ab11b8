/* SPDX-License-Identifier: MIT */
/*
 * test-tile-pool.c - several threads compute what one does: every tile, each once, whoever takes it.
 *
 * Role: products of many tiles, one right behind the other, so that helpers come late, early and not at all; C is
 *       compared with that of one thread, whose kernel is judged elsewhere. No tile writes beyond its own columns: others
 *       are at work there.
 */
#include <check.h>

#include "daemon/device/tile-pool.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define M_MOST 64
#define K      64
#define N_MOST 512

#define PANEL_COLS 32 /* kernel.h */

static struct rng rng;
static int8_t a[M_MOST * K], b[K * N_MOST];
static _Alignas(64) uint8_t packed[K * N_MOST];
static int32_t c[M_MOST * N_MOST], wanted[M_MOST * N_MOST];

/* Every tile by itself, with C's other elements as they were. */
static void tiles_check(const struct kernel_plan *plan, void *scratch)
{
        const struct product *p = plan->slices[0].product;

        for (size_t tile = 0; tile < plan->n_tiles; tile++) {
                const uint64_t row = tile / plan->tiles_per_row * plan->tile_rows;
                const uint64_t col = tile % plan->tiles_per_row * plan->tile_panels * PANEL_COLS;

                size_t n_wrong = 0; /* Check notes each assertion: there are millions of elements */

                memset(c, 0x5a, sizeof c);
                kernel_tile(plan, tile, scratch);
                for (uint64_t i = 0; i < p->m * p->n; i++) {
                        const bool is_in = i / p->n >= row && i / p->n < row + plan->tile_rows &&
                                           i % p->n >= col && i % p->n < col + plan->tile_panels * PANEL_COLS;

                        n_wrong += c[i] != (is_in ? wanted[i] : 0x5a5a5a5a);
                }
                ck_assert_uint_eq(n_wrong, 0);
        }
}

static size_t run_both(struct tile_pool *pool, unsigned threads, bool is_packed, void *scratch)
{
        const uint64_t m = 1 + rng_below(&rng, M_MOST), n = 1 + rng_below(&rng, N_MOST);
        struct product product = {.m = m, .k = K, .n = n, .a = a, .lda = K, .b = b, .ldb = n, .ldc = n};
        const struct slice slice = {.product = &product, .rows = m};
        const struct kernel *kernel = kernel_choose(NULL);
        struct kernel_plan plan;

        product.c = wanted;
        kernel_plan(&plan, kernel, &slice, 1, NULL, 1);
        kernel_run(&plan, scratch);
        memset(c, 0x5a, sizeof c);
        product.c = c;
        if (is_packed)
                kernel_pack(kernel, b, n, false, K, n, packed);
        kernel_plan(&plan, kernel, &slice, 1, is_packed ? packed : NULL, threads);
        tile_pool_run(pool, &plan, scratch);
        ck_assert_mem_eq(c, wanted, m * n * sizeof *c);
        tiles_check(&plan, scratch);
        return plan.n_tiles;
}

START_TEST(test_as_one_thread)
{
        const unsigned threads = (unsigned)_i;
        void *scratch = kernel_scratch_new();
        struct tile_pool *pool = NULL;
        size_t n_tiles = 0;

        rng_start(&rng, "test-tile-pool");
        rng_fill(&rng, a, sizeof a);
        rng_fill(&rng, b, sizeof b);
        ck_assert_ptr_nonnull(scratch);
        ck_assert_int_eq(tile_pool_new(threads, &pool), 0);
        for (int i = 0; i < 500; i++)
                n_tiles += run_both(pool, threads, i % 2 == 0, scratch);
        ck_assert_uint_gt(n_tiles, 1000); /* else there was nothing to share */
        ck_assert_ptr_null(tile_pool_free(pool));
        free(scratch);
}
END_TEST

START_TEST(test_small_products_are_not_shared)
{
        struct tile_pool *pool = NULL;

        ck_assert_uint_eq(tile_pool_threads(NULL, 1e12), 1);
        ck_assert_int_eq(tile_pool_new(3, &pool), 0);
        ck_assert_uint_eq(tile_pool_threads(pool, 1.4e6), 1);
        ck_assert_uint_eq(tile_pool_threads(pool, 1.5e6), 3);
        (void)tile_pool_free(pool);
        ck_assert_ptr_null(tile_pool_free(NULL));
}
END_TEST

/* Helpers that never had anything to do. */
START_TEST(test_end_at_once)
{
        for (int i = 0; i < 50; i++) {
                struct tile_pool *pool = NULL;

                ck_assert_int_eq(tile_pool_new(4, &pool), 0);
                (void)tile_pool_free(pool);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("tile-pool");
        TCase *tcase = tcase_create("tile-pool");

        tcase_add_loop_test(tcase, test_as_one_thread, 2, 6);
        tcase_add_test(tcase, test_small_products_are_not_shared);
        tcase_add_test(tcase, test_end_at_once);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
