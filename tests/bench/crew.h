/* SPDX-License-Identifier: MIT */
/*
 * crew.h - client processes that work when they are told to.
 *
 * Role:   starts processes with a load (load.h) each; has all of them work at once for a while, and says how it went.
 * Thread: one.
 * Owns:   the processes.
 *
 * The caller may have clients of its own connected meanwhile: the processes leave them alone.
 */
#ifndef TESTS_BENCH_CREW_H
#define TESTS_BENCH_CREW_H

#include <stdbool.h>
#include <sys/types.h>

#include "tests/bench/load.h"

enum { CREW_MAX = 64, CREW_MODES = 2 };

struct crew {
        size_t n;
        pid_t pids[CREW_MAX];
        int fds[CREW_MAX]; /* owned: to each */
};

/* Of one turn. */
struct crew_turn {
        double seconds; /* until the last answer */
        uint64_t n_jobs;
        uint64_t client_cpu_ns; /* of all of them */
        double p50_us, p99_us;  /* of the client whose p99 is the longest */
};

/* Of all turns of a mode. */
struct crew_client {
        double p50_us, p99_us;
};

/* All on `cpu` (bench.h). False, and there is none: no rings. */
bool crew_start(struct crew *crew, size_t n, int cpu, const struct load_spec *spec);

/* Works for `turn_ns`; its latencies go with those of the `mode`, less than CREW_MODES. */
struct crew_turn crew_work(struct crew *crew, size_t mode, uint64_t turn_ns);

/* Of each of the `crew->n` clients. */
void crew_ask(struct crew *crew, size_t mode, struct crew_client *ret_clients);

void crew_stop(struct crew *crew);

#endif
