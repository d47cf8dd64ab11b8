/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-random.h - chance that repeats itself: the same seed gives the same numbers in every process.
 *
 * Role:   SplitMix64, and what is made of it.
 * Thread: any; one struct belongs to one thread.
 */
#ifndef CLIENT_CLI_BENCH_RANDOM_H
#define CLIENT_CLI_BENCH_RANDOM_H

#include <math.h>

#include "proto/base.h"

struct bench_random {
        uint64_t state;
};

/* What numbers are for: no two purposes have a run of them in common. */
enum bench_purpose {
        BENCH_RANDOM_TIMES = 0, /* of client i */
        BENCH_RANDOM_A,         /* of client i, which has several of them: number j */
        BENCH_RANDOM_B,         /* which is i x j */
};

static inline uint64_t bench_random_next(struct bench_random *random)
{
        uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

/*
 * The generator of one purpose. All generators walk along one circle of states in steps of the same width, so seeds
 * that differ by some steps would give the same numbers, shifted. Hence what is to differ is mixed into a state
 * anywhere on the circle.
 */
static inline struct bench_random bench_random_of(uint64_t seed, enum bench_purpose purpose, uint64_t i,
                                                  uint64_t j)
{
        const uint64_t parts[] = {(uint64_t)purpose, i, j};
        struct bench_random random = {seed};

        for (size_t n = 0; n < ARRAY_SIZE(parts); n++)
                random.state = bench_random_next(&random) + parts[n];
        random.state = bench_random_next(&random);
        return random;
}

/* The time to the next of events that come independently of each other, one in `mean` on average. */
static inline double bench_random_gap(struct bench_random *random, double mean)
{
        const double u = (double)(bench_random_next(random) >> 11) * 0x1p-53; /* 0 <= u < 1 */

        return -log1p(-u) * mean;
}

static inline void bench_random_fill(struct bench_random *random, void *memory, size_t n_bytes)
{
        uint8_t *bytes = memory;

        while (n_bytes > 0) {
                const uint64_t next = bench_random_next(random);
                const size_t n = MIN(n_bytes, sizeof next);

                memcpy(bytes, &next, n);
                bytes += n;
                n_bytes -= n;
        }
}

#endif
