/* SPDX-License-Identifier: MIT */
/*
 * xrt-shim.h - XRT's place taken by the model of the array: daemon/xrt/xrt-shim.h once more, without XRT.
 *
 * Role:   the worker's engine as a whole, tested where there is no XRT. The device sees a memory of its own, which
 *         transfers alone move, so that a transfer that is missing is found; and whatever must not be done while a
 *         command is in flight ends the program.
 * In:     faults, from the test.
 * Thread: as the real one. Counters are read while nothing is in flight.
 *
 * A MODEL: see tests/npu/array-model.h.
 */
#ifndef TESTS_FAKE_XRT_SHIM_H
#define TESTS_FAKE_XRT_SHIM_H

#include "daemon/npu/stream64.h"
#include "daemon/xrt/xrt-shim.h"

#define FAKE_XRT_OBJECTS (XRT_SHIM_ARGS + 1) /* and of instructions */

enum fake_xrt_fault {
        FAKE_XRT_NONE = 0,
        FAKE_XRT_STATE, /* it ends in state `value` */
        FAKE_XRT_HANG,  /* it never ends */
        FAKE_XRT_IDLE,  /* COMPLETED, and nothing was computed */
        FAKE_XRT_WRONG, /* COMPLETED, and a bit of C is wrong */
        FAKE_XRT_START, /* starting it throws errno `value` */
        FAKE_XRT_WAIT,  /* waiting for it does */
};

struct fake_xrt {
        enum fake_xrt_fault fault;
        uint64_t at; /* the command that it happens to, from 1 on; 0: all of them */
        int value;
        uint64_t bytes_most;             /* of all buffer objects: more is ENOMEM; 0: no limit */
        unsigned deaf[FAKE_XRT_OBJECTS]; /* transfers to the device of this argument do nothing */
        bool is_deaf_from;               /* those from the device */
        uint64_t n_held;                 /* no command ends before so many were started */
        uint64_t n_commands, n_in_flight_most;
        uint64_t n_to[FAKE_XRT_OBJECTS], n_from; /* transfers */
        uint64_t bytes;                          /* of all buffer objects now */
};

extern struct fake_xrt fake_xrt;

/* A new device, and new counters. What the last one had must have been freed. */
struct xrt_shim_device *fake_xrt_open(void);
void fake_xrt_close(void);
/* After a fault: what is in flight is no longer. Nobody may wait for it. */
void fake_xrt_abandon(void);
/* Flips a bit of the last command's stream, where the host has it. */
void fake_xrt_spoil_stream(void);

#endif
