/* SPDX-License-Identifier: MIT */
/*
 * engine-internal.h - what the files of the engine share: engine.c, submission.c, residents.c.
 *
 * Thread: main.
 */
#ifndef DAEMON_XRT_ENGINE_INTERNAL_H
#define DAEMON_XRT_ENGINE_INTERNAL_H

#include "daemon/npu/stream64-verify.h"
#include "daemon/xrt/engine.h"
#include "daemon/xrt/freivalds.h"
#include "daemon/xrt/streams.h"
#include "daemon/xrt/waiter.h"

#define ENGINE_SLOTS WAITER_RUNS_MAX

/* A buffer object. */
struct object {
        struct xrt_shim_buffer *buffer; /* owned */
        uint8_t *bytes;                 /* where the host sees it; owned with it */
        uint64_t size_bytes;
};

/* One command: packed, in flight, or free. */
struct submission {
        struct object objects[STREAM64_ARG_MAX]; /* that of weights is the engine's, and not here */
        struct xrt_shim_run *run;                /* owned */
        bool is_in_flight;
        uint64_t start_ns;
        struct work *work; /* borrowed: stays until it has no commands in flight */
        struct stream64_batch batch;
        struct stream64_part parts[STREAM64_JOBS_MAX];
        size_t stream; /* taken */
};

struct engine {
        struct engine_options options;
        struct waiter *waiter; /* owned */
        struct submission submissions[ENGINE_SLOTS];
        uint64_t n_started, n_reaped; /* commands: number i has submissions[i modulo ENGINE_SLOTS] */
        uint64_t reaped_ns;           /* when the last one had ended */
        struct object instructions[STREAMS_MAX];
        struct streams streams;
        struct object weights;
        struct weights_pool pool;
        struct work works[WIRE_BATCHES_MAX]; /* number i is at i modulo WIRE_BATCHES_MAX */
        uint64_t n_pushed, n_popped;
        struct freivalds freivalds;
        struct txn_check txn_check;                   /* scratch */
        struct pack_part pack_parts[WIRE_SLICES_MAX]; /* scratch */
};

/* ---- engine.c ---- */

/* Clients' memory may be touched in between. Does not return if the daemon has taken it back. */
void engine_enter(struct engine *engine);
void engine_leave(struct engine *engine);

/* All that the host wrote is in memory before, and nothing is read before it has come: see ../../xclbin/README.md. */
int object_sync(struct object *object, enum xrt_shim_direction direction, uint64_t offset_bytes,
                uint64_t n_bytes, struct xrt_fault *ret_fault);
/* Makes it at least so large, if it is not; what was in it is lost. It may not be in flight. */
int object_reserve(struct engine *engine, struct object *object, unsigned arg, uint64_t n_bytes,
                   struct xrt_fault *ret_fault);

/* ---- submission.c ---- */

/* The next command of the work, if it has one; ret_has_started. A slot must be free. */
int submission_start(struct engine *engine, struct work *work, bool *ret_has_started,
                     struct xrt_fault *ret_fault);
/* C of one that has COMPLETED: looked at, and unpacked. */
int submission_finish(struct engine *engine, struct submission *submission, struct xrt_fault *ret_fault);

/* ---- residents.c ---- */

int residents_init(struct engine *engine, struct xrt_fault *ret_fault);
/*
 * Packs the weights of a batch that are worth it and have room, one matrix or one growth of their object at a time.
 * False in ret_is_placed: call it again, at once if ret_has_stepped, else when nothing is in flight.
 */
int residents_place(struct engine *engine, struct work *work, bool *ret_is_placed, bool *ret_has_stepped,
                    struct xrt_fault *ret_fault);
/* The batch is done. */
void residents_leave(struct work *work);

#endif
