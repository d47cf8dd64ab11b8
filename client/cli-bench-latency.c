/* SPDX-License-Identifier: MIT */
/* cli-bench-latency.c - see cli-bench-latency.h. */
#include "cli-bench-latency.h"

#define PARTS ((uint64_t)1 << LATENCY_PART_BITS)

/*
 * Below 2 * PARTS each duration has a bucket of its own. Above, the PARTS durations between two powers of 2 that
 * differ in their first bits have one each: those with `shift` bits left out follow those with one less.
 */
static size_t bucket_of(uint64_t ns)
{
        unsigned shift;

        ns = MIN(ns, ((uint64_t)1 << LATENCY_BITS) - 1);
        if (ns < 2 * PARTS)
                return ns;
        shift = 63u - (unsigned)__builtin_clzll(ns) - LATENCY_PART_BITS;
        return (shift << LATENCY_PART_BITS) + (ns >> shift);
}

/* The longest duration of a bucket. */
static uint64_t bucket_end_ns(size_t bucket)
{
        const size_t shift = bucket < 2 * PARTS ? 0 : (bucket >> LATENCY_PART_BITS) - 1;

        return ((bucket - (shift << LATENCY_PART_BITS) + 1) << shift) - 1;
}

void bench_latency_add(struct bench_latency *latency, uint64_t ns)
{
        latency->n++;
        latency->max_ns = MAX(latency->max_ns, ns);
        latency->counts[bucket_of(ns)]++;
}

void bench_latency_merge(struct bench_latency *latency, const struct bench_latency *from)
{
        latency->n += from->n;
        latency->max_ns = MAX(latency->max_ns, from->max_ns);
        for (size_t i = 0; i < ARRAY_SIZE(latency->counts); i++)
                latency->counts[i] += from->counts[i];
}

uint64_t bench_latency_quantile_ns(const struct bench_latency *latency, unsigned permille)
{
        const uint64_t rank = (latency->n * permille + 999) / 1000;
        uint64_t n = 0;

        assert(permille > 0 && permille <= 1000);
        for (size_t i = 0; i < ARRAY_SIZE(latency->counts); i++) {
                n += latency->counts[i];
                if (n >= rank && n > 0)
                        return MIN(bucket_end_ns(i), latency->max_ns);
        }
        return 0;
}
