/* SPDX-License-Identifier: MIT */
/*
 * test-stream64-plan.c - products in batches: nothing is left out, nothing computed twice, nothing too large, places do
 * not overlap; and what is cut is cut where the plan says.
 */
#include "daemon/npu/stream64-generate.h"
#include "daemon/npu/stream64-plan.h"
#include "proto/npu-model.h"
#include "suite.h"
#include "tests/lib/rng.h"

static struct stream64_plan plan;
static struct stream64_batch batch;
static struct stream64_part parts[STREAM64_JOBS_MAX];

static int next(void)
{
        return stream64_plan_next(&plan, &batch, parts);
}

static void expect_part(size_t index, size_t product, uint64_t row, uint64_t rows, uint64_t col,
                        uint64_t cols)
{
        const struct stream64_part *part = &parts[index];

        ck_assert_msg(part->product == product && part->first_row == row && part->rows == rows &&
                              part->first_col == col && part->cols == cols,
                      "part %zu: product %zu, rows %d + %d, columns %d + %d", index, part->product,
                      (int)part->first_row, (int)part->rows, (int)part->first_col, (int)part->cols);
}

/* ---- by hand ---- */

START_TEST(test_one_batch)
{
        static const struct stream64_product products[] = {
                {500, 512, 512, true, 8192}, {1, 64, 300, false, 0}, {300, 100, 10, false, 0}};

        stream64_plan_begin(&plan, products, ARRAY_SIZE(products), STREAM64_POLL);
        ck_assert_int_eq(next(), 0);
        ck_assert_uint_eq(batch.n_jobs, 3);
        expect_part(0, 0, 0, 500, 0, 512);
        expect_part(1, 1, 0, 1, 0, 300);
        expect_part(2, 2, 0, 300, 0, 10);
        /* A side by side: 2 * 8, 1, and 2 * 2 objects in each lane */
        ck_assert_uint_eq(batch.jobs[0].a.offset, 0);
        ck_assert_uint_eq(batch.jobs[0].a.lane_stride, 16 * 4160);
        ck_assert_uint_eq(batch.jobs[1].a.offset, 4 * 16 * 4160);
        ck_assert_uint_eq(batch.jobs[2].a.offset, 4 * 17 * 4160);
        /* B: where it lives; and streamed ones side by side */
        ck_assert_int_eq(batch.jobs[0].b.arg, STREAM64_ARG_WEIGHTS);
        ck_assert_uint_eq(batch.jobs[0].b.offset, 8192);
        ck_assert_uint_eq(batch.jobs[0].b.lane_stride, 16 * 4096);
        ck_assert_int_eq(batch.jobs[1].b.arg, STREAM64_ARG_B);
        ck_assert_uint_eq(batch.jobs[1].b.offset, 0);
        ck_assert_uint_eq(batch.jobs[1].b.lane_stride, 2 * 4096);
        ck_assert_uint_eq(batch.jobs[2].b.offset, 4 * 2 * 4096);
        /* C: 4 + 2 + 2 macro-tiles */
        ck_assert_uint_eq(batch.c.lane_stride, 8 * 65536);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_END);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_END);
}
END_TEST

START_TEST(test_seventeen_jobs)
{
        struct stream64_product products[17];

        for (size_t i = 0; i < ARRAY_SIZE(products); i++)
                products[i] = (struct stream64_product){1, 1, 1, true, 0};
        stream64_plan_begin(&plan, products, ARRAY_SIZE(products), STREAM64_POLL);
        ck_assert_int_eq(next(), 0);
        ck_assert_uint_eq(batch.n_jobs, 16);
        ck_assert_int_eq(next(), 0);
        ck_assert_uint_eq(batch.n_jobs, 1);
        expect_part(0, 16, 0, 1, 0, 1);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_END);
}
END_TEST

/* 256 macro-tiles of C are 64 MiB: 32 x 16 of them are two batches of 16 rows of macro-tiles. */
START_TEST(test_cut_along_m)
{
        static const struct stream64_product products[] = {{32 * 256 - 5, 64, 16 * 256, true, 4096}};

        stream64_plan_begin(&plan, products, 1, STREAM64_POLL);
        ck_assert_int_eq(next(), 0);
        ck_assert_uint_eq(batch.n_jobs, 1);
        expect_part(0, 0, 0, 4096, 0, 4096);
        ck_assert_int_eq(next(), 0);
        expect_part(0, 0, 4096, 4096 - 5, 0, 4096);
        ck_assert_uint_eq(batch.jobs[0].b.offset, 4096);
        ck_assert_uint_eq(batch.jobs[0].b.lane_stride, 16 * 4096);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_END);
}
END_TEST

