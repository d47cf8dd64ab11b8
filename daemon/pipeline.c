/* SPDX-License-Identifier: MIT */
/* pipeline.c - see pipeline.h. */
#include "daemon/pipeline.h"

#include <errno.h>
#include <inttypes.h>

struct flight {
        struct batch batch;
        struct cost_work work;
        uint64_t submitted_ns;
        struct {
                struct scheduler_user *user;    /* ref */
                struct pipeline_client *client; /* borrowed; NULL once it is gone */
                enum job_class class;
        } payers[BATCH_SLICES_MAX]; /* of the slices: jobs may end before the batch does */
        TAILQ_ENTRY(flight) link;   /* pipeline::grounded, or pipeline::inside */
};

static uint64_t now_ns(const struct pipeline *pipeline)
{
        return timeline_now_ns(pipeline->timeline);
}

static uint64_t fixed_ns(const struct pipeline *pipeline)
{
        return cost_whole_ns(pipeline->cost.fixed_ns);
}

static void idle_check(const struct pipeline *pipeline)
{
        if (pipeline_is_idle(pipeline) && pipeline->idle_fn)
                pipeline->idle_fn(pipeline->idle_userdata);
}

/* Ends the job if it is over. */
static void job_check(struct pipeline *pipeline, struct job *job)
{
        struct scheduler_user *user = job->user;

        if (!job_is_over(job))
                return;
        if (job->client && job->end_status == STATUS_OK && policy_can_hold(fixed_ns(pipeline)))
                policy_answered(&pipeline->policy, &job->client->policed, fixed_ns(pipeline),
                                now_ns(pipeline));
        scheduler_remove(&pipeline->scheduler, job);
        job->user = NULL;
        completion_end(job, pipeline->stats);
        (void)scheduler_user_unref(&pipeline->scheduler, user);
        pipeline->jobs_inside--;
        idle_check(pipeline);
}

/*
 * A job that ends early goes no further: out of the scheduler, and the device may leave out what it has not begun.
 */
static void job_stop(struct pipeline *pipeline, struct job *job)
{
        struct device *device = pipeline->device;
        struct flight *flight;

        scheduler_remove(&pipeline->scheduler, job);
        if (job->slices_inside == 0 || !device->ops->drop)
                return;
        TAILQ_FOREACH(flight, &pipeline->inside, link)
                for (size_t i = 0; i < flight->batch.n_slices; i++)
                        if (flight->batch.slices[i].job == job)
                                device->ops->drop(device, &flight->batch, i);
}

/* ---- when ---- */

/* Until when the first deadline leaves time for all that waits, that one's job included. */
static uint64_t latest_start_ns(const struct pipeline *pipeline)
{
        const uint64_t needed_ns = cost_whole_ns(pipeline->cost.fixed_ns + pipeline->scheduler.queued_ns);
        const struct job *job;

        TAILQ_FOREACH(job, &pipeline->scheduler.deadlines, deadline_link)
                if (!job->is_forming) /* no start would help one whose group is not complete */
                        return job->deadline_ns - MIN(needed_ns, job->deadline_ns);
        return TIMELINE_NEVER;
}

static bool is_swift_inside(const struct pipeline *pipeline)
{
        const struct flight *flight;

        TAILQ_FOREACH(flight, &pipeline->inside, link)
                for (size_t i = 0; i < flight->batch.n_slices; i++)
                        if (flight->payers[i].client &&
                            policy_is_swift(&flight->payers[i].client->policed, fixed_ns(pipeline)))
                                return true;
        return false;
}

/* When the batches inside are predicted to be done, one after the other. */
static uint64_t busy_until_ns(const struct pipeline *pipeline)
{
        const struct flight *flight;
        uint64_t until_ns = 0;

        TAILQ_FOREACH(flight, &pipeline->inside, link)
                until_ns = MAX(until_ns, flight->submitted_ns) + flight->batch.predicted_ns;
        return until_ns;
}

static struct policy_view look(const struct pipeline *pipeline, uint64_t now)
{
        const struct scheduler *scheduler = &pipeline->scheduler;
        const bool is_busy = pipeline->n_inside > 0;

        return (struct policy_view){
                .now_ns = now,
                .oldest_ns = scheduler_oldest_ns(scheduler),
                .latest_start_ns = latest_start_ns(pipeline),
                .is_full =
                        pipeline->cost.fixed_ns + scheduler->queued_ns >= (double)pipeline->batcher.bound_ns,
                .n_inside = pipeline->n_inside,
                .idle_ns = busy_until_ns(pipeline),
                .pack_ns = pipeline->device->pack_ns,
                .is_swift_inside = is_busy && is_swift_inside(pipeline),
        };
}

