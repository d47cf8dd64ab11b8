/* SPDX-License-Identifier: MIT */
/*
 * stats.h - what happened since the daemon started, and how long the loop was held.
 *
 * Role:   counters that the stages add to, and the JSON object that `npumm-client status` shows.
 * Thread: loop.
 */
#ifndef DAEMON_STATS_H
#define DAEMON_STATS_H

#include "daemon/device.h"
#include "proto/message.h"

/* How long the loop ran between two waits. Buckets double: bucket i counts times below 2^i microseconds. */
#define HOLD_BUCKETS 32
struct hold_meter {
        uint64_t max_us;
        uint64_t n_times;
        uint64_t buckets[HOLD_BUCKETS];
};

struct stats {
        uint64_t submissions;
        uint64_t submission_jobs; /* sum over submissions of the jobs in each */
        uint64_t stacks;          /* products that the device was given: slices of the same B are one */
        uint64_t rows_stacked;    /* rows that shared one with another job's */
        double macs, padded_macs; /* multiply-adds asked for, and what the device makes of them */
        uint64_t jobs_ok, jobs_refused, jobs_expired, jobs_cancelled, jobs_failed;
        uint64_t device_busy_ns;
        uint64_t hold_ns; /* the device could have taken a batch, and the policy waited */
        uint64_t connections_accepted, connections_refused, connections_faulted;
        uint64_t loads, loads_shared; /* of weights; those of the second kind found an equal copy */
        struct hold_meter hold;
        uint64_t ring_spin_ns; /* the loop looked at rings instead of waiting, and is not held meanwhile */
};

void hold_meter_add(struct hold_meter *meter, uint64_t held_us);

/* An upper bound of the quantile (0..1) of all times added: the end of its bucket. 0 before the first. */
uint64_t hold_meter_quantile_us(const struct hold_meter *meter, double quantile);

/* One connected client. */
struct stats_client {
        unsigned uid;
        int pid;
        const char *name;   /* borrowed; printable */
        uint64_t device_ns; /* of the device, so far */
        uint64_t jobs;      /* that it waits for */
};

/* One user whom the scheduler knows: with a connection, or a job that outlives it. */
struct stats_user {
        unsigned uid;
        uint64_t device_ns; /* since then; of all connections, those that have gone included */
        uint64_t jobs_waiting;
};

/* What is now, as against what was counted; filled in by the daemon. */
struct stats_now {
        const char *backend, *device_state, *device;
        const struct device_health *health; /* NULL: it cannot be lost */
        double health_retry_s;              /* until it is tried again; 0: it is not waited for */
        double uptime_s;
        const char *policy;
        bool stacking;
        uint64_t buffer_syncs, matrix_copies, weights_packs, model_overruns;
        uint64_t predicted_fixed_ns; /* what a submission costs, by the cost model */
        uint64_t class_depths[CLASS_MAX];
        const struct stats_client *clients; /* borrowed */
        size_t n_clients;
        const struct stats_user *users; /* borrowed */
        size_t n_users;
        uint64_t queue_depth, connections, arenas, arena_bytes, jobs_inside;
        uint64_t weights, weights_bytes, weights_kept;
};

/* One JSON object, for the caller to free(); NULL when memory is short. */
char *stats_json(const struct stats *stats, const struct stats_now *now);

#endif
