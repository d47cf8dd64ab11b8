/* SPDX-License-Identifier: MIT */
/*
 * samples.h - what benchmarks say of many measurements.
 *
 * Role:   collects numbers; median, 99th percentile, and an interval for the median; a line through points.
 * In:     one number a measurement. Numbers that go into an interval should be independent: give it one a round (the
 *         round's median, or a ratio of two turns of the same round), not every job.
 * Out:    struct summary.
 * Thread: any; one struct belongs to one thread.
 */
#ifndef TESTS_BENCH_SAMPLES_H
#define TESTS_BENCH_SAMPLES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct samples {
        double *values; /* owned */
        size_t n, room;
};

/* All zeros where there are none. */
struct summary {
        size_t n;
        double median, p99;
        double low, high; /* the median's interval: 95% or, below 6 samples, the whole range */
};

/* Ends the program where there is no memory. */
void samples_push(struct samples *samples, double value);

/* Forgets the values, keeps the room. */
void samples_clear(struct samples *samples);

void samples_free(struct samples *samples);

/*
 * Sorts. The interval is that of order statistics: between the values of ranks n/2 -+ 0.98 sqrt(n), whatever the
 * distribution.
 */
struct summary samples_summarize(struct samples *samples);

/* Likewise; 0 where there are none. */
double samples_median(struct samples *samples);

/* Sorts; the smallest value that at least `share` (0..1) of the samples do not exceed. 0 where there are none. */
double samples_quantile(struct samples *samples, double share);

/* y = start + slope * x by least squares through `n` points, at least two different x. */
void fit_line(const double *x, const double *y, size_t n, double *ret_start, double *ret_slope);

/* The same where each point has a weight, above 0. */
void fit_line_weighted(const double *x, const double *y, const double *weights, size_t n, double *ret_start,
                       double *ret_slope);

#ifdef __cplusplus
}
#endif

#endif