/* One row of macro-tiles has 300 columns of them: along N. What is left is shared with the next product. */
START_TEST(test_cut_along_n)
{
        static const struct stream64_product products[] = {{10, 64, 300 * 256 - 1, true, 4096},
                                                           {1, 1, 1, false, 0}};

        stream64_plan_begin(&plan, products, 2, STREAM64_POLL);
        ck_assert_int_eq(next(), 0);
        ck_assert_uint_eq(batch.n_jobs, 1);
        expect_part(0, 0, 0, 10, 0, 65536);
        ck_assert_uint_eq(batch.jobs[0].b.lane_stride, 300 * 4096);
        ck_assert_int_eq(next(), 0);
        ck_assert_uint_eq(batch.n_jobs, 2);
        expect_part(0, 0, 0, 10, 65536, 44 * 256 - 1);
        ck_assert_uint_eq(batch.jobs[0].b.offset, 4096 + 256 * 4096);
        ck_assert_uint_eq(batch.jobs[0].b.lane_stride, 300 * 4096);
        expect_part(1, 1, 0, 1, 0, 1);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_END);
}
END_TEST

/* Streamed B has 64 MiB: 4 x 4,096 x Kt a column of macro-tiles. Kt 2,048 leaves room for two. */
START_TEST(test_streamed_b_is_cut)
{
        static const struct stream64_product products[] = {{256, 131071, 513, false, 0}};

        stream64_plan_begin(&plan, products, 1, STREAM64_POLL);
        ck_assert_int_eq(next(), 0);
        expect_part(0, 0, 0, 256, 0, 512);
        ck_assert_int_eq(next(), 0);
        expect_part(0, 0, 0, 256, 512, 1);
        ck_assert_uint_eq(batch.jobs[0].b.offset, 0);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_END);
}
END_TEST

/* Time: 68 columns of 2,048 steps are 248 ms; all 128 would be 467. */
START_TEST(test_time_is_a_limit)
{
        static const struct stream64_product products[] = {{1, 131071, 32768, true, 0}};

        stream64_plan_begin(&plan, products, 1, STREAM64_POLL);
        ck_assert_int_eq(next(), 0);
        expect_part(0, 0, 0, 1, 0, 68 * 256);
        ck_assert_int_eq(next(), 0);
        expect_part(0, 0, 0, 1, 68 * 256, 60 * 256);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_END);
}
END_TEST

START_TEST(test_residents)
{
        ck_assert(stream64_can_reside(131072, 32768));
        ck_assert(!stream64_can_reside(131072, 32769));
        ck_assert(stream64_can_reside(1, 262144 * 256));
        ck_assert(!stream64_can_reside(1, 262144 * 256 + 1));
        ck_assert(!stream64_can_reside(131071, 0x7fffffff));
}
END_TEST

START_TEST(test_out_of_reach)
{
        struct stream64_product product = {1, 131073, 1, true, 0};
        const uint64_t bytes = 4 * 4096;

        stream64_plan_begin(&plan, &product, 1, STREAM64_POLL);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_DEEP);
        product = (struct stream64_product){1, 1, 1, true, (UINT64_C(1) << 32) - bytes};
        stream64_plan_begin(&plan, &product, 1, STREAM64_POLL);
        ck_assert_int_eq(next(), 0);
        product.b_offset += 4096;
        stream64_plan_begin(&plan, &product, 1, STREAM64_POLL);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_FAR);
        product.b_offset = 64;
        stream64_plan_begin(&plan, &product, 1, STREAM64_POLL);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_FAR);
        product.b_offset = UINT64_MAX - 4095;
        stream64_plan_begin(&plan, &product, 1, STREAM64_POLL);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_FAR);
}
END_TEST

