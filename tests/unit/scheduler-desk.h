/* SPDX-License-Identifier: MIT */
/*
 * scheduler-desk.h - a scheduler, four connections of three users, and jobs that cost `ns_a_row`.
 *
 * Role:   what the tests of the scheduler begin and end with; it knows every job that was pushed, so that the end may
 *         find them.
 * Thread: one. State is static: one desk a program.
 */
#ifndef TESTS_UNIT_SCHEDULER_DESK_H
#define TESTS_UNIT_SCHEDULER_DESK_H

#include <check.h>

#include "daemon/scheduler.h"
#include "tests/lib/rng.h"

#define AGING_NS UINT64_C(1000000000)
#define SLACK_NS 1000.0
#define CLIENTS  4 /* the first two are of one user, the others of one each */
#define JOBS_MAX 64

/* What a job is like, besides its rows. */
struct wish {
        enum job_class class;
        uint64_t deadline_ns;
        bool more;
        struct resident *resident;
};

static struct scheduler scheduler;
static struct scheduler_client clients[CLIENTS];
static uint64_t now_ns;
static struct job *jobs_pushed[JOBS_MAX]; /* owned: and not yet dropped, or taken whole */
static size_t n_jobs;
static double ns_a_row; /* that jobs are predicted to take */

static inline struct scheduler_user *user_of(size_t client)
{
        return clients[client].user;
}

static inline void desk_open(void)
{
        now_ns = 1;
        n_jobs = 0;
        ns_a_row = 1;
        scheduler_init(&scheduler, AGING_NS, SLACK_NS);
        for (size_t i = 0; i < CLIENTS; i++)
                ck_assert_int_eq(
                        scheduler_client_init(&scheduler, &clients[i], i < 2 ? 1000 : 1000 + (uid_t)i), 0);
}

static inline void desk_close(void)
{
        ck_assert_uint_eq(n_jobs, 0);
        ck_assert_uint_eq(scheduler.depth, 0);
        for (size_t i = 0; i < CLIENTS; i++)
                scheduler_client_deinit(&scheduler, &clients[i]);
        scheduler_deinit(&scheduler);
}

static inline struct job *push_to(struct scheduler_client *client, uint64_t rows, const struct wish *wish)
{
        struct job *job = job_new(0, NULL, NULL, NULL);

        ck_assert_ptr_nonnull(job);
        ck_assert_uint_lt(n_jobs, JOBS_MAX);
        job->product = (struct product){.m = rows, .k = 1, .n = 1, .resident = wish->resident};
        job->class = wish->class;
        job->deadline_ns = wish->deadline_ns;
        job->more = wish->more;
        jobs_pushed[n_jobs++] = job;
        scheduler_push(&scheduler, client, job, ns_a_row * (double)rows, now_ns);
        return job;
}

static inline struct job *push_wish(size_t client, uint64_t rows, const struct wish *wish)
{
        return push_to(&clients[client], rows, wish);
}

static inline struct job *push(size_t client, enum job_class class, uint64_t rows)
{
        return push_wish(client, rows, &(struct wish){.class = class});
}

static inline void forget(struct job *job)
{
        size_t at = 0;

        while (jobs_pushed[at] != job)
                ck_assert_uint_lt(++at, n_jobs);
        jobs_pushed[at] = jobs_pushed[--n_jobs];
        (void)job_free(job);
}

/* Cancelled. */
static inline void drop(struct job *job)
{
        scheduler_remove(&scheduler, job);
        forget(job);
}

static inline void drop_all(void)
{
        while (n_jobs > 0)
                drop(jobs_pushed[0]);
}

/* Rows of it go to the device, at 1 ns each; with the last one it is gone. */
static inline void take(struct job *job, uint64_t rows)
{
        scheduler_take(&scheduler, job, rows, (double)rows, now_ns);
        if (!job->flow)
                forget(job);
}

static inline void take_all(struct job *job)
{
        take(job, job_rows_left(job));
}

static inline struct job *any_job(struct rng *rng)
{
        return n_jobs > 0 ? jobs_pushed[rng_below(rng, n_jobs)] : NULL;
}

#endif
