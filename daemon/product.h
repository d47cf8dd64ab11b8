/* SPDX-License-Identifier: MIT */
/*
 * product.h - one matrix product as a device sees it: shapes, addresses, numbers.
 *
 * Role:   all that a kernel needs and nothing else. Constant once made, so any thread may read it; only the loop
 *         looks into `resident`.
 * Owns:   nothing: the job that embeds it holds the memory it points to.
 */
#ifndef DAEMON_PRODUCT_H
#define DAEMON_PRODUCT_H

#include "proto/message.h"

#include <sys/queue.h>

struct job;
struct pack;

/*
 * B that stays: loaded once, used by many products. Embedded in struct weights; all that the batcher and devices see
 * of it.
 */
struct resident {
        const int8_t *b; /* k x n, row-major, adjacent; borrowed: the struct weights that embeds us */
        uint64_t k, n;
        bool is_packed;    /* a model's: it has a form of its own of this, made before the first product */
        struct pack *pack; /* the CPU's: that form; NULL: none. Its own affair */
        TAILQ_HEAD(, job) waiting; /* jobs in the scheduler that want it, oldest first */
};

static inline void resident_init(struct resident *resident, const int8_t *b, uint64_t k, uint64_t n)
{
        *resident = (struct resident){.b = b, .k = k, .n = n};
        TAILQ_INIT(&resident->waiting);
}

/* C[m x n] = form(A[m x k] . B[k x n]); row-major, leading dimensions in elements. */
struct product {
        uint64_t m, k, n;
        const int8_t *a;
        uint64_t lda;
        const int8_t *b; /* k x n, or n x k if b_transposed */
        uint64_t ldb;
        bool b_transposed;
        struct resident *resident; /* ref, held by the job: B is this one's; NULL: an operand of its own */
        void *c;                   /* elements of output_elem_bytes(form) */
        uint64_t ldc;
        enum output_form form;
        uint32_t shift;         /* OUTPUT_INT8 */
        enum rounding rounding; /* OUTPUT_INT8 */
        const float *row_scale; /* OUTPUT_FLOAT32: m of them, or NULL */
        const float *col_scale; /* n, or NULL */
        const float *bias;      /* n, or NULL */
};

/*
 * Whether rows of both may be computed as rows of one product, stacked along M: the same B, summed in the same way.
 * What becomes of a row's sums is its own product's affair.
 */
static inline bool product_stacks_with(const struct product *a, const struct product *b)
{
        return a->b == b->b && a->k == b->k && a->n == b->n && a->ldb == b->ldb &&
               a->b_transposed == b->b_transposed &&
               (a->form == OUTPUT_TILE16_SHIFT7) == (b->form == OUTPUT_TILE16_SHIFT7);
}

#endif
