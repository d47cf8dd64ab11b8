/* SPDX-License-Identifier: MIT */
/*
 * tile16.h - the stream of the original single-tile kernel: ../../xclbin/README.md, section 9.
 *
 * Role:   the baseline that stream64 is compared with: one 16x16x16 tile a run.
 * Thread: any; pure.
 */
#ifndef DAEMON_NPU_TILE16_H
#define DAEMON_NPU_TILE16_H

#include "proto/base.h"

#define TILE16_IN_BYTES  512 /* A, B: int8, row-major */
#define TILE16_OUT_BYTES 256
#define TILE16_WORDS     75

enum tile16_arg { TILE16_ARG_IN = 0, TILE16_ARG_OUT };

void tile16_generate(uint32_t words[TILE16_WORDS]);

#endif
