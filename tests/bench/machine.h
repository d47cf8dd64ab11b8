/* SPDX-License-Identifier: MIT */
/*
 * machine.h - the machine that a benchmark runs on: its clocks, its CPUs, what it is.
 *
 * Thread: one.
 */
#ifndef TESTS_BENCH_MACHINE_H
#define TESTS_BENCH_MACHINE_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* CPU time of all threads that a process has had, by the nanosecond. */
uint64_t cpu_ns(pid_t pid);

enum { BENCH_ANY_CPU = -1 };

/* CPUs that this process may use. */
unsigned cpu_count(void);

/* This thread, and what it starts from now on, to the `cpu`th of them, or back to all of them by BENCH_ANY_CPU. */
void cpu_pin(int cpu);

/* What all CPUs have done since the machine started. */
struct machine_ticks {
        double busy, stolen, all;
};

/*
 * The machine, in the terms of the results, and what share of it had other things to do since machine_begin(): figures
 * are worth little where that is much. Caller owns; once all other processes of the benchmark have been waited for.
 */
void machine_begin(struct machine_ticks *ret_begin);
json_t *machine_describe(const struct machine_ticks *begin);

#ifdef __cplusplus
}
#endif

#endif