/* What stands before the product at fault is not lost. */
START_TEST(test_fault_comes_last)
{
        static const struct stream64_product products[] = {{1, 1, 1, false, 0}, {1, 131073, 1, false, 0}};

        stream64_plan_begin(&plan, products, 2, STREAM64_POLL);
        ck_assert_int_eq(next(), 0);
        ck_assert_uint_eq(batch.n_jobs, 1);
        ck_assert_int_eq(next(), STREAM64_PLAN_E_DEEP);
        ck_assert_uint_eq(plan.product, 1);
}
END_TEST

/* ---- at random ---- */

/* Counts how often each macro-tile of each product is computed. */
struct tally {
        struct stream64_product products[8];
        size_t n_products;
        uint8_t *computed[8]; /* owned */
        uint64_t mt[8], nt[8];
};

static void tally_add(struct tally *tally, const struct stream64_part *part)
{
        const uint64_t nt = tally->nt[part->product];
        const uint64_t last_row = part->first_row + part->rows, last_col = part->first_col + part->cols;
        const struct stream64_product *product = &tally->products[part->product];

        ck_assert(part->first_row % 256 == 0 && part->first_col % 256 == 0);
        ck_assert(last_row == product->m || last_row % 256 == 0);
        ck_assert(last_col == product->n || last_col % 256 == 0);
        ck_assert(last_row <= product->m && last_col <= product->n && part->rows > 0 && part->cols > 0);
        for (uint64_t m = part->first_row / 256; m * 256 < last_row; m++)
                for (uint64_t n = part->first_col / 256; n * 256 < last_col; n++)
                        tally->computed[part->product][m * nt + n]++;
}

static void expect_places(const struct tally *tally)
{
        uint64_t a_end = 0, b_end = 0, macro_tiles = 0;

        for (size_t i = 0; i < batch.n_jobs; i++) {
                const struct stream64_job *job = &batch.jobs[i];
                const struct stream64_product *product = &tally->products[parts[i].product];

                ck_assert_uint_eq(job->size.m, (parts[i].rows + 255) / 256);
                ck_assert_uint_eq(job->size.n, (parts[i].cols + 255) / 256);
                ck_assert_uint_eq(job->size.k, (product->k + 63) / 64);
                ck_assert_uint_ge(job->a.offset, a_end);
                ck_assert_uint_ge(job->a.lane_stride, job->size.m * job->size.k * 4160);
                a_end = job->a.offset + 4 * job->a.lane_stride;
                ck_assert_uint_ge(job->b.lane_stride, job->size.n * job->size.k * 4096);
                if (product->b_is_resident) {
                        ck_assert_uint_eq(job->b.offset,
                                          product->b_offset + parts[i].first_col / 256 * job->size.k * 4096);
                } else {
                        ck_assert_uint_ge(job->b.offset, b_end);
                        b_end = job->b.offset + 4 * job->b.lane_stride;
                }
                macro_tiles += job->size.m * job->size.n;
        }
        ck_assert_uint_le(a_end, 64u << 20);
        ck_assert_uint_le(b_end, 64u << 20);
        ck_assert_uint_le(4 * macro_tiles * 65536, 64u << 20);
        ck_assert_uint_eq(batch.c.lane_stride, macro_tiles * 65536);
}

static void expect_limits(enum stream64_flow flow)
{
        static uint32_t words[STREAM64_WORDS_MAX];
        struct stream64_totals totals = {0};
        size_t n_words;

        for (size_t i = 0; i < batch.n_jobs; i++)
                stream64_totals_add(&totals, batch.jobs[i].size);
        ck_assert(npu_phoenix_ns(&totals) <= 250e6);
        ck_assert_int_eq(stream64_generate(&batch, flow, words, STREAM64_WORDS_MAX, &n_words), 0);
        ck_assert_uint_eq(4 * n_words, stream64_stream_bytes(&totals, flow));
}

