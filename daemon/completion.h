/* SPDX-License-Identifier: MIT */
/*
 * completion.h - what a finished slice means for its job.
 *
 * Role:   reports rows, and ends jobs: every job comes to an end through completion_check, exactly once.
 * In:     slices that a device has finished; jobs that were ended early.
 * Out:    the job's rows and done functions; counters.
 * Thread: loop.
 */
#ifndef DAEMON_COMPLETION_H
#define DAEMON_COMPLETION_H

#include "daemon/device.h"
#include "daemon/job.h"
#include "daemon/stats.h"

/* A device has finished `slice`; its rows are final if its status is OK. */
void completion_slice(const struct slice *slice);

/* The device has let go of `slice`'s job as far as this slice goes. */
void completion_release(const struct slice *slice);

/*
 * Ends and frees the job if it is over, and tells so: then the pointer is dead. Call after anything that may have
 * brought a job to its end.
 */
bool completion_check(struct job *job, struct stats *stats);

#endif