/* ---- deadlines ---- */

/* Ends what the batcher has dropped, or whose deadline has passed. */
static void end_expired(struct pipeline *pipeline, uint64_t now)
{
        struct job *job;

        while ((job = TAILQ_FIRST(&pipeline->ended))) {
                TAILQ_REMOVE(&pipeline->ended, job, ended_link);
                job_stop(pipeline, job);
                job_check(pipeline, job);
        }
        while ((job = TAILQ_FIRST(&pipeline->scheduler.deadlines)) && job->deadline_ns <= now) {
                job_end_early(job, STATUS_DEADLINE,
                              "its deadline passed while it waited; allow more time, or submit less at once");
                job_stop(pipeline, job);
                job_check(pipeline, job);
        }
}

/* ---- composing ---- */

static void count_hold(struct pipeline *pipeline, uint64_t now)
{
        if (pipeline->held_since_ns != 0)
                pipeline->stats->hold_ns += now - pipeline->held_since_ns;
        pipeline->held_since_ns = 0;
}

static void count_batch(struct stats *stats, const struct batch *batch, const struct batcher_report *report)
{
        stats->submissions++;
        stats->submission_jobs += report->jobs;
        stats->stacks += batch->n_stacks;
        stats->rows_stacked += report->rows_stacked;
        stats->macs += report->macs;
        for (size_t i = 0; i < batch->n_stacks; i++)
                stats->padded_macs += batch->stacks[i].padded_macs;
}

static void payers_note(struct flight *flight)
{
        for (size_t i = 0; i < flight->batch.n_slices; i++) {
                const struct job *job = flight->batch.slices[i].job;

                flight->payers[i].user = scheduler_user_ref(job->user);
                flight->payers[i].client = job->client;
                flight->payers[i].class = job->class;
        }
}

/* Composes a batch and hands it over; false: there is nothing to compose. */
static bool submit_batch(struct pipeline *pipeline, uint64_t now)
{
        struct flight *flight = TAILQ_FIRST(&pipeline->grounded);
        struct batcher_report report;

        if (!batcher_compose(&pipeline->batcher, &pipeline->scheduler, &pipeline->cost, now, &pipeline->ended,
                             &flight->batch, &report))
                return false;
        TAILQ_REMOVE(&pipeline->grounded, flight, link);
        TAILQ_INSERT_TAIL(&pipeline->inside, flight, link);
        pipeline->n_inside++;
        flight->submitted_ns = now;
        flight->work = report.work;
        payers_note(flight);
        count_hold(pipeline, now);
        count_batch(pipeline->stats, &flight->batch, &report);
        policy_composed(&pipeline->policy);
        pipeline->device->ops->submit(pipeline->device, &flight->batch);
        return true;
}

static bool can_take_a_batch(const struct pipeline *pipeline)
{
        return pipeline->device && pipeline->device->free_slots > 0 && !TAILQ_EMPTY(&pipeline->grounded) &&
               pipeline->scheduler.depth > 0;
}

/* Submits what the policy wants submitted now; returns when to ask again. */
static uint64_t submit_due(struct pipeline *pipeline, uint64_t now)
{
        while (can_take_a_batch(pipeline)) {
                const struct policy_view view = look(pipeline, now);
                const uint64_t when_ns = policy_when_ns(&pipeline->policy, &view);

                if (when_ns > view.now_ns) {
                        if (view.n_inside == 0 && pipeline->held_since_ns == 0)
                                pipeline->held_since_ns = view.now_ns;
                        return when_ns;
                }
                if (!submit_batch(pipeline, now))
                        break;
        }
        return TIMELINE_NEVER;
}

/* Small batches are over before anything else happens. */
static void compute_here(struct pipeline *pipeline)
{
        struct device *device = pipeline->device;

        if (device && device->ops->compute)
                (void)device->ops->compute(device);
}

