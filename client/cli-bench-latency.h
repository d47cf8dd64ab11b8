/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-latency.h - how long things took: a histogram of nanoseconds.
 *
 * Role:   counts durations; says what a given share of them stayed within. Buckets grow with what they count,
 *         so that every duration is known to 1 part in 256, exactly below 512 ns, up to more than an hour.
 * In:     durations.
 * Out:    quantiles.
 * Thread: any; pure. A zeroed struct is empty; it may lie in shared memory.
 */
#ifndef CLIENT_CLI_BENCH_LATENCY_H
#define CLIENT_CLI_BENCH_LATENCY_H

#include "proto/base.h"

#define LATENCY_PART_BITS 8u  /* of a duration are kept behind its first 1 */
#define LATENCY_BITS      42u /* 2^42 ns are 73 minutes; what takes longer is counted as that */

struct bench_latency {
        uint64_t n;
        uint64_t max_ns;
        uint64_t counts[(LATENCY_BITS - LATENCY_PART_BITS + 1) << LATENCY_PART_BITS];
};

void bench_latency_add(struct bench_latency *latency, uint64_t ns);

/* Adds all that `from` has counted. */
void bench_latency_merge(struct bench_latency *latency, const struct bench_latency *from);

/*
 * What `permille` of 1000 durations stayed within, rounded up to the end of a bucket: never less than the exact
 * answer, never more than the longest of all. 0 where there is none.
 */
uint64_t bench_latency_quantile_ns(const struct bench_latency *latency, unsigned permille);

#endif
