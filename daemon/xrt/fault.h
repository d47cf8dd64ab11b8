/* SPDX-License-Identifier: MIT */
/*
 * fault.h - what goes wrong with the device, in the terms of wire.h.
 *
 * Role:   every fault of the worker is one of these, made where it is seen and handed up to main, which says it to the
 *         daemon and ends the process.
 * Thread: any; plain data.
 * Owns:   nothing.
 */
#ifndef DAEMON_XRT_FAULT_H
#define DAEMON_XRT_FAULT_H

#include "daemon/xrt/wire.h"
#include "daemon/xrt/xrt-shim.h"

struct xrt_fault {
        enum wire_cause cause;
        int error; /* errno, or 0 */
        char text[WIRE_TEXT_MAX];
};

/* Positive result of what can fail so; ret_fault then says how. */
enum { XRT_E_SUCCESS = 0, XRT_E_FAULT };

/* What was being done when XRT threw. */
enum xrt_where {
        XRT_OPEN = 0, /* the device */
        XRT_PROGRAM,  /* its program read and registered */
        XRT_CONTEXT,  /* a context for it, and what runs in it */
        XRT_MEMORY,   /* a buffer object */
        XRT_SYNC,     /* a transfer */
        XRT_START,    /* a command */
        XRT_WAIT,     /* its end */
        XRT_WHERE_MAX
};

/* Both return XRT_E_FAULT, so that `return` can stand before them. */
_printf_(4, 5) int xrt_fault_set(struct xrt_fault *ret_fault, enum wire_cause cause, int error,
                                 const char *format, ...);
int xrt_fault_thrown(struct xrt_fault *ret_fault, enum xrt_where where, const struct xrt_shim_error *thrown);

#endif
