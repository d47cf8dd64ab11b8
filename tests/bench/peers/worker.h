/* SPDX-License-Identifier: MIT */
/*
 * worker.h - a client process of bench-peers: does as it is told, and times it.
 *
 * Role:   the same loop, clock and check for every peer, so that what differs is the peer alone. A peer is four
 *         functions.
 * In:     lines on stdin:
 *             task M K N RESIDENT DEPTH FOLDER   get ready: operands and the product that must come are in the files
 *                                                a, b and c of FOLDER; RESIDENT is 1 where B is loaded once
 *             run START_NS END_NS                between these times keep DEPTH jobs outstanding
 * Out:    lines on stdout:
 *             ready                              at first, and after each task
 *             done JOBS P50_US P99_US WRONG      jobs that ended in time; how long they took, or
 *                                                where there are none, the first; how many slots'
 *                                                last products were not exact
 * Thread: one.
 *
 * tile_loop.py says the same in Python.
 */
#ifndef TESTS_BENCH_PEERS_WORKER_H
#define TESTS_BENCH_PEERS_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WORKER_DEPTH_MAX 64

struct worker_task {
        uint64_t m, k, n;
        bool is_resident;
        unsigned depth;  /* slots: each has one job outstanding at a time */
        const int8_t *a; /* m x k, borrowed until the next task, like b */
        const int8_t *b; /* k x n */
};

struct worker;

/* What goes wrong in these ends the process with a line on stderr. */
struct worker_ops {
        void (*prepare)(void *peer, const struct worker_task *task);
        void (*submit)(void *peer, unsigned slot);
        void (*wait)(void *peer, struct worker *worker); /* calls worker_done() once at least */
        int32_t *(*product)(void *peer, unsigned slot);  /* of its last job: m x n; may be scribbled on */
};

/* This slot's product is there; the next job may be submitted before this returns. */
void worker_done(struct worker *worker, unsigned slot);

/* Works until stdin ends. */
void worker_run(const struct worker_ops *ops, void *peer);

#ifdef __cplusplus
}
#endif

#endif
