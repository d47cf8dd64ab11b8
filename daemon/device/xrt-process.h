/* SPDX-License-Identifier: MIT */
/*
 * xrt-process.h - one worker process, from its start until it is gone.
 *
 * Role:   starts npumatmuld-xrt, speaks daemon/xrt/wire.h with it, and ends it: for good, whatever state it is in.
 * In:     messages to send, and the word to end it.
 * Out:    xrt_process_events, on the loop, never from within a call.
 * Thread: loop. Nothing here waits for the process: what its socket does not take is kept, and it is reaped when it is
 *         gone.
 * Owns:   the process, our end of the socket pair, the gate, descriptors on their way.
 *
 * A process ends once: it fails, by its own word or by dying, which `failed` reports, or it is told to end. After
 * either it is killed, and nothing is heard of it but `gone`. It may take long until then, or for ever: a process in an
 * uninterruptible call of its driver cannot be killed.
 */
#ifndef DAEMON_DEVICE_XRT_PROCESS_H
#define DAEMON_DEVICE_XRT_PROCESS_H

#include "daemon/device.h"
#include "daemon/xrt/wire.h"

struct xrt_process;

struct xrt_process_events {
        void (*ready)(void *userdata, const struct wire_ready *ready);
        void (*done)(void *userdata, const struct wire_done *done);
        void (*pong)(void *userdata);
        void (*failed)(void *userdata, enum wire_cause cause, const char *text);
        /* It has closed its end, so it is ending; unless it hangs, `failed` follows at once and says how. */
        void (*hung_up)(void *userdata);
        /* It is gone and reaped; `process` is freed when this returns. */
        void (*gone)(void *userdata, struct xrt_process *process);
};

/* `serial` is new for each process. Returns 0 or -errno, and then says in ret_text what could not be done. */
int xrt_process_start(uv_loop_t *loop, const struct xrt_settings *settings, uint64_t serial,
                      const struct xrt_process_events *events, void *userdata,
                      struct xrt_process **ret_process, char ret_text[WIRE_TEXT_MAX]);

/* `n_bytes` of a message; whole, and in order. */
void xrt_process_send(struct xrt_process *process, const void *message, size_t n_bytes);

/* Gives it a region, unless it has it; it is told when one that it has ends (xrt_process_forget). */
void xrt_process_give(struct xrt_process *process, struct region *region);
void xrt_process_forget(struct xrt_process *process, struct region *region);

/* Kills it. Nothing is heard of it any more but `gone`. */
void xrt_process_end(struct xrt_process *process);

/* Of one that has ended: whether it can touch regions no more. Once true it stays so. */
bool xrt_process_is_harmless(struct xrt_process *process);

/*
 * Frees an ended process without waiting until it is gone: `gone` is not called. For the end of the daemon, which
 * leaves it to whoever reaps its orphans.
 */
void xrt_process_leave(struct xrt_process *process);

int xrt_process_pid(const struct xrt_process *process);

#endif
