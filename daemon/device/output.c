/* SPDX-License-Identifier: MIT */
/* output.c - see output.h, and output-store.h for the loops. */
#include "daemon/device/output.h"

#include "daemon/device/output-store.h"

uint64_t output_k_step(const struct product *product)
{
        return product->form == OUTPUT_TILE16_SHIFT7 ? TILE16_DEPTH : product->k;
}

void output_fold(const struct product *product, const int32_t *sums, int32_t *total, size_t n)
{
        if (product->form == OUTPUT_TILE16_SHIFT7)
                for (size_t i = 0; i < n; i++)
                        total[i] += output_clamp_int8(output_shift_floor(sums[i], TILE16_SHIFT));
        else
                for (size_t i = 0; i < n; i++)
                        total[i] += sums[i];
}

void output_store(const struct product *product, uint64_t row, uint64_t col, const int32_t *total, size_t n)
{
        output_store_row(product, row, col, total, n);
}
