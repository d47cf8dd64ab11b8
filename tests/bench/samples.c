/* SPDX-License-Identifier: MIT */
/* samples.c - see samples.h. */
#include "tests/bench/samples.h"

#include <math.h>
#include <stdlib.h>

#include "tests/lib/process.h"

enum { ROOM_FIRST = 64, INTERVAL_LEAST = 6 };

void samples_push(struct samples *samples, double value)
{
        if (samples->n == samples->room) {
                const size_t room = samples->room ? 2 * samples->room : ROOM_FIRST;
                double *values = reallocarray(samples->values, room, sizeof *values);

                if (!values)
                        die(0, "no memory for %zu samples", room);
                samples->values = values;
                samples->room = room;
        }
        samples->values[samples->n++] = value;
}

void samples_clear(struct samples *samples)
{
        samples->n = 0;
}

void samples_free(struct samples *samples)
{
        free(samples->values);
        *samples = (struct samples){0};
}

static int compare(const void *a, const void *b)
{
        const double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static double middle(const struct samples *sorted)
{
        const size_t half = sorted->n / 2;

        return sorted->n % 2 ? sorted->values[half] : (sorted->values[half - 1] + sorted->values[half]) / 2;
}

static double at_share(const struct samples *sorted, double share)
{
        const double rank = ceil(share * (double)sorted->n);

        return sorted->values[rank < 1 ? 0 : (size_t)rank - 1];
}

static void sort(struct samples *samples)
{
        if (samples->n > 0)
                qsort(samples->values, samples->n, sizeof *samples->values, compare);
}

struct summary samples_summarize(struct samples *samples)
{
        const size_t n = samples->n;
        size_t below = 0; /* values left out on either side of the interval */

        if (n == 0)
                return (struct summary){0};
        sort(samples);
        if (n >= INTERVAL_LEAST) {
                const double rank = floor((double)n / 2 - 0.98 * sqrt((double)n));

                below = rank < 1 ? 0 : (size_t)rank - 1; /* ranks count from 1 */
        }
        return (struct summary){
                .n = n,
                .median = middle(samples),
                .p99 = at_share(samples, 0.99),
                .low = samples->values[below],
                .high = samples->values[n - 1 - below],
        };
}

double samples_median(struct samples *samples)
{
        sort(samples);
        return samples->n > 0 ? middle(samples) : 0;
}

double samples_quantile(struct samples *samples, double share)
{
        sort(samples);
        return samples->n > 0 ? at_share(samples, share) : 0;
}

void fit_line_weighted(const double *x, const double *y, const double *weights, size_t n, double *ret_start,
                       double *ret_slope)
{
        double sum = 0, x_mean = 0, y_mean = 0, xx = 0, xy = 0;

        for (size_t i = 0; i < n; i++)
                sum += weights ? weights[i] : 1;
        for (size_t i = 0; i < n; i++) {
                const double share = (weights ? weights[i] : 1) / sum;

                x_mean += share * x[i];
                y_mean += share * y[i];
        }
        for (size_t i = 0; i < n; i++) {
                const double share = (weights ? weights[i] : 1) / sum;

                xx += share * (x[i] - x_mean) * (x[i] - x_mean);
                xy += share * (x[i] - x_mean) * (y[i] - y_mean);
        }
        *ret_slope = xy / xx;
        *ret_start = y_mean - *ret_slope * x_mean;
}

void fit_line(const double *x, const double *y, size_t n, double *ret_start, double *ret_slope)
{
        fit_line_weighted(x, y, NULL, n, ret_start, ret_slope);
}
