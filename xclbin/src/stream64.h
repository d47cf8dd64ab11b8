/* SPDX-License-Identifier: MIT */
/*
 * stream64.h - what a core of the array computes in the batch format.
 *
 * Role:   the two functions that the core's loop (stream64.py) calls. The NPU runs them compiled by Peano; tests and
 *         the model of the array run the same source, compiled for the host.
 * In:     one object of A (its header is skipped) and one of B, laid out as ../README.md, section 3 says.
 * Out:    a C tile, likewise.
 * Thread: any; pure. Buffers do not overlap and begin at multiples of 32.
 */
#ifndef XCLBIN_STREAM64_H
#define XCLBIN_STREAM64_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroes a C tile: 4,096 sums. */
void stream64_zero(int32_t *c);

/*
 * Adds the product of the 64x64 tiles of A and B to a C tile, modulo 2^32. `a` is 1,040 words: the object with its
 * header, as the core reads the trip count from word 0 of it.
 */
void stream64_step(const int32_t *a, const int8_t *b, int32_t *c);

#ifdef __cplusplus
}
#endif

#endif
