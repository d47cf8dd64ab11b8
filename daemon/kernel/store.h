/* SPDX-License-Identifier: MIT */
/*
 * store.h - kernel_ops::store, for the instructions of the file that includes this.
 *
 * Role:   a register tile is 32 columns wide, mostly: loops of a known length have neither heads nor tails.
 */
#ifndef DAEMON_KERNEL_STORE_H
#define DAEMON_KERNEL_STORE_H

#include "daemon/device/output-store.h"
#include "daemon/kernel/isa.h"

static void kernel_store(const struct product *product, uint64_t row, size_t rows, uint64_t col, size_t cols,
                         const int32_t *totals, size_t totals_stride)
{
        if (cols == KERNEL_PANEL_COLS)
                for (size_t r = 0; r < rows; r++)
                        output_store_row(product, row + r, col, totals + r * totals_stride,
                                         KERNEL_PANEL_COLS);
        else
                for (size_t r = 0; r < rows; r++)
                        output_store_row(product, row + r, col, totals + r * totals_stride, cols);
}

#endif
