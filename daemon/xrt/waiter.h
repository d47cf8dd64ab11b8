/* SPDX-License-Identifier: MIT */
/*
 * waiter.h - waits for commands, so that the main thread need not.
 *
 * Role:   a thread that waits for started runs, one after the other, in slices of a few milliseconds and until their
 *         deadline; XRT has no other way to learn of an end. The only file with locks.
 * In:     runs, by the main thread, as they were started.
 * Out:    their ends, in that order, at a descriptor that can be polled.
 * Owns:   the thread and the descriptor.
 * Never:  touches a run that has ended, or any buffer.
 */
#ifndef DAEMON_XRT_WAITER_H
#define DAEMON_XRT_WAITER_H

#include "daemon/xrt/fault.h"

#define WAITER_RUNS_MAX 2 /* started and not yet popped */

struct waiter;

/* `timeout_ns`: what a command may take, from when it is alone at the head. Returns 0 or -errno. */
int waiter_new(uint64_t timeout_ns, struct waiter **ret_waiter);
/* Accepts NULL; waits for the thread, which waits for the run that it is at. For tests: the worker just exits. */
struct waiter *waiter_free(struct waiter *waiter);

/* Readable while there is an end to pop. */
int waiter_fd(const struct waiter *waiter);

void waiter_push(struct waiter *waiter, struct xrt_shim_run *run, uint64_t start_ns);

struct waiter_end {
        uint64_t start_ns, end_ns; /* as it was pushed; as it was seen */
        bool has_failed;
        struct xrt_fault fault; /* if so; nothing that was pushed after it is waited for */
};

/* The oldest end; false: there is none yet. */
bool waiter_pop(struct waiter *waiter, struct waiter_end *ret_end);

uint64_t waiter_now_ns(void);

#endif
