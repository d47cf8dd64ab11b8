/* SPDX-License-Identifier: MIT */
/*
 * pingpong.h - what this machine takes to go to another process and back, with nothing done there.
 *
 * Role:   the floor under every round trip to a daemon: 64 bytes through a unix stream socket, blocking reads and
 *         writes on both sides; or two words in shared memory, by futex(2) without spinning.
 * Thread: one.
 * Owns:   the other process.
 */
#ifndef TESTS_BENCH_PINGPONG_H
#define TESTS_BENCH_PINGPONG_H

struct pingpong;

enum pingpong_kind { PINGPONG_SOCKET = 0, PINGPONG_FUTEX, PINGPONG_KIND_MAX };

/* Starts the other process on `cpu` (bench.h). Before clients are connected: they do not outlive a fork. */
struct pingpong *pingpong_new(enum pingpong_kind kind, int cpu);

/* Ends it. NULL is allowed. Returns NULL. */
struct pingpong *pingpong_free(struct pingpong *pingpong);

/* There and back. */
void pingpong_go(struct pingpong *pingpong);

#endif
