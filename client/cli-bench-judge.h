/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-judge.h - whether a row of a product is right.
 *
 * Role:   computes it once more, one multiplication after the other, and compares.
 * In:     a row of A, B, a row of C.
 * Out:    the first element that is wrong.
 * Thread: any; pure.
 */
#ifndef CLIENT_CLI_BENCH_JUDGE_H
#define CLIENT_CLI_BENCH_JUDGE_H

#include "npumm.h"
#include "proto/base.h"

/* Of int8 products in a benchmark: elements then are some tens for a K of some hundreds or thousands. */
#define BENCH_SHIFT 13u

/* Bytes of an element of C. */
static inline size_t bench_elem_bytes(enum npumm_output output)
{
        return output == NPUMM_OUTPUT_INT32 || output == NPUMM_OUTPUT_FLOAT32 ? 4 : 1;
}

/* Room that judging a row of `n` elements needs, in int32. */
static inline uint64_t bench_judge_room(uint64_t n)
{
        return 2 * n;
}

struct bench_flaw {
        uint64_t col;
        double found, right;
};

/*
 * `a` and `c` are the beginnings of the row, `b` is k x n, `room` of bench_judge_room(n). INT8 with BENCH_SHIFT,
 * rounded down; FLOAT32 without scales and bias. False: *ret_flaw says where it is wrong.
 */
bool bench_judge_row(enum npumm_output output, uint64_t k, uint64_t n, const int8_t *a, const int8_t *b,
                     const void *c, int32_t *room, struct bench_flaw *ret_flaw);

#endif
