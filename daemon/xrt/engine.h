/* SPDX-License-Identifier: MIT */
/*
 * engine.h - batches in, commands to the device, matrices back.
 *
 * Role:   plans each stack, packs, submits, and unpacks; two commands at most are in flight, so that one is packed
 *         while another runs. What ../../xclbin/README.md, section 8, asks of a submitter is done here.
 * In:     batches whose places were checked.
 * Out:    C in their regions, and what it took, batch by batch in order. A fault is the end: the worker says it and
 *         exits.
 * Thread: main; only the waiter has another.
 * Owns:   buffer objects, runs, the waiter.
 *
 * Design notes
 * - A submission has a slot: A, C and streamed B of its own, and a run. The slot is busy from when it is packed until
 *   its C was unpacked; a buffer object grows, or is written, only while its slot is not busy.
 * - Weights are in an object that every run has. Packing one writes a range that no batch inside uses; growing makes a
 *   new object and waits until nothing is in flight.
 * - Clients' memory is touched inside the gate alone, in pieces: one submission, 16 MiB of weights, some rows of a
 *   product for the CPU.
 */
#ifndef DAEMON_XRT_ENGINE_H
#define DAEMON_XRT_ENGINE_H

#include "daemon/xrt/work.h"

enum engine_check { ENGINE_CHECK_OFF = 0, ENGINE_CHECK_SAMPLE, ENGINE_CHECK_ALWAYS, ENGINE_CHECK_MAX };

#define ENGINE_SAMPLE          64 /* one submission in so many is checked, at random */
#define ENGINE_WEIGHTS_DEFAULT (UINT64_C(1) << 30)
#define ENGINE_WEIGHTS_FIRST   (UINT64_C(16) << 20)
#define ENGINE_TIMEOUT_MS      5000

struct engine_options {
        struct xrt_shim_device *device; /* borrowed: outlives us; with a context */
        enum stream64_flow flow;
        enum engine_check check;
        uint64_t timeout_ns;          /* of a command */
        uint64_t weights_bytes;       /* the most for packed weights, a multiple of WEIGHTS_ALIGN; */
        uint64_t weights_first_bytes; /* and what they have to begin with, another */
        struct wire_gate *gate;       /* borrowed: outlives us */
};

struct engine;

int engine_new(const struct engine_options *options, struct engine **ret_engine, struct xrt_fault *ret_fault);
/* Accepts NULL. The device may have nothing of it any more. For tests: the worker just exits. */
struct engine *engine_free(struct engine *engine);

/* Readable while engine_reap has something to do. */
int engine_fd(const struct engine *engine);

/* A batch to fill in and to push; NULL: WIRE_BATCHES_MAX are inside. */
struct work *engine_room(struct engine *engine);
void engine_push(struct engine *engine);

/* Whether a batch inside names the region. */
bool engine_names_region(const struct engine *engine, uint64_t id);
/* The region is about to go; no batch inside names it. */
void engine_forget(struct engine *engine, struct mapping *region);

/* Does one piece of what can be done now: starts a command, or computes for the CPU. */
int engine_step(struct engine *engine, bool *ret_has_stepped, struct xrt_fault *ret_fault);
/* Takes over one command that has ended, if there is one. */
int engine_reap(struct engine *engine, struct xrt_fault *ret_fault);
/*
 * Whether a command is in flight, and then whether the waiter should long have given it up: it waits in short slices,
 * but a wait may never come back.
 */
bool engine_is_waiting(const struct engine *engine, bool *ret_is_overdue);
/* The oldest batch, if all of it is done. */
bool engine_pop(struct engine *engine, struct wire_done *ret_done);

#endif
