/* SPDX-License-Identifier: MIT */
/*
 * tile16.h - the kernel of the original single tile, rewritten (../README.md, section 9).
 *
 * Role:   what the core's loop (tile16.py) calls; tests and the model of the array run the same source on the host.
 * Thread: any; pure.
 */
#ifndef XCLBIN_TILE16_H
#define XCLBIN_TILE16_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* in: A, then B, each 16x16, row-major. out: clamp(A B >> 7, -128, 127), row-major; the shift rounds down. */
void tile16_run(const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
