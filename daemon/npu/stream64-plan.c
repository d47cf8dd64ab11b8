/* SPDX-License-Identifier: MIT */
/* stream64-plan.c - see stream64-plan.h. */
#include "daemon/npu/stream64-plan.h"
#include "proto/npu-model.h"

#define WEIGHTS_ALIGN 4096

/* What a stream has besides those of its jobs' tasks: see stream64.c. */
#define STREAM_BYTES_OF_JOBS (STREAM64_STREAM_BYTES_MAX - 1024.0)

/* A batch that is being filled. */
struct filling {
        struct stream64_batch batch;
        struct stream64_part parts[STREAM64_JOBS_MAX];
        struct stream64_totals totals;
        uint64_t a_bytes, b_bytes; /* of their slots, taken so far */
};

static struct stream64_size product_size(const struct stream64_product *product)
{
        return stream64_size_of(product->m, product->k, product->n);
}

static uint64_t a_slot_bytes(struct stream64_size size)
{
        return STREAM64_COLUMNS * size.m * size.k * STREAM64_A_OBJECT_BYTES;
}

/* M and N below 2^31, K below 2^18: this overflows nowhere. */
static uint64_t b_slot_bytes(struct stream64_size size)
{
        return STREAM64_COLUMNS * size.n * size.k * STREAM64_B_OBJECT_BYTES;
}

bool stream64_can_reside(uint64_t k, uint64_t n)
{
        return b_slot_bytes(stream64_size_of(1, k, n)) <= STREAM64_OFFSET_MAX;
}

/* By multiplication of doubles, which no shape overflows. Every limit is one of sums over the jobs of a batch. */
double stream64_share(const struct stream64_product *product)
{
        const struct stream64_size size = product_size(product);
        const double m = (double)size.m, n = (double)size.n, k = (double)size.k;
        struct stream64_totals totals = {0};
        double share;

        stream64_totals_add(&totals, size);
        share = m * n / (double)STREAM64_MACRO_TILES_MAX; /* repeats are within their limit if this is */
        share = MAX(share, STREAM64_COLUMNS * m * k * STREAM64_A_OBJECT_BYTES / (double)STREAM64_SLOT_BYTES);
        if (!product->b_is_resident)
                share = MAX(share,
                            STREAM64_COLUMNS * n * k * STREAM64_B_OBJECT_BYTES / (double)STREAM64_SLOT_BYTES);
        share = MAX(share, (double)stream64_job_stream_bytes(&totals) / STREAM_BYTES_OF_JOBS);
        return MAX(share, npu_phoenix_ns(&totals) / STREAM64_BATCH_NS_MAX);
}

/* Whether a job of this size can join. */
static bool filling_takes(const struct filling *filling, const struct stream64_plan *plan,
                          struct stream64_size size)
{
        const bool sends_b = !plan->products[plan->product].b_is_resident;
        struct stream64_totals totals = filling->totals;

        if (filling->batch.n_jobs == STREAM64_JOBS_MAX || size.m > STREAM64_REPEAT_MAX ||
            size.n > STREAM64_REPEAT_MAX)
                return false;
        stream64_totals_add(&totals, size);
        return totals.macro_tiles <= STREAM64_MACRO_TILES_MAX &&
               filling->a_bytes + a_slot_bytes(size) <= STREAM64_SLOT_BYTES &&
               (!sends_b || filling->b_bytes + b_slot_bytes(size) <= STREAM64_SLOT_BYTES) &&
               stream64_stream_bytes(&totals, plan->flow) <= STREAM64_STREAM_BYTES_MAX &&
               npu_phoenix_ns(&totals) <= STREAM64_BATCH_NS_MAX;
}

/* As many columns of macro-tiles as one row of them may have in a batch of its own: nearly always all. */
static uint64_t choose_cols(const struct stream64_plan *plan, struct stream64_size whole)
{
        const struct filling empty = {0};
        struct stream64_size row = {.m = 1, .n = MIN(whole.n - plan->n, STREAM64_REPEAT_MAX), .k = whole.k};

        while (row.n > 1 && !filling_takes(&empty, plan, row))
                row.n--;
        return row.n;
}

/* What is left of the rows, or as many as fit if the batch is empty; 0: not into this batch. */
static uint64_t choose_rows(const struct stream64_plan *plan, const struct filling *filling,
                            struct stream64_size whole)
{
        struct stream64_size size = {.m = whole.m - plan->m, .n = plan->n_cols, .k = whole.k};

