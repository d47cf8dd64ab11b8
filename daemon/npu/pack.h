/* SPDX-License-Identifier: MIT */
/*
 * pack.h - matrices into the NPU's layouts, and back.
 *
 * Role:   ../../xclbin/README.md, section 3, in code: A and B of a job into their lanes, its C out of them. The only
 *         places where elements of matrices are copied, so they count what they copy.
 * In:     products in their clients' memory, of which no byte is read that is not an element; buffer objects as the
 *         host sees them, and a batch that says where in them each job lies.
 * Out:    once pack_a_frame has been called for a job and pack_a for all its rows, every byte of its A is defined;
 *         after pack_b every byte of the macro-columns asked for. Nothing else of a buffer is touched.
 * Thread: any; calls for different jobs, or for different rows or macro-columns of one, may run side by side, each with
 *         a count of its own.
 */
#ifndef DAEMON_NPU_PACK_H
#define DAEMON_NPU_PACK_H

#include "daemon/npu/stream64.h"
#include "daemon/product.h"

/*
 * What of a product is computed by a job. Rows of several products that share their B stand under each other in it,
 * each product with a part of its own, all with the same columns.
 */
struct pack_part {
        const struct product *product; /* borrowed */
        uint64_t first_row, rows;      /* of its A and C */
        uint64_t first_col, cols;      /* of its B and C; the job's columns begin with the first of them */
        uint64_t job_row;              /* the row of the job where its rows begin */
};

/* Bytes of elements that were copied: int8 of A and B; of C the int32 sums, whatever became of them. */
struct pack_count {
        uint64_t a_bytes, b_bytes, c_bytes;
};

/* Headers of all of a job's A, and zeros for the rows that it does not have: those from `rows` on. */
void pack_a_frame(uint8_t *buffer, const struct stream64_job *job, uint64_t rows);

/* The part's rows of A into their place in the job, zeros beside them up to a multiple of 64. Adds to `count`. */
void pack_a(uint8_t *buffer, const struct stream64_job *job, const struct pack_part *part,
            struct pack_count *count);

/*
 * The part's columns of B into macro-columns 0, 1, .. of `lanes`, zeros around them up to a multiple of 64 rows and of
 * 256 columns; its rows do not matter. For weights, that are loaded before any product, `product` needs no more than B.
 * Adds to `count`.
 */
void pack_b(uint8_t *buffer, const struct stream64_lanes *lanes, const struct pack_part *part,
            struct pack_count *count);

/*
 * The part's rows and columns of batch->jobs[job]'s C out of `buffer` and into the product's C, in its form.
 * OUTPUT_TILE16_SHIFT7 is not asked for: it needs sums that never leave the array. Adds to `count`.
 */
void unpack_c(const uint8_t *buffer, const struct stream64_batch *batch, size_t job,
              const struct pack_part *part, struct pack_count *count);

#endif
