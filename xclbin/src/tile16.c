/* SPDX-License-Identifier: MIT */
/*
 * tile16.c - the kernel of the original single tile: one 16x16x16 product, scaled to int8.
 *
 * Role:   valid C11 and C++20, and the same code on the host and on the NPU: beside the 108 us that a run costs, a
 *         vector path would save nothing that can be seen.
 * Never:  keeps sums in memory. The original's 1,024 B of them lay on a stack of 1,024 B, which grew into the input.
 */
#include "tile16.h"

enum { SIDE = 16, SHIFT = 7 };

void tile16_run(const int8_t *in, int8_t *out)
{
        const int8_t *a = in, *b = in + SIDE * SIDE;

        for (unsigned row = 0; row < SIDE; row++) {
                for (unsigned col = 0; col < SIDE; col++) {
                        int32_t sum = 0;

                        for (unsigned k = 0; k < SIDE; k++)
                                sum += a[row * SIDE + k] * b[k * SIDE + col];
                        sum >>= SHIFT; /* arithmetic with GCC and Clang: rounds down */
                        if (sum < INT8_MIN)
                                sum = INT8_MIN;
                        if (sum > INT8_MAX)
                                sum = INT8_MAX;
                        out[row * SIDE + col] = (int8_t)sum;
                }
        }
}
