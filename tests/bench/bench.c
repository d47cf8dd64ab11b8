/* SPDX-License-Identifier: MIT */
/* bench.c - see bench.h: options, results, rounds. */
#include "tests/bench/bench.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/table.h"
#include "tests/lib/process.h"

#define SECONDS_SMOKE 0.2
#define SECONDS_MAX   86400

enum { ROUNDS_LEAST = 5 };

enum { KEY_JSON = 0x200, KEY_SMOKE, KEY_SECONDS, KEY_DAEMON };

static const struct argp_option options[] = {
        {"json", KEY_JSON, NULL, 0, "Print one JSON object instead of tables", 0},
        {"smoke", KEY_SMOKE, NULL, 0, "Measure next to nothing, to see that it runs", 0},
        {"seconds", KEY_SECONDS, "S", 0, "Measure for about S seconds in all", 0},
        {"daemon", KEY_DAEMON, "PROGRAM", 0, "Measure this daemon (default: that of the build)", 0},
        {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
        struct bench *bench = state->input;
        char *end;

        switch (key) {
        case KEY_JSON:
                bench->as_json = true;
                return 0;
        case KEY_SMOKE:
                bench->smoke = true;
                bench->seconds = SECONDS_SMOKE;
                return 0;
        case KEY_SECONDS:
                bench->seconds = strtod(arg, &end);
                if (end == arg || *end != '\0' || !(bench->seconds > 0 && bench->seconds <= SECONDS_MAX))
                        argp_error(state, "--seconds=%s is out of range; give a number up to %d", arg,
                                   SECONDS_MAX);
                return 0;
        case KEY_DAEMON:
                bench->daemon = arg;
                return 0;
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

void bench_init(struct bench *bench, const char *name, const char *title, double seconds, int argc,
                char **argv)
{
        const struct argp argp = {.options = options, .parser = parse_option, .doc = title};

        *bench = (struct bench){
                .name = name,
                .title = title,
                .seconds = seconds,
                .daemon = NPUMM_BENCH_DAEMON,
                .notes = json_array(),
                .rows = json_array(),
                .charts = json_array(),
                .targets = json_array(),
        };
        (void)argp_parse(&argp, argc, argv, 0, NULL, bench);
        machine_begin(&bench->begin);
}

static void append(json_t *array, json_t *value)
{
        if (json_array_append_new(array, value) < 0)
                die(ENOMEM, "a result");
}

void bench_note(struct bench *bench, const char *format, ...)
{
        char text[512];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        append(bench->notes, json_string(text));
}

void bench_row(struct bench *bench, json_t *row)
{
        append(bench->rows, row);
}

void bench_chart(struct bench *bench, json_t *chart)
{
        append(bench->charts, chart);
}

void bench_put(json_t *row, const char *key, const struct summary *summary, const char *p99_key)
{
        char low[64], high[64];

        (void)snprintf(low, sizeof low, "%s_low", key);
        (void)snprintf(high, sizeof high, "%s_high", key);
        if (json_object_set_new(row, key, json_real(summary->median)) < 0 ||
            json_object_set_new(row, low, json_real(summary->low)) < 0 ||
            json_object_set_new(row, high, json_real(summary->high)) < 0 ||
            (p99_key && json_object_set_new(row, p99_key, json_real(summary->p99)) < 0))
                die(ENOMEM, "a result");
}

void bench_target(struct bench *bench, const char *name, double measured, const char *op, double bound)
{
        const bool is_measured = isfinite(measured);
        const bool holds = strcmp(op, "<=") == 0 ? measured <= bound : measured >= bound;

        append(bench->targets, json_pack("{s:s, s:o, s:f, s:s, s:o}", "name", name, "measured",
                                         is_measured ? json_real(measured) : json_null(), "bound", bound,
                                         "op", op, "holds", is_measured ? json_boolean(holds) : json_null()));
}

static void print_targets(const struct bench *bench)
{
        const json_t *target;
        size_t i;

        json_array_foreach(bench->targets, i, target)
        {
                const json_t *measured = json_object_get(target, "measured");

                (void)printf("%-10s %s: ",
                             !json_is_number(measured)                        ? "UNMEASURED"
                             : json_is_true(json_object_get(target, "holds")) ? "holds"
                                                                              : "MISSED",
                             json_string_value(json_object_get(target, "name")));
                if (json_is_number(measured))
                        (void)printf("%.3g, ", json_number_value(measured));
                (void)printf("bound %s %g\n", json_string_value(json_object_get(target, "op")),
                             json_number_value(json_object_get(target, "bound")));
        }
}

static void print_for_people(const struct bench *bench, const json_t *machine)
{
        const json_t *note;
        size_t i;

        (void)printf("%s: %s%s\n\n", bench->name, bench->title,
                     bench->smoke ? " (SMOKE RUN: no figures)" : "");
        table_print_pairs(stdout, machine);
        table_print_rows(stdout, bench->rows);
        json_array_foreach(bench->notes, i, note)(void)
                printf("%s- %s\n", i == 0 ? "\n" : "", json_string_value(note));
        (void)printf("\n");
        if (!bench->smoke)
                print_targets(bench);
}

int bench_finish(struct bench *bench)
{
        json_t *machine = machine_describe(&bench->begin);

        if (bench->as_json) {
                json_t *object =
                        json_pack("{s:s, s:s, s:b, s:f, s:O, s:O, s:O, s:O, s:O}", "benchmark", bench->name,
                                  "title", bench->title, "smoke", bench->smoke, "seconds", bench->seconds,
                                  "machine", machine, "notes", bench->notes, "rows", bench->rows, "charts",
                                  bench->charts, "targets", bench->targets);

                if (!object || json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) < 0)
                        die(ENOMEM, "the results");
                (void)printf("\n");
                json_decref(object);
        } else {
                print_for_people(bench, machine);
        }
        json_decref(machine);
        json_decref(bench->notes);
        json_decref(bench->rows);
        json_decref(bench->charts);
        json_decref(bench->targets);
        return fflush(stdout) == 0 ? 0 : 1;
}

struct rounds rounds_of(const struct bench *bench, double share)
{
        return (struct rounds){
                .least = bench->smoke ? 1 : ROUNDS_LEAST,
                .end_ns = bench->smoke ? 0 : now_ns() + (uint64_t)(share * bench->seconds * 1e9),
        };
}

bool rounds_next(struct rounds *rounds)
{
        if (rounds->n >= rounds->least && now_ns() >= rounds->end_ns)
                return false;
        rounds->n++;
        return true;
}
