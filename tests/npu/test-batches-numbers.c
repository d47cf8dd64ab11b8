/* SPDX-License-Identifier: MIT */
/*
 * test-batches-numbers.c - random batches with numbers: packed, run by the model of the array with the kernel's scalar
 * code, unpacked, and compared with the plain product, element by element.
 *
 * test-batches-numbers [SMALL [LARGE]]: SMALL batches of shapes log-uniform up to 2,048 x 4,096 x 4,096, 2 * 10^8
 * multiply-adds each at most, padding included; and LARGE ones of the ranges of test-batches-tags, tens of 10^9 each
 * (default: a fixed 300 and none; sanitized builds take 20). Ten large ones take a minute or two.
 */
#include "daemon/npu/pack.h"
#include "tests/npu/stage.h"

#include <inttypes.h>
#include <stdio.h>

#define SMALL         (NPUMM_TEST_SLOW ? 20 : 300)
#define JOBS_MAX      16
#define M_MOST        2048
#define K_MOST        4096
#define N_MOST        4096
#define MACS_MOST     200000000
#define WEIGHTS_BYTES (UINT64_C(1) << 29)

struct set {
        size_t n;
        struct product products[JOBS_MAX];
        struct stream64_product planned[JOBS_MAX];
        int8_t *b_transposed[JOBS_MAX]; /* owned: n x k, for the judge */
};

/* ---- products of chance ---- */

static void *allocate(uint64_t bytes)
{
        void *at = malloc(bytes);

        stage_expect(at != NULL, "no memory");
        return at;
}

static void set_add(struct set *set, struct rng *rng, uint64_t m, uint64_t k, uint64_t n)
{
        int8_t *a = allocate(m * k), *b = allocate(k * n), *bt = allocate(k * n);
        const bool transposed = rng_once_in(rng, 2);

        rng_fill(rng, a, m * k);
        rng_fill(rng, b, k * n);
        if (rng_once_in(rng, 8)) { /* the largest sums that there are */
                memset(a, -128, m * k);
                memset(b, -128, k * n);
        }
        for (uint64_t row = 0; row < k; row++)
                for (uint64_t col = 0; col < n; col++)
                        bt[col * k + row] = b[row * n + col];
        set->b_transposed[set->n] = bt;
        set->planned[set->n] =
                (struct stream64_product){.m = m, .k = k, .n = n, .b_is_resident = rng_once_in(rng, 2)};
        set->products[set->n++] = (struct product){.m = m,
                                                   .k = k,
                                                   .n = n,
                                                   .a = a,
                                                   .lda = k,
                                                   .b = b,
                                                   .ldb = n,
                                                   .c = allocate(m * n * 4),
                                                   .ldc = n};
        if (!transposed)
                return;
        free(b);
        set->products[set->n - 1].b = bt;
        set->products[set->n - 1].ldb = k;
        set->products[set->n - 1].b_transposed = true;
}

static void set_free(struct set *set)
{
        for (size_t i = 0; i < set->n; i++) {
                free((void *)(uintptr_t)set->products[i].a);
                if (!set->products[i].b_transposed)
                        free((void *)(uintptr_t)set->products[i].b);
                free(set->b_transposed[i]);
                free(set->products[i].c);
        }
}

static uint64_t padded_macs(uint64_t m, uint64_t k, uint64_t n)
{
        return (m + 255) / 256 * 256 * ((k + 63) / 64 * 64) * ((n + 255) / 256 * 256);
}

static struct set set_small(struct rng *rng)
{
        const size_t n = rng_between(rng, 1, JOBS_MAX);
        struct set set = {0};
        uint64_t macs = 0;

        while (set.n < n) {
                const uint64_t m = rng_log_up_to(rng, M_MOST), k = rng_log_up_to(rng, K_MOST),
                               cols = rng_log_up_to(rng, N_MOST);

                if (macs + padded_macs(m, k, cols) > MACS_MOST) {
                        if (set.n > 0)
                                break;
                        continue;
                }
                macs += padded_macs(m, k, cols);
                set_add(&set, rng, m, k, cols);
        }
        return set;
}

static struct set set_large(struct rng *rng)
{
        const size_t n = rng_between(rng, 1, JOBS_MAX);
        struct set set = {0};

        while (set.n < n)
                set_add(&set, rng, rng_between(rng, 1, M_MOST), rng_between(rng, 1, K_MOST),
                        rng_between(rng, 1, N_MOST));
        return set;
}

/* ---- the way through ---- */

