/* SPDX-License-Identifier: MIT */
/*
 * xrt-breaker.h - whether the NPU is to be trusted, and when to try it again.
 *
 * Role:   counts faults, and says after each how long to wait before the next worker: not at all after a first one,
 *         longer and longer where they repeat. While it is open the CPU serves.
 * In:     causes and times. Out: states for people, and times.
 * Thread: any; pure.
 *
 * It opens for a cause that a new worker does not heal, and at the third fault within BREAKER_WINDOW_NS; and whoever
 * starts workers starts none while two cannot be ended, since each of them still holds a context. It closes when a
 * worker has started and passed its self-test; faults that came before count on until they are old.
 */
#ifndef DAEMON_DEVICE_XRT_BREAKER_H
#define DAEMON_DEVICE_XRT_BREAKER_H

#include "daemon/device.h"
#include "daemon/device/xrt-cause.h"

#define BREAKER_FAULTS    3
#define BREAKER_WINDOW_NS UINT64_C(60000000000) /* faults further apart are none of each other's business */
#define BREAKER_TIMES_MAX 32                    /* the longest wait, in times of the first */
#define BREAKER_UNENDED   2 /* so many killed workers that are still there, and no other is started */

struct xrt_breaker {
        uint64_t first_wait_ns;             /* once open, before it is tried again; doubles */
        uint64_t faults_ns[BREAKER_FAULTS]; /* the last ones, in a ring */
        size_t n_faults;                    /* ever */
        uint64_t wait_ns;                   /* before the last try since it was open; 0: it was not */
};

struct xrt_verdict {
        enum device_state state;
        uint64_t try_ns; /* when a new worker is to be started */
};

void xrt_breaker_init(struct xrt_breaker *breaker, uint64_t first_wait_ns);

/* A worker, or the start of one, has failed. */
struct xrt_verdict xrt_breaker_fault(struct xrt_breaker *breaker, enum wire_cause cause, uint64_t now_ns);

/* A batch is done. Long after the last fault the next waits begin anew. */
void xrt_breaker_worked(struct xrt_breaker *breaker, uint64_t now_ns);

#endif
