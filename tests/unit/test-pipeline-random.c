/* SPDX-License-Identifier: MIT */
/*
 * test-pipeline-random.c - jobs of every class, with and without deadlines, weights and groups, submitted, cancelled,
 * orphaned and failed in any order, also from within the ends of others, by clients that come and go, under any policy,
 * on devices that finish their batches in any order: every job ends exactly once, as it should, every nanosecond of the
 * device is somebody's, and nothing is left.
 */
#include <check.h>

#include "daemon/pipeline.h"
#include "tests/fake/device.h"
#include "tests/fake/timeline.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define JOBS_MAX 16
#define ROWS_MAX 30
#define CLIENTS  4 /* the first two are of one user */
#define USERS    3
#define WEIGHTS  3 /* 0: none */
#define ROUNDS   60
#define STEPS    400

/* What the test knows of a job, and what must become of it. */
struct model {
        struct job *job; /* NULL: the place is free; dead once the job has ended */
        size_t client;
        uint64_t m;
        bool row_reported[ROWS_MAX];
        uint64_t n_reported;
        enum status expected; /* the first reason other than OK; a deadline is the pipeline's to find */
        bool has_deadline;
        bool is_orphan;
};

static struct rng rng;
static struct quota quota;
static struct stats stats;
static struct fake_timeline timeline;
static struct pipeline pipeline;
static struct pipeline_client clients[CLIENTS];
static struct scheduler_user *users[USERS]; /* refs: so that what they have had is not forgotten */
static struct resident weights[WEIGHTS];
static struct fake_device device;
static struct model models[JOBS_MAX];
static uint64_t n_submitted, n_ended, n_orphans, n_slices;
static uint64_t n_ending; /* ends that are being told, one from within another */
static bool is_cancelling_all;
static bool idle_is_due;            /* a job has ended since the last idle */
static uint64_t n_ends[STATUS_MAX]; /* of all rounds, as the three below */
static uint64_t n_refused, n_held, n_stacked;

static uid_t uid_of(size_t client)
{
        return client < 2 ? 0 : (uid_t)client - 1;
}

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

static void step_from_within(void);