/* Ends that this brings about run callbacks, which may submit or cancel: the call under way looks after them. */
void pipeline_pump(struct pipeline *pipeline)
{
        uint64_t again_ns;

        if (pipeline->is_pumping) {
                pipeline->is_pumped_again = true;
                return;
        }
        pipeline->is_pumping = true;
        do {
                const uint64_t now =
                        now_ns(pipeline); /* one look at the clock: it costs as much as composing */
                const struct job *job;

                pipeline->is_pumped_again = false;
                end_expired(pipeline, now);
                again_ns = submit_due(pipeline, now);
                compute_here(pipeline);
                job = TAILQ_FIRST(&pipeline->scheduler.deadlines);
                if (job)
                        again_ns = MIN(again_ns, job->deadline_ns);
        } while (pipeline->is_pumped_again || !TAILQ_EMPTY(&pipeline->ended));
        pipeline->is_pumping = false;
        if (pipeline->scheduler.depth == 0)
                pipeline->held_since_ns = 0; /* whoever was to wait has gone */
        alarm_set(pipeline->timeline, &pipeline->alarm, again_ns);
}

/* After anything that has happened. */
static void pump(struct pipeline *pipeline)
{
        if (pipeline->defer_fn)
                pipeline->defer_fn(pipeline->defer_userdata);
        else
                pipeline_pump(pipeline);
}

static void on_alarm(void *userdata)
{
        pump(userdata);
}

/* ---- what the device says ---- */

static void on_slice_done(void *userdata, struct batch *batch, size_t index)
{
        struct pipeline *pipeline = userdata;
        struct slice *slice = &batch->slices[index];
        struct job *job = slice->job;

        completion_slice(slice);
        slice->job = NULL;
        if (job->end_status != STATUS_OK) /* it failed: its other rows are not worth anybody's time */
                job_stop(pipeline, job);
        job_check(pipeline, job);
}

/* What was predicted of the slices that the device computed; or of all, if it left out every one. */
static double charges_ran_ns(const struct batch *batch, bool *ret_none_ran)
{
        double all_ns = 0, ran_ns = 0;

        for (size_t i = 0; i < batch->n_slices; i++) {
                all_ns += batch->slices[i].charge_ns;
                ran_ns += batch->slices[i].status == STATUS_CANCELLED ? 0 : batch->slices[i].charge_ns;
        }
        *ret_none_ran = ran_ns == 0;
        return ran_ns == 0 ? all_ns : ran_ns;
}

/*
 * Everybody pays for the share that was predicted, of the time that was measured: what the scheduler has charged before
 * is corrected, so that nobody gains by being taken for less than one costs. A slice that was left out pays nothing.
 */
static void accounts_settle(struct pipeline *pipeline, struct flight *flight)
{
        const struct batch *batch = &flight->batch;
        bool none_ran;
        const double charges_ns = charges_ran_ns(batch, &none_ran);

        for (size_t i = 0; i < batch->n_slices; i++) {
                const bool pays = none_ran || batch->slices[i].status != STATUS_CANCELLED;
                struct scheduler_user *user = flight->payers[i].user;
                struct pipeline_client *client = flight->payers[i].client;
                const double charge_ns = batch->slices[i].charge_ns;
                const double paid_ns = pays ? (double)batch->device_ns * charge_ns / charges_ns : 0;

                scheduler_correct(user, client ? &client->scheduled : NULL, flight->payers[i].class,
                                  paid_ns - charge_ns);
                user->device_ns += (uint64_t)paid_ns;
                if (client)
                        client->device_ns += (uint64_t)paid_ns;
                flight->payers[i].user = scheduler_user_unref(&pipeline->scheduler, user);
        }
}

/* Whether it did all that it was composed for: else its time does not say how long that takes. */
static bool is_whole(const struct batch *batch)
{
        for (size_t i = 0; i < batch->n_slices; i++)
                if (batch->slices[i].status != STATUS_OK)
                        return false;
        return true;
}

/* What the same would take again. */
static uint64_t repeatable_ns(const struct batch *batch)
{
        uint64_t once_ns = 0;

        for (size_t i = 0; i < batch->n_stacks; i++)
                once_ns += batch->stacks[i].once_ns;
        return batch->device_ns - MIN(once_ns, batch->device_ns);
}

