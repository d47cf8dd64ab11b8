/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-figures.c - what the result of a benchmark comes to.
 *
 * In:     what the clients have counted; the daemon's status before and after: flat JSON objects, of which any
 *         key may be absent.
 * Out:    figures.
 * Thread: any; pure.
 */
#include "cli-bench.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#define MODEL "sim" /* the backend whose times are made up */

/* How much a counter has grown; NaN where the daemon has none of this name. */
static double growth(const json_t *before, const json_t *after, const char *key)
{
        const json_t *from = json_object_get(before, key), *to = json_object_get(after, key);

        if (!json_is_number(from) || !json_is_number(to))
                return NAN;
        return json_number_value(to) - json_number_value(from);
}

static double ratio(double a, double b)
{
        return b > 0 ? a / b : NAN;
}

static void word_copy(const json_t *status, const char *key, char *ret_word, size_t room)
{
        const char *word = json_string_value(json_object_get(status, key));

        (void)snprintf(ret_word, room, "%s", word ? word : "?");
}

static double quantile_us(const struct bench_latency *latency, unsigned permille)
{
        return latency->n == 0 ? NAN : (double)bench_latency_quantile_ns(latency, permille) / 1e3;
}

void bench_figures_derive(const struct bench_result *result, struct bench_figures *ret_figures)
{
        json_auto_t *before = json_loads(result->status_before, 0, NULL);
        json_auto_t *after = json_loads(result->status_after, 0, NULL);

        *ret_figures = (struct bench_figures){
                .jobs_per_s = ratio((double)result->jobs, result->seconds),
                .gops = ratio(2e-9 * (double)result->macs, result->seconds),
                .p50_us = quantile_us(&result->latency, 500),
                .p90_us = quantile_us(&result->latency, 900),
                .p99_us = quantile_us(&result->latency, 990),
                .p999_us = quantile_us(&result->latency, 999),
                .jobs_per_submission =
                        ratio(growth(before, after, "submission_jobs"), growth(before, after, "submissions")),
                .rows_stacked = growth(before, after, "rows_stacked"),
                .padding_share =
                        1 - ratio(growth(before, after, "macs"), growth(before, after, "padded_macs")),
        };
        word_copy(after, "backend", ret_figures->backend, sizeof ret_figures->backend);
        word_copy(after, "device", ret_figures->device, sizeof ret_figures->device);
        if (strcmp(ret_figures->backend, MODEL) == 0) {
                const size_t n = strlen(ret_figures->device);

                (void)snprintf(ret_figures->device + n, sizeof ret_figures->device - n,
                               "; these are figures of a model, not of hardware");
        }
}
