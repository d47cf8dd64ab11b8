/* SPDX-License-Identifier: MIT */
/*
 * portable.h - the exact int8 product in plain C.
 *
 * Role:   the kernel for every machine, and the one that faster ones are measured against.
 * In:     rows of a product; A and B are read in place, B in either orientation.
 * Out:    those rows of C, in the product's form. Bit-exact: sums are int32 and cannot overflow for K <= 131,071.
 * Thread: any; uses 10 KiB of stack and nothing else.
 */
#ifndef DAEMON_DEVICE_PORTABLE_H
#define DAEMON_DEVICE_PORTABLE_H

#include "daemon/product.h"

/* Rows that are computed together: slices of a multiple of it waste nothing. */
#define PORTABLE_ROWS 4

void portable_run(const struct product *product, uint64_t first_row, uint64_t rows);

#endif