START_TEST(test_random)
{
        struct rng rng;
        uint64_t n_batches = 0;

        rng_start(&rng, "stream64-plan");
        for (int round = 0; round < 300; round++) {
                const enum stream64_flow flow = rng_once_in(&rng, 3) ? STREAM64_TOKEN : STREAM64_POLL;
                struct tally tally = {.n_products = rng_between(&rng, 1, 8)};

                for (size_t i = 0; i < tally.n_products; i++) {
                        tally.products[i] =
                                (struct stream64_product){.m = rng_log_up_to(&rng, 100000),
                                                          .k = rng_log_up_to(&rng, 131071),
                                                          .n = rng_log_up_to(&rng, 100000),
                                                          .b_is_resident = false,
                                                          .b_offset = 4096 * rng_below(&rng, 1000)};
                        tally.mt[i] = (tally.products[i].m + 255) / 256;
                        tally.nt[i] = (tally.products[i].n + 255) / 256;
                        if ((tally.products[i].k + 63) / 64 * tally.nt[i] * 16384 < UINT64_C(1) << 31)
                                tally.products[i].b_is_resident = rng_once_in(&rng, 2);
                        tally.computed[i] = calloc(tally.mt[i], tally.nt[i]);
                        ck_assert_ptr_nonnull(tally.computed[i]);
                }
                stream64_plan_begin(&plan, tally.products, tally.n_products, flow);
                while (next() == 0) {
                        n_batches++;
                        expect_places(&tally);
                        expect_limits(flow);
                        for (size_t i = 0; i < batch.n_jobs; i++)
                                tally_add(&tally, &parts[i]);
                }
                ck_assert_int_eq(next(), STREAM64_PLAN_E_END);
                for (size_t i = 0; i < tally.n_products; i++) {
                        for (uint64_t tile = 0; tile < tally.mt[i] * tally.nt[i]; tile++)
                                ck_assert_uint_eq(tally.computed[i][tile], 1);
                        free(tally.computed[i]);
                }
        }
        ck_assert_uint_gt(n_batches, 300);
}
END_TEST

/* Whoever keeps the sum of shares below 1 gets one batch, whatever the shapes. */
START_TEST(test_shares)
{
        uint64_t n_full = 0;
        struct rng rng;

        rng_start(&rng, "stream64-plan, shares");
        for (unsigned round = 0; round < 6000; round++) {
                const enum stream64_flow flow = (enum stream64_flow)(round % STREAM64_FLOW_MAX);
                struct stream64_product products[STREAM64_JOBS_MAX];
                double share = 0;
                size_t n = 0;

                while (n < STREAM64_JOBS_MAX) {
                        const struct stream64_product product = {.m = rng_log_up_to(&rng, 100000),
                                                                 .k = rng_log_up_to(&rng, 131071),
                                                                 .n = rng_log_up_to(&rng, 20000),
                                                                 .b_is_resident = rng_once_in(&rng, 2)};
                        const double more = stream64_share(&product);

                        ck_assert(more > 0);
                        if (share + more > 1)
                                break;
                        share += more;
                        products[n++] = product;
                }
                if (n == 0)
                        continue;
                n_full += share > 0.5;
                stream64_plan_begin(&plan, products, n, flow);
                ck_assert_int_eq(next(), 0);
                ck_assert_uint_eq(batch.n_jobs, n);
                ck_assert_int_eq(next(), STREAM64_PLAN_E_END);
        }
        ck_assert_uint_gt(n_full, 100);
}
END_TEST

/* And it is no more careful than it has to be: one limit met exactly is a share of 1. */
START_TEST(test_share_of_a_full_batch)
{
        const struct stream64_product c = {16 * 256, 64, 16 * 256, true, 0},
                                      b = {1, 64 * 1024, 256, false, 0},
                                      over = {16 * 256 + 1, 64, 16 * 256, true, 0};

        ck_assert_double_eq(stream64_share(&c), 1);
        ck_assert_double_eq_tol(stream64_share(&b), 4160.0 / 16384, 1e-9); /* its A; B is a little smaller */
        ck_assert_double_gt(stream64_share(&over), 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("stream64-plan");
        TCase *tc = tcase_create("stream64-plan");

        tcase_add_test(tc, test_one_batch);
        tcase_add_test(tc, test_seventeen_jobs);
        tcase_add_test(tc, test_cut_along_m);
        tcase_add_test(tc, test_cut_along_n);
        tcase_add_test(tc, test_streamed_b_is_cut);
        tcase_add_test(tc, test_time_is_a_limit);
        tcase_add_test(tc, test_residents);
        tcase_add_test(tc, test_out_of_reach);
        tcase_add_test(tc, test_fault_comes_last);
        tcase_add_test(tc, test_random);
        tcase_add_test(tc, test_shares);
        tcase_add_test(tc, test_share_of_a_full_batch);
        suite_add_tcase(suite, tc);
        return suite_run(suite);
}
