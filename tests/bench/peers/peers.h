/* SPDX-License-Identifier: MIT */
/*
 * peers.h - who is compared in bench-peers, where and at what, and what was found.
 *
 * Role:   the tables, and the processes of a placement.
 * Thread: one.
 */
#ifndef TESTS_BENCH_PEERS_PEERS_H
#define TESTS_BENCH_PEERS_PEERS_H

#include "tests/bench/bench.h"
#include "tests/bench/peers/child.h"
#include "tests/lib/process.h"

enum { CLIENTS_MAX = 4, DEPTH_MAX = 16 };

enum server { SERVER_NONE = 0, SERVER_NPUMM, SERVER_GRPC, SERVER_GRPC_SYNC, SERVER_GRPC_OURS, SERVER_MAX };

enum peer_flags {
        SERVED = 1 << 0,        /* it has a server: latency, jobs/s, several clients */
        ALONE = 1 << 1,         /* part of the comparison with those that have none */
        ONE_AT_A_TIME = 1 << 2, /* it cannot have more outstanding */
        ONEDNN = 1 << 3,        /* gRPC as it would be used, in one of its ways */
};

enum {
        SOCKET,
        RING,
        GRPC_SYNC,
        GRPC,
        GRPC_RAW,
        GRPC_STREAM,
        GRPC_OURS,
        PYTHON_TILES,
        C_TILES,
        NUMPY_INT32,
        NUMPY_FLOAT32,
        PEER_MAX
};

/* One that has a server has a client process for each client, ours by each transport. */
struct peer {
        const char *name;
        enum server server;
        const char *program, *arguments[2]; /* behind the server's address */
        unsigned flags;                     /* enum peer_flags */
};
extern const struct peer peers[PEER_MAX];

enum place { ONE_CPU = 0, TWO_CPUS, PLACE_MAX };

struct place_cpus {
        const char *name;
        int server_cpu, client_cpu;
};
extern const struct place_cpus places[PLACE_MAX];

enum { TINY, ROW, LARGE, SHAPE_MAX };

struct shape {
        const char *name;
        uint64_t m, k, n;
        unsigned turn_ms; /* long enough for the slowest: 64 jobs one after the other */
};
extern const struct shape shapes[SHAPE_MAX];

struct condition {
        enum place place;
        unsigned shape;
        bool is_resident, is_alone; /* is_alone: peers that are no servers */
        unsigned n_clients, depth;
};

/* A peer under a condition. */
struct finding {
        struct condition condition;
        unsigned peer;
        struct samples us_p50, us_p99, per_s;          /* one a round, like all of these */
        struct samples latency_over[2], rate_under[2]; /* by SOCKET and RING */
        double this_us, this_per_s;                    /* of this round */
        bool is_exact;
};

struct peers_bench {
        struct bench bench;
        char folder[64];
        struct daemon_process daemon;
        struct child servers[SERVER_MAX];
        struct child clients[PEER_MAX][CLIENTS_MAX];
        struct finding *findings; /* owned */
        size_t n_findings;
};

/* Daemon, servers and clients; who lacks what it needs is not there: the pid of its first client is 0. */
void peers_start(struct peers_bench *bench, enum place place);
void peers_stop(struct peers_bench *bench);

/* Of a server of ours or not: where it listens, as gRPC wants it. */
void peers_address(const struct peers_bench *bench, enum server server, char *ret_text, size_t size);

/* verdict.c: targets, what readers must know, what to draw. */
void verdict_add(struct peers_bench *bench);

#endif
