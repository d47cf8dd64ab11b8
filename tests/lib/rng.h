/* SPDX-License-Identifier: MIT */
/*
 * rng.h - repeatable chance for tests.
 *
 * Role:   random numbers from one seed, which is printed at the start, so that what failed once can fail again:
 *         NPUMM_TEST_SEED in the environment sets it; otherwise each run has another.
 * Thread: any; one struct belongs to one thread.
 */
#ifndef TESTS_LIB_RNG_H
#define TESTS_LIB_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
        uint64_t state;
};

/* Seeds `rng` and prints the seed under the name of what uses it. */
void rng_start(struct rng *rng, const char *what);

/* All 64 bits are random. */
uint64_t rng_next(struct rng *rng);

/* 0 .. n - 1; n is at least 1. */
uint64_t rng_below(struct rng *rng, uint64_t n);

/* least .. most, both included. */
uint64_t rng_between(struct rng *rng, uint64_t least, uint64_t most);

/* 1 .. most, each power of two as likely as any other. */
uint64_t rng_log_up_to(struct rng *rng, uint64_t most);

/* True once in `n` times. */
bool rng_once_in(struct rng *rng, uint64_t n);

void rng_fill(struct rng *rng, void *bytes, size_t n_bytes);

/*
 * Finite float32 of any sign and of sizes that matter to products: mostly around 1, now and then 0, -0, a
 * subnormal, or large enough to overflow with the next factor.
 */
void rng_floats(struct rng *rng, float *floats, size_t n);

#endif
