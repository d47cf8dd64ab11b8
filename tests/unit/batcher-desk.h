/* SPDX-License-Identifier: MIT */
/*
 * batcher-desk.h - a batcher between a scheduler with three connections and a batch to look at.
 *
 * Role:   what the tests of the batcher begin and end with. Jobs have no memory: only their shapes matter.
 * Thread: one. State is static: one desk a program.
 */
#ifndef TESTS_UNIT_BATCHER_DESK_H
#define TESTS_UNIT_BATCHER_DESK_H

#include <check.h>

#include "daemon/batcher.h"

#define NOW_NS   UINT64_C(1000000000)
#define AGING_NS UINT64_C(1000000000)
#define CLIENTS  3 /* the first two are of one user */
#define WEIGHTS  4

static struct scheduler scheduler;
static struct scheduler_client clients[CLIENTS];
static struct resident weights[WEIGHTS]; /* 0 is not used */
static struct cost_model cost;
static struct batcher batcher;
static struct job_list ended;
static struct batch batch;
static struct batcher_report report;
static uint64_t now_ns;

/* A device that pads nothing; a submission costs 1 ns, and a multiply-add too. */
static inline void desk_open(void)
{
        now_ns = NOW_NS;
        batcher = (struct batcher){
                .bound_ns = 1000000,
                .stacks = true,
                .granule_rows = 1,
                .padding = {1, 1, 1},
                .stacks_max = BATCH_STACKS_MAX,
        };
        cost_init(&cost, 1, 1);
        TAILQ_INIT(&ended);
        scheduler_init(&scheduler, AGING_NS, 1e9);
        for (size_t i = 0; i < CLIENTS; i++)
                ck_assert_int_eq(scheduler_client_init(&scheduler, &clients[i], i < 2 ? 1000 : 1001), 0);
        for (size_t i = 0; i < WEIGHTS; i++)
                resident_init(&weights[i], (const int8_t *)&weights[i], 1, 1);
}

static inline void desk_close(void)
{
        ck_assert(TAILQ_EMPTY(&ended));
        ck_assert_uint_eq(scheduler.depth, 0);
        for (size_t i = 0; i < WEIGHTS; i++)
                ck_assert(TAILQ_EMPTY(&weights[i].waiting));
        for (size_t i = 0; i < CLIENTS; i++)
                scheduler_client_deinit(&scheduler, &clients[i]);
        scheduler_deinit(&scheduler);
}

/* What a job is like. */
struct wish {
        uint64_t m, k, n; /* k and n 0: 1 */
        size_t client;
        enum job_class class;
        size_t weights; /* 0: an operand of its own, that nobody else has */
        bool more;
        uint64_t within_ns; /* its deadline, from now; 0: none */
        enum output_form form;
};

static inline struct job *job_push(const struct wish *wish)
{
        struct job *job = job_new(0, NULL, NULL, NULL);
        struct product *product = &job->product;

        ck_assert_ptr_nonnull(job);
        *product = (struct product){
                .m = wish->m,
                .k = MAX(wish->k, UINT64_C(1)),
                .n = MAX(wish->n, UINT64_C(1)),
                .b = (const int8_t *)job,
                .form = wish->form,
        };
        if (wish->weights > 0) {
                product->resident = &weights[wish->weights];
                product->b = product->resident->b;
        }
        job->class = wish->class;
        job->more = wish->more;
        job->deadline_ns = wish->within_ns > 0 ? now_ns + wish->within_ns : 0;
        scheduler_push(&scheduler, &clients[wish->client], job,
                       batcher_job_ns(&batcher, &cost, product, product->m), now_ns);
        return job;
}

/* As if the device had let go of everything. */
static inline struct job *job_drop(struct job *job)
{
        job->slices_inside = 0;
        scheduler_remove(&scheduler, job);
        return job_free(job);
}

static inline bool compose(void)
{
        return batcher_compose(&batcher, &scheduler, &cost, now_ns, &ended, &batch, &report);
}

#endif
