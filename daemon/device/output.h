/* SPDX-License-Identifier: MIT */
/*
 * output.h - from int32 sums to the elements of C: the numbers of proto/README.md, "Numbers", in one place.
 *
 * Role:   every device stores its results through these, so that all give the same bits.
 * Thread: any; pure.
 */
#ifndef DAEMON_DEVICE_OUTPUT_H
#define DAEMON_DEVICE_OUTPUT_H

#include "daemon/product.h"

/*
 * How deep a slice of K is summed before it is folded into the result: all of K, but for the form that imitates
 * the 16x16x16 tile kernel, which rounds and clamps each 16-deep sum by itself.
 */
uint64_t output_k_step(const struct product *product);

/* Folds `n` finished sums of one k step into `total` (zero before the first step). */
void output_fold(const struct product *product, const int32_t *sums, int32_t *total, size_t n);

/* Stores `n` totals to row `row`, columns `col`..col+n-1 of C, in the product's form. */
void output_store(const struct product *product, uint64_t row, uint64_t col, const int32_t *total, size_t n);

#endif
