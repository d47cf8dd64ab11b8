/* SPDX-License-Identifier: MIT */
/* drive.c - see drive.h. */
#include "tests/drive/drive.h"

#include <math.h>

#include "daemon/pipeline.h"
#include "tests/fake/timeline.h"
#include "tests/lib/rng.h"

#define WEIGHTS_MAX 64

struct drive;

struct driven {
        struct drive *drive;
        const struct drive_client *spec;
        struct pipeline_client *client; /* borrowed: own_client, or the one of all */
        struct pipeline_client own_client;
        struct alarm next; /* open: the next arrival; closed: one of `thinking` is over */
        struct rng rng;    /* of its own, so that one client's luck does not depend on another's */
        size_t n_outstanding;
        struct thought {
                struct driven *driven;
                struct alarm alarm;
                size_t n_left; /* jobs of its group that have not ended */
        } * thoughts;          /* closed: one for each group outstanding; owned */
        size_t index;
};

struct drive_job {
        struct driven *driven;
        struct thought *thought; /* NULL: open */
        uint64_t submitted_ns, rows_done;
        bool has_ended;
};

struct drive {
        const struct drive_spec *spec;
        struct drive_result *result;
        struct fake_timeline timeline;
        struct quota quota;
        struct pipeline pipeline;
        struct device *device;
        struct device_ops ops;        /* the device's own, with a look at each batch before */
        const struct device_ops *sim; /* those */
        struct resident weights[WEIGHTS_MAX];
        struct driven clients[DRIVE_CLIENTS_MAX];
        uint64_t n_ended;
        uint64_t starved_since_ns[CLASS_MAX];
        bool is_over;
};

/* ---- chance ---- */