        if (filling_takes(filling, plan, size))
                return size.m;
        if (filling->batch.n_jobs > 0)
                return 0;
        size.m = MIN(size.m, STREAM64_REPEAT_MAX);
        while (size.m > 1 && !filling_takes(filling, plan, size))
                size.m--;
        return size.m;
}

static void filling_add(struct filling *filling, const struct stream64_plan *plan, struct stream64_size size)
{
        const struct stream64_product *product = &plan->products[plan->product];
        const uint64_t first_row = plan->m * STREAM64_MACRO_ROWS, first_col = plan->n * STREAM64_MACRO_COLS;
        const uint64_t col_bytes = size.k * STREAM64_B_OBJECT_BYTES;
        const size_t index = filling->batch.n_jobs++;
        struct stream64_job *job = &filling->batch.jobs[index];

        filling->parts[index] = (struct stream64_part){
                .product = plan->product,
                .first_row = first_row,
                .rows = MIN(size.m * STREAM64_MACRO_ROWS, product->m - first_row),
                .first_col = first_col,
                .cols = MIN(size.n * STREAM64_MACRO_COLS, product->n - first_col),
        };
        job->size = size;
        job->a = (struct stream64_lanes){STREAM64_ARG_A, filling->a_bytes,
                                         size.m * size.k * STREAM64_A_OBJECT_BYTES};
        filling->a_bytes += a_slot_bytes(size);
        if (product->b_is_resident) {
                job->b =
                        (struct stream64_lanes){STREAM64_ARG_WEIGHTS, product->b_offset + plan->n * col_bytes,
                                                product_size(product).n * col_bytes};
        } else {
                job->b = (struct stream64_lanes){STREAM64_ARG_B, filling->b_bytes, size.n * col_bytes};
                filling->b_bytes += b_slot_bytes(size);
        }
        stream64_totals_add(&filling->totals, size);
}

/* Past this part: rows below it, else columns beside it, else the next product. */
static void plan_advance(struct stream64_plan *plan, struct stream64_size whole, uint64_t rows)
{
        plan->m += rows;
        if (plan->m < whole.m)
                return;
        plan->m = 0;
        plan->n += plan->n_cols;
        plan->n_cols = 0;
        if (plan->n < whole.n)
                return;
        plan->n = 0;
        plan->product++;
}

static int product_check(const struct stream64_product *product, struct stream64_size whole)
{
        uint64_t end;

        if (whole.k > STREAM64_KT_MAX)
                return STREAM64_PLAN_E_DEEP;
        if (!product->b_is_resident)
                return 0;
        if (product->b_offset % WEIGHTS_ALIGN != 0 ||
            !checked_add(product->b_offset, b_slot_bytes(whole), &end) || end > STREAM64_OFFSET_MAX)
                return STREAM64_PLAN_E_FAR;
        return 0;
}

void stream64_plan_begin(struct stream64_plan *plan, const struct stream64_product *products,
                         size_t n_products, enum stream64_flow flow)
{
        *plan = (struct stream64_plan){.products = products, .n_products = n_products, .flow = flow};
}

int stream64_plan_next(struct stream64_plan *plan, struct stream64_batch *ret_batch,
                       struct stream64_part ret_parts[STREAM64_JOBS_MAX])
{
        struct filling filling = {0};

        if (plan->product == plan->n_products)
                return STREAM64_PLAN_E_END;
        while (plan->product < plan->n_products) {
                const struct stream64_size whole = product_size(&plan->products[plan->product]);
                const int r = product_check(&plan->products[plan->product], whole);
                uint64_t rows;

                if (r != 0 && filling.batch.n_jobs == 0)
                        return r;
                if (r != 0)
                        break; /* what is before it can be computed; the next call says so */
                if (plan->n_cols == 0)
                        plan->n_cols = choose_cols(plan, whole);
                rows = choose_rows(plan, &filling, whole);
                if (rows == 0)
                        break;
                filling_add(&filling, plan,
                            (struct stream64_size){.m = rows, .n = plan->n_cols, .k = whole.k});
                plan_advance(plan, whole, rows);
        }
        filling.batch.c = (struct stream64_lanes){STREAM64_ARG_C, 0,
                                                  filling.totals.macro_tiles * STREAM64_C_OBJECT_BYTES};
        *ret_batch = filling.batch;
        memcpy(ret_parts, filling.parts, sizeof filling.parts);
        return 0;
}
