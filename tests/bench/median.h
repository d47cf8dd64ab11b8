/* SPDX-License-Identifier: MIT */
/* median.h - what benchmarks say of many rounds. */
#ifndef TESTS_BENCH_MEDIAN_H
#define TESTS_BENCH_MEDIAN_H

#include <stdlib.h>

static inline int median_compare(const void *a, const void *b)
{
        const double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

/* Sorts `values`, at least one. */
static inline double median(double *values, size_t n)
{
        qsort(values, n, sizeof *values, median_compare);
        return values[n / 2];
}

#endif
