/* SPDX-License-Identifier: MIT */
/* pipeline.c - see pipeline.h. */
#include "daemon/pipeline.h"

#include <errno.h>

static void job_check(struct pipeline *pipeline, struct job *job)
{
        if (!completion_check(job, pipeline->stats))
                return;
        pipeline->jobs_inside--;
        if (pipeline->jobs_inside == 0 && pipeline->idle_fn)
                pipeline->idle_fn(pipeline->idle_userdata);
}

/* Distinct jobs of a batch: their slices stand side by side. */
static uint64_t batch_jobs(const struct batch *batch)
{
        uint64_t n = 0;

        for (size_t i = 0; i < batch->n_slices; i++)
                n += i == 0 || batch->slices[i].job != batch->slices[i - 1].job;
        return n;
}

/* Composes at the last moment: only when the device can take it. */
static void pump(struct pipeline *pipeline)
{
        while (pipeline->device && pipeline->device->free_slots > 0) {
                struct batch *batch = TAILQ_FIRST(&pipeline->free_batches);

                if (!batch) /* the last one is still being taken apart, in on_batch_done, which calls again */
                        return;
                if (!batcher_compose(&pipeline->scheduler, &pipeline->cost, &pipeline->limits, batch))
                        return;
                TAILQ_REMOVE(&pipeline->free_batches, batch, pool_link);
                pipeline->stats->submissions++;
                pipeline->stats->submission_jobs += batch_jobs(batch);
                pipeline->device->ops->submit(pipeline->device, batch);
        }
}

static void on_slice_done(void *userdata, struct batch *batch, size_t index)
{
        struct pipeline *pipeline = userdata;
        struct job *job = batch->slices[index].job;

        completion_slice(&batch->slices[index]);
        if (job->end_status != STATUS_OK) /* it failed: its other rows are not worth anybody's time */
                scheduler_remove(&pipeline->scheduler, job);
}

static void on_batch_done(void *userdata, struct batch *batch)
{
        struct pipeline *pipeline = userdata;

        cost_observe(&pipeline->cost, batch->work_macs, batch->device_ns);
        pipeline->stats->device_busy_ns += batch->device_ns;
        for (size_t i = 0; i < batch->n_slices; i++)
                completion_release(&batch->slices[i]);
        /* Ends come after all slices are released, and each job ends once: with its last slice in the batch. */
        for (size_t i = 0; i < batch->n_slices; i++) {
                struct job *job = batch->slices[i].job;

                if (i + 1 < batch->n_slices && batch->slices[i + 1].job == job)
                        continue;
                job_check(pipeline, job);
        }
        TAILQ_INSERT_TAIL(&pipeline->free_batches, batch, pool_link);
        pump(pipeline);
}

const struct device_events pipeline_device_events = {
        .slice_done = on_slice_done,
        .batch_done = on_batch_done,
};

void pipeline_init(struct pipeline *pipeline, uint64_t batch_bound_ns, struct stats *stats)
{
        *pipeline = (struct pipeline){.stats = stats, .limits = {.bound_ns = batch_bound_ns}};
        scheduler_init(&pipeline->scheduler);
        TAILQ_INIT(&pipeline->free_batches);
}

void pipeline_deinit(struct pipeline *pipeline)
{
        struct batch *batch;

        assert(pipeline->jobs_inside == 0);
        while ((batch = TAILQ_FIRST(&pipeline->free_batches))) {
                TAILQ_REMOVE(&pipeline->free_batches, batch, pool_link);
                free(batch);
        }
        scheduler_deinit(&pipeline->scheduler);
}

int pipeline_set_device(struct pipeline *pipeline, struct device *device)
{
        for (size_t i = 0; i < device->free_slots; i++) {
                struct batch *batch = calloc(1, sizeof *batch);

                if (!batch)
                        return -ENOMEM;
                TAILQ_INSERT_TAIL(&pipeline->free_batches, batch, pool_link);
        }
        pipeline->device = device;
        pipeline->limits.granule_rows = device->granule_rows;
        pipeline->cost = (struct cost_model){
                .fixed_ns = device->seed_fixed_ns,
                .ns_per_mac = device->seed_ns_per_mac,
        };
        return 0;
}

void pipeline_submit(struct pipeline *pipeline, struct job *job)
{
        pipeline->jobs_inside++;
        scheduler_push(&pipeline->scheduler, job);
        pump(pipeline);
}

void pipeline_cancel(struct pipeline *pipeline, struct job *job)
{
        job_end_early(job, STATUS_CANCELLED, "cancelled");
        scheduler_remove(&pipeline->scheduler, job);
        job_check(pipeline, job);
}

void pipeline_cancel_all(struct pipeline *pipeline)
{
        struct job *job;

        while ((job = scheduler_next(&pipeline->scheduler)))
                pipeline_cancel(pipeline, job);
}
