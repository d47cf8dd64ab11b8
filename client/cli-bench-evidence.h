/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-evidence.h - rows of products that are yet to be judged.
 *
 * Role:   keeps copies of them, since judging takes longer than many a job and would count as the daemon's delay:
 *         a client judges when nothing is timed any more.
 * In:     a row of A and of C, as soon as the job is done. Out: the same, first come first.
 * Thread: one.
 * Owns:   its memory, whose size is fixed: who has no room for a row must judge it at once.
 */
#ifndef CLIENT_CLI_BENCH_EVIDENCE_H
#define CLIENT_CLI_BENCH_EVIDENCE_H

#include "cli-bench-shapes.h"
#include "proto/base.h"

/* What the judgement is about. The last two: in memory of the evidence, or where the caller says. */
struct bench_exhibit {
        const struct bench_shape *shape; /* borrowed */
        uint64_t row;
        const int8_t *a; /* the row */
        const void *c;   /* the row */
};

struct bench_evidence {
        uint8_t *memory;                          /* owned; NULL: there never is room */
        size_t size_bytes, end_bytes, next_bytes; /* of it; of what is kept; of what comes out next */
};

/* Returns 0 or -ENOMEM. */
int bench_evidence_init(struct bench_evidence *evidence, size_t size_bytes);

void bench_evidence_deinit(struct bench_evidence *evidence);

/* Copies the rows of `exhibit`; elements of C have `c_elem_bytes`. False: there is no room. */
bool bench_evidence_push(struct bench_evidence *evidence, const struct bench_exhibit *exhibit,
                         size_t c_elem_bytes);

/* The next one, which stays until something is pushed; NULL: there is none, and room again. */
const struct bench_exhibit *bench_evidence_pop(struct bench_evidence *evidence);

#endif
