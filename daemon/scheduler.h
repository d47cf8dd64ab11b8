/* SPDX-License-Identifier: MIT */
/*
 * scheduler.h - whose job is next.
 *
 * Role:   the order of the jobs that wait: first come, first served.
 * In:     accepted jobs. Out: the job that the next slice is cut from.
 * Thread: loop. Pure: no clock, no I/O.
 * Owns:   nothing; jobs belong to the pipeline.
 */
#ifndef DAEMON_SCHEDULER_H
#define DAEMON_SCHEDULER_H

#include "daemon/job.h"

struct scheduler {
        TAILQ_HEAD(, job) queue; /* jobs with rows left to take, oldest first */
        size_t depth;
};

void scheduler_init(struct scheduler *scheduler);

/* The queue must be empty. */
void scheduler_deinit(struct scheduler *scheduler);

/* Queues a job that has rows left. */
void scheduler_push(struct scheduler *scheduler, struct job *job);

/* The job whose rows come next; NULL if none waits. It stays queued. */
struct job *scheduler_next(const struct scheduler *scheduler);

/* Takes a job out of the queue, if it is there. */
void scheduler_remove(struct scheduler *scheduler, struct job *job);

#endif
