/* SPDX-License-Identifier: MIT */
/*
 * test-batches-tags.c - random batches over the full ranges, through a model of the array that follows tags.
 *
 * Each tile of A and of B has a tag of its own, and each tile of C must come out as the ordered hash of the tags that
 * its sum is made of: no tile can be missing, doubled, in the wrong order or in the wrong place. What one does not see
 * this way, the numbers, is for test-batches-numbers.
 *
 * test-batches-tags [N]: so many batches (default: a fixed 2,000, of which sanitized builds take 100).
 */
#include "tests/npu/stage.h"

#include <inttypes.h>
#include <stdio.h>

#define BATCHES       (NPUMM_TEST_SLOW ? 100 : 2000)
#define JOBS_MAX      16
#define M_MOST        2048
#define K_MOST        4096
#define N_MOST        4096
#define WEIGHTS_BYTES (UINT64_C(1) << 29) /* 16 of 4,096 x 4,096, padded */

/* A tag says whose tile it is: no two tiles of a batch have the same. */
static uint64_t tag_of(char matrix, uint64_t product, uint64_t row, uint64_t col)
{
        return (uint64_t)(unsigned char)matrix << 56 | product << 48 | row << 24 | col;
}

/* Tile (row, col) of A: rows 64 * row.., columns 64 * col.. of the product's. */
static void write_a(const struct stage *stage, const struct stream64_job *job,
                    const struct stream64_part *part)
{
        for (uint64_t lane = 0; lane < 4; lane++)
                for (uint64_t m = 0; m < job->size.m; m++)
                        for (uint64_t k = 0; k < job->size.k; k++) {
                                uint8_t *object = stage_a(stage, job, lane, m, k);

                                memset(object, 0, 64);
                                put_le(object, job->size.k, 4);
                                put_le(object + 4, 0x34365453, 4);
                                put_le(object + 64,
                                       tag_of('A', part->product, part->first_row / 64 + 4 * m + lane, k), 8);
                        }
}

/* Columns of macro-tiles from `first` on. */
static void write_b(const struct stage *stage, const struct stream64_job *job,
                    const struct stream64_part *part)
{
        for (uint64_t lane = 0; lane < 4; lane++)
                for (uint64_t n = 0; n < job->size.n; n++)
                        for (uint64_t k = 0; k < job->size.k; k++)
                                put_le(stage_b(stage, job, lane, n, k),
                                       tag_of('B', part->product, k, part->first_col / 64 + 4 * n + lane), 8);
}

/* Resident ones are written once, whole, before the first batch; and read by as many as the plan makes. */
static void write_resident(const struct stage *stage, size_t index, const struct stream64_product *product)
{
        const struct stream64_size size = stream64_size_of(product->m, product->k, product->n);
        const struct stream64_job whole = {
                .size = size, .b = {STREAM64_ARG_WEIGHTS, product->b_offset, size.n * size.k * 4096}};

        write_b(stage, &whole, &(struct stream64_part){.product = index});
}

static void poison_c(const struct stage *stage, const struct stream64_batch *batch)
{
        for (uint64_t lane = 0; lane < 4; lane++)
                for (uint64_t at = 0; at < batch->c.lane_stride; at += 16384)
                        put_le(stage->bytes[STREAM64_ARG_C] + lane * batch->c.lane_stride + at, UINT64_MAX,
                               8);
}

static void expect_c(const struct stage *stage, const struct stream64_batch *batch, size_t index,
                     const struct stream64_part *part, uint64_t m, uint64_t n)
{
        const struct stream64_size size = batch->jobs[index].size;

        for (uint64_t i = 0; i < 4; i++)
                for (uint64_t j = 0; j < 4; j++) {
                        const uint64_t row = part->first_row / 64 + 4 * m + i,
                                       col = part->first_col / 64 + 4 * n + j;
                        const uint64_t is = get_le(stage_c(stage, batch, index, j, i, m, n), 8);
                        uint64_t due = 0;

                        for (uint64_t k = 0; k < size.k; k++)
                                due = stage_mix(due, tag_of('A', part->product, row, k),
                                                tag_of('B', part->product, k, col));
                        stage_expect(is == due,
                                     "job %zu, product %zu: tile (%" PRIu64 ", %" PRIu64
                                     ") of C is %016" PRIx64 ", not %016" PRIx64,
                                     index, part->product, row, col, is, due);
                }
}

