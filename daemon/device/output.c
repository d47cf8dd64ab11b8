/* SPDX-License-Identifier: MIT */
/* output.c - see output.h. Compiled with -ffp-contract=off: each float step is rounded by itself. */
#include "daemon/device/output.h"

#include <float.h>

/* What "the same bits everywhere" rests on besides. */
static_assert(FLT_EVAL_METHOD == 0, "float expressions must be evaluated in float");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements in arenas are little-endian");

#define TILE16_DEPTH 16 /* of the original kernel: one 16x16x16 tile a call */
#define TILE16_SHIFT 7

static int8_t clamp_int8(int32_t value)
{
        return (int8_t)MAX(INT8_MIN, MIN(INT8_MAX, value));
}

/* value * 2^-shift, rounded towards minus infinity. */
static int32_t shift_floor(int32_t value, uint32_t shift)
{
        return value >> shift; /* arithmetic on every compiler that we build with */
}

/* value * 2^-shift, rounded to the nearest, ties to even. What is shifted out is compared, so nothing can overflow. */
static int32_t shift_nearest_even(int32_t value, uint32_t shift)
{
        const int32_t floor = value >> shift;
        const uint32_t unit = (uint32_t)1 << shift;
        const uint32_t twice = ((uint32_t)value & (unit - 1)) * 2;

        return floor + (twice > unit || (twice == unit && (floor & 1)));
}

uint64_t output_k_step(const struct product *product)
{
        return product->form == OUTPUT_TILE16_SHIFT7 ? TILE16_DEPTH : product->k;
}

void output_fold(const struct product *product, const int32_t *sums, int32_t *total, size_t n)
{
        if (product->form == OUTPUT_TILE16_SHIFT7)
                for (size_t i = 0; i < n; i++)
                        total[i] += clamp_int8(shift_floor(sums[i], TILE16_SHIFT));
        else
                for (size_t i = 0; i < n; i++)
                        total[i] += sums[i];
}

/* The shift is a local one: c may be anything to the compiler, the product too. */
static void store_int8(const struct product *product, int8_t *c, const int32_t *total, size_t n)
{
        const uint32_t shift = product->shift;

        if (product->rounding == ROUNDING_NEAREST_EVEN)
                for (size_t i = 0; i < n; i++)
                        c[i] = clamp_int8(shift_nearest_even(total[i], shift));
        else
                for (size_t i = 0; i < n; i++)
                        c[i] = clamp_int8(shift_floor(total[i], shift));
}

static void store_float32(const struct product *product, uint64_t row, uint64_t col, float *c,
                          const int32_t *total, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                float value = (float)total[i];

                if (product->row_scale)
                        value = value * product->row_scale[row];
                if (product->col_scale)
                        value = value * product->col_scale[col + i];
                if (product->bias)
                        value = value + product->bias[col + i];
                c[i] = value;
        }
}

void output_store(const struct product *product, uint64_t row, uint64_t col, const int32_t *total, size_t n)
{
        const uint64_t first = row * product->ldc + col;

        switch (product->form) {
        case OUTPUT_INT32:
                memcpy((int32_t *)product->c + first, total, n * sizeof *total);
                break;
        case OUTPUT_INT8:
                store_int8(product, (int8_t *)product->c + first, total, n);
                break;
        case OUTPUT_FLOAT32:
                store_float32(product, row, col, (float *)product->c + first, total, n);
                break;
        case OUTPUT_TILE16_SHIFT7:
                for (size_t i = 0; i < n; i++)
                        ((int8_t *)product->c)[first + i] = clamp_int8(total[i]);
                break;
        case OUTPUT_MAX:
        default:
                assert(false && "a form that the reader let through");
        }
}
