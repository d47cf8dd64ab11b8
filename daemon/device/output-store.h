/* SPDX-License-Identifier: MIT */
/*
 * output-store.h - from int32 sums to the elements of C: the numbers of proto/README.md, "Numbers", in one place.
 *
 * Role:   the loops behind output.h, inline so that each kernel compiles them for its own instructions. Whatever those
 *         are, the bits are the same: integers are exact, and each float step is rounded by itself.
 * Thread: any; pure.
 * Never:  compiled without -ffp-contract=off.
 */
#ifndef DAEMON_DEVICE_OUTPUT_STORE_H
#define DAEMON_DEVICE_OUTPUT_STORE_H

#include "daemon/product.h"

#include <float.h>

/* What "the same bits everywhere" rests on besides. */
static_assert(FLT_EVAL_METHOD == 0, "float expressions must be evaluated in float");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements in arenas are little-endian");

#define TILE16_DEPTH 16 /* of the original kernel: one 16x16x16 tile a call */
#define TILE16_SHIFT 7

static inline int8_t output_clamp_int8(int32_t value)
{
        return (int8_t)MAX(INT8_MIN, MIN(INT8_MAX, value));
}

/* value * 2^-shift, rounded towards minus infinity. */
static inline int32_t output_shift_floor(int32_t value, uint32_t shift)
{
        return value >> shift; /* arithmetic on every compiler that we build with */
}

/* value * 2^-shift, rounded to the nearest, ties to even. What is shifted out is compared, so nothing can overflow. */
static inline int32_t output_shift_nearest_even(int32_t value, uint32_t shift)
{
        const int32_t floor = value >> shift;
        const uint32_t unit = (uint32_t)1 << shift;
        const uint32_t twice = ((uint32_t)value & (unit - 1)) * 2;

        return floor + (twice > unit || (twice == unit && (floor & 1)));
}

/* The shift is a local one: c may be anything to the compiler, the product too. */
static inline void output_store_int8(const struct product *product, int8_t *restrict c,
                                     const int32_t *restrict total, size_t n)
{
        const uint32_t shift = product->shift;

        if (product->rounding == ROUNDING_NEAREST_EVEN)
                for (size_t i = 0; i < n; i++)
                        c[i] = output_clamp_int8(output_shift_nearest_even(total[i], shift));
        else
                for (size_t i = 0; i < n; i++)
                        c[i] = output_clamp_int8(output_shift_floor(total[i], shift));
}

static inline void output_store_float32(const struct product *product, uint64_t row, uint64_t col,
                                        float *restrict c, const int32_t *restrict total, size_t n)
{
        const float *row_scale = product->row_scale, *col_scale = product->col_scale, *bias = product->bias;

        for (size_t i = 0; i < n; i++) {
                float value = (float)total[i];

                if (row_scale)
                        value = value * row_scale[row];
                if (col_scale)
                        value = value * col_scale[col + i];
                if (bias)
                        value = value + bias[col + i];
                c[i] = value;
        }
}

static inline void output_store_tile16(int8_t *restrict c, const int32_t *restrict total, size_t n)
{
        for (size_t i = 0; i < n; i++)
                c[i] = output_clamp_int8(total[i]);
}

/* Stores `n` totals to row `row`, columns `col`..col+n-1 of C, in the product's form. */
static inline void output_store_row(const struct product *product, uint64_t row, uint64_t col,
                                    const int32_t *total, size_t n)
{
        const uint64_t first = row * product->ldc + col;

        switch (product->form) {
        case OUTPUT_INT32:
                memcpy((int32_t *)product->c + first, total, n * sizeof *total);
                break;
        case OUTPUT_INT8:
                output_store_int8(product, (int8_t *)product->c + first, total, n);
                break;
        case OUTPUT_FLOAT32:
                output_store_float32(product, row, col, (float *)product->c + first, total, n);
                break;
        case OUTPUT_TILE16_SHIFT7:
                output_store_tile16((int8_t *)product->c + first, total, n);
                break;
        case OUTPUT_MAX:
        default:
                assert(false && "a form that the reader let through");
        }
}

#endif
