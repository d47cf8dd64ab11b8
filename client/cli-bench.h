/* SPDX-License-Identifier: MIT */
/*
 * cli-bench.h - a benchmark: what is asked for, what came of it.
 *
 * Role:   the structs that go from options to measurement to report; what client processes and the one that
 *         watches over them share.
 *
 * Design notes. Each client is a process of its own, as the programs that share a daemon are: it is forked before
 * anything is connected, loads its weights, says that it is ready, and waits for the gate. When all are ready the
 * watcher sets the times and opens the gate; from then on nobody needs to talk: clients read the time and write
 * down what happens in a part of shared memory that is theirs alone, until they exit. Whoever dies without
 * having said why is seen by its watcher.
 *
 *   start          measure                                  end
 *     |-- warm-up --|-- status --- ...measured... --- status --|-- what is still outstanding --|
 *
 * A job counts towards jobs, GOP/s, refused and expired when it ends between `measure` and `end`, and its latency
 * counts when it was due in between, even if it ends later: a job that takes long is not left out for that. What was
 * due in between and could not even be sent has no latency; it is counted as unsent, and said to the user.
 */
#ifndef CLIENT_CLI_BENCH_H
#define CLIENT_CLI_BENCH_H

#include <stdatomic.h>
#include <time.h>

#include "cli.h"
#include "cli-bench-latency.h"
#include "cli-bench-shapes.h"

enum bench_scenario {
        BENCH_SINGLE = 0, /* each client has one job outstanding */
        BENCH_MULTI,      /* each client sends a group, and the next when all of it has ended */
        BENCH_SERVER,     /* jobs are due at random times, whatever has become of those before */
        BENCH_OFFLINE,    /* each client has `depth` jobs outstanding */
        BENCH_SCENARIO_MAX
};

enum bench_verify { BENCH_VERIFY_SAMPLE = 0, BENCH_VERIFY_ALL, BENCH_VERIFY_NONE };

struct bench_plan {
        enum bench_scenario scenario;
        uint64_t clients;
        uint64_t depth;  /* MULTI, OFFLINE; else 1 */
        double rate;     /* SERVER: jobs a second, of all clients */
        double think_us; /* SINGLE: mean pause behind an answer */
        double seconds, warmup_s;
        struct bench_shapes shapes; /* owned */
        enum npumm_output output;
        enum npumm_class job_class;
        uint64_t deadline_us;
        bool is_inline;
        bool own_b; /* B is an operand of each job; else weights */
        enum bench_verify verify;
        uint64_t seed;
};

/* ---- what a client process writes and its watcher reads ---- */

enum bench_state { BENCH_STARTING = 0, BENCH_READY, BENCH_FINISHED, BENCH_FAILED };

struct bench_tally {
        _Atomic int state;         /* enum bench_state; the rest is complete in the last two */
        enum cli_exit code;        /* FAILED: for the program's end, */
        char text[BENCH_TEXT_MAX]; /* with these words */
        _Atomic uint64_t jobs, macs, refused, expired, unsent;
        _Atomic uint64_t failed;      /* at whatever time, so that none goes unseen */
        char failure[NPUMM_TEXT_MAX]; /* of the first of them */
        struct bench_latency latency; /* of jobs; MULTI: of groups */
};

struct bench_shared {
        uint64_t start_ns, measure_ns; /* on the monotonic clock; set before the gate is opened */
        _Atomic uint64_t end_ns;       /* comes nearer when the user has seen enough */
        struct bench_tally tallies[];  /* one of each client */
};

/* What a client process needs to know of its world. */
struct bench_client_options {
        const struct bench_plan *plan;
        const struct cli_common *common;
        struct bench_shared *shared;
        size_t number;         /* of this client */
        int8_t *const *bs;     /* each B, row-major */
        int ready_fd, gate_fd; /* say that we are ready; reads as ended when the gate is open */
};

/* All that a client process does; its tally says how it ended. */
void bench_client_run(const struct bench_client_options *options);

static inline uint64_t bench_now_ns(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock exists, the pointer is good */
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- a measurement ---- */

struct bench_result {
        double seconds; /* measured */
        uint64_t jobs, macs, refused, expired, unsent, failed;
        char failure[NPUMM_TEXT_MAX]; /* of a job that failed, if any */
        struct bench_latency latency;
        char *status_before, *status_after; /* owned: the daemon's, as JSON, from around the interval */
};

/*
 * Runs `plan` against the daemon. Shows progress on a terminal's stderr; SIGINT and SIGTERM end it early, and what
 * was measured until then is the result. May be called again. CLI_DONE, or a failure whose line is written; only
 * then `ret_result` needs no bench_result_deinit().
 */
enum cli_exit bench_measure(const struct cli_common *common, const struct bench_plan *plan,
                            struct bench_result *ret_result);

void bench_result_deinit(struct bench_result *result);

/* ---- the report ---- */

/* What a result comes to. NaN: it cannot be told, since the daemon does not say or nothing was counted. */
struct bench_figures {
        double jobs_per_s, gops;
        double p50_us, p90_us, p99_us, p999_us;
        double jobs_per_submission, rows_stacked, padding_share;
        char backend[64], device[256]; /* in the daemon's words */
};

void bench_figures_derive(const struct bench_result *result, struct bench_figures *ret_figures);

/* Writes them to stdout: as one JSON object, or for people. */
enum cli_exit bench_report(const struct bench_plan *plan, const struct bench_result *result, bool as_json);

/*
 * Writes what each shape's product takes of an NPU, the original wrapper's way and batched, by models: as one JSON
 * array, or as tables.
 */
enum cli_exit bench_origin_table(const struct bench_shapes *shapes, bool as_json);

extern const char *const bench_scenario_names[BENCH_SCENARIO_MAX];

#endif
