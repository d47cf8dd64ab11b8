/* SPDX-License-Identifier: MIT */
/*
 * matmul.h - jobs, from the caller's struct to the last callback.
 *
 * Role:   checks a matmul, has a place found or made for each operand (operands.h), sends it (matmul.c); keeps what
 *         the daemon reports until the caller may be told; brings the product to where the caller wants it
 *         (results.c).
 * In:     struct npumm_matmul; ROWS and DONE frames, already read.
 * Out:    a MATMUL request; the caller's callbacks, only from jobs_deliver().
 * Thread: the client's.
 * Owns:   the jobs, and the arena memory in which operands of ordinary memory are staged. Never the
 *         caller's memory, which it lets go of before it says that a job is done.
 */
#ifndef CLIENT_MATMUL_H
#define CLIENT_MATMUL_H

#include <sys/queue.h>

#include "channel.h"
#include "npumm.h"
#include "proto/message.h"

struct job;

struct jobs {
        TAILQ_HEAD(, job) list; /* job::link; outstanding, by ascending id */
        TAILQ_HEAD(, job)
        news; /* job::news_link; those of the list with something to tell, first come first */
        size_t n_jobs;
        size_t n_in_group; /* jobs that were submitted since the last group ended, and wait for its end */
};

void jobs_init(struct jobs *jobs);

/* Drops all jobs without a word. */
void jobs_deinit(struct jobs *jobs);

/* Behind npumm_submit() and npumm_cancel(). */
int jobs_submit(struct npumm_client *client, const struct npumm_matmul *matmul, npumm_rows_fn rows_fn,
                npumm_done_fn done_fn, void *userdata, uint64_t *ret_job);
int jobs_cancel(struct npumm_client *client, uint64_t id);

/*
 * ROWS has come for a job: checks it against the job's shape, and names in *ret_sink where its payload
 * goes. A daemon that is wrong about a job loses its connection.
 */
void jobs_take_rows_head(struct npumm_client *client, const struct reply *reply, uint64_t payload_bytes,
                         struct channel_view *ret_sink);

/* That ROWS frame is complete. */
void jobs_take_rows(struct npumm_client *client, const struct reply *reply);

/* DONE has come. */
void jobs_take_done(struct npumm_client *client, const struct reply *reply);

/* The connection is gone: ends every job that has not ended, with its reason. */
void jobs_take_loss(struct npumm_client *client);

/* Tells the callers what there is to tell, until nothing is left. */
void jobs_deliver(struct npumm_client *client);

#endif
