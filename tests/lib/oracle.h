/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what a product must be, bit for bit; slow and obvious.
 *
 * Role:   judges every device, the daemon and the library. Written from proto/README.md, section 10, by itself: one
 *         element at a time, sums in 64 bits, rounding by division with remainder.
 * In:     a product by plain numbers and pointers.
 * Out:    elements of C, or a verdict on somebody else's C.
 * Thread: any; pure.
 * Never:  includes anything of daemon/, client/ or proto/: it shares no code with what it judges.
 */
#ifndef TESTS_LIB_ORACLE_H
#define TESTS_LIB_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With the protocol's numbers, so that a cast from either side's enum is right. */
enum oracle_form { ORACLE_INT32 = 0, ORACLE_INT8 = 1, ORACLE_FLOAT32 = 2, ORACLE_TILE16_SHIFT7 = 3 };

/* C[m x n] = form(A[m x k] . B[k x n]); row-major, leading dimensions in elements and never 0. */
struct oracle_product {
        size_t m, k, n;
        const int8_t *a; /* borrowed, like all the others */
        size_t lda;
        const int8_t *b; /* k x n, or n x k if b_transposed */
        size_t ldb;
        bool b_transposed;
        enum oracle_form form;
        unsigned shift;                /* ORACLE_INT8 */
        bool nearest_even;             /* ORACLE_INT8; else floor */
        const float *row_scale;        /* ORACLE_FLOAT32: m of them, or NULL */
        const float *col_scale, *bias; /* n of each, or NULL */
};

size_t oracle_elem_bytes(enum oracle_form form);

/* The exact sum behind element (row, col). */
int64_t oracle_sum(const struct oracle_product *product, size_t row, size_t col);

/* Writes element (row, col): oracle_elem_bytes of it. */
void oracle_element(const struct oracle_product *product, size_t row, size_t col, void *ret_element);

/* Writes `rows` rows from `first_row` on; `c` is the address of row 0. */
void oracle_rows(const struct oracle_product *product, size_t first_row, size_t rows, void *c, size_t ldc);

/*
 * Looks through these rows of `c` (the address of row 0) for an element that is not right, bit for bit; NaNs
 * are all equal, as the protocol leaves their bits open. False: there is none.
 */
bool oracle_find_wrong(const struct oracle_product *product, size_t first_row, size_t rows, const void *c,
                       size_t ldc, size_t *ret_row, size_t *ret_col);

/* Whether all of them are right; if not, says on stderr which one is not. */
bool oracle_check(const struct oracle_product *product, size_t first_row, size_t rows, const void *c,
                  size_t ldc);

/* The last steps by themselves: from an exact sum to an element. */
int8_t oracle_clamp(int64_t value);
int8_t oracle_int8(int64_t sum, unsigned shift, bool nearest_even);
float oracle_float32(const struct oracle_product *product, size_t row, size_t col, int64_t sum);

/* One 16-deep slice's share of a TILE16_SHIFT7 element. */
int8_t oracle_tile16_share(int64_t sum);

#endif
