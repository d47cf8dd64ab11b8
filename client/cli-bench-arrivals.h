/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-arrivals.h - when one client's jobs of the server scenario are due.
 *
 * Role:   draws the times of a Poisson process: each client has its own, and all of them together are one again, with
 *         the rate of all.
 * In:     the plan's seed and rate; which client of how many. Out: one time after the other.
 * Thread: any; pure: no clock, time is an argument.
 */
#ifndef CLIENT_CLI_BENCH_ARRIVALS_H
#define CLIENT_CLI_BENCH_ARRIVALS_H

#include "cli-bench-random.h"

struct bench_arrivals {
        struct bench_random random;
        uint64_t start_ns;
        double mean_ns;        /* from one to the next */
        double since_start_ns; /* of the next one; a double, so that roundings do not add up */
};

/* Of client `number` of `clients`, which together get `rate` jobs a second. */
void bench_arrivals_init(struct bench_arrivals *arrivals, uint64_t seed, uint64_t number, uint64_t clients,
                         double rate, uint64_t start_ns);

/* When the next job is due. */
uint64_t bench_arrivals_due_ns(const struct bench_arrivals *arrivals);

/* That job is dealt with. */
void bench_arrivals_pop(struct bench_arrivals *arrivals);

/* Passes over all that are due before `until_ns`: how many of them are due at `from_ns` or later. */
uint64_t bench_arrivals_skip(struct bench_arrivals *arrivals, uint64_t from_ns, uint64_t until_ns);

#endif