static void on_batch_done(void *userdata, struct batch *batch)
{
        struct pipeline *pipeline = userdata;
        struct flight *flight = container_of(batch, struct flight, batch);

        if (pipeline->answered_fn)
                pipeline->answered_fn(pipeline->answered_userdata);
        if (is_whole(batch))
                cost_observe(&pipeline->cost, &flight->work, repeatable_ns(batch));
        pipeline->stats->device_busy_ns += batch->device_ns;
        accounts_settle(pipeline, flight);
        TAILQ_REMOVE(&pipeline->inside, flight, link);
        TAILQ_INSERT_TAIL(&pipeline->grounded, flight, link);
        pipeline->n_inside--;
        if (pipeline->n_inside == 0 && policy_can_hold(fixed_ns(pipeline)))
                policy_idle(&pipeline->policy, fixed_ns(pipeline), now_ns(pipeline));
        idle_check(pipeline); /* now, or with the end of the last job: not twice */
        if (pipeline->scheduler.depth > 0)
                pump(pipeline);
}

/* What batches are composed by, from what the device says of itself now. What was learnt of another is of no use. */
static void traits_take(struct pipeline *pipeline)
{
        const struct pipeline_settings *settings = &pipeline->settings;
        const struct device *device = pipeline->device;
        const double scale = device->time_scale;

        pipeline->batcher = (struct batcher){
                .bound_ns = (uint64_t)((double)settings->bound_ns * scale),
                .stacks = settings->stacks,
                .granule_rows = device->granule_rows,
                .padding = device->padding,
                .stacks_max = device->stacks_max,
                .block_rows = device->block_rows,
                .work_macs = device->work_macs,
                .share = device->share,
        };
        pipeline->scheduler.aging_ns = (uint64_t)((double)settings->aging_ns * scale);
        pipeline->scheduler.slack_ns = (double)settings->bound_ns * scale;
        pipeline->policy.window_ns = (uint64_t)((double)settings->window_ns * scale);
        cost_init(&pipeline->cost,
                  settings->fixed_ns > 0 ? (double)settings->fixed_ns * scale : device->seed_fixed_ns,
                  device->seed_ns_per_mac);
        pipeline->cost.is_fixed_given = settings->fixed_ns > 0;
}

static void on_traits_changed(void *userdata)
{
        struct pipeline *pipeline = userdata;

        if (pipeline->device)
                traits_take(pipeline);
}

const struct device_events pipeline_device_events = {
        .traits_changed = on_traits_changed,
        .slice_done = on_slice_done,
        .batch_done = on_batch_done,
};

/* ---- life ---- */

void pipeline_init(struct pipeline *pipeline, struct timeline *timeline,
                   const struct pipeline_settings *settings, struct stats *stats)
{
        *pipeline = (struct pipeline){.settings = *settings, .timeline = timeline, .stats = stats};
        scheduler_init(&pipeline->scheduler, settings->aging_ns, (double)settings->bound_ns);
        policy_init(&pipeline->policy, settings->policy, settings->window_ns);
        alarm_init(&pipeline->alarm, on_alarm, pipeline);
        TAILQ_INIT(&pipeline->grounded);
        TAILQ_INIT(&pipeline->inside);
        TAILQ_INIT(&pipeline->ended);
}

void pipeline_deinit(struct pipeline *pipeline)
{
        struct flight *flight;

        assert(pipeline_is_idle(pipeline));
        while ((flight = TAILQ_FIRST(&pipeline->grounded))) {
                TAILQ_REMOVE(&pipeline->grounded, flight, link);
                free(flight);
        }
        alarm_set(pipeline->timeline, &pipeline->alarm, TIMELINE_NEVER);
        scheduler_deinit(&pipeline->scheduler);
}

int pipeline_set_device(struct pipeline *pipeline, struct device *device)
{
        for (size_t i = 0; i < device->free_slots; i++) {
                struct flight *flight = calloc(1, sizeof *flight);

                if (!flight)
                        return -ENOMEM;
                TAILQ_INSERT_TAIL(&pipeline->grounded, flight, link);
        }
        pipeline->device = device;
        traits_take(pipeline);
        return 0;
}

void pipeline_set_policy(struct pipeline *pipeline, enum policy_kind policy, uint64_t window_ns)
{
        pipeline->settings.policy = pipeline->policy.kind = policy;
        pipeline->settings.window_ns = window_ns;
        pipeline->policy.window_ns = (uint64_t)((double)window_ns * pipeline->device->time_scale);
        pump(pipeline);
}

void pipeline_set_stacking(struct pipeline *pipeline, bool stacks)
{
        pipeline->settings.stacks = pipeline->batcher.stacks = stacks;
}

int pipeline_client_init(struct pipeline *pipeline, struct pipeline_client *client, uid_t uid)
{
        client->device_ns = 0;
        policy_client_init(&client->policed);
        return scheduler_client_init(&pipeline->scheduler, &client->scheduled, uid);
}

