/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what all benchmarks have in common: options, placement, the machine, a daemon, and the form of results.
 *
 * Role:   bench_init() - measure, bench_row(), bench_target() - bench_finish().
 * In:     argv: --json, --smoke, --seconds=S, --daemon=PROGRAM.
 * Out:    stdout: a table for people, or one JSON object. The exit code says whether it could be measured, never how
 *         the targets came out: that is the report's.
 * Thread: one.
 *
 * Results. Every benchmark prints the same object, so that tests/bench/report needs to know none of them:
 *
 *     {"benchmark": "roundtrip", "title": "what it measures, in a line", "smoke": false, "seconds": 20.0,
 *      "machine": {"cpu": "...", "cpus": 2, "kernel": "...", "others_cpu_percent": 0.4, ...},
 *      "notes": ["what a reader of the figures must know", ...],
 *      "rows": [{"placement": "one CPU", "shape": "1,512,512", "variant": "socket", "us_p50": 12.1,
 *                "us_p50_low": 12.0, "us_p50_high": 12.3, "us_p99": 15.0, ...}, ...],
 *      "charts": [{"title": "...", "x": "clients", "y": "us_p50", "by": "way", "split": "placement",
 *                  "where": {"part": "clients"}, "kind": "line", "x_label": "...", "y_label": "us", "log_x": true,
 *                  "log_y": false}, ...],
 *      "targets": [{"name": "...", "measured": 1.05, "bound": 1.07, "op": "<=", "holds": true}, ...]}
 *
 * Rows are flat: numbers, texts, truth values. Units end the key (_us, _ns, _mib, _per_s). The ends of an interval for
 * KEY are KEY_low and KEY_high. Rows may have different keys: those of like keys are one table. What could not be
 * measured is not there. A target that could not be measured has "measured": null and "holds": null. "charts" may be
 * left out, as may in them `by`, `split`, `where` and the logs: they say what the report draws, "line" of numbers or
 * "bar" of texts along x, a line or colour for each value of `by`, a chart for each value of `split`, from those rows
 * that have x and y and all that `where` says.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/machine.h"
#include "tests/bench/samples.h"

#ifdef __cplusplus
extern "C" {
#endif

struct daemon_process;

struct bench {
        const char *name; /* borrowed: literals */
        const char *title;
        bool as_json;
        bool smoke;         /* only to see that it runs: as little of everything as there can be */
        double seconds;     /* to measure for, about, in all */
        const char *daemon; /* the program; borrowed: argv or a literal */
        json_t *notes;      /* owned */
        json_t *rows;       /* owned */
        json_t *charts;     /* owned */
        json_t *targets;    /* owned */
        struct machine_ticks begin;
};

/* Reads argv, in which --help and mistakes end the program. `seconds`: where --seconds is not given. */
void bench_init(struct bench *bench, const char *name, const char *title, double seconds, int argc,
                char **argv);

void bench_note(struct bench *bench, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Consumes `row`, a flat object (json_pack). NULL: no memory, which ends the program. */
void bench_row(struct bench *bench, json_t *row);

/* Consumes `chart`, which is as above. */
void bench_chart(struct bench *bench, json_t *chart);

/* Adds KEY, KEY_low, KEY_high, and where `p99_key` is not NULL that one, to a row. */
void bench_put(json_t *row, const char *key, const struct summary *summary, const char *p99_key);

/* `op`: "<=" or ">=". NAN: could not be measured. */
void bench_target(struct bench *bench, const char *name, double measured, const char *op, double bound);

/* Prints it all and frees; returns the exit code. */
int bench_finish(struct bench *bench);

/*
 *     for (struct rounds rounds = rounds_of(bench, share); rounds_next(&rounds);)
 *
 * goes on for `share` (0..1) of the bench's seconds, and for 5 rounds at least; in a smoke run, for one. rounds.n
 * counts them, from 1; let what is compared take its turns in an order that changes with it.
 */
struct rounds {
        size_t n, least;
        uint64_t end_ns;
};
struct rounds rounds_of(const struct bench *bench, double share);
bool rounds_next(struct rounds *rounds);

/*
 * A daemon in a folder of its own, on `cpu` or BENCH_ANY_CPU, with these lines of configuration (or NULL); returns
 * when it is ready. The caller's own place is left as it was. daemon_process_stop() of tests/lib ends it.
 */
void bench_daemon_start(const struct bench *bench, struct daemon_process *process, int cpu,
                        const char *config_lines);

#ifdef __cplusplus
}
#endif

#endif
