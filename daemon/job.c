/* SPDX-License-Identifier: MIT */
/* job.c - see job.h. */
#include "daemon/job.h"

#include "daemon/weights.h"

struct job *job_new(uint64_t request_id, job_rows_fn rows_fn, job_done_fn done_fn, void *userdata)
{
        struct job *job = calloc(1, sizeof *job);

        if (!job)
                return NULL;
        job->request_id = request_id;
        job->rows_fn = rows_fn;
        job->done_fn = done_fn;
        job->userdata = userdata;
        return job;
}

struct job *job_free(struct job *job)
{
        if (!job)
                return NULL;
        assert(job->slices_inside == 0 && !job->flow && !job->user);
        for (size_t i = 0; i < job->n_arenas; i++)
                (void)arena_unref(job->arenas[i]);
        (void)weights_unref(job->weights);
        quota_discharge(&job->charge);
        free(job);
        return NULL;
}

void job_hold(struct job *job, struct arena *arena)
{
        assert(job->n_arenas < JOB_ARENAS_MAX);
        job->arenas[job->n_arenas++] = arena_ref(arena);
}

void job_orphan(struct job *job)
{
        job->rows_fn = NULL;
        job->done_fn = NULL;
        job->userdata = NULL;
        job->client = NULL;
}

void job_end_early(struct job *job, enum status status, const char *text)
{
        if (job->end_status != STATUS_OK)
                return;
        job->end_status = status;
        job->end_text = text;
}