static void run_batch(struct stage *stage, struct rng *rng, const struct stream64_product *products,
                      const struct stream64_batch *batch, const struct stream64_part *parts,
                      enum stream64_flow flow)
{
        for (size_t i = 0; i < batch->n_jobs; i++) {
                write_a(stage, &batch->jobs[i], &parts[i]);
                if (!products[parts[i].product].b_is_resident)
                        write_b(stage, &batch->jobs[i], &parts[i]);
        }
        poison_c(stage, batch);
        stage_run(stage, rng, batch, flow);
        for (size_t i = 0; i < batch->n_jobs; i++)
                for (uint64_t n = 0; n < batch->jobs[i].size.n; n++)
                        for (uint64_t m = 0; m < batch->jobs[i].size.m; m++)
                                expect_c(stage, batch, i, &parts[i], m, n);
}

/* Products of chance, and all the batches that they come to. */
static void run_products(struct stage *stage, struct rng *rng)
{
        const enum stream64_flow flow = rng_once_in(rng, 3) ? STREAM64_TOKEN : STREAM64_POLL;
        const size_t n = rng_between(rng, 1, JOBS_MAX);
        struct stream64_product products[JOBS_MAX];
        struct stream64_part parts[STREAM64_JOBS_MAX];
        struct stream64_batch batch;
        struct stream64_plan plan;
        uint64_t b_offset = 0;

        for (size_t i = 0; i < n; i++) {
                struct stream64_size size;

                products[i] = (struct stream64_product){.m = rng_between(rng, 1, M_MOST),
                                                        .k = rng_between(rng, 1, K_MOST),
                                                        .n = rng_between(rng, 1, N_MOST),
                                                        .b_is_resident = rng_once_in(rng, 2),
                                                        .b_offset = b_offset};
                if (!products[i].b_is_resident)
                        continue;
                size = stream64_size_of(products[i].m, products[i].k, products[i].n);
                b_offset += 4 * size.n * size.k * 4096;
                write_resident(stage, i, &products[i]);
        }
        stage_expect(b_offset <= WEIGHTS_BYTES, "weights of %" PRIu64 " bytes", b_offset);
        stream64_plan_begin(&plan, products, n, flow);
        while (stream64_plan_next(&plan, &batch, parts) == 0)
                run_batch(stage, rng, products, &batch, parts, flow);
        stage_expect(plan.product == n, "the plan ends at product %zu of %zu", plan.product, n);
}

int main(int argc, char **argv)
{
        const unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : BATCHES;
        struct rng rng = {.state = 1}; /* a fixed set, unless a seed or a number is given */
        struct stage stage;

        if (argc > 1 || getenv("NPUMM_TEST_SEED"))
                rng_start(&rng, "test-batches-tags");
        else
                (void)printf("test-batches-tags: the fixed set, seed 1\n");
        stage_open(&stage, ARRAY_TAGS, WEIGHTS_BYTES);
        for (unsigned long i = 0; i < n; i++)
                run_products(&stage, &rng);
        (void)printf("%lu batches of 1-16 jobs, M 1-%d, K 1-%d, N 1-%d: %" PRIu64 " streams, %" PRIu64
                     " tasks, %" PRIu64 " bytes of stream, %" PRIu64
                     " steps of the array, on one model without reset: all right\n",
                     n, M_MOST, K_MOST, N_MOST, stage.n_streams, stage.n_tasks, stage.stream_bytes,
                     stage.n_steps);
        stage_close(&stage);
        return n > 0 ? 0 : 1;
}
