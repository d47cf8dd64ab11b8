/* SPDX-License-Identifier: MIT */
/*
 * sweep.h - the cost of a job at points along one axis.
 *
 * Role:   goes up, then down the axis, again and again, and measures a turn at each point.
 * In:     points; how to get to one, and whose jobs are measured there.
 * Out:    for each point medians over sweeps of what a job costs, and of its ratio to the first point's in the same
 *         sweep; rows and targets.
 * Thread: one.
 */
#ifndef TESTS_BENCH_SWEEP_H
#define TESTS_BENCH_SWEEP_H

#include <stdbool.h>
#include <sys/types.h>

#include "tests/bench/bench.h"
#include "tests/bench/load.h"

enum { SWEEP_POINTS_MAX = 12 };

struct sweep_point {
        double x;
        struct samples us, cpu_us;             /* a job, a turn each */
        struct samples us_ratio, cpu_us_ratio; /* over the first point's in the same sweep */
};

struct sweep {
        const char *part; /* borrowed: literals, as all texts */
        const char *axis;
        double share;  /* of the time */
        bool by_pace;  /* time a job while others are under way, not round trips */
        bool may_fall; /* flat: no point lies above one before it; else none lies far from the first */
        size_t n;
        struct sweep_point points[SWEEP_POINTS_MAX];
        struct load *(*go_to)(void *world, size_t point); /* returns whose jobs are measured */
        void *world;                                      /* borrowed */
};

/* `daemon`: whose CPU time it is. */
void sweep_run(const struct bench *bench, struct sweep *sweep, pid_t daemon);

void sweep_report(struct bench *bench, struct sweep *sweep);

/* Whether it is flat, and the line through it. */
void sweep_judge(struct bench *bench, struct sweep *sweep);

void sweep_free(struct sweep *sweep);

#endif
