/* SPDX-License-Identifier: MIT */
/*
 * job.h - one matmul from the moment it is accepted until it is done.
 *
 * Role:   holds everything that the product needs (references on arenas, the charge) and where it stands.
 * In:     made by session, with resolved addresses.
 * Out:    row ranges and exactly one end, to whoever made it, through two functions.
 * Thread: loop. Devices see only the constant `product`.
 * Owns:   its references and its charge, until the end.
 *
 * A job outlives its session: job_orphan() cuts the way back, and the job then ends silently when the device
 * has let go of it.
 */
#ifndef DAEMON_JOB_H
#define DAEMON_JOB_H

#include "daemon/arena.h"
#include "daemon/weights.h"
#include "proto/status.h"

#define JOB_ARENAS_MAX 7 /* A, B, C, three vectors, and the staging arena of what came inline */

struct job;
struct pipeline_client;
struct scheduler_flow;
struct scheduler_user;

/* Rows first_row .. first_row + rows - 1 are final. */
typedef void (*job_rows_fn)(struct job *job, uint64_t first_row, uint64_t rows, void *userdata);

/* The one end; the job is freed when this returns. `text` is empty for OK. */
typedef void (*job_done_fn)(struct job *job, enum status status, const char *text, void *userdata);

struct job {
        uint64_t request_id;
        struct product product;
        struct arena *arenas[JOB_ARENAS_MAX]; /* refs */
        size_t n_arenas;
        struct arena *staging; /* borrowed: one of the above; NULL unless something travels inline */
        bool c_is_inline;
        struct weights *weights;    /* ref; NULL: B is an operand */
        struct quota_charge charge; /* QUOTA_JOBS */

        enum job_class class;
        uint64_t deadline_us; /* from pipeline_submit on; 0: none */
        bool more;            /* the group that it belongs to goes on */

        struct pipeline_client *client; /* borrowed: whose it is; NULL once orphaned */
        struct scheduler_user *user;    /* ref, from pipeline_submit on; NULL before */
        struct scheduler_flow *flow;    /* borrowed: where it waits; NULL outside of the scheduler */
        bool is_forming;                /* in the scheduler, but its group is not complete */
        uint64_t arrived_ns;            /* when it came into the scheduler */
        uint64_t deadline_ns;           /* when it must be done; 0: any time */
        uint64_t group;                 /* jobs of one group have the same; 0: by itself */
        double queued_ns;               /* predicted device time of the rows that wait */
        uint64_t next_row;              /* first row that no batch has taken yet */
        uint64_t rows_done;             /* rows that a device has finished */
        size_t slices_inside;           /* slices that a device holds */
        enum status end_status; /* other than OK: no further slices are made, and this is how it ends */
        const char *end_text;   /* static text */

        job_rows_fn rows_fn; /* NULL once orphaned */
        job_done_fn done_fn; /* NULL once orphaned */
        void *userdata;
        TAILQ_ENTRY(job) session_link;  /* session::jobs */
        TAILQ_ENTRY(job) queue_link;    /* scheduler_flow::jobs, or scheduler_client::forming */
        TAILQ_ENTRY(job) arrival_link;  /* scheduler::arrivals */
        TAILQ_ENTRY(job) deadline_link; /* scheduler::deadlines, with a deadline */
        TAILQ_ENTRY(job) waiting_link;  /* resident::waiting, with weights and no longer forming */
        TAILQ_ENTRY(job) ended_link;    /* pipeline::ended */
};

/* Empty but for the callbacks. NULL when memory is short. */
struct job *job_new(uint64_t request_id, job_rows_fn rows_fn, job_done_fn done_fn, void *userdata);

/* No device may hold it and no queue. Returns NULL; NULL is allowed. */
struct job *job_free(struct job *job);

/* Holds `arena` (takes a reference of its own) until the job is freed. */
void job_hold(struct job *job, struct arena *arena);

/* Cuts the way back to the session: no function of it is called any more. */
void job_orphan(struct job *job);

/* How the job shall end, if it has not been said before: the first reason stands. */
void job_end_early(struct job *job, enum status status, const char *text);

/* Rows left to be taken into a batch. */
static inline uint64_t job_rows_left(const struct job *job)
{
        return job->end_status == STATUS_OK ? job->product.m - job->next_row : 0;
}

/* Nothing is inside a device and nothing more will go there. */
static inline bool job_is_over(const struct job *job)
{
        return job->slices_inside == 0 && (job->end_status != STATUS_OK || job->rows_done == job->product.m);
}

#endif