void pipeline_client_deinit(struct pipeline *pipeline, struct pipeline_client *client)
{
        struct flight *flight;

        TAILQ_FOREACH(flight, &pipeline->inside, link)
                for (size_t i = 0; i < flight->batch.n_slices; i++)
                        if (flight->payers[i].client == client)
                                flight->payers[i].client = NULL;
        policy_client_deinit(&pipeline->policy, &client->policed);
        scheduler_client_deinit(&pipeline->scheduler, &client->scheduled);
        pump(pipeline); /* it may have been waited for */
}

/* ---- jobs ---- */

/* Submissions that so much work makes, none of them longer than the bound. */
static double n_batches(const struct pipeline *pipeline, double work_ns)
{
        const double bound_ns = (double)pipeline->batcher.bound_ns;
        const double room_ns =
                MAX(bound_ns - pipeline->cost.fixed_ns, bound_ns / 2); /* some, whatever it costs */
        const double n = (double)cost_whole_ns(work_ns / room_ns);

        return n * room_ns < work_ns ? n + 1 : n;
}

/* Whether a job would be done in time, as things stand. */
static bool is_in_time(const struct pipeline *pipeline, const struct pipeline_client *client,
                       const struct job *job, double own_ns, uint64_t now, struct fault *ret_fault)
{
        const double ahead_ns =
                scheduler_ahead_ns(&pipeline->scheduler, &client->scheduled, job->class, own_ns);
        const double submissions_ns = n_batches(pipeline, ahead_ns + own_ns) * pipeline->cost.fixed_ns;
        const uint64_t start_ns = MAX(now, busy_until_ns(pipeline));
        const double takes_ns = (double)(start_ns - now) + ahead_ns + own_ns + submissions_ns;

        if (takes_ns <= (double)job->deadline_us * 1000)
                return true;
        return fault_set(ret_fault, STATUS_DEADLINE,
                         "it would be done in %" PRIu64
                         " us, as things stand, and its deadline is in %" PRIu64
                         " us; allow more time, or submit later",
                         cost_whole_ns((takes_ns + 999) / 1000), job->deadline_us);
}

bool pipeline_submit(struct pipeline *pipeline, struct pipeline_client *client, struct job *job,
                     struct fault *ret_fault)
{
        const double own_ns =
                batcher_job_ns(&pipeline->batcher, &pipeline->cost, &job->product, job->product.m);
        const uint64_t now = now_ns(pipeline);

        job->deadline_ns = job->deadline_us == 0 ? 0 : now + job->deadline_us * 1000;
        if (job->deadline_ns != 0 && !is_in_time(pipeline, client, job, own_ns, now, ret_fault))
                return false;
        pipeline->jobs_inside++;
        job->client = client;
        job->user = scheduler_user_ref(client->scheduled.user);
        scheduler_push(&pipeline->scheduler, &client->scheduled, job, own_ns, now);
        if (!job->is_forming)
                policy_submitted(&pipeline->policy, &client->policed, now);
        pump(pipeline);
        return true;
}

void pipeline_complete_group(struct pipeline *pipeline, struct pipeline_client *client)
{
        if (!TAILQ_EMPTY(&client->scheduled.forming))
                policy_submitted(&pipeline->policy, &client->policed, now_ns(pipeline));
        scheduler_complete_group(&pipeline->scheduler, &client->scheduled, now_ns(pipeline));
        pump(pipeline);
}

void pipeline_complete_all_groups(struct pipeline *pipeline)
{
        struct job *job;

        TAILQ_FOREACH(job, &pipeline->scheduler.arrivals, arrival_link)
                if (job->is_forming)
                        scheduler_complete_group(&pipeline->scheduler, job->flow->client, now_ns(pipeline));
        pump(pipeline);
}

void pipeline_cancel(struct pipeline *pipeline, struct job *job)
{
        const bool is_ending = job->end_status != STATUS_OK;

        job_end_early(job, STATUS_CANCELLED, "cancelled");
        if (is_ending) /* whoever gave the reason ends it: it may be on pipeline::ended, below us on the stack */
                return;
        job_stop(pipeline, job);
        job_check(pipeline, job);
        pump(pipeline);
}

void pipeline_cancel_all(struct pipeline *pipeline)
{
        struct job *job;

        while ((job = TAILQ_FIRST(&pipeline->scheduler.arrivals)))
                pipeline_cancel(pipeline, job);
}