static void load_weights(const struct stage *stage, struct set *set)
{
        uint64_t offset = 0;

        for (size_t i = 0; i < set->n; i++) {
                const struct product *product = &set->products[i];
                const struct stream64_size size = stream64_size_of(product->m, product->k, product->n);
                const struct stream64_lanes lanes = {STREAM64_ARG_WEIGHTS, offset, size.n * size.k * 4096};
                struct pack_count count = {0};

                if (!set->planned[i].b_is_resident)
                        continue;
                set->planned[i].b_offset = offset;
                pack_b(stage->bytes[STREAM64_ARG_WEIGHTS], &lanes,
                       &(struct pack_part){.product = product, .cols = product->n}, &count);
                offset += 4 * lanes.lane_stride;
        }
        stage_expect(offset <= WEIGHTS_BYTES, "weights of %" PRIu64 " bytes", offset);
}

static struct pack_part part_of(const struct set *set, const struct stream64_part *part)
{
        return (struct pack_part){.product = &set->products[part->product],
                                  .first_row = part->first_row,
                                  .rows = part->rows,
                                  .first_col = part->first_col,
                                  .cols = part->cols};
}

static void run_batch(struct stage *stage, struct rng *rng, const struct set *set,
                      const struct stream64_batch *batch, const struct stream64_part *parts,
                      enum stream64_flow flow)
{
        struct pack_count count = {0};

        for (size_t i = 0; i < batch->n_jobs; i++) {
                const struct pack_part part = part_of(set, &parts[i]);
                const struct stream64_job *job = &batch->jobs[i];

                pack_a_frame(stage->bytes[STREAM64_ARG_A], job, part.rows);
                pack_a(stage->bytes[STREAM64_ARG_A], job, &part, &count);
                if (job->b.arg == STREAM64_ARG_B)
                        pack_b(stage->bytes[STREAM64_ARG_B], &job->b, &part, &count);
        }
        memset(stage->bytes[STREAM64_ARG_C], 0x5A, 4 * batch->c.lane_stride);
        stage_run(stage, rng, batch, flow);
        for (size_t i = 0; i < batch->n_jobs; i++) {
                const struct pack_part part = part_of(set, &parts[i]);

                unpack_c(stage->bytes[STREAM64_ARG_C], batch, i, &part, &count);
        }
}

/* The plain product: rows of A by rows of B transposed. */
static void expect_exact(const struct set *set)
{
        for (size_t i = 0; i < set->n; i++) {
                const struct product *product = &set->products[i];
                const int32_t *c = product->c;

                for (uint64_t row = 0; row < product->m; row++)
                        for (uint64_t col = 0; col < product->n; col++) {
                                const int8_t *a = product->a + row * product->k;
                                const int8_t *b = set->b_transposed[i] + col * product->k;
                                int32_t sum = 0; /* below 2^31 at K 4,096 */

                                for (uint64_t k = 0; k < product->k; k++)
                                        sum += a[k] * b[k];
                                stage_expect(c[row * product->n + col] == sum,
                                             "product %zu (%" PRIu64 ",%" PRIu64 ",%" PRIu64 "): C[%" PRIu64
                                             "][%" PRIu64 "] is %d, not %d",
                                             i, product->m, product->k, product->n, row, col,
                                             c[row * product->n + col], sum);
                        }
        }
}

static void run_set(struct stage *stage, struct rng *rng, struct set set)
{
        const enum stream64_flow flow = rng_once_in(rng, 3) ? STREAM64_TOKEN : STREAM64_POLL;
        struct stream64_part parts[STREAM64_JOBS_MAX];
        struct stream64_batch batch;
        struct stream64_plan plan;

        load_weights(stage, &set);
        stream64_plan_begin(&plan, set.planned, set.n, flow);
        while (stream64_plan_next(&plan, &batch, parts) == 0)
                run_batch(stage, rng, &set, &batch, parts, flow);
        stage_expect(plan.product == set.n, "the plan ends at product %zu of %zu", plan.product, set.n);
        expect_exact(&set);
        set_free(&set);
}

int main(int argc, char **argv)
{
        const unsigned long n_small = argc > 1 ? strtoul(argv[1], NULL, 10) : SMALL;
        const unsigned long n_large = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
        struct rng rng = {.state = 1}; /* a fixed set, unless a seed or a number is given */
        struct stage stage;

        if (argc > 1 || getenv("NPUMM_TEST_SEED"))
                rng_start(&rng, "test-batches-numbers");
        else
                (void)printf("test-batches-numbers: the fixed set, seed 1\n");
        stage_open(&stage, ARRAY_NUMBERS, WEIGHTS_BYTES);
        for (unsigned long i = 0; i < n_small; i++)
                run_set(&stage, &rng, set_small(&rng));
        for (unsigned long i = 0; i < n_large; i++) {
                run_set(&stage, &rng, set_large(&rng));
                (void)printf("large batch %lu: exact\n", i + 1);
                (void)fflush(stdout);
        }
        (void)printf("%lu batches and %lu large ones: %" PRIu64
                     " streams, %.3g multiply-adds with padding, on one model "
                     "without reset: exact\n",
                     n_small, n_large, stage.n_streams, (double)stage.n_steps * 256 * 64 * 256);
        stage_close(&stage);
        return n_small + n_large > 0 ? 0 : 1;
}
