/* SPDX-License-Identifier: MIT */
/*
 * portable.c - see portable.h.
 *
 * C is computed in blocks of 4 rows, from wherever in the stack, by 256 columns, small enough that the sums stay in the
 * first-level cache. Two inner loops, one for each orientation of B, both over memory that lies in a row so that any
 * compiler vectorises them: B as K x N is added row by row, scaled by one element of A; B as N x K is dotted with A.
 */
#include "daemon/device/portable.h"

#include "daemon/device/output.h"

#define BLOCK_COLS 256

struct block {
        const struct product *product; /* any of the stack's: B, K and N are those of all */
        struct {
                const struct product *product;
                uint64_t row; /* of that product */
        } lines[PORTABLE_ROWS];
        uint64_t col;
        size_t rows, cols; /* at most PORTABLE_ROWS, BLOCK_COLS */
        int32_t sums[PORTABLE_ROWS][BLOCK_COLS];
        int32_t total[PORTABLE_ROWS][BLOCK_COLS];
};

static const int8_t *line_a(const struct block *block, size_t r)
{
        return block->lines[r].product->a + block->lines[r].row * block->lines[r].product->lda;
}

/* sums = A[.., k..k_end) . B[k..k_end, ..), B stored K x N. */
static void sums_by_rows(struct block *block, uint64_t k, uint64_t k_end)
{
        const struct product *p = block->product;

        for (; k < k_end; k++) {
                const int8_t *restrict b = p->b + k * p->ldb + block->col;

                for (size_t r = 0; r < block->rows; r++) {
                        const int16_t a = line_a(block, r)[k];
                        int32_t *restrict sums = block->sums[r];

                        for (size_t c = 0; c < block->cols; c++)
                                sums[c] += (int16_t)(a * b[c]); /* |a * b| <= 2^14 */
                }
        }
}

/* The same, B stored N x K. */
static void sums_by_dots(struct block *block, uint64_t k, uint64_t k_end)
{
        const struct product *p = block->product;
        const size_t depth = (size_t)(k_end - k);

        for (size_t c = 0; c < block->cols; c++) {
                const int8_t *restrict b = p->b + (block->col + c) * p->ldb + k;

                for (size_t r = 0; r < block->rows; r++) {
                        const int8_t *restrict a = line_a(block, r) + k;
                        int32_t sum = 0;

                        for (size_t i = 0; i < depth; i++)
                                sum += (int16_t)(a[i] * b[i]);
                        block->sums[r][c] = sum;
                }
        }
}

static void block_run(struct block *block)
{
        const struct product *p = block->product;
        const uint64_t k_step = output_k_step(p);

        memset(block->total, 0, sizeof block->total);
        for (uint64_t k = 0; k < p->k; k += k_step) {
                const uint64_t k_end = MIN(p->k, k + k_step);

                memset(block->sums, 0, sizeof block->sums);
                if (p->b_transposed)
                        sums_by_dots(block, k, k_end);
                else
                        sums_by_rows(block, k, k_end);
                for (size_t r = 0; r < block->rows; r++)
                        output_fold(p, block->sums[r], block->total[r], block->cols);
        }
        for (size_t r = 0; r < block->rows; r++)
                output_store(block->lines[r].product, block->lines[r].row, block->col, block->total[r],
                             block->cols);
}

/* Every column of the rows that have been gathered. */
static void rows_run(struct block *block)
{
        const uint64_t n = block->product->n;

        for (block->col = 0; block->col < n; block->col += BLOCK_COLS) {
                block->cols = (size_t)MIN((uint64_t)BLOCK_COLS, n - block->col);
                block_run(block);
        }
        block->rows = 0;
}

void portable_run(const struct slice *slices, size_t n)
{
        struct block block = {.product = slices[0].product};

        for (size_t i = 0; i < n; i++) {
                for (uint64_t row = 0; row < slices[i].rows; row++) {
                        block.lines[block.rows].product = slices[i].product;
                        block.lines[block.rows].row = slices[i].first_row + row;
                        if (++block.rows == PORTABLE_ROWS)
                                rows_run(&block);
                }
        }
        if (block.rows > 0)
                rows_run(&block);
}

/*
 * What a row costs besides its multiply-adds, each in as many of those. Measured on an AMD EPYC (Zen 4) guest with GCC
 * 12 over K and N from 1 to 131,071, in either orientation of B: right within a factor of 2, where multiply-adds alone
 * are wrong by 100.
 */
#define LOOP_MACS    20.0 /* beginning an inner loop over columns, for each k */
#define DOT_MACS     30.0 /* or a dot product, for each column */
#define BLOCK_MACS   300.0
#define STORE_MACS   3.0  /* an element, and folding it in for each step of K */
#define CONVERT_MACS 20.0 /* an element that is not stored as it is */

double portable_work_macs(const struct product *product, uint64_t rows)
{
        const double k = (double)product->k, n = (double)product->n;
        const double blocks = (double)((product->n + BLOCK_COLS - 1) / BLOCK_COLS);
        const double steps = (double)((product->k + output_k_step(product) - 1) / output_k_step(product));
        const double loops = product->b_transposed ? n * DOT_MACS * steps : k * blocks * LOOP_MACS;
        const double stores = n * (STORE_MACS * steps + (product->form == OUTPUT_INT32 ? 0 : CONVERT_MACS));

        return (double)rows * (k * n + loops + stores + blocks * steps * BLOCK_MACS);
}
