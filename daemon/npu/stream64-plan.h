/* SPDX-License-Identifier: MIT */
/*
 * stream64-plan.h - from products to batches that the NPU can take.
 *
 * Role:   puts products side by side in batches, as many as fit, gives each its place in the buffer objects, and cuts
 *         what is too large for one: along M first, then along N, at macro-tiles. Usually one batch comes of it.
 * In:     products in their order; those with a resident B say where it lies in the weights object.
 * Out:    batches, one at a time, and which rows and columns of which product each of their jobs is.
 * Thread: any; pure.
 */
#ifndef DAEMON_NPU_STREAM64_PLAN_H
#define DAEMON_NPU_STREAM64_PLAN_H

#include "daemon/npu/stream64.h"

/* C[m x n] = A[m x k] B[k x n]; all at least 1. Rows of several that share their B may stand under each other. */
struct stream64_product {
        uint64_t m, k, n;
        bool b_is_resident; /* else it is packed into the slot of streamed B, a part at a time */
        uint64_t b_offset;  /* of a resident B in the weights object: bytes, a multiple of 4,096 */
};

/*
 * Whether a K x N matrix can be a resident B at all: packed it has 256 times as many bytes and more where N is 1, and must end
 * below 4 GiB. One that cannot is streamed.
 */
bool stream64_can_reside(uint64_t k, uint64_t n);

/*
 * The largest share of any of a batch's limits that a product takes by itself. Products whose shares sum to at most 1,
 * 16 of them at most, come to one batch; a product of more than 1 is cut.
 */
double stream64_share(const struct stream64_product *product);

/* What a job computes: elements of C of one product. */
struct stream64_part {
        size_t product;
        uint64_t first_row,
                rows; /* from a multiple of 256 on, to another or to the product's end; so are columns */
        uint64_t first_col, cols;
};

struct stream64_plan {
        const struct stream64_product *products; /* borrowed */
        size_t n_products;
        enum stream64_flow flow;
        size_t product;  /* the next part's, */
        uint64_t m, n;   /* its first macro-tile, */
        uint64_t n_cols; /* and its columns of macro-tiles, with all rows from m on; 0: not yet chosen */
};

/* Positive results. */
enum {
        STREAM64_PLAN_E_SUCCESS = 0,
        STREAM64_PLAN_E_END,  /* no product is left */
        STREAM64_PLAN_E_DEEP, /* K of products[plan->product] is over 131,072 */
        STREAM64_PLAN_E_FAR, /* its resident B is not within reach: beyond 4 GiB, or not at a multiple of 4,096 */
};

void stream64_plan_begin(struct stream64_plan *plan, const struct stream64_product *products,
                         size_t n_products, enum stream64_flow flow);

/* The next batch, of at least one job; parts[i] is what its jobs[i] is. Outputs are untouched otherwise. */
int stream64_plan_next(struct stream64_plan *plan, struct stream64_batch *ret_batch,
                       struct stream64_part ret_parts[STREAM64_JOBS_MAX]);

#endif
