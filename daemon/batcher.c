/* SPDX-License-Identifier: MIT */
/* batcher.c - see batcher.h. */
#include "daemon/batcher.h"

/* Rows of `product` that fit in `macs`: a multiple of the granule where that is possible, at least 1. */
static uint64_t rows_within(const struct product *product, uint64_t macs, uint64_t granule_rows)
{
        const uint64_t row_macs = product->k * product->n; /* < 2^17 * 2^31 */
        const uint64_t rows = macs / row_macs;

        return rows > granule_rows ? rows - rows % granule_rows : MAX(rows, 1);
}

bool batcher_compose(struct scheduler *scheduler, const struct cost_model *cost,
                     const struct batcher_limits *limits, struct batch *ret_batch)
{
        struct job *job = scheduler_next(scheduler);
        struct slice *slice = &ret_batch->slices[0];
        uint64_t rows;

        if (!job)
                return false;
        rows = rows_within(&job->product, cost_macs_within(cost, limits->bound_ns), limits->granule_rows);
        rows = MIN(rows, job_rows_left(job));
        *slice = (struct slice){
                .job = job,
                .product = &job->product,
                .first_row = job->next_row,
                .rows = rows,
        };
        job->next_row += rows;
        job->slices_inside++;
        if (job_rows_left(job) == 0)
                scheduler_remove(scheduler, job);
        ret_batch->n_slices = 1;
        ret_batch->work_macs = rows * job->product.k * job->product.n;
        ret_batch->predicted_ns = cost_predict_ns(cost, ret_batch->work_macs);
        ret_batch->device_ns = 0;
        return true;
}
