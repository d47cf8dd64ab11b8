/* SPDX-License-Identifier: MIT */
/*
 * pipeline.h - keeps the device busy: jobs -> scheduler -> batcher -> device -> completion.
 *
 * Role:   the one place where the pure stages meet the device: composes a batch whenever the device has a free
 *         slot, hands it over, and feeds what comes back to the completion stage and the cost model.
 * In:     jobs from sessions. Out: ends of jobs, through completion.
 * Thread: loop.
 * Owns:   every job from pipeline_submit to its end; the batches.
 */
#ifndef DAEMON_PIPELINE_H
#define DAEMON_PIPELINE_H

#include "daemon/batcher.h"
#include "daemon/completion.h"

typedef void (*pipeline_idle_fn)(void *userdata);

struct pipeline {
        struct scheduler scheduler;
        struct cost_model cost;
        struct batcher_limits limits;
        struct device *device; /* borrowed: set once it is open, outlives all batches */
        struct stats *stats;   /* borrowed: outlives us */
        size_t jobs_inside;    /* accepted and not ended */
        TAILQ_HEAD(, batch) free_batches; /* owned */
        pipeline_idle_fn idle_fn; /* called each time the last job has ended; or NULL */
        void *idle_userdata;
};

/* The events that a device is opened with; their userdata is the pipeline. */
extern const struct device_events pipeline_device_events;

void pipeline_init(struct pipeline *pipeline, uint64_t batch_bound_ns, struct stats *stats);

/* No job may be inside. */
void pipeline_deinit(struct pipeline *pipeline);

/* Gives the pipeline its device, and its batches, one a slot. Returns 0 or -ENOMEM. */
int pipeline_set_device(struct pipeline *pipeline, struct device *device);

/* Takes over a job that has all its operands. */
void pipeline_submit(struct pipeline *pipeline, struct job *job);

/* Drops the job as soon as no device holds it; it may have ended, and be freed, when this returns. */
void pipeline_cancel(struct pipeline *pipeline, struct job *job);

/* Cancels all jobs that are waiting; those inside a device end with their slices. For a shutdown out of time. */
void pipeline_cancel_all(struct pipeline *pipeline);

#endif
