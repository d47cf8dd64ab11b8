/* SPDX-License-Identifier: MIT */
/*
 * test-pipeline-random.c - jobs submitted, cancelled, orphaned and failed in any order, on devices that
 * finish their batches in any order: every job ends exactly once, as it should, and nothing is left.
 */
#include <check.h>

#include "daemon/pipeline.h"
#include "tests/fake/device.h"
#include "tests/fake/timeline.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define JOBS_MAX   16
#define ROWS_MAX   30
#define USERS      3
#define BOUND_ROWS 4
#define BOUND_NS   (1 + BOUND_ROWS) /* as the fake device predicts */
#define AGING_NS   UINT64_C(1000000000)
#define ROUNDS     40
#define STEPS      300

/* What the test knows of a job, and what must become of it. */
struct model {
        struct job *job; /* NULL: the place is free; dead once the job has ended */
        uint64_t m;
        bool row_reported[ROWS_MAX];
        uint64_t n_reported;
        enum status expected; /* the first reason other than OK */
        bool is_orphan;
};

static struct rng rng;
static struct quota quota;
static struct stats stats;
static struct fake_timeline timeline;
static struct pipeline pipeline;
static struct pipeline_client clients[USERS];
static struct fake_device device;
static struct model models[JOBS_MAX];
static uint64_t n_submitted, n_ended, n_orphans;
static bool idle_is_due;            /* a job has ended since the last idle */
static uint64_t n_ends[STATUS_MAX]; /* of all rounds */

static void on_idle(void *userdata)
{
        (void)userdata;
        ck_assert(pipeline_is_idle(&pipeline));
        ck_assert_msg(idle_is_due, "idle without a job that ended");
        idle_is_due = false;
}

static void on_rows(struct job *job, uint64_t first_row, uint64_t rows, void *userdata)
{
        struct model *model = userdata;

        ck_assert_ptr_eq(job, model->job);
        ck_assert(!model->is_orphan);
        ck_assert_int_eq(model->expected, STATUS_OK);
        ck_assert_uint_ge(rows, 1);
        ck_assert_uint_le(first_row + rows, model->m);
        for (uint64_t row = first_row; row < first_row + rows; row++) {
                ck_assert_msg(!model->row_reported[row], "a row twice");
                model->row_reported[row] = true;
        }
        model->n_reported += rows;
}

static void on_done(struct job *job, enum status status, const char *text, void *userdata)
{
        struct model *model = userdata;

        ck_assert_ptr_eq(job, model->job); /* also fails on a second end: the place is free by then */
        ck_assert(!model->is_orphan);
        ck_assert_int_eq(status, model->expected);
        ck_assert_int_eq(text[0] == '\0', status == STATUS_OK);
        if (status == STATUS_OK)
                ck_assert_uint_eq(model->n_reported, model->m);
        ck_assert_uint_eq(job->slices_inside, 0);
        /* discharged before it is told, and not yet counted out */
        ck_assert_uint_eq(quota.used[QUOTA_JOBS], pipeline.jobs_inside - 1);
        model->job = NULL;
        n_ended++;
        n_ends[status]++;
        idle_is_due = true;
}

static struct model *model_of(const struct job *job)
{
        for (size_t i = 0; i < JOBS_MAX; i++)
                if (models[i].job == job)
                        return &models[i];
        return NULL;
}

static struct model *any_model(bool is_alive)
{
        for (size_t tries = 0; tries < 2 * JOBS_MAX; tries++) {
                struct model *model = &models[rng_below(&rng, JOBS_MAX)];

                if ((model->job != NULL) == is_alive)
                        return model;
        }
        return NULL;
}

static void end_expect(struct model *model, enum status status)
{
        if (model->expected == STATUS_OK)
                model->expected = status;
}

/* ---- what can happen ---- */

static void step_submit(void)
{
        struct model *model = any_model(false);
        const size_t user = (size_t)rng_below(&rng, USERS);
        struct quota_charge charge = {0};
        struct fault fault;

        if (!model || quota_charge(&quota, (uid_t)user, QUOTA_JOBS, 1, &charge) != 0)
                return;
        *model = (struct model){.job = job_new(n_submitted, on_rows, on_done, model),
                                .m = rng_between(&rng, 1, ROWS_MAX)};
        ck_assert_ptr_nonnull(model->job);
        model->job->charge = charge;
        model->job->product = (struct product){.m = model->m, .k = 1, .n = 1};
        n_submitted++;
        ck_assert(pipeline_submit(&pipeline, &clients[user], model->job, &fault));
}

static void step_cancel(void)
{
        struct model *model = any_model(true);

        if (!model)
                return;
        end_expect(model, STATUS_CANCELLED);
        pipeline_cancel(&pipeline, model->job);
}

