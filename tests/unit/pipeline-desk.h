/* SPDX-License-Identifier: MIT */
/*
 * pipeline-desk.h - a pipeline between jobs that write down what they hear and a device that waits for the test.
 *
 * Role:   what the tests of the pipeline begin and end with. A test prepares the desk, changes what it is about
 *         (`settings`, `device`), and opens it; at the end nothing may be left.
 * Thread: one. State is static: one desk a program.
 */
#ifndef TESTS_UNIT_PIPELINE_DESK_H
#define TESTS_UNIT_PIPELINE_DESK_H

#include <check.h>
#include <stdio.h>

#include "daemon/pipeline.h"
#include "tests/fake/device.h"
#include "tests/fake/timeline.h"

#define BOUND_ROWS 4 /* of a submission, unless the test says otherwise; a row is one multiply-add */
#define BOUND_NS   (1 + BOUND_ROWS) /* as the fake device predicts */
#define AGING_NS   UINT64_C(1000000000)
#define UID        1000

#define CLIENTS 4 /* the first two are of one user, UID; the third of UID + 1, the fourth of UID + 2 */

/* What has been heard of a job. `job` is dead once n_done is 1. */
struct heard {
        struct job *job;
        char rows[256]; /* "0+4 4+4 " */
        unsigned n_done;
        enum status status;
        char text[160];
        uint64_t done_ns;                  /* when */
        void (*then)(struct heard *heard); /* from within its end; or NULL */
};

/* What a job is like, besides its rows. */
struct wish {
        enum job_class class;
        uint64_t deadline_us;
        bool more;
        void (*then)(struct heard *heard);
};

static struct quota quota;
static struct stats stats;
static struct fake_timeline timeline;
static struct pipeline_settings settings;
static struct pipeline pipeline;
static struct pipeline_client clients[CLIENTS];
static bool is_connected[CLIENTS];
static struct fake_device device;
static unsigned n_idle; /* how often it was told */

static inline void on_idle(void *userdata)
{
        ck_assert_ptr_eq(userdata, &n_idle);
        ck_assert(pipeline_is_idle(&pipeline));
        n_idle++;
}

static inline uid_t uid_of(size_t client)
{
        return client < 2 ? UID : UID + (uid_t)client - 1;
}

static inline void desk_prepare(size_t slots)
{
        settings = (struct pipeline_settings){
                .bound_ns = BOUND_NS, .aging_ns = AGING_NS, .policy = POLICY_NATURAL, .stacks = true};
        fake_timeline_init(&timeline);
        fake_device_init(&device, slots, 1, &pipeline_device_events, &pipeline);
}

static inline void desk_open(void)
{
        struct quota_limits limits;

        memset(&limits, 0x7f, sizeof limits);
        quota_init(&quota, &limits);
        stats = (struct stats){0};
        n_idle = 0;
        pipeline_init(&pipeline, &timeline.timeline, &settings, &stats);
        pipeline.idle_fn = on_idle;
        pipeline.idle_userdata = &n_idle;
        ck_assert_int_eq(pipeline_set_device(&pipeline, &device.device), 0);
        for (size_t i = 0; i < CLIENTS; i++) {
                ck_assert_int_eq(pipeline_client_init(&pipeline, &clients[i], uid_of(i)), 0);
                is_connected[i] = true;
        }
}

/* As usual: so many slots and nothing else. */
static inline void setup(size_t slots)
{
        desk_prepare(slots);
        desk_open();
}

static inline void disconnect(size_t client)
{
        pipeline_client_deinit(&pipeline, &clients[client]);
        is_connected[client] = false;
}

static inline void teardown(void)
{
        ck_assert(pipeline_is_idle(&pipeline));
        ck_assert_uint_eq(pipeline.scheduler.depth, 0);
        for (size_t i = 0; i < CLIENTS; i++)
                if (is_connected[i])
                        disconnect(i);
        pipeline_deinit(&pipeline);
        ck_assert_uint_eq(timeline_next_ns(&timeline.timeline), TIMELINE_NEVER);
        fake_device_deinit(&device);
        quota_deinit(&quota);
}

