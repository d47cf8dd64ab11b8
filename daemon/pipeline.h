/* SPDX-License-Identifier: MIT */
/*
 * pipeline.h - keeps the device busy: jobs -> scheduler -> policy -> batcher -> device -> completion.
 *
 * Role:   the one place where the pure stages meet the device and the time: asks the policy whenever the device could
 *         take a batch, composes one when it says so, hands it over, and feeds what comes back to the completion stage,
 *         the cost model, the policy and the accounts.
 * In:     jobs from sessions; the device's events; alarms. Out: ends of jobs, through completion.
 * Thread: loop.
 * Owns:   every job from pipeline_submit to its end; the batches.
 */
#ifndef DAEMON_PIPELINE_H
#define DAEMON_PIPELINE_H

#include "daemon/batcher.h"
#include "daemon/completion.h"
#include "daemon/policy.h"

typedef void (*pipeline_idle_fn)(void *userdata);

/* One connection, as far as the order and the time of jobs go. */
struct pipeline_client {
        struct scheduler_client scheduled;
        struct policy_client policed;
        uint64_t device_ns; /* of the device, so far: its share of each batch, as measured */
};

/* A batch, and what the pipeline wants to know of it when it comes back. */
struct flight;
TAILQ_HEAD(flight_list, flight);

/* Times are those of a real device: they are multiplied by the device's time_scale. */
struct pipeline_settings {
        uint64_t bound_ns; /* `batch-bound` */
        uint64_t aging_ns;
        uint64_t window_ns;
        uint64_t fixed_ns; /* `submission-us`; 0: it is learnt */
        enum policy_kind policy;
        bool stacks;
};

struct pipeline {
        struct pipeline_settings settings;
        struct scheduler scheduler;
        struct policy policy;
        struct batcher batcher;
        struct cost_model cost;
        struct timeline *timeline;   /* borrowed: outlives us */
        struct alarm alarm;          /* when the policy wants to be asked again, or a deadline passes */
        struct device *device;       /* borrowed: set once it is open, outlives all batches */
        struct stats *stats;         /* borrowed: outlives us */
        size_t jobs_inside;          /* accepted and not ended */
        struct flight_list grounded; /* owned: batches at hand */
        struct flight_list
                inside; /* owned, but their batches are the device's for the time being; oldest first */
        size_t n_inside;
        struct job_list ended;            /* by the batcher; not yet told */
        uint64_t held_since_ns;           /* the idle device has been kept waiting since; 0: it is not */
        bool is_pumping, is_pumped_again; /* what happens while it pumps is looked after in the end */
        /*
         * Asks for pipeline_pump() once all that has come in together has been handed in: the batch that is composed
         * then is the fuller. NULL: it is called at once.
         */
        void (*defer_fn)(void *userdata);
        void *defer_userdata;
        /*
         * All that a batch has answered has been said; the books come after. NULL: nobody need know.
         */
        void (*answered_fn)(void *userdata);
        void *answered_userdata;
        pipeline_idle_fn idle_fn; /* called each time when nothing is inside any more; or NULL */
        void *idle_userdata;
};

/* The events that a device is opened with; their userdata is the pipeline. */
extern const struct device_events pipeline_device_events;

void pipeline_init(struct pipeline *pipeline, struct timeline *timeline,
                   const struct pipeline_settings *settings, struct stats *stats);

/* It must be idle, and no client may be left. */
void pipeline_deinit(struct pipeline *pipeline);

/* Gives the pipeline its device, and its batches, one a slot. Returns 0 or -ENOMEM. */
int pipeline_set_device(struct pipeline *pipeline, struct device *device);

/* No job is inside, and no batch. */
static inline bool pipeline_is_idle(const struct pipeline *pipeline)
{
        return pipeline->jobs_inside == 0 && pipeline->n_inside == 0;
}

/* Ends what is too late, and composes and submits what the policy wants submitted now. */
void pipeline_pump(struct pipeline *pipeline);

/* Change how batches are made from now on. */
void pipeline_set_policy(struct pipeline *pipeline, enum policy_kind policy, uint64_t window_ns);
void pipeline_set_stacking(struct pipeline *pipeline, bool stacks);

/* Returns 0 or -ENOMEM. */
int pipeline_client_init(struct pipeline *pipeline, struct pipeline_client *client, uid_t uid);

/* None of its jobs may be inside, but for orphans. */
void pipeline_client_deinit(struct pipeline *pipeline, struct pipeline_client *client);

/*
 * Takes over a job that has all its operands. False: it would be late, by what is predicted, and stays the caller's;
 * ret_fault says so.
 */
bool pipeline_submit(struct pipeline *pipeline, struct pipeline_client *client, struct job *job,
                     struct fault *ret_fault);

/* No more jobs of the group that this client has begun will come: what is there is the group. */
void pipeline_complete_group(struct pipeline *pipeline, struct pipeline_client *client);

/* The same for all clients: the daemon takes no more jobs. */
void pipeline_complete_all_groups(struct pipeline *pipeline);

/* Drops the job as soon as no device holds it; it may have ended, and be freed, when this returns. */
void pipeline_cancel(struct pipeline *pipeline, struct job *job);

/* Cancels all jobs that are waiting; those inside a device end with their slices. For a shutdown out of time. */
void pipeline_cancel_all(struct pipeline *pipeline);

#endif
