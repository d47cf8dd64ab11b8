/* SPDX-License-Identifier: MIT */
/*
 * product.h - one matrix product as a device sees it: shapes, addresses, numbers.
 *
 * Role:   all that a kernel needs and nothing else. Constant once made, so any thread may read it.
 * Owns:   nothing: the job that embeds it holds the memory it points to.
 */
#ifndef DAEMON_PRODUCT_H
#define DAEMON_PRODUCT_H

#include "proto/message.h"

/* C[m x n] = form(A[m x k] . B[k x n]); row-major, leading dimensions in elements. */
struct product {
        uint64_t m, k, n;
        const int8_t *a;
        uint64_t lda;
        const int8_t *b; /* k x n, or n x k if b_transposed */
        uint64_t ldb;
        bool b_transposed;
        void *c; /* elements of output_elem_bytes(form) */
        uint64_t ldc;
        enum output_form form;
        uint32_t shift;          /* OUTPUT_INT8 */
        enum rounding rounding;  /* OUTPUT_INT8 */
        const float *row_scale;  /* OUTPUT_FLOAT32: m of them, or NULL */
        const float *col_scale;  /* n, or NULL */
        const float *bias;       /* n, or NULL */
};

#endif
