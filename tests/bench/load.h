/* SPDX-License-Identifier: MIT */
/*
 * load.h - jobs of one client that sends the next as soon as one is answered.
 *
 * Role:   keeps `depth` jobs of one shape outstanding; depth 1 by the blocking call, as most programs do. Weights are
 *         resident, A and C in the arena, products int32.
 * In:     a daemon's socket. The weights of one shape are the same in all loads, so that they are shared.
 * Out:    latencies, each from submit to the callback. Products are compared with the oracle when it is opened.
 * Thread: one.
 * Owns:   the connection.
 *
 * Whatever goes wrong ends the program with a line on stderr.
 */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/samples.h"

enum { LOAD_DEPTH_MAX = 256, LOAD_STRETCH = 64 };

struct load;
struct npumm_client;

struct load_slot {
        struct load *load; /* borrowed: embeds us */
        int8_t *a;         /* borrowed: the client's arena, as c */
        int32_t *c;
        uint64_t start_ns;
};

struct load {
        struct npumm_client *client; /* owned */
        uint64_t m, k, n, weights;
        int8_t *b; /* owned: what the weights are */
        size_t depth, n_idle;
        struct load_slot slots[LOAD_DEPTH_MAX], *idle[LOAD_DEPTH_MAX];
        struct samples *latency_us; /* borrowed: of the run */
        struct samples
                pace_us; /* of the last run: microseconds a job, over each LOAD_STRETCH answers in a row */
        uint64_t n_in_stretch, stretch_ns;
};

struct load_spec {
        const char *socket_path;
        bool is_ring; /* rings in shared memory instead of the socket */
        uint64_t m, k, n;
        size_t depth; /* 1 .. LOAD_DEPTH_MAX */
};

/* False, and nothing is open: there are no rings. */
bool load_open(struct load *load, const struct load_spec *spec);

void load_close(struct load *load);

/*
 * Jobs for as long as fewer than `n_jobs` have been sent or `end_ns` lies ahead; returns when all are answered.
 * Latencies are appended to `latency_us`, unless that is NULL.
 */
void load_run(struct load *load, uint64_t n_jobs, uint64_t end_ns, struct samples *latency_us);

/* k x n, the same for each shape; malloc's, caller owns. And m x k. */
int8_t *load_weights_new(uint64_t k, uint64_t n);
int8_t *load_rows_new(uint64_t m, uint64_t k);

/* A setting of the running daemon. */
void load_set(struct load *load, const char *key, const char *value);

#endif
