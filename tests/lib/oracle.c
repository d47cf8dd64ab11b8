/* SPDX-License-Identifier: MIT */
/* oracle.c - see oracle.h. */
#include "tests/lib/oracle.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TILE_DEPTH 16

size_t oracle_elem_bytes(enum oracle_form form)
{
        switch (form) {
        case ORACLE_INT32:
        case ORACLE_FLOAT32:
                return 4;
        case ORACLE_INT8:
        case ORACLE_TILE16_SHIFT7:
        default:
                return 1;
        }
}

/* A and B as if zeros stood behind the last k. */
static int64_t a_at(const struct oracle_product *product, size_t row, size_t k)
{
        return k < product->k ? product->a[row * product->lda + k] : 0;
}

static int64_t b_at(const struct oracle_product *product, size_t k, size_t col)
{
        if (k >= product->k)
                return 0;
        return product->b_transposed ? product->b[col * product->ldb + k]
                                     : product->b[k * product->ldb + col];
}

/* Over k from `from` to `to` - 1. */
static int64_t partial_sum(const struct oracle_product *product, size_t row, size_t col, size_t from,
                           size_t to)
{
        int64_t sum = 0;

        for (size_t k = from; k < to; k++)
                sum += a_at(product, row, k) * b_at(product, k, col);
        return sum;
}

int64_t oracle_sum(const struct oracle_product *product, size_t row, size_t col)
{
        return partial_sum(product, row, col, 0, product->k);
}

int8_t oracle_clamp(int64_t value)
{
        if (value > 127)
                return 127;
        if (value < -128)
                return -128;
        return (int8_t)value;
}

int8_t oracle_int8(int64_t sum, unsigned shift, bool nearest_even)
{
        int64_t divisor = 1, quotient, remainder;

        for (unsigned i = 0; i < shift; i++)
                divisor *= 2;
        quotient = sum / divisor;
        remainder = sum % divisor;
        if (remainder < 0) { /* C divides towards zero; from here on 0 <= remainder < divisor */
                quotient -= 1;
                remainder += divisor;
        }
        if (nearest_even) {
                const int64_t above = divisor - remainder; /* distance to the next integer */

                if (above < remainder || (above == remainder && quotient % 2 != 0))
                        quotient += 1;
        }
        return oracle_clamp(quotient);
}

/*
 * One step of float32, rounded by itself. `exact` is computed in double: sums, and products of two float32,
 * that are rounded to 53 bits and then to 24 come out as if rounded once. The volatile keeps compilers from
 * folding steps.
 */
static float step(double exact)
{
        volatile float rounded = (float)exact;

        return rounded;
}

float oracle_float32(const struct oracle_product *product, size_t row, size_t col, int64_t sum)
{
        float value = step((double)sum);

        if (product->row_scale)
                value = step((double)value * (double)product->row_scale[row]);
        if (product->col_scale)
                value = step((double)value * (double)product->col_scale[col]);
        if (product->bias)
                value = step((double)value + (double)product->bias[col]);
        return value;
}

int8_t oracle_tile16_share(int64_t sum)
{
        return oracle_int8(sum, 7, false);
}

/* Tile by tile, the last one filled up with zeros. */
static int8_t tile16_element(const struct oracle_product *product, size_t row, size_t col)
{
        const size_t tiles = (product->k + TILE_DEPTH - 1) / TILE_DEPTH;
        int64_t total = 0;

        for (size_t tile = 0; tile < tiles; tile++)
                total += oracle_tile16_share(
                        partial_sum(product, row, col, tile * TILE_DEPTH, (tile + 1) * TILE_DEPTH));
        return oracle_clamp(total);
}

void oracle_element(const struct oracle_product *product, size_t row, size_t col, void *ret_element)
{
        int8_t int8;
        int32_t int32;
        float float32;

        switch (product->form) {
        case ORACLE_INT32:
                int32 = (int32_t)oracle_sum(product, row, col);
                memcpy(ret_element, &int32, sizeof int32);
                break;
        case ORACLE_FLOAT32:
                float32 = oracle_float32(product, row, col, oracle_sum(product, row, col));
                memcpy(ret_element, &float32, sizeof float32);
                break;
        case ORACLE_INT8:
                int8 = oracle_int8(oracle_sum(product, row, col), product->shift, product->nearest_even);
                memcpy(ret_element, &int8, sizeof int8);
                break;
        case ORACLE_TILE16_SHIFT7:
        default:
                int8 = tile16_element(product, row, col);
                memcpy(ret_element, &int8, sizeof int8);
        }
}

void oracle_rows(const struct oracle_product *product, size_t first_row, size_t rows, void *c, size_t ldc)
{
        const size_t elem_bytes = oracle_elem_bytes(product->form);

        for (size_t row = first_row; row < first_row + rows; row++)
                for (size_t col = 0; col < product->n; col++)
                        oracle_element(product, row, col, (char *)c + (row * ldc + col) * elem_bytes);
}

static bool elements_equal(enum oracle_form form, const void *left, const void *right)
{
        float floats[2];

        if (memcmp(left, right, oracle_elem_bytes(form)) == 0)
                return true;
        if (form != ORACLE_FLOAT32)
                return false;
        memcpy(&floats[0], left, sizeof floats[0]);
        memcpy(&floats[1], right, sizeof floats[1]);
        return isnan(floats[0]) && isnan(floats[1]);
}

static void element_print(enum oracle_form form, const void *element)
{
        int32_t int32;
        float float32;

        switch (form) {
        case ORACLE_INT32:
                memcpy(&int32, element, sizeof int32);
                (void)fprintf(stderr, "%" PRId32, int32);
                break;
        case ORACLE_FLOAT32:
                memcpy(&float32, element, sizeof float32);
                (void)fprintf(stderr, "%a", (double)float32);
                break;
        case ORACLE_INT8:
        case ORACLE_TILE16_SHIFT7:
        default:
                (void)fprintf(stderr, "%d", *(const int8_t *)element);
        }
}

bool oracle_find_wrong(const struct oracle_product *product, size_t first_row, size_t rows, const void *c,
                       size_t ldc, size_t *ret_row, size_t *ret_col)
{
        const size_t elem_bytes = oracle_elem_bytes(product->form);

        for (size_t row = first_row; row < first_row + rows; row++) {
                for (size_t col = 0; col < product->n; col++) {
                        char expected[sizeof(int32_t)];

                        oracle_element(product, row, col, expected);
                        if (elements_equal(product->form, (const char *)c + (row * ldc + col) * elem_bytes,
                                           expected))
                                continue;
                        *ret_row = row;
                        *ret_col = col;
                        return true;
                }
        }
        return false;
}

bool oracle_check(const struct oracle_product *product, size_t first_row, size_t rows, const void *c,
                  size_t ldc)
{
        char expected[sizeof(int32_t)];
        size_t row, col;

        if (!oracle_find_wrong(product, first_row, rows, c, ldc, &row, &col))
                return true;
        oracle_element(product, row, col, expected);
        (void)fprintf(stderr, "%zux%zu . %zux%zu, form %d: element (%zu, %zu) is ", product->m, product->k,
                      product->k, product->n, product->form, row, col);
        element_print(product->form, (const char *)c + (row * ldc + col) * oracle_elem_bytes(product->form));
        (void)fprintf(stderr, ", must be ");
        element_print(product->form, expected);
        (void)fprintf(stderr, " (sum %" PRId64 ")\n", oracle_sum(product, row, col));
        return false;
}
