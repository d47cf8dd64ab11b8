/* SPDX-License-Identifier: MIT */
/*
 * completion.h - what a finished slice means for its job.
 *
 * Role:   reports rows, and ends jobs: every job comes to an end through completion_end, exactly once.
 * In:     slices that a device has finished; jobs that are over.
 * Out:    the job's rows and done functions; counters.
 * Thread: loop.
 */
#ifndef DAEMON_COMPLETION_H
#define DAEMON_COMPLETION_H

#include "daemon/device.h"
#include "daemon/job.h"
#include "daemon/stats.h"

/* A device has finished `slice`, whose rows are final if its status is OK, and let go of its job as far as it goes. */
void completion_slice(const struct slice *slice);

/* Ends and frees a job that is over (job_is_over), and tells so. The pipeline has let go of it. */
void completion_end(struct job *job, struct stats *stats);

#endif
