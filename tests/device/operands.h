/* SPDX-License-Identifier: MIT */
/*
 * operands.h - a product in memory that shows what a device does wrong.
 *
 * Role:   random or extreme operands at awkward addresses, their gaps full of garbage; C poisoned, with
 *         guards before and behind. Afterwards: rows that were expected must be the oracle's, and everything
 *         else still poison.
 * Thread: one; the device's may run meanwhile.
 * Owns:   the memory of all operands.
 */
#ifndef TESTS_DEVICE_OPERANDS_H
#define TESTS_DEVICE_OPERANDS_H

#include "daemon/product.h"
#include "daemon/region.h"
#include "tests/lib/rng.h"

enum fill { FILL_RANDOM = 0, FILL_LOWEST, FILL_EXTREMES }; /* any bytes; all -128; -128 and 127 */

struct operands_shape {
        uint64_t m, k, n;
        bool b_transposed;
        uint64_t gap_a, gap_b, gap_c; /* elements between the end of a row and the next */
        enum output_form form;
        uint32_t shift;
        enum rounding rounding;
        bool row_scale, col_scale, bias;
        enum fill fill;
};

/* Where operands are made that the device's process is to be given; NULL: the device is in this process. */
extern struct region_set *operands_regions;

struct operands {
        struct product product;
        struct operands_shape shape;
        uint8_t *memory[6]; /* owned: A, B (NULL where shared), C, row_scale, col_scale, bias */
        size_t memory_bytes[6];
        struct region regions[6]; /* owned, where memory is in them */
        uint8_t *inputs_before;   /* owned: A and B as they were made */
        bool *row_is_expected;    /* owned: m of them */
};

void operands_init(struct operands *operands, const struct operands_shape *shape, struct rng *rng);

/* The same with B of `other`, which has the same K, N and orientation and must stay for as long as anybody computes. */
void operands_init_sharing(struct operands *operands, const struct operands_shape *shape,
                           const struct operands *other, struct rng *rng);
void operands_deinit(struct operands *operands);

/* From now on these rows must be right. */
void operands_expect(struct operands *operands, uint64_t first_row, uint64_t rows);

/* From now on these rows must be poison again. */
void operands_forgo(struct operands *operands, uint64_t first_row, uint64_t rows);

/* Fails the test unless these rows are right. */
void operands_check_rows(const struct operands *operands, uint64_t first_row, uint64_t rows);

/* Fails the test unless expected rows are right, all else of C is poison, and A and B are as before. */
void operands_check(const struct operands *operands);

#endif