/* As when a session ends. */
static void step_orphan(void)
{
        struct model *model = any_model(true);
        struct job *job;

        if (!model)
                return;
        job = steal(&model->job);
        model->is_orphan = true;
        n_orphans++;
        idle_is_due = true; /* it ends sooner or later, and nobody says when */
        job_orphan(job);
        pipeline_cancel(&pipeline, job);
}

static void step_cancel_all(void)
{
        for (size_t i = 0; i < JOBS_MAX; i++)
                if (models[i].job && models[i].job->flow)
                        end_expect(&models[i], STATUS_CANCELLED);
        pipeline_cancel_all(&pipeline);
        ck_assert_uint_eq(pipeline.scheduler.depth, 0);
}

static void step_device(void)
{
        enum status status = rng_once_in(&rng, 12) ? STATUS_DEVICE_ERROR : STATUS_OK;
        const struct batch *batch;
        struct model *model;
        size_t index;

        if (device.n_inside == 0)
                return;
        index = (size_t)rng_below(&rng, device.n_inside);
        batch = device.inside[index];
        if (batch->n_finished < batch->n_slices && status != STATUS_OK) {
                model = model_of(batch->slices[batch->n_finished].job); /* NULL: an orphan's */
                if (model) /* one that was dropped has its reason already */
                        end_expect(model, status);
        }
        fake_device_step(&device, index, status);
}

/* ---- what must hold between any two steps ---- */

static void check_between(void)
{
        size_t n_alive = 0;

        for (size_t i = 0; i < JOBS_MAX; i++) {
                const struct job *job = models[i].job;

                if (!job)
                        continue;
                n_alive++;
                ck_assert_msg(job->flow || job->slices_inside > 0, "a job that nothing will end");
                ck_assert(!job->flow || models[i].expected == STATUS_OK);
        }
        ck_assert_uint_eq(pipeline.jobs_inside, quota.used[QUOTA_JOBS]);
        ck_assert_uint_ge(pipeline.jobs_inside, n_alive);
        ck_assert_msg(pipeline.scheduler.depth == 0 || device.device.free_slots == 0,
                      "jobs wait and the device has room");
        if (pipeline_is_idle(&pipeline))
                ck_assert_msg(!idle_is_due, "idle was not told");
}

/* _i: slots of the device. */
START_TEST(test_every_job_ends_once)
{
        for (int round = 0; round < ROUNDS; round++) {
                const struct pipeline_settings settings = {.bound_ns = BOUND_NS,
                                                           .aging_ns = AGING_NS,
                                                           .policy = POLICY_NATURAL,
                                                           .stacks = rng_once_in(&rng, 2)};
                const struct quota_limits limits = {.per_uid = {[QUOTA_JOBS] = 6},
                                                    .total = {[QUOTA_JOBS] = JOBS_MAX}};

                quota_init(&quota, &limits);
                memset(models, 0, sizeof models);
                stats = (struct stats){0};
                n_submitted = n_ended = n_orphans = 0;
                idle_is_due = false;
                fake_timeline_init(&timeline);
                pipeline_init(&pipeline, &timeline.timeline, &settings, &stats);
                pipeline.idle_fn = on_idle;
                fake_device_init(&device, (size_t)_i, UINT64_C(1) << rng_below(&rng, 3),
                                 &pipeline_device_events, &pipeline);
                device.drops = rng_once_in(&rng, 2);
                ck_assert_int_eq(pipeline_set_device(&pipeline, &device.device), 0);
                for (size_t i = 0; i < USERS; i++)
                        ck_assert_int_eq(pipeline_client_init(&pipeline, &clients[i], (uid_t)i), 0);
                for (int step = 0; step < STEPS; step++) {
                        const uint64_t chance = rng_below(&rng, 100);

                        if (chance < 25)
                                step_submit();
                        else if (chance < 31)
                                step_cancel();
                        else if (chance < 34)
                                step_orphan();
                        else if (chance < 35)
                                step_cancel_all();
                        else
                                step_device();
                        check_between();
                }
                while (device.n_inside > 0) {
                        step_device();
                        check_between();
                }
                ck_assert_uint_eq(pipeline.jobs_inside, 0);
                ck_assert_uint_eq(n_ended + n_orphans, n_submitted);
                ck_assert_uint_eq(stats.jobs_ok + stats.jobs_cancelled + stats.jobs_failed, n_submitted);
                for (size_t i = 0; i < USERS; i++)
                        pipeline_client_deinit(&pipeline, &clients[i]);
                pipeline_deinit(&pipeline);
                fake_device_deinit(&device);
                quota_deinit(&quota); /* no user is left */
        }
        ck_assert(n_ends[STATUS_OK] > 100 && n_ends[STATUS_CANCELLED] > 100 &&
                  n_ends[STATUS_DEVICE_ERROR] > 100);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("pipeline, at random");
        TCase *tcase = tcase_create("one end each");

        rng_start(&rng, "pipeline-random");
        tcase_add_loop_test(tcase, test_every_job_ends_once, 1, 4);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
