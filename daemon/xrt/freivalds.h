/* SPDX-License-Identifier: MIT */
/*
 * freivalds.h - whether C is A times B, for much less than computing it again.
 *
 * Role:   Freivalds' test: C r = A (B r), with r of random 64-bit numbers, modulo 2^64. Sums never wrap where they are
 *         exact, so what is right always passes; an element of C that is wrong by d passes once in 2^64 / (the largest
 *         power of two in d), which is at most once in 2^32.
 * In:     A, B and C of a job as the device has them: memory that nobody but the worker writes. A client could change
 *         its own operands while they are being computed.
 * Thread: any; a struct belongs to one thread.
 */
#ifndef DAEMON_XRT_FREIVALDS_H
#define DAEMON_XRT_FREIVALDS_H

#include "daemon/npu/stream64.h"

/* Large: 1.5 MiB, of which a job needs as much as it is wide and deep. */
struct freivalds {
        uint64_t state;                                        /* of the generator */
        uint64_t r[STREAM64_REPEAT_MAX * STREAM64_MACRO_COLS]; /* one for each column of a job */
        uint64_t b_r[STREAM64_KT_MAX * STREAM64_TILE];         /* and for each row of its B */
        uint64_t rows[STREAM64_MACRO_ROWS];                    /* of one row of macro-tiles: C r - A (B r) */
};

/* Whoever knows the seed could make a C that is wrong and passes: it comes from getrandom. */
void freivalds_init(struct freivalds *freivalds, uint64_t seed);
/* A number below n. */
uint64_t freivalds_below(struct freivalds *freivalds, uint64_t n);

/* Whether batch->jobs[job] was computed right; `buffers` are what arguments hold. All of its padding counts, too. */
bool freivalds_check(struct freivalds *freivalds, const struct stream64_batch *batch, size_t job,
                     const uint8_t *const buffers[STREAM64_ARG_MAX]);

#endif
