/* SPDX-License-Identifier: MIT */
/* rng.c - see rng.h. The generator is splitmix64: one add and one mix a number, any seed is good. */
#include "tests/lib/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void rng_start(struct rng *rng, const char *what)
{
        const char *given = getenv("NPUMM_TEST_SEED");

        if (given)
                rng->state = strtoull(given, NULL, 0);
        else if (getrandom(&rng->state, sizeof rng->state, 0) != sizeof rng->state)
                abort();
        (void)printf("%s: NPUMM_TEST_SEED=0x%" PRIx64 " repeats this run\n", what, rng->state);
        (void)fflush(stdout);
}

uint64_t rng_next(struct rng *rng)
{
        uint64_t mixed = rng->state += UINT64_C(0x9e3779b97f4a7c15);

        mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
        return mixed ^ (mixed >> 31);
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
        return rng_next(rng) % n; /* biased by less than n / 2^64, which no test can see */
}

uint64_t rng_between(struct rng *rng, uint64_t least, uint64_t most)
{
        return least + rng_below(rng, most - least + 1);
}

uint64_t rng_log_up_to(struct rng *rng, uint64_t most)
{
        const unsigned bits = 64 - (unsigned)__builtin_clzll(most);
        const uint64_t least = UINT64_C(1) << rng_below(rng, bits), next = 2 * least - 1;

        return rng_between(rng, least, next < most ? next : most);
}

bool rng_once_in(struct rng *rng, uint64_t n)
{
        return rng_below(rng, n) == 0;
}

void rng_fill(struct rng *rng, void *bytes, size_t n_bytes)
{
        uint8_t *to = bytes;

        for (size_t at = 0; at < n_bytes; at += sizeof(uint64_t)) {
                const uint64_t random = rng_next(rng);
                const size_t left = n_bytes - at;

                memcpy(to + at, &random, left < sizeof random ? left : sizeof random);
        }
}

void rng_floats(struct rng *rng, float *floats, size_t n)
{
        static const float special[] = {0.0F, -0.0F, 1e-42F, -3e-39F, 3e38F, -1e30F, 1.0F, 0x1.fffffep-1F};

        for (size_t i = 0; i < n; i++) {
                if (rng_once_in(rng, 16))
                        floats[i] = special[rng_below(rng, sizeof special / sizeof special[0])];
                else /* -2 .. 2, all 24 bits of the fraction in use */
                        floats[i] = (float)((double)(int64_t)rng_next(rng) * 0x1p-62);
        }
}
