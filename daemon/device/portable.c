/* SPDX-License-Identifier: MIT */
/*
 * portable.c - see portable.h.
 *
 * C is computed in blocks of 4 rows by 256 columns, small enough that the sums stay in the first-level cache.
 * Two inner loops, one for each orientation of B, both over memory that lies in a row so that any compiler
 * vectorises them: B as K x N is added row by row, scaled by one element of A; B as N x K is dotted with A.
 */
#include "daemon/device/portable.h"

#include "daemon/device/output.h"

#define BLOCK_COLS 256

struct block {
        const struct product *product;
        uint64_t row, col;
        size_t rows, cols; /* at most PORTABLE_ROWS, BLOCK_COLS */
        int32_t sums[PORTABLE_ROWS][BLOCK_COLS];
        int32_t total[PORTABLE_ROWS][BLOCK_COLS];
};

/* sums = A[.., k..k_end) . B[k..k_end, ..), B stored K x N. */
static void sums_by_rows(struct block *block, uint64_t k, uint64_t k_end)
{
        const struct product *p = block->product;

        for (; k < k_end; k++) {
                const int8_t *restrict b = p->b + k * p->ldb + block->col;

                for (size_t r = 0; r < block->rows; r++) {
                        const int16_t a = p->a[(block->row + r) * p->lda + k];
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
                        const int8_t *restrict a = p->a + (block->row + r) * p->lda + k;
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
                output_store(p, block->row + r, block->col, block->total[r], block->cols);
}

void portable_run(const struct product *product, uint64_t first_row, uint64_t rows)
{
        const uint64_t end_row = first_row + rows;
        struct block block = {.product = product};

        for (block.row = first_row; block.row < end_row; block.row += PORTABLE_ROWS) {
                block.rows = (size_t)MIN((uint64_t)PORTABLE_ROWS, end_row - block.row);
                for (block.col = 0; block.col < product->n; block.col += BLOCK_COLS) {
                        block.cols = (size_t)MIN((uint64_t)BLOCK_COLS, product->n - block.col);
                        block_run(&block);
                }
        }
}
