/* SPDX-License-Identifier: MIT */
/* cli-bench-arrivals.c - see cli-bench-arrivals.h. */
#include "cli-bench-arrivals.h"

#define SKIPS_MAX 10000000u /* drawn one by one, which takes some tenths of a second */

void bench_arrivals_init(struct bench_arrivals *arrivals, uint64_t seed, uint64_t number, uint64_t clients,
                         double rate, uint64_t start_ns)
{
        *arrivals = (struct bench_arrivals){
                .random = bench_random_of(seed, BENCH_RANDOM_TIMES, number, 0),
                .start_ns = start_ns,
                .mean_ns = 1e9 * (double)clients / rate,
        };
        bench_arrivals_pop(arrivals);
}

uint64_t bench_arrivals_due_ns(const struct bench_arrivals *arrivals)
{
        return arrivals->start_ns + (uint64_t)arrivals->since_start_ns;
}

void bench_arrivals_pop(struct bench_arrivals *arrivals)
{
        arrivals->since_start_ns += bench_random_gap(&arrivals->random, arrivals->mean_ns);
}

uint64_t bench_arrivals_skip(struct bench_arrivals *arrivals, uint64_t from_ns, uint64_t until_ns)
{
        uint64_t n = 0, due_ns;

        for (uint64_t i = 0; (due_ns = bench_arrivals_due_ns(arrivals)) < until_ns; i++) {
                /* Of so many the mean is as good, and a rate out of all reason must not keep us here for hours. */
                if (i == SKIPS_MAX) {
                        n += (uint64_t)((double)(until_ns - MAX(MIN(from_ns, until_ns), due_ns)) /
                                        arrivals->mean_ns);
                        arrivals->since_start_ns = (double)(until_ns - arrivals->start_ns);
                        break;
                }
                n += due_ns >= from_ns;
                bench_arrivals_pop(arrivals);
        }
        return n;
}
