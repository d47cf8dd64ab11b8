/* SPDX-License-Identifier: MIT */
/*
 * xrt-shim.h - XRT, as much of it as the worker uses, for C.
 *
 * Role:   device, program, context, buffer objects and runs as opaque structs. XRT has no C functions for contexts, and
 *         says by exceptions what goes wrong: xrt-shim.cpp catches every one.
 * In:     calls from C. Out: 0, or XRT_SHIM_E_THROWN with what was thrown.
 * Thread: the main thread, but for xrt_shim_run_wait, that a second one may be in: not for a run that the main thread
 *         has in its hands.
 * Owns:   what it returns belongs to the caller. A device is never closed and a run never freed: destructors of XRT
 *         wait, or abort the process. Both end with it.
 */
#ifndef DAEMON_XRT_XRT_SHIM_H
#define DAEMON_XRT_XRT_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define XRT_SHIM_TEXT_MAX 200
#define XRT_SHIM_INFO_MAX 16384
#define XRT_SHIM_ARGS     4 /* buffer objects of a run: enum stream64_arg */

/* Positive results. */
enum { XRT_SHIM_E_SUCCESS = 0, XRT_SHIM_E_THROWN };

struct xrt_shim_error {
        int error; /* errno, or 0: what was thrown had none */
        char text[XRT_SHIM_TEXT_MAX];
};

/* States of a command, XRT's own numbers. Anything from COMPLETED on but SUBMITTED is final. */
enum {
        XRT_SHIM_STATE_COMPLETED = 4,
        XRT_SHIM_STATE_ERROR = 5,
        XRT_SHIM_STATE_ABORT = 6,
        XRT_SHIM_STATE_SUBMITTED = 7,
        XRT_SHIM_STATE_TIMEOUT = 8,
};

enum xrt_shim_direction { XRT_SHIM_TO_DEVICE = 0, XRT_SHIM_FROM_DEVICE };

struct xrt_shim_device;
struct xrt_shim_buffer;
struct xrt_shim_run;

/* Device 0. */
int xrt_shim_device_open(struct xrt_shim_device **ret_device, struct xrt_shim_error *ret_error);
/* The program in these bytes of an xclbin. */
int xrt_shim_device_program(struct xrt_shim_device *device, const uint8_t *xclbin, size_t xclbin_bytes,
                            struct xrt_shim_error *ret_error);
/* A context for it, without QoS keys, and its kernel of this name. */
int xrt_shim_device_context(struct xrt_shim_device *device, const char *kernel,
                            struct xrt_shim_error *ret_error);

/* What it says about itself; an empty text is what it does not say. `platform` is JSON. */
struct xrt_shim_info {
        char name[XRT_SHIM_TEXT_MAX], bdf[XRT_SHIM_TEXT_MAX];
        char platform[XRT_SHIM_INFO_MAX], host[XRT_SHIM_INFO_MAX];
};
void xrt_shim_device_info(const struct xrt_shim_device *device, struct xrt_shim_info *ret_info);

/* For an argument of runs; `arg` XRT_SHIM_ARGS: for instructions. `ret_bytes` is where the host sees it. */
int xrt_shim_buffer_new(struct xrt_shim_device *device, unsigned arg, size_t size_bytes,
                        struct xrt_shim_buffer **ret_buffer, uint8_t **ret_bytes,
                        struct xrt_shim_error *ret_error);
/* Accepts NULL. No run that has it may be in flight. */
struct xrt_shim_buffer *xrt_shim_buffer_free(struct xrt_shim_buffer *buffer);
int xrt_shim_buffer_sync(struct xrt_shim_buffer *buffer, enum xrt_shim_direction direction,
                         size_t offset_bytes, size_t n_bytes, struct xrt_shim_error *ret_error);

int xrt_shim_run_new(struct xrt_shim_device *device, struct xrt_shim_run **ret_run,
                     struct xrt_shim_error *ret_error);
/* Submits: returns before it has ended. The run must not be in flight. */
int xrt_shim_run_start(struct xrt_shim_run *run, struct xrt_shim_buffer *instructions, uint32_t n_words,
                       struct xrt_shim_buffer *const args[XRT_SHIM_ARGS], struct xrt_shim_error *ret_error);
/*
 * Waits for its end, or until this time is over; may come back sooner. Which of both it was the state tells: thrown is
 * only what has nothing to do with either.
 */
int xrt_shim_run_wait(struct xrt_shim_run *run, unsigned timeout_ms, int *ret_state,
                      struct xrt_shim_error *ret_error);

#ifdef __cplusplus
}
#endif

#endif
