/* SPDX-License-Identifier: MIT */
/*
 * test-freivalds.c - what is right passes, whatever its shape; what is wrong in a single bit, anywhere, does not.
 *
 * C is computed by the kernel's own source, on the host; A and B are random in every byte, padding and all: the check
 * knows nothing of matrices' edges.
 */
#include "daemon/npu/stream64-plan.h"
#include "daemon/xrt/freivalds.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"
#include "xclbin/src/stream64.h"

enum { A_OBJECT = 4160, B_OBJECT = 4096, C_TILE = 16384, C_OBJECT = 65536, BYTES = 16 << 20 };

static struct rng rng;
static struct freivalds *freivalds;
static uint8_t *buffers[STREAM64_ARG_MAX];
static struct stream64_batch batch;
static struct stream64_part parts[STREAM64_JOBS_MAX];

static void setup(void)
{
        rng_start(&rng, "freivalds");
        freivalds = calloc(1, sizeof *freivalds);
        ck_assert_ptr_nonnull(freivalds);
        freivalds_init(freivalds, rng_next(&rng));
        for (size_t i = 0; i < STREAM64_ARG_MAX; i++) {
                buffers[i] = aligned_alloc(4096, BYTES);
                ck_assert_ptr_nonnull(buffers[i]);
                rng_fill(&rng, buffers[i], BYTES);
        }
}

static void teardown(void)
{
        for (size_t i = 0; i < STREAM64_ARG_MAX; i++)
                free(buffers[i]);
        free(freivalds);
}

/* As the array does; a tile of C at a time. */
static void tile_compute(const struct stream64_job *job, uint8_t *c, uint64_t m, uint64_t n, uint64_t lane,
                         uint64_t core)
{
        const uint8_t *a =
                buffers[job->a.arg] + job->a.offset + core * job->a.lane_stride + m * job->size.k * A_OBJECT;
        const uint8_t *b =
                buffers[job->b.arg] + job->b.offset + lane * job->b.lane_stride + n * job->size.k * B_OBJECT;
        int32_t *sums = (int32_t *)(void *)c;

        stream64_zero(sums);
        for (uint64_t k = 0; k < job->size.k; k++)
                stream64_step((const int32_t *)(const void *)(a + k * A_OBJECT),
                              (const int8_t *)(b + k * B_OBJECT), sums);
}

static uint8_t *c_tile(uint64_t macro_tile, uint64_t lane, uint64_t core)
{
        return buffers[STREAM64_ARG_C] + batch.c.offset + lane * batch.c.lane_stride + macro_tile * C_OBJECT +
               core * C_TILE;
}

static void compute(void)
{
        uint64_t macro_tile = 0;

        for (size_t i = 0; i < batch.n_jobs; i++)
                for (uint64_t n = 0; n < batch.jobs[i].size.n; n++)
                        for (uint64_t m = 0; m < batch.jobs[i].size.m; m++, macro_tile++)
                                for (uint64_t at = 0; at < 16; at++)
                                        tile_compute(&batch.jobs[i], c_tile(macro_tile, at / 4, at % 4), m, n,
                                                     at / 4, at % 4);
}

static void plan(const struct stream64_product *products, size_t n)
{
        struct stream64_plan all;

        stream64_plan_begin(&all, products, n, STREAM64_POLL);
        ck_assert_int_eq(stream64_plan_next(&all, &batch, parts), 0);
        ck_assert_uint_eq(all.product, n);
}

static bool job_is_right(size_t job)
{
        return freivalds_check(freivalds, &batch, job, (const uint8_t *const *)buffers);
}

static const struct stream64_product mixed[] = {{256, 64, 256, false, 0},
                                                {300, 130, 600, true, 8192},
                                                {1, 700, 20, false, 0},
                                                {513, 65, 257, false, 0}};

START_TEST(test_right_passes)
{
        plan(mixed, ARRAY_SIZE(mixed));
        compute();
        for (size_t job = 0; job < batch.n_jobs; job++)
                for (size_t round = 0; round < 3; round++)
                        ck_assert(job_is_right(job));
}
END_TEST

/* Sums at both ends of what K allows. */
START_TEST(test_extremes_pass)
{
        const struct stream64_product deep = {1, 20000, 1, false, 0};

        plan(&deep, 1);
        memset(buffers[STREAM64_ARG_A], 0x80, BYTES);
        memset(buffers[STREAM64_ARG_B], 0x80, BYTES);
        compute();
        ck_assert(job_is_right(0));
        memset(buffers[STREAM64_ARG_B], 0x7f, BYTES);
        ck_assert(!job_is_right(0));
        compute();
        ck_assert(job_is_right(0));
}
END_TEST

/* The job that the macro-tile belongs to fails, and no other. */
static void expect_only(uint64_t macro_tile)
{
        uint64_t first = 0;

        for (size_t job = 0; job < batch.n_jobs; job++) {
                const uint64_t end = first + batch.jobs[job].size.m * batch.jobs[job].size.n;

                ck_assert(job_is_right(job) == (macro_tile < first || macro_tile >= end));
                first = end;
        }
}

START_TEST(test_one_bit_is_found)
{
        uint64_t macro_tiles = 0;

        plan(mixed, ARRAY_SIZE(mixed));
        compute();
        for (size_t i = 0; i < batch.n_jobs; i++)
                macro_tiles += batch.jobs[i].size.m * batch.jobs[i].size.n;
        for (unsigned i = 0; i < 48; i++) {
                const uint64_t macro_tile = rng_below(&rng, macro_tiles);
                uint8_t *at =
                        c_tile(macro_tile, rng_below(&rng, 4), rng_below(&rng, 4)) + rng_below(&rng, C_TILE);

                *at ^= (uint8_t)(1u << i % 8);
                expect_only(macro_tile);
                *at ^= (uint8_t)(1u << i % 8);
        }
}
END_TEST

START_TEST(test_exchanged_tiles_are_found)
{
        static uint8_t tile[C_TILE];

        plan(mixed, ARRAY_SIZE(mixed));
        compute();
        memcpy(tile, c_tile(1, 0, 0), C_TILE);
        memcpy(c_tile(1, 0, 0), c_tile(1, 2, 3), C_TILE);
        memcpy(c_tile(1, 2, 3), tile, C_TILE);
        expect_only(1);
}
END_TEST

START_TEST(test_stale_c_is_found)
{
        plan(mixed, ARRAY_SIZE(mixed));
        compute();
        rng_fill(&rng, buffers[STREAM64_ARG_A], BYTES); /* the next batch's: C is the last one's */
        for (size_t job = 0; job < batch.n_jobs; job++)
                ck_assert(!job_is_right(job));
}
END_TEST

START_TEST(test_below)
{
        size_t n[7] = {0};

        for (unsigned i = 0; i < 7000; i++) {
                const uint64_t number = freivalds_below(freivalds, 7);

                ck_assert_uint_lt(number, 7);
                n[number]++;
        }
        for (size_t i = 0; i < ARRAY_SIZE(n); i++)
                ck_assert(n[i] > 700 && n[i] < 1300);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("freivalds");
        TCase *tcase = tcase_create("all");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_right_passes);
        tcase_add_test(tcase, test_extremes_pass);
        tcase_add_test(tcase, test_one_bit_is_found);
        tcase_add_test(tcase, test_exchanged_tiles_are_found);
        tcase_add_test(tcase, test_stale_c_is_found);
        tcase_add_test(tcase, test_below);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
