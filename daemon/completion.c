/* SPDX-License-Identifier: MIT */
/* completion.c - see completion.h. */
#include "daemon/completion.h"

void completion_slice(const struct slice *slice)
{
        struct job *job = slice->job;

        assert(job->slices_inside > 0);
        job->slices_inside--;
        if (slice->status != STATUS_OK) {
                job_end_early(job, slice->status, "the device failed on this job; submit it again");
                return;
        }
        job->rows_done += slice->rows;
        if (job->rows_fn && job->end_status == STATUS_OK)
                job->rows_fn(job, slice->first_row, slice->rows, job->userdata);
}

static void count_end(struct stats *stats, enum status status)
{
        if (status == STATUS_OK)
                stats->jobs_ok++;
        else if (status == STATUS_CANCELLED)
                stats->jobs_cancelled++;
        else if (status == STATUS_DEADLINE)
                stats->jobs_expired++;
        else
                stats->jobs_failed++;
}

void completion_end(struct job *job, struct stats *stats)
{
        assert(job_is_over(job));
        count_end(stats, job->end_status);
        /* The user is discharged before it hears the end: its next job must not meet its own shadow. */
        quota_discharge(&job->charge);
        if (job->done_fn)
                job->done_fn(job, job->end_status, job->end_text ? job->end_text : "", job->userdata);
        (void)job_free(job);
}
