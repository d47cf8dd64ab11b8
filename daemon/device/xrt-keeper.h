/* SPDX-License-Identifier: MIT */
/*
 * xrt-keeper.h - keeps a worker process at hand: starts it, feels its pulse, replaces it, gives it up for a while.
 *
 * Role:   from faults to new workers, by the breaker's rules; and what people are told of it.
 * In:     messages for the worker; its replies, its death, its silence.
 * Out:    xrt_keeper_events, on the loop, never from within a call but xrt_keeper_reject.
 * Thread: loop.
 * Owns:   the worker, and those that were killed and are not gone.
 *
 * One worker after the other: after a fault the old one is killed, and nothing goes on until it can touch no operand
 * any more, which is at once unless it was caught in the middle of one. If that takes longer than XRT_UNENDED_NS,
 * regions that it might still write are held until it is gone.
 */
#ifndef DAEMON_DEVICE_XRT_KEEPER_H
#define DAEMON_DEVICE_XRT_KEEPER_H

#include "daemon/device/xrt-breaker.h"
#include "daemon/device/xrt-process.h"

/* A killed process is usually gone at once; but where a command hangs, its driver takes 2 s to end the context. */
#define XRT_UNENDED_NS UINT64_C(3000000000)

struct xrt_keeper_events {
        void (*ready)(void *userdata);   /* a worker takes batches */
        void (*changed)(void *userdata); /* health.state, to anything else */
        void (*done)(void *userdata, const struct wire_done *done);
        /*
         * There is no worker, and what was inside is not going to be done. `is_harmless`: nobody else touches its
         * operands; otherwise its results' regions are to be held (xrt_keeper_hold), now.
         */
        void (*interrupted)(void *userdata, bool is_harmless);
};

struct xrt_worker;

struct xrt_keeper {
        uv_loop_t *loop;                        /* borrowed: outlives us */
        struct timeline *timeline;              /* borrowed: same */
        const struct xrt_settings *settings;    /* borrowed: same */
        const struct xrt_keeper_events *events; /* borrowed: same */
        void *userdata;
        struct xrt_breaker breaker;
        struct device_health health;
        struct alarm alarm;
        struct xrt_worker *worker;                     /* owned; NULL: none */
        TAILQ_HEAD(xrt_worker_list, xrt_worker) ended; /* owned: killed and not gone, oldest first */
        bool is_ready;                                 /* the worker takes batches */
        bool is_busy;                                  /* it has some; whoever sends them says so */
        bool is_clearing;    /* the last of `ended` may still touch what was inside */
        uint64_t try_ns;     /* without a worker: when to start one */
        uint64_t asked_ns;   /* since when it owes an answer; 0: it does not */
        uint64_t hung_up_ns; /* since when the worker has been ending by itself; 0: it has not */
        uint64_t absent_ns;  /* since when the device has not served; 0: it does */
        uint64_t serial;     /* of the last worker */
};

/* Starts the first worker in the loop's next turn. `keeper` stays where it is until xrt_keeper_close. */
void xrt_keeper_open(struct xrt_keeper *keeper, uv_loop_t *loop, struct timeline *timeline,
                     const struct xrt_settings *settings, const struct xrt_keeper_events *events,
                     void *userdata);

/* Kills all workers and waits for none. Handles of the loop close by themselves. */
void xrt_keeper_close(struct xrt_keeper *keeper);

/* There must be a worker that is ready. It then owes an answer in time. */
void xrt_keeper_send(struct xrt_keeper *keeper, const void *message, size_t n_bytes);
void xrt_keeper_give(struct xrt_keeper *keeper, struct region *region);

/* A region ends, or has other contents. */
void xrt_keeper_forget(struct xrt_keeper *keeper, struct region *region);

/* From within `interrupted`: keeps a region until the worker that might still write there is gone. */
void xrt_keeper_hold(struct xrt_keeper *keeper, struct region *region);

/* The worker said something that cannot be: it is replaced, and `interrupted` may come from within this call. */
void xrt_keeper_reject(struct xrt_keeper *keeper, const char *text);

#endif
