/* SPDX-License-Identifier: MIT */
/*
 * device-worker.h - a thread that works through batches, for devices that compute in this process.
 *
 * Role:   takes batches on the loop, runs their stacks one after the other on a thread, and brings the news back
 *         to the loop; or runs them where it is called, if they are not worth a thread's while.
 * In:     batches, from the loop. Out: slice_done and batch_done, on the loop.
 * Thread: both; devices have no other lock but that of device/tile-pool. Callbacks never run under it.
 * Owns:   the thread; each batch from submit to batch_done.
 */
#ifndef DAEMON_DEVICE_WORKER_H
#define DAEMON_DEVICE_WORKER_H

#include "daemon/device.h"

/*
 * Computes `n` slices that stand side by side in `stack`, as one product: on the worker's thread, or where
 * device_worker_run is called, never on both at once.
 */
typedef void (*device_worker_run_fn)(void *userdata, struct stack *stack, const struct slice *slices,
                                     size_t n);

/* On the loop. */
struct device_worker_events {
        void (*slice_done)(void *userdata, struct batch *batch, size_t index);
        void (*batch_done)(void *userdata, struct batch *batch);
        void (*closed)(void *userdata); /* the worker is gone and its memory free to go */
};

struct device_worker {
        uv_thread_t thread;
        uv_async_t news;  /* thread -> loop; wake-ups coalesce, so batch::n_finished says what is new */
        uv_mutex_t mutex; /* guards stopping, inside, and of the batches inside n_begun, n_finished, device_ns
                              and the slices' status and is_dropped */
        uv_cond_t changed; /* loop -> thread: a batch came, or stopping */
        bool stopping;
        TAILQ_HEAD(, batch) inside; /* submitted and not reported as done, oldest first */
        size_t n_reported;          /* loop only: slices reported of the first batch inside */
        device_worker_run_fn run_fn;
        const struct device_worker_events *events; /* borrowed: outlives us */
        void *userdata;
};

/* Starts the thread. `worker` stays where it is until events->closed. Returns 0 or -errno. */
int device_worker_open(struct device_worker *worker, uv_loop_t *loop, device_worker_run_fn run_fn,
                       const struct device_worker_events *events, void *userdata);

void device_worker_submit(struct device_worker *worker, struct batch *batch);

/* In place of submit: computes the batch now, and reports it. No other may be inside. */
void device_worker_run(struct device_worker *worker, struct batch *batch);

/* device_ops::drop: leaves the slice out unless it has begun. */
void device_worker_drop(struct device_worker *worker, struct batch *batch, size_t index);

/*
 * No batch may be inside: the thread is idle, so joining it does not hold the loop. May be called from within
 * batch_done.
 */
void device_worker_close(struct device_worker *worker);

#endif
