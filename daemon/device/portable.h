/* SPDX-License-Identifier: MIT */
/*
 * portable.h - the exact int8 product in plain C.
 *
 * Role:   the kernel for every machine, and the one that faster ones are measured against.
 * In:     slices of one stack: rows of products that share their B. A and B are read in place, B in either orientation.
 * Out:    those rows of C, each in its own product's form. Bit-exact: sums are int32 and cannot overflow for
 *         K <= 131,071.
 * Thread: any; uses 10 KiB of stack and nothing else.
 */
#ifndef DAEMON_DEVICE_PORTABLE_H
#define DAEMON_DEVICE_PORTABLE_H

#include "daemon/device.h"

/* Rows that are computed together: slices of a multiple of it waste nothing. */
#define PORTABLE_ROWS 4

/* The multiply-adds of a large product that take as long as `rows` rows of this one; struct device::work_macs. */
double portable_work_macs(const struct product *product, uint64_t rows);

/* Computes the rows of `n` slices, at least one, as one product: a block of rows may span several of them. */
void portable_run(const struct slice *slices, size_t n);

#endif
