/* SPDX-License-Identifier: MIT */
/* scheduler.c - see scheduler.h. */
#include "daemon/scheduler.h"

void scheduler_init(struct scheduler *scheduler)
{
        TAILQ_INIT(&scheduler->queue);
        scheduler->depth = 0;
}

void scheduler_deinit(struct scheduler *scheduler)
{
        assert(TAILQ_EMPTY(&scheduler->queue));
}

void scheduler_push(struct scheduler *scheduler, struct job *job)
{
        assert(!job->is_queued && job_rows_left(job) > 0);
        TAILQ_INSERT_TAIL(&scheduler->queue, job, queue_link);
        job->is_queued = true;
        scheduler->depth++;
}

struct job *scheduler_next(const struct scheduler *scheduler)
{
        return TAILQ_FIRST(&scheduler->queue);
}

void scheduler_remove(struct scheduler *scheduler, struct job *job)
{
        if (!job->is_queued)
                return;
        TAILQ_REMOVE(&scheduler->queue, job, queue_link);
        job->is_queued = false;
        scheduler->depth--;
}
