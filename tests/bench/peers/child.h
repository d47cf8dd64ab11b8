/* SPDX-License-Identifier: MIT */
/*
 * child.h - the processes of bench-peers: servers, and clients that do as they are told (worker.h).
 *
 * Role:   starts them where they are to run, talks to them in lines, ends them.
 * Thread: one.
 *
 * A process that ends unasked ends the program with a line on stderr, but for one that says by its exit code 77, before
 * its first answer, that it lacks what it needs.
 */
#ifndef TESTS_BENCH_PEERS_CHILD_H
#define TESTS_BENCH_PEERS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct child {
        char name[32];   /* for people */
        pid_t pid;       /* 0: there is none */
        FILE *to, *from; /* owned */
};

/* Starts argv[0] with stdin and stdout for us, on the `cpu`th CPU; argv ends with NULL. */
void child_start(struct child *child, int cpu, const char *const *argv);

void child_tell(struct child *child, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Waits for the line "ready". False: it has ended with 77, and is no more. */
bool child_await_ready(struct child *child);

/* What a client did in one run. */
struct child_result {
        uint64_t n_jobs;
        double us_p50, us_p99;
        unsigned n_wrong;
};
void child_await_result(struct child *child, struct child_result *ret_result);

/* Ends it. Nothing happens where there is none. */
void child_stop(struct child *child);

#endif
