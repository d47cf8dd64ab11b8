/* SPDX-License-Identifier: MIT */
/*
 * xrt-cause.h - what can be wrong with an NPU, and what to do about it.
 *
 * Role:   a table: for each cause what it means, whether time may heal it, and advice for an administrator.
 * Thread: any; constant.
 */
#ifndef DAEMON_DEVICE_XRT_CAUSE_H
#define DAEMON_DEVICE_XRT_CAUSE_H

#include "daemon/xrt/wire.h"

/* How the breaker takes it. */
enum xrt_gravity {
        XRT_PASSING = 0, /* a new worker may be all that it needs */
        XRT_LASTING,     /* trying at once is of no use, later may be */
        XRT_GRAVE,       /* the same, and somebody has to do something first */
};

struct xrt_cause_info {
        const char *name; /* one word, for status */
        const char *text; /* what it means */
        const char *advice;
        enum xrt_gravity gravity;
};

const struct xrt_cause_info *xrt_cause_info(enum wire_cause cause);

#endif