static double uniform(struct rng *rng)
{
        return ((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53;
}

static double exponential(struct rng *rng, double mean)
{
        return -mean * log(uniform(rng));
}

static double normal(struct rng *rng, double mean, double sd)
{
        return mean + sd * sqrt(-2 * log(uniform(rng))) * cos(2 * M_PI * uniform(rng));
}

static uint64_t think_ns(struct driven *driven)
{
        const struct drive_client *spec = driven->spec;
        double us = spec->think == DRIVE_EXPONENTIAL
                            ? exponential(&driven->rng, spec->think_us)
                            : normal(&driven->rng, spec->think_us, spec->think_us * spec->think_cv);

        if (uniform(&driven->rng) < spec->pause_share)
                us += spec->pause_us;
        return (uint64_t)(MAX(us, 1.0) * 1000);
}

/* ---- latencies ---- */

static void latency_add(struct drive_latencies *latencies, uint64_t ns)
{
        if (latencies->n == latencies->n_room) {
                latencies->n_room = MAX(latencies->n_room * 2, (size_t)1024);
                latencies->all_ns =
                        reallocarray(latencies->all_ns, latencies->n_room, sizeof *latencies->all_ns);
                assert(latencies->all_ns);
        }
        latencies->all_ns[latencies->n++] = ns;
}

static int compare(const void *a, const void *b)
{
        const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static void latencies_sort(struct drive_latencies *latencies)
{
        if (latencies->n > 0)
                qsort(latencies->all_ns, latencies->n, sizeof *latencies->all_ns, compare);
}

double drive_quantile_us(const struct drive_latencies *latencies, double q)
{
        const size_t at = (size_t)(q * (double)latencies->n);

        return latencies->n == 0 ? 0 : (double)latencies->all_ns[MIN(at, latencies->n - 1)] / 1000;
}

/* ---- jobs ---- */

static uint64_t now_ns(const struct drive *drive)
{
        return drive->timeline.now_ns;
}

static void group_ended(struct thought *thought);

static void count_end(struct drive *drive, struct drive_job *own, enum status status)
{
        struct drive_result *result = drive->result;
        const uint64_t latency_ns = now_ns(drive) - own->submitted_ns;

        drive->n_ended++;
        if (status == STATUS_OK) {
                result->n_done++;
                result->clients[own->driven->index].n_done++;
                if (drive->n_ended > drive->spec->n_jobs / 10) {
                        latency_add(&result->latencies, latency_ns);
                        latency_add(&result->clients[own->driven->index].latencies, latency_ns);
                }
        } else if (status == STATUS_DEADLINE) {
                result->n_expired++;
        } else if (status == STATUS_CANCELLED) {
                result->n_cancelled++;
        } else {
                result->n_failed++;
        }
}

static void on_rows(struct job *job, uint64_t first_row, uint64_t rows, void *userdata)
{
        struct drive_job *own = userdata;

        assert(!own->has_ended && first_row == own->rows_done && rows >= 1); /* in order: each row once */
        own->rows_done += rows;
        assert(own->rows_done <= job->product.m);
}

static void on_done(struct job *job, enum status status, const char *text, void *userdata)
{
        struct drive_job *own = userdata;
        struct driven *driven = own->driven;
        struct thought *thought = own->thought;

        assert(!own->has_ended);
        assert(status != STATUS_OK || own->rows_done == job->product.m);
        assert((text[0] == '\0') == (status == STATUS_OK));
        own->has_ended = true;
        count_end(driven->drive, own, status);
        driven->n_outstanding--;
        free(own);
        if (thought && --thought->n_left == 0)
                group_ended(thought);
}

static struct job *job_make(struct driven *driven, struct thought *thought, bool more)
{
        struct drive *drive = driven->drive;
        const struct drive_client *spec = driven->spec;
        struct drive_job *own = calloc(1, sizeof *own);
        struct job *job = job_new(0, on_rows, on_done, own);
        const uint64_t m =
                spec->m_most > spec->m ? rng_between(&driven->rng, spec->m, spec->m_most) : spec->m;

        assert(own && job);
        *own = (struct drive_job){.driven = driven, .thought = thought, .submitted_ns = now_ns(drive)};
        job->product = (struct product){
                .m = m, .k = spec->k, .n = spec->n, .lda = spec->k, .ldb = spec->n, .ldc = spec->n};
        if (spec->weights != DRIVE_OWN_B)
                job->product.resident = &drive->weights[spec->weights];
        /* Only its address counts: nothing is computed. */
        job->product.b = job->product.resident ? job->product.resident->b : (const int8_t *)own;
        job->class = spec->class;
        job->deadline_us = spec->deadline_us;
        job->more = more;
        return job;
}

/* Sends one job, unless it is refused or there is no credit for it; false: there is nothing that would end. */
static bool job_send(struct driven *driven, struct thought *thought, bool more)
{
        struct drive *drive = driven->drive;
        struct drive_result *result = drive->result;
        struct job *job;
        struct fault fault;

        result->n_submitted++;
        if (driven->spec->credits > 0 && driven->n_outstanding >= driven->spec->credits) {
                result->n_dropped++;
                return false;
        }
        job = job_make(driven, thought, more);
        if (quota_charge(&drive->quota, driven->spec->uid, QUOTA_JOBS, 1, &job->charge) != 0) {
                result->n_refused++;
                free(job->userdata);
                (void)job_free(job);
                return false;
        }
        driven->n_outstanding++;
        if (drive->pipeline.scheduler.class_depth[job->class] == 0)
                drive->starved_since_ns[job->class] = now_ns(drive);
        if (pipeline_submit(&drive->pipeline, driven->client, job, &fault))
                return true;
        assert(fault.status == STATUS_DEADLINE);
        driven->n_outstanding--;
        result->n_expired++;
        drive->n_ended++;
        free(job->userdata);
        (void)job_free(job);
        return false;
}

static void group_send(struct driven *driven, struct thought *thought)
{
        const size_t n = MAX(driven->spec->group, (size_t)1);
        size_t n_lost = 0;

        if (driven->drive->is_over)
                return;
        if (thought)
                thought->n_left = n;
        for (size_t i = 0; i < n; i++)
                n_lost += !job_send(driven, thought, i + 1 < n);
        if (n_lost > 0)
                pipeline_complete_group(&driven->drive->pipeline, driven->client);
        if (!thought)
                return;
        assert(thought->n_left >= n_lost); /* nothing ends from within a submission but what was lost */
        thought->n_left -= n_lost;
        if (thought->n_left == 0 && n_lost > 0)
                group_ended(thought);
}

/* ---- clients ---- */

static void group_ended(struct thought *thought)
{
        struct driven *driven = thought->driven;

        alarm_set(&driven->drive->timeline.timeline, &thought->alarm,
                  now_ns(driven->drive) + think_ns(driven));
}

static void on_thought(void *userdata)
{
        struct thought *thought = userdata;

        group_send(thought->driven, thought);
}

static void on_arrival(void *userdata)
{
        struct driven *driven = userdata;
        const double gap_us = exponential(&driven->rng, 1e6 / driven->spec->rate_a_s);

        alarm_set(&driven->drive->timeline.timeline, &driven->next,
                  now_ns(driven->drive) + (uint64_t)(gap_us * 1000));
        group_send(driven, NULL);
}

static void driven_init(struct drive *drive, size_t index)
{
        struct driven *driven = &drive->clients[index];
        const struct drive_client *spec = &drive->spec->clients[index];
        const size_t depth = MAX(spec->depth, (size_t)1);
        int r;

        *driven = (struct driven){.drive = drive, .spec = spec, .index = index};
        driven->rng.state = drive->spec->seed * 1000003 + index;
        driven->client = drive->spec->first_come ? &drive->clients[0].own_client : &driven->own_client;
        if (driven->client == &driven->own_client) {
                r = pipeline_client_init(&drive->pipeline, driven->client, spec->uid);
                assert(r == 0);
        }
        alarm_init(&driven->next, on_arrival, driven);
        if (spec->arrivals == DRIVE_OPEN) {
                alarm_set(&drive->timeline.timeline, &driven->next, now_ns(drive) + 1);
                return;
        }
        driven->thoughts = calloc(depth, sizeof *driven->thoughts);
        assert(driven->thoughts);
        for (size_t i = 0; i < depth; i++) {
                const double start_us = spec->start_us > 0 ? spec->start_us : 1000 * uniform(&driven->rng);

                driven->thoughts[i].driven = driven;
                alarm_init(&driven->thoughts[i].alarm, on_thought, &driven->thoughts[i]);
                alarm_set(&drive->timeline.timeline, &driven->thoughts[i].alarm,
                          now_ns(drive) + (uint64_t)(start_us * 1000));
        }
}

static void driven_deinit(struct drive *drive, struct driven *driven)
{
        const size_t depth = driven->thoughts ? MAX(driven->spec->depth, (size_t)1) : 0;

        assert(driven->n_outstanding == 0);
        alarm_set(&drive->timeline.timeline, &driven->next, TIMELINE_NEVER);
        for (size_t i = 0; i < depth; i++)
                alarm_set(&drive->timeline.timeline, &driven->thoughts[i].alarm, TIMELINE_NEVER);
        free(driven->thoughts);
        drive->result->clients[driven->index].device_ns = driven->client->device_ns;
}

/* ---- the device ---- */

/* Whose a job in a batch is. */
static const struct driven *driven_of(const struct slice *slice)
{
        return ((const struct drive_job *)slice->job->userdata)->driven;
}

/* For how long each class has waited, those apart of which some rows are in this batch. */
static void starving_look(struct drive *drive, const struct batch *batch)
{
        const struct scheduler *scheduler = &drive->pipeline.scheduler;

        for (size_t i = 0; i < batch->n_slices; i++)
                drive->starved_since_ns[batch->slices[i].job->class] = now_ns(drive);
        for (size_t i = 0; i < CLASS_MAX; i++)
                if (scheduler->class_depth[i] > 0)
                        drive->result->longest_starved_us =
                                MAX(drive->result->longest_starved_us,
                                    (now_ns(drive) - drive->starved_since_ns[i]) / 1000);
}

static struct npu_product npu_product_of(const struct batch *batch, const struct stack *stack)
{
        const struct product *product = batch->slices[stack->first].product;

        return (struct npu_product){
                .m = stack->rows, .k = product->k, .n = product->n, .b_is_resident = true, .n_parts = 1};
}

/* What the model itself says, who it is for, and whether it is within the bound. */
static void model_look(struct drive *drive, const struct batch *batch)
{
        struct npu_product products[BATCH_STACKS_MAX];
        double *longest = &drive->result->longest_of_bound;

        for (size_t i = 0; i < batch->n_stacks; i++) {
                const struct stack *stack = &batch->stacks[i];
                double alone_ns;

                products[i] = npu_product_of(batch, stack);
                alone_ns = npu_model_run(drive->spec->model, &products[i], 1).ns -
                           npu_model_traits(drive->spec->model)->fixed_ns;
                for (size_t j = stack->first; j < stack->first + stack->n_slices; j++)
                        drive->result->clients[driven_of(&batch->slices[j])->index].model_ns +=
                                alone_ns * (double)batch->slices[j].rows / (double)stack->rows;
        }
        if (batch->n_stacks > 1 || batch->stacks[0].rows > drive->pipeline.batcher.padding.rows)
                *longest = MAX(*longest, npu_model_run(drive->spec->model, products, batch->n_stacks).ns /
                                                 (double)drive->pipeline.batcher.bound_ns);
}

static void look_and_submit(struct device *device, struct batch *batch)
{
        struct drive *drive = container_of(device->userdata, struct drive, pipeline);
        const struct pipeline *pipeline = &drive->pipeline;

        assert(batch->n_slices >= 1);
        if (batch->n_stacks > 1 || batch->stacks[0].rows > pipeline->batcher.padding.rows)
                assert(batch->predicted_ns <= pipeline->batcher.bound_ns + 1);
        drive->result->longest_batch_ns = MAX(drive->result->longest_batch_ns, batch->predicted_ns);
        starving_look(drive, batch);
        model_look(drive, batch);
        drive->sim->submit(device, batch);
}

static void device_start(struct drive *drive)
{
        const struct device_settings settings = {
                .sim_model = drive->spec->model,
                .sim_compute = SIM_COMPUTE_NEVER,
                .sim_scale = 1,
                .sim_faults = drive->spec->faults,
        };
        const char *reason;
        int r = device_open("sim", NULL, &drive->timeline.timeline, &settings, &pipeline_device_events,
                            &drive->pipeline, &drive->device, &reason);

        assert(r == 0);
        drive->sim = drive->device->ops;
        drive->ops = *drive->sim;
        drive->ops.submit = look_and_submit;
        drive->device->ops = &drive->ops;
        r = pipeline_set_device(&drive->pipeline, drive->device);
        assert(r == 0);
}

static void on_closed(void *userdata)
{
        ((struct drive *)userdata)->device = NULL;
}

/* ---- a run ---- */

static void drive_start(struct drive *drive)
{
        const struct drive_spec *spec = drive->spec;
        const struct pipeline_settings settings = {
                .bound_ns = (spec->bound_us ? spec->bound_us : 10000) * 1000,
                .aging_ns = (spec->aging_us ? spec->aging_us : 100000) * 1000,
                .window_ns = (spec->window_us ? spec->window_us : 200) * 1000,
                .policy = spec->policy,
                .stacks = !spec->no_stacking,
        };
        struct quota_limits limits;

        for (int kind = 0; kind < QUOTA_KIND_MAX; kind++)
                limits.per_uid[kind] = limits.total[kind] = UINT64_MAX;
        if (spec->jobs_per_uid > 0)
                limits.per_uid[QUOTA_JOBS] = spec->jobs_per_uid;
        quota_init(&drive->quota, &limits);
        fake_timeline_init(&drive->timeline);
        pipeline_init(&drive->pipeline, &drive->timeline.timeline, &settings, &drive->result->stats);
        device_start(drive);
        for (size_t i = 0; i < spec->n_clients; i++) {
                const struct drive_client *client = &spec->clients[i];

                if (client->weights == DRIVE_OWN_B)
                        continue;
                assert(client->weights < WEIGHTS_MAX);
                if (!drive->weights[client->weights].b)
                        resident_init(&drive->weights[client->weights],
                                      (const int8_t *)&drive->weights[client->weights], client->k, client->n);
        }
        for (size_t i = 0; i < spec->n_clients; i++)
                driven_init(drive, i);
}

static void drive_stop(struct drive *drive)
{
        struct drive_result *result = drive->result;

        result->buffer_syncs = drive->device->counters.buffer_syncs;
        result->matrix_copies = drive->device->counters.matrix_copies;
        result->weights_packs = drive->device->counters.weights_packs;
        drive->is_over = true;
        pipeline_complete_all_groups(&drive->pipeline);
        pipeline_cancel_all(&drive->pipeline);
        while (!pipeline_is_idle(&drive->pipeline) && fake_timeline_step(&drive->timeline))
                ;
        for (size_t i = 0; i < drive->spec->n_clients; i++)
                driven_deinit(drive, &drive->clients[i]);
        for (size_t i = 0; i < drive->spec->n_clients; i++)
                if (drive->clients[i].client == &drive->clients[i].own_client)
                        pipeline_client_deinit(&drive->pipeline, &drive->clients[i].own_client);
        for (int kind = 0; kind < QUOTA_KIND_MAX; kind++)
                assert(drive->quota.used[kind] == 0);
        for (size_t i = 0; i < WEIGHTS_MAX; i++)
                assert(!drive->weights[i].b || TAILQ_EMPTY(&drive->weights[i].waiting));
        drive->pipeline.device = NULL;
        drive->device->ops->close(drive->device, on_closed, drive);
        while (drive->device && fake_timeline_step(&drive->timeline))
                ;
        pipeline_deinit(&drive->pipeline);
        quota_deinit(&drive->quota);
        assert(timeline_next_ns(&drive->timeline.timeline) == TIMELINE_NEVER);
}

void drive_run(const struct drive_spec *spec, struct drive_result *ret_result)
{
        struct drive *drive = calloc(1, sizeof *drive);
        uint64_t start_ns;

        assert(drive && spec->n_clients <= DRIVE_CLIENTS_MAX);
        *ret_result = (struct drive_result){0};
        drive->spec = spec;
        drive->result = ret_result;
        drive_start(drive);
        start_ns = now_ns(drive);
        while (drive->n_ended < spec->n_jobs &&
               (spec->n_submissions == 0 || ret_result->n_submitted < spec->n_submissions) &&
               fake_timeline_step(&drive->timeline))
                ;
        ret_result->n_measured = ret_result->n_done;
        ret_result->seconds = (double)(now_ns(drive) - start_ns) * 1e-9;
        drive_stop(drive);
        latencies_sort(&ret_result->latencies);
        for (size_t i = 0; i < spec->n_clients; i++)
                latencies_sort(&ret_result->clients[i].latencies);
        free(drive);
}

void drive_result_deinit(struct drive_result *result)
{
        free(result->latencies.all_ns);
        for (size_t i = 0; i < DRIVE_CLIENTS_MAX; i++)
                free(result->clients[i].latencies.all_ns);
        *result = (struct drive_result){0};
}