static inline void on_rows(struct job *job, uint64_t first_row, uint64_t rows, void *userdata)
{
        struct heard *heard = userdata;
        const size_t at = strlen(heard->rows);

        ck_assert_ptr_eq(job, heard->job);
        ck_assert_uint_eq(heard->n_done, 0);
        (void)snprintf(heard->rows + at, sizeof heard->rows - at, "%d+%d ", (int)first_row, (int)rows);
}

static inline void on_done(struct job *job, enum status status, const char *text, void *userdata)
{
        struct heard *heard = userdata;

        ck_assert_ptr_eq(job, heard->job);
        ck_assert_uint_eq(job->slices_inside, 0); /* no device touches it any more */
        ck_assert_ptr_null(job->charge.user);     /* and its user may submit the next */
        heard->n_done++;
        heard->status = status;
        heard->done_ns = timeline.now_ns;
        (void)snprintf(heard->text, sizeof heard->text, "%s", text);
        if (heard->then)
                heard->then(heard);
}

/* False: it was refused, and is gone; ret_fault says why. Rows are one multiply-add each. */
static inline bool try_submit(size_t client, struct heard *heard, uint64_t rows, const struct wish *wish,
                              struct fault *ret_fault)
{
        struct job *job = job_new(1, on_rows, on_done, heard);

        ck_assert_ptr_nonnull(job);
        ck_assert_int_eq(quota_charge(&quota, uid_of(client), QUOTA_JOBS, 1, &job->charge), 0);
        job->product = (struct product){.m = rows, .k = 1, .n = 1};
        job->class = wish->class;
        job->deadline_us = wish->deadline_us;
        job->more = wish->more;
        *heard = (struct heard){.job = job, .then = wish->then};
        if (pipeline_submit(&pipeline, &clients[client], job, ret_fault))
                return true;
        heard->job = job_free(job);
        return false;
}

static inline void submit_as(size_t client, struct heard *heard, uint64_t rows, const struct wish *wish)
{
        struct fault fault = {0};

        ck_assert_msg(try_submit(client, heard, rows, wish, &fault), "%s", fault.text);
}

static inline void submit(struct heard *heard, uint64_t rows)
{
        submit_as(0, heard, rows, &(struct wish){0});
}

/* All slices of a batch, each with this status, and its end. */
static inline void finish(size_t index, enum status status)
{
        for (size_t n = device.inside[index]->n_slices - device.inside[index]->n_finished; n > 0; n--)
                fake_device_step(&device, index, status);
        fake_device_step(&device, index, STATUS_OK);
}

static inline void expect_end(const struct heard *heard, enum status status, const char *rows)
{
        ck_assert_uint_eq(heard->n_done, 1);
        ck_assert_msg(heard->status == status, "%s \"%s\", but %s was expected", status_name(heard->status),
                      heard->text, status_name(status));
        ck_assert_str_eq(heard->rows, rows);
        ck_assert_int_eq(heard->text[0] == '\0', status == STATUS_OK);
}

/* ---- where times matter: a submission costs 10 us and a row 1 us, and a batch may take 1,000 us ---- */

#define US       UINT64_C(1000)
#define FIXED_US UINT64_C(10)

static inline void desk_prepare_times(size_t slots, enum policy_kind policy)
{
        desk_prepare(slots);
        settings.policy = policy;
        settings.bound_ns = 1000 * US;
        settings.window_ns = 50 * US;
        device.device.seed_fixed_ns = (double)(FIXED_US * US);
        device.device.seed_ns_per_mac = (double)US;
}

static inline void setup_times(size_t slots, enum policy_kind policy)
{
        desk_prepare_times(slots, policy);
        desk_open();
}

static inline void advance_us(uint64_t us)
{
        fake_timeline_advance(&timeline, us * US);
}

/* When the next alarm is due, from now; TIMELINE_NEVER: there is none. */
static inline uint64_t next_us(void)
{
        const uint64_t next_ns = timeline_next_ns(&timeline.timeline);

        return next_ns == TIMELINE_NEVER ? TIMELINE_NEVER : (next_ns - timeline.now_ns) / US;
}

/* How many jobs have a part in the batch inside[index]; 0: there is none. */
static inline size_t n_in(size_t index)
{
        return device.n_inside > index ? device.inside[index]->n_slices : 0;
}

#endif