static void on_done(struct job *job, enum status status, const char *text, void *userdata)
{
        struct model *model = userdata;

        ck_assert_ptr_eq(job, model->job); /* also fails on a second end: the place is free by then */
        ck_assert(!model->is_orphan);
        if (status == STATUS_DEADLINE)
                ck_assert(model->has_deadline && model->expected == STATUS_OK &&
                          model->n_reported < model->m);
        else if (!is_cancelling_all)
                ck_assert_int_eq(status, model->expected);
        ck_assert_int_eq(text[0] == '\0', status == STATUS_OK);
        if (status == STATUS_OK)
                ck_assert_uint_eq(model->n_reported, model->m);
        ck_assert_uint_eq(job->slices_inside, 0);
        n_ending++; /* discharged before it is told, and not yet counted out */
        ck_assert_uint_eq(quota.used[QUOTA_JOBS], pipeline.jobs_inside - n_ending);
        model->job = NULL;
        n_ended++;
        n_ends[status]++;
        idle_is_due = true;
        step_from_within();
        n_ending--;
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

/* Once there is a reason, a deadline is none any more. */
static void end_expect(struct model *model, enum status status)
{
        if (model->expected == STATUS_OK && model->job->end_status == STATUS_OK)
                model->expected = status;
}

/* ---- what can happen ---- */

static void job_choose(struct job *job, struct model *model)
{
        const size_t w = (size_t)rng_below(&rng, WEIGHTS);

        job->product = (struct product){.m = model->m, .k = 1, .n = 1, .b = (const int8_t *)job};
        if (w > 0) {
                job->product.resident = &weights[w];
                job->product.b = weights[w].b;
        }
        job->class = (enum job_class)rng_below(&rng, CLASS_MAX);
        job->more = rng_once_in(&rng, 6);
        model->has_deadline = rng_once_in(&rng, 4);
        job->deadline_us = model->has_deadline ? rng_between(&rng, 1, 3) : 0;
}

static void step_submit(void)
{
        struct model *model = any_model(false);
        const size_t client = (size_t)rng_below(&rng, CLIENTS);
        struct quota_charge charge = {0};
        struct fault fault;
        struct job *job;

        if (!model || quota_charge(&quota, uid_of(client), QUOTA_JOBS, 1, &charge) != 0)
                return;
        job = job_new(n_submitted, on_rows, on_done, model);
        ck_assert_ptr_nonnull(job);
        *model = (struct model){.job = job, .client = client, .m = rng_between(&rng, 1, ROWS_MAX)};
        job->charge = charge;
        job_choose(job, model);
        n_submitted++;
        if (pipeline_submit(&pipeline, &clients[client], job, &fault))
                return;
        ck_assert(model->has_deadline);
        ck_assert_int_eq(fault.status, STATUS_DEADLINE);
        model->job = job_free(job);
        n_submitted--;
        n_refused++;
}

static void step_cancel(void)
{
        struct model *model = any_model(true);

        if (!model)
                return;
        end_expect(model, STATUS_CANCELLED);
        pipeline_cancel(&pipeline, model->job);
}

/* From now on nobody hears of it. */
static void orphan(struct model *model)
{
        struct job *job = steal(&model->job);

        model->is_orphan = true;
        n_orphans++;
        idle_is_due = true; /* it ends sooner or later, and nobody says when */
        job_orphan(job);
        pipeline_cancel(&pipeline, job);
}

static void step_orphan(void)
{
        struct model *model = any_model(true);

        if (model)
                orphan(model);
}

/* As when a connection closes; another one comes at once. */
static void step_disconnect(void)
{
        const size_t client = (size_t)rng_below(&rng, CLIENTS);

        for (size_t i = 0; i < JOBS_MAX; i++)
                if (models[i].job && models[i].client == client)
                        orphan(&models[i]);
        pipeline_client_deinit(&pipeline, &clients[client]);
        ck_assert_int_eq(pipeline_client_init(&pipeline, &clients[client], uid_of(client)), 0);
}

/* Those that wait, and none of those that are wholly inside: who submits meanwhile makes the one into the other. */
static void step_cancel_all(void)
{
        is_cancelling_all = true;
        pipeline_cancel_all(&pipeline);
        is_cancelling_all = false;
        ck_assert(!TAILQ_FIRST(&pipeline.scheduler.arrivals));
        for (size_t i = 0; i < JOBS_MAX; i++)
                if (models[i].job && models[i].job->end_status == STATUS_CANCELLED)
                        models[i].expected = STATUS_CANCELLED;
}

static void step_policy(void)
{
        pipeline_set_policy(&pipeline, (enum policy_kind)rng_below(&rng, POLICY_MAX), rng_below(&rng, 500));
        pipeline_set_stacking(&pipeline, rng_once_in(&rng, 2));
}

/* What a client does when it hears of an end. One that cancels all, or closes, would be heard of while it does. */
static void step_from_within(void)
{
        if (n_ending > 3)
                return;
        switch (rng_below(&rng, 12)) {
        case 0:
                step_submit();
                break;
        case 1:
                step_cancel();
                break;
        case 2:
                step_orphan();
                break;
        default:
                break;
        }
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
        n_slices += batch->n_finished == 0 ? batch->n_slices : 0;
        n_stacked += batch->n_slices > batch->n_stacks;
        if (batch->n_finished < batch->n_slices && status != STATUS_OK) {
                model = model_of(batch->slices[batch->n_finished].job); /* NULL: an orphan's */
                if (model) /* one that was dropped has its reason already */
                        end_expect(model, status);
        }
        device.took_ns = rng_once_in(&rng, 2) ? 0 : batch->predicted_ns * rng_between(&rng, 1, 16) / 8 + 1;
        fake_device_step(&device, index, status);
}

/* ---- what must hold between any two steps ---- */

static uint64_t users_ns(void)
{
        uint64_t ns = 0;

        for (size_t i = 0; i < USERS; i++)
                ns += users[i]->device_ns;
        return ns;
}

static void check_between(void)
{
        const uint64_t next_ns = timeline_next_ns(&timeline.timeline);
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
        if (pipeline.scheduler.depth > 0 && device.device.free_slots > 0) {
                /* an alarm will ring, or the swift clients' batch come back */
                ck_assert_msg(next_ns != TIMELINE_NEVER ||
                                      (device.n_inside > 0 && pipeline.policy.kind == POLICY_HOLD),
                              "jobs wait, the device has room, and nothing will happen");
                ck_assert_uint_ge(next_ns, timeline.now_ns);
                n_held++;
        }
        if (pipeline_is_idle(&pipeline))
                ck_assert_msg(!idle_is_due, "idle was not told");
        /* each slice's share is rounded down */
        ck_assert_uint_le(users_ns(), stats.device_busy_ns);
        ck_assert_uint_ge(users_ns() + n_slices, stats.device_busy_ns);
}

/* ---- rounds ---- */

static void round_begin(size_t slots)
{
        const uint64_t fixed_ns = rng_once_in(&rng, 2) ? 1 : 300;
        const struct pipeline_settings settings = {.bound_ns = fixed_ns + rng_between(&rng, 1, 12),
                                                   .aging_ns = rng_between(&rng, 1, 2000),
                                                   .window_ns = rng_below(&rng, 300),
                                                   .policy = (enum policy_kind)rng_below(&rng, POLICY_MAX),
                                                   .stacks = rng_once_in(&rng, 2)};
        const struct quota_limits limits = {.per_uid = {[QUOTA_JOBS] = 6},
                                            .total = {[QUOTA_JOBS] = JOBS_MAX}};

        quota_init(&quota, &limits);
        memset(models, 0, sizeof models);
        stats = (struct stats){0};
        n_submitted = n_ended = n_orphans = n_slices = 0;
        idle_is_due = false;
        fake_timeline_init(&timeline);
        pipeline_init(&pipeline, &timeline.timeline, &settings, &stats);
        pipeline.idle_fn = on_idle;
        fake_device_init(&device, slots, UINT64_C(1) << rng_below(&rng, 3), &pipeline_device_events,
                         &pipeline);
        device.drops = rng_once_in(&rng, 2);
        if (rng_once_in(&rng,
                        2)) /* an NPU: blocks of rows, a few stacks, fixed costs that are worth a hold */
                device.device.padding.rows = device.device.granule_rows;
        device.device.stacks_max = rng_once_in(&rng, 2) ? (size_t)rng_between(&rng, 1, 4) : BATCH_STACKS_MAX;
        device.device.pack_ns = rng_once_in(&rng, 2) ? TIMELINE_NEVER : rng_below(&rng, 5);
        device.device.seed_fixed_ns = (double)fixed_ns;
        ck_assert_int_eq(pipeline_set_device(&pipeline, &device.device), 0);
        for (size_t i = 0; i < CLIENTS; i++)
                ck_assert_int_eq(pipeline_client_init(&pipeline, &clients[i], uid_of(i)), 0);
        for (size_t i = 0; i < USERS; i++)
                users[i] = scheduler_user_ref(clients[i + 1].scheduled.user);
        for (size_t i = 0; i < WEIGHTS; i++)
                resident_init(&weights[i], (const int8_t *)&weights[i], 1, 1);
}

static void step(void)
{
        const uint64_t chance = rng_below(&rng, 100);

        if (chance < 25)
                step_submit();
        else if (chance < 30)
                step_cancel();
        else if (chance < 32)
                step_orphan();
        else if (chance < 33)
                step_disconnect();
        else if (chance < 34)
                step_cancel_all();
        else if (chance < 35)
                step_policy();
        else if (chance < 37)
                pipeline_complete_group(&pipeline, &clients[rng_below(&rng, CLIENTS)]);
        else if (chance < 55)
                fake_timeline_advance(&timeline, rng_below(&rng, 150));
        else
                step_device();
}

/* As the daemon stops: no job comes any more, and all that are there end. */
static void round_end(void)
{
        pipeline_complete_all_groups(&pipeline);
        for (int i = 0; !pipeline_is_idle(&pipeline); i++) {
                ck_assert_int_lt(i, 20000);
                if (rng_once_in(&rng, 2) || device.n_inside == 0)
                        (void)fake_timeline_step(&timeline);
                step_device();
                check_between();
                pipeline_complete_all_groups(&pipeline); /* ends make their clients submit */
        }
        ck_assert_uint_eq(n_ended + n_orphans, n_submitted);
        ck_assert_uint_eq(stats.jobs_ok + stats.jobs_cancelled + stats.jobs_failed + stats.jobs_expired,
                          n_submitted);
        for (size_t i = 0; i < WEIGHTS; i++)
                ck_assert(TAILQ_EMPTY(&weights[i].waiting));
        for (size_t i = 0; i < USERS; i++)
                (void)scheduler_user_unref(&pipeline.scheduler, users[i]);
        for (size_t i = 0; i < CLIENTS; i++)
                pipeline_client_deinit(&pipeline, &clients[i]);
        pipeline_deinit(&pipeline);
        ck_assert_uint_eq(timeline_next_ns(&timeline.timeline), TIMELINE_NEVER);
        fake_device_deinit(&device);
        quota_deinit(&quota); /* no user is left */
}

/* _i: slots of the device. */
START_TEST(test_every_job_ends_once)
{
        for (int round = 0; round < ROUNDS; round++) {
                round_begin((size_t)_i);
                for (int i = 0; i < STEPS; i++) {
                        step();
                        check_between();
                }
                round_end();
        }
        ck_assert_uint_gt(n_ends[STATUS_OK], 100);
        ck_assert_uint_gt(n_ends[STATUS_CANCELLED], 100);
        ck_assert_uint_gt(n_ends[STATUS_DEVICE_ERROR], 100);
        ck_assert_uint_gt(n_ends[STATUS_DEADLINE], 20);
        ck_assert_uint_gt(n_refused, 5);
        ck_assert_uint_gt(n_held, 100);
        ck_assert_uint_gt(n_stacked, 100);
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
