/* SPDX-License-Identifier: MIT */
/*
 * stub-daemon.h - a daemon for one client, which says whatever the test wants said: for libnpumm to meet what
 * the real daemon never does.
 *
 * Role:   accepts one connection on a socket of its own and runs the test's script on it, on a thread of its
 *         own.
 * In:     the client's frames, taken one by one. Their form is asserted: libnpumm is never in the wrong.
 * Out:    whatever the script says; nothing is computed.
 * Thread: scripts run on the stub's. The test may read counters and change options while the stub waits for
 *         the client's next frame: what the two then send each other puts their accesses in order.
 * Owns:   thread, sockets, the frame taken last.
 *
 * What cannot go wrong in a sound test ends the program with an assertion: Check's own do not work off its
 * thread.
 */
#ifndef TESTS_FAKE_STUB_DAEMON_H
#define TESTS_FAKE_STUB_DAEMON_H

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>

#include "proto/message.h"

#define STUB_ARENAS_MAX 1000 /* arenas that stub_serve() makes, in all */
#define STUB_WEIGHTS    (UINT64_C(0xfedcba98) << 32)

struct stub_daemon;

/* One conversation; the connection is closed when it returns. */
typedef void (*stub_script_fn)(struct stub_daemon *stub);

/* Answers stub->frame in place of stub_serve(); false: it has not, stub_serve() shall. */
typedef bool (*stub_frame_fn)(struct stub_daemon *stub);

struct stub_options {
        stub_script_fn script;    /* NULL: stub_obey */
        stub_frame_fn frame_fn;   /* NULL: stub_serve() answers everything */
        void *userdata;           /* borrowed: the test's */
        struct limits limits;     /* of WELCOME; all 0: some that are never in the way */
        uint64_t arena_bytes_max; /* of all arenas together, for stub_serve(); 0: no limit */
        size_t drip_bytes;        /* of one send, so that the client gets frames in pieces; 0: all at once */
        bool speaks_1_0;          /* as a daemon of the first version; else what this tree speaks */
};

/* The frame taken last; valid until the next is taken. */
struct stub_frame {
        struct frame_header header;
        struct request request;
        uint8_t *payload; /* owned; NULL when there is none, or the script has it left to it */
};

struct stub_daemon {
        struct stub_options options;
        char socket_path[64];
        struct stub_frame frame;
        /* What stub_serve() has seen and done. */
        unsigned n_matmuls, n_arenas, n_released, n_loads, n_loads_released, n_sets;
        uint64_t arena_bytes;                           /* of all arenas that are not released */
        uint64_t arena_size_bytes[STUB_ARENAS_MAX + 1]; /* by number, from 1 on; also of those released */
        /* Its own affair. */
        char directory[48];
        int listener_fd, fd; /* owned */
        struct frame_decoder decoder;
        pthread_t thread;
        sem_t rests, go;
};

/* Listens, and waits for a client on a thread of its own. */
struct stub_daemon *stub_daemon_start(const struct stub_options *options);

/* Ends and frees it. Its client must have been closed, or never have come; else this waits for that. */
void stub_daemon_stop(struct stub_daemon *stub);

/* The script waits for the test's word; the test gives it, and may wait until the script waits. */
void stub_await_go(struct stub_daemon *stub);
void stub_go(struct stub_daemon *stub);
void stub_await_rest(struct stub_daemon *stub);

/* ---- listening; false: the client has hung up ---- */

/* Takes a whole frame, or a frame without its payload, into stub->frame. */
bool stub_take(struct stub_daemon *stub);
bool stub_take_head(struct stub_daemon *stub);

/* The next bytes of the payload that stub_take_head() has left. */
bool stub_take_payload(struct stub_daemon *stub, uint8_t *ret_bytes, uint64_t n_bytes);

/* Takes whatever comes until the client hangs up. */
void stub_take_all(struct stub_daemon *stub);

/* ---- speaking; a client that has hung up is no error ---- */

void stub_say(struct stub_daemon *stub, const struct reply *reply);

/* The same with a payload, and with a descriptor unless `fd` is -1; it stays the caller's. */
void stub_say_more(struct stub_daemon *stub, const struct reply *reply, const void *payload,
                   uint64_t payload_bytes, int fd);

void stub_say_rows(struct stub_daemon *stub, uint64_t job, uint64_t first_row, uint64_t rows,
                   const void *payload, uint64_t payload_bytes);
void stub_say_outcome(struct stub_daemon *stub, enum frame_type type, uint64_t id, enum status status,
                      const char *text);

/* No frame at all, or not a proper one. */
void stub_say_bytes(struct stub_daemon *stub, const void *bytes, size_t n_bytes);
void stub_say_header(struct stub_daemon *stub, const struct frame_header *header);

/* ---- ways to behave ---- */

/* Takes HELLO and welcomes the client; false: it has hung up. */
bool stub_welcome(struct stub_daemon *stub);

/*
 * What follows the welcome at a good daemon without a device: it makes and releases arenas, loads and releases
 * weights (the n-th are STUB_WEIGHTS + n), answers PING and SET, ends a cancelled job as CANCELLED and any
 * other at once as done, with a product of zeros; until the client hangs up.
 */
void stub_serve(struct stub_daemon *stub);

/* The answer to ARENA_CREATE that was taken. */
void stub_make_arena(struct stub_daemon *stub);

/* Welcome and service together. */
void stub_obey(struct stub_daemon *stub);

/* Anonymous memory with these seals (F_SEAL_*), as arenas are made of. The caller closes it. */
int stub_memory(uint64_t size_bytes, int seals);
#define STUB_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#endif
