/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-report.c - the report of a benchmark, for people or as JSON.
 *
 * In:     a result, and the figures that it comes to.
 * Out:    stdout.
 * Thread: one.
 */
#include "cli-bench.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

const char *const bench_scenario_names[BENCH_SCENARIO_MAX] = {
        [BENCH_SINGLE] = "single",
        [BENCH_MULTI] = "multi",
        [BENCH_SERVER] = "server",
        [BENCH_OFFLINE] = "offline",
};

/* ---- JSON ---- */

static json_t *number_or_null(double number)
{
        return isnan(number) ? json_null() : json_real(number);
}

static enum cli_exit report_json(const struct bench_plan *plan, const struct bench_result *result,
                                 const struct bench_figures *figures)
{
        const struct {
                const char *key;
                json_t *value; /* consumed */
        } members[] = {
                {"scenario", json_string(bench_scenario_names[plan->scenario])},
                {"clients", json_integer((json_int_t)plan->clients)},
                {"depth",
                 plan->scenario == BENCH_SERVER ? json_null() : json_integer((json_int_t)plan->depth)},
                {"rate", number_or_null(plan->scenario == BENCH_SERVER ? plan->rate : NAN)},
                {"seed", json_integer((json_int_t)plan->seed)},
                {"seconds", json_real(result->seconds)},
                {"jobs", json_integer((json_int_t)result->jobs)},
                {"refused", json_integer((json_int_t)result->refused)},
                {"expired", json_integer((json_int_t)result->expired)},
                {"unsent", json_integer((json_int_t)result->unsent)},
                {"failed", json_integer((json_int_t)result->failed)},
                {"jobs_per_s", number_or_null(figures->jobs_per_s)},
                {"gops", number_or_null(figures->gops)},
                {"p50_us", number_or_null(figures->p50_us)},
                {"p90_us", number_or_null(figures->p90_us)},
                {"p99_us", number_or_null(figures->p99_us)},
                {"p999_us", number_or_null(figures->p999_us)},
                {"jobs_per_submission", number_or_null(figures->jobs_per_submission)},
                {"rows_stacked", number_or_null(figures->rows_stacked)},
                {"padding_share", number_or_null(figures->padding_share)},
                {"backend", json_string(figures->backend)},
                {"device", json_string(figures->device)},
        };
        json_auto_t *object = json_object();
        _cleanup_(freep) char *text = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(members); i++)
                (void)json_object_set_new(object, members[i].key, members[i].value);
        if (json_object_size(object) == ARRAY_SIZE(members)) /* else memory ran out somewhere */
                text = json_dumps(object, JSON_REAL_PRECISION(9));
        if (!text)
                return cli_fail(CLI_FAILED, "out of memory; close something and try again");
        (void)puts(text);
        return CLI_DONE;
}

/* ---- for people ---- */

static void say_number(const char *label, double number, int decimals, const char *unit)
{
        if (isnan(number))
                cli_say("%-20s  -", label);
        else
                cli_say("%-20s  %.*f%s", label, decimals, number, unit);
}

static void report_text(const struct bench_plan *plan, const struct bench_result *result,
                        const struct bench_figures *figures)
{
        cli_say("%-20s  %s", "scenario", bench_scenario_names[plan->scenario]);
        cli_say("%-20s  %" PRIu64, "clients", plan->clients);
        if (plan->scenario == BENCH_MULTI || plan->scenario == BENCH_OFFLINE)
                cli_say("%-20s  %" PRIu64, "depth", plan->depth);
        else if (plan->scenario == BENCH_SERVER)
                cli_say("%-20s  %g jobs/s", "rate", plan->rate);
        cli_say("%-20s  %s: %s", "backend", figures->backend, figures->device);
        say_number("measured", result->seconds, 1, " s");
        cli_say("%-20s  %" PRIu64, "jobs", result->jobs);
        cli_say("%-20s  %" PRIu64, "  refused", result->refused);
        cli_say("%-20s  %" PRIu64, "  expired", result->expired);
        cli_say("%-20s  %" PRIu64, "  unsent", result->unsent);
        cli_say("%-20s  %" PRIu64, "  failed", result->failed);
        say_number("jobs/s", figures->jobs_per_s, 1, "");
        say_number("GOP/s", figures->gops, 2, "");
        say_number(plan->scenario == BENCH_MULTI ? "group latency, p50" : "latency, p50", figures->p50_us, 1,
                   " us");
        say_number("  p90", figures->p90_us, 1, " us");
        say_number("  p99", figures->p99_us, 1, " us");
        say_number("  p99.9", figures->p999_us, 1, " us");
        say_number("jobs per submission", figures->jobs_per_submission, 2, "");
        say_number("rows stacked", figures->rows_stacked, 0, "");
        say_number("padding share", figures->padding_share * 100, 1, " %");
}

enum cli_exit bench_report(const struct bench_plan *plan, const struct bench_result *result, bool as_json)
{
        struct bench_figures figures;
        enum cli_exit r = CLI_DONE;

        bench_figures_derive(result, &figures);
        if (as_json)
                r = report_json(plan, result, &figures);
        else
                report_text(plan, result, &figures);
        return r == CLI_DONE ? cli_finish_stdout() : r;
}
