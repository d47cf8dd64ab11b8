/* SPDX-License-Identifier: MIT */
/*
 * cli-selftest-judge.h - whether a product is right, every element of it.
 *
 * Role:   computes it once more, one multiplication after the other, and compares.
 * In:     a job as it was submitted, and what it has left in its C.
 * Out:    how many elements are wrong, and the first of them.
 * Thread: any; pure.
 */
#ifndef CLIENT_CLI_SELFTEST_JUDGE_H
#define CLIENT_CLI_SELFTEST_JUDGE_H

#include "npumm.h"
#include "proto/base.h"

struct selftest_flaws {
        uint64_t n_elems; /* that were looked at */
        uint64_t n_wrong;
        uint64_t row, col; /* of the first that is wrong, */
        double found, right;
};

/*
 * Rows of the job's matrices are adjacent, rounding is FLOOR, and TILE16_SHIFT7 is no form of it. `b` is k x n,
 * however the job itself has it.
 */
struct selftest_flaws selftest_judge(const struct npumm_matmul *job, const int8_t *b);

#endif
