/* SPDX-License-Identifier: MIT */
/*
 * sim.c - an NPU that is a model: right results after the times that it would take.
 *
 * Role:   computes with the CPU's kernel, and reports each batch when the model says (../../proto/npu-model.h), its
 *         times multiplied by `sim_scale`; batches run one after the other. For policies to be proven on, and for
 *         tests of everything above a device that pays for each submission.
 * In:     the pipeline's timeline, which may be a virtual one.
 * Thread: loop for the contract of device.h; slices are computed on the worker's thread, or at once, or not at all
 *         (struct device_settings).
 * Never:  says anything about an NPU's speed that its model does not. A batch that takes the CPU longer than the model
 *         allows is late, and counted in `overruns`.
 *         Nor drops a slice: to an NPU a submission is one command, and what is left out of it would take its time.
 *
 * Faults are scripted, by number of submission: FAULT@N, several with commas between them. `error@3`: the third batch
 * fails, all its slices; `slow@5`: the fifth takes SLOW_TIMES as long.
 */
#include "daemon/device-worker.h"
#include "daemon/device/devices.h"
#include "daemon/device/npu-shape.h"
#include "daemon/device/portable.h"
#include "daemon/npu/stream64-plan.h"
#include "proto/npu-model.h"

#include <errno.h>
#include <stdio.h>

#define SLOW_TIMES   10
#define TOOK_NS_MOST (UINT64_C(1) << 60) /* 36 years: nobody waits for it, and no sum overflows */

enum sim_fault { FAULT_NONE = 0, FAULT_ERROR, FAULT_SLOW };

struct sim {
        struct device device;
        struct device_worker worker; /* only where it has a thread */
        struct timeline *timeline;   /* borrowed: outlives us */
        struct alarm alarm;          /* the end of the first batch inside */
        enum npu_model model;
        enum sim_compute compute;
        double scale;
        const char *faults; /* borrowed: outlives us */
        uint64_t n_submitted;
        struct run {
                struct batch *batch;
                uint64_t start_ns, took_ns; /* by the model, scaled */
                bool is_computed;
        } runs[8]; /* inside, oldest first */
        size_t n_runs;
        char description[160];
        device_closed_fn closed_fn;
        void *closed_userdata;
};

/* ---- faults ---- */

/* The number behind the @ of the first fault in `script`, and what comes after it; NULL: it is not well formed. */
static const char *fault_read(const char *script, enum sim_fault *ret_fault, uint64_t *ret_number)
{
        static const struct {
                const char *name;
                enum sim_fault fault;
        } known[] = {{"error@", FAULT_ERROR}, {"slow@", FAULT_SLOW}};

        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
                const size_t n = strlen(known[i].name);
                char *end;

                if (strncmp(script, known[i].name, n) != 0 || script[n] < '1' || script[n] > '9')
                        continue;
                *ret_number = strtoull(script + n, &end, 10);
                *ret_fault = known[i].fault;
                return *end == ',' ? end + 1 : *end == '\0' ? end : NULL;
        }
        return NULL;
}

bool sim_faults_are_valid(const char *script)
{
        enum sim_fault fault;
        uint64_t number;

        while (script && *script != '\0')
                script = fault_read(script, &fault, &number);
        return script != NULL;
}

static enum sim_fault fault_of(const struct sim *sim, uint64_t submission)
{
        const char *script = sim->faults;
        enum sim_fault fault;
        uint64_t number;

        while (script && *script != '\0') {
                script = fault_read(script, &fault, &number);
                if (script && number == submission)
                        return fault;
        }
        return FAULT_NONE;
}

/* ---- running ---- */

static void stacks_describe(const struct batch *batch, struct npu_product products[BATCH_STACKS_MAX])
{
        for (size_t i = 0; i < batch->n_stacks; i++) {
                const struct stack *stack = &batch->stacks[i];
                const struct product *product = batch->slices[stack->first].product;

                products[i] = (struct npu_product){
                        .m = stack->rows,
                        .k = product->k,
                        .n = product->n,
                        .b_is_resident = npu_b_resides(product),
                        .n_parts = stack->n_slices,
                };
        }
}

static void outlay_add(struct npu_outlay *outlay, const struct npu_outlay *more)
{
        outlay->ns += more->ns;
        outlay->calls += more->calls;
        outlay->buffer_syncs += more->buffer_syncs;
        outlay->matrix_copies += more->matrix_copies;
}

/* What stream64 makes of it: one submission, or several where its buffers are too small for one. */
static struct npu_outlay outlay_planned(const struct npu_product *products, size_t n)
{
        struct stream64_product planned[BATCH_STACKS_MAX];
        struct stream64_part parts[STREAM64_JOBS_MAX];
        struct npu_outlay outlay = {0};
        struct stream64_batch batch;
        struct stream64_plan plan;

        for (size_t i = 0; i < n; i++)
                planned[i] = (struct stream64_product){.m = products[i].m,
                                                       .k = products[i].k,
                                                       .n = products[i].n,
                                                       .b_is_resident = products[i].b_is_resident};
        stream64_plan_begin(&plan, planned, n, STREAM64_POLL);
        while (stream64_plan_next(&plan, &batch, parts) == 0) {
                struct npu_product jobs[STREAM64_JOBS_MAX];
                struct npu_outlay submission;

                for (size_t i = 0; i < batch.n_jobs; i++) {
                        jobs[i] = products[parts[i].product];
                        jobs[i].m = parts[i].rows;
                        jobs[i].n = parts[i].cols;
                        if (parts[i].first_row > 0)
                                jobs[i].n_parts =
                                        0; /* its rows are those of matrices that have been counted */
                }
                submission = npu_model_run(NPU_PHOENIX, jobs, batch.n_jobs);
                outlay_add(&outlay, &submission);
        }
        assert(plan.product == n); /* K is within what the protocol allows, and what is resident can be */
        return outlay;
}

/* What the device would do of it; and each B that stays is packed once. */
static uint64_t outlay_count(struct sim *sim, const struct batch *batch)
{
        struct npu_product products[BATCH_STACKS_MAX];
        struct npu_outlay outlay;

        stacks_describe(batch, products);
        outlay = sim->model == NPU_PHOENIX ? outlay_planned(products, batch->n_stacks)
                                           : npu_model_run(sim->model, products, batch->n_stacks);
        sim->device.counters.buffer_syncs += outlay.buffer_syncs;
        sim->device.counters.matrix_copies += outlay.matrix_copies;
        for (size_t i = 0; i < batch->n_stacks; i++) {
                const struct product *product = batch->slices[batch->stacks[i].first].product;
                struct resident *resident = product->resident;

                if (!npu_b_resides(product) || resident->is_packed)
                        continue;
                resident->is_packed = true;
                sim->device.counters.weights_packs++;
        }
        return outlay.ns * sim->scale < TOOK_NS_MOST ? (uint64_t)(outlay.ns * sim->scale) : TOOK_NS_MOST;
}

/* For the thread. */
static void run(void *userdata, struct stack *stack, const struct slice *slices, size_t n)
{
        (void)userdata;
        (void)stack;
        portable_run(slices, n);
}

static void compute_at_once(struct batch *batch)
{
        for (size_t i = 0; i < batch->n_stacks; i++)
                portable_run(&batch->slices[batch->stacks[i].first], batch->stacks[i].n_slices);
}

/* The alarm is for the first batch alone: the next one begins when it has been reported. */
static void run_begin(struct sim *sim)
{
        struct run *run = &sim->runs[0];

        if (sim->n_runs == 0)
                return;
        run->start_ns = timeline_now_ns(sim->timeline);
        alarm_set(sim->timeline, &sim->alarm, run->start_ns + run->took_ns);
}

static void run_report(struct sim *sim)
{
        const struct run run = sim->runs[0];
        const struct device_events *events = sim->device.events;

        sim->n_runs--;
        memmove(sim->runs, sim->runs + 1, sim->n_runs * sizeof run);
        sim->device.free_slots++;
        run_begin(sim);
        run.batch->device_ns = run.took_ns;
        for (size_t i = 0; i < run.batch->n_slices; i++)
                events->slice_done(sim->device.userdata, run.batch, i);
        events->batch_done(sim->device.userdata, run.batch);
}

static void on_alarm(void *userdata)
{
        struct sim *sim = userdata;

        if (sim->runs[0].is_computed)
                run_report(sim);
        else
                sim->device.counters.overruns++; /* it is reported as soon as it is */
}

static void on_slice_computed(void *userdata, struct batch *batch, size_t index)
{
        (void)userdata;
        (void)batch;
        (void)index;
}

static void on_batch_computed(void *userdata, struct batch *batch)
{
        struct sim *sim = userdata;
        struct run *run = sim->runs;

        while (run->batch != batch)
                run++;
        run->is_computed = true;
        if (run == sim->runs && timeline_now_ns(sim->timeline) >= run->start_ns + run->took_ns) {
                alarm_set(sim->timeline, &sim->alarm, TIMELINE_NEVER);
                run_report(sim);
        }
}

static void on_closed(void *userdata)
{
        struct sim *sim = userdata;

        sim->closed_fn(sim->closed_userdata);
        free(sim);
}

static const struct device_worker_events worker_events = {
        .slice_done = on_slice_computed,
        .batch_done = on_batch_computed,
        .closed = on_closed,
};

static void sim_submit(struct device *device, struct batch *batch)
{
        struct sim *sim = container_of(device, struct sim, device);
        struct run *run = &sim->runs[sim->n_runs];
        const enum sim_fault fault = fault_of(sim, ++sim->n_submitted);

        assert(device->free_slots > 0);
        device->free_slots--;
        *run = (struct run){.batch = batch, .took_ns = outlay_count(sim, batch)};
        if (fault == FAULT_SLOW)
                run->took_ns *= SLOW_TIMES;
        if (++sim->n_runs == 1)
                run_begin(sim);
        for (size_t i = 0; i < batch->n_slices; i++)
                batch->slices[i].status = fault == FAULT_ERROR ? STATUS_DEVICE_ERROR : STATUS_OK;
        if (fault != FAULT_ERROR && sim->compute == SIM_COMPUTE_ON_THREAD) {
                device_worker_submit(&sim->worker, batch);
                return;
        }
        if (fault != FAULT_ERROR && sim->compute == SIM_COMPUTE_AT_ONCE)
                compute_at_once(batch);
        run->is_computed = true;
}

static void sim_forget(struct device *device, struct resident *resident)
{
        (void)device;
        resident->is_packed = false;
}

/* ---- life ---- */

static void sim_describe(struct sim *sim, const struct device_events *events, void *userdata)
{
        const struct npu_traits *traits = npu_model_traits(sim->model);

        (void)snprintf(sim->description, sizeof sim->description, "%s; its times x %g", traits->description,
                       sim->scale);
        sim->device = (struct device){
                .ops = &sim_device_ops,
                .events = events,
                .userdata = userdata,
                .description = sim->description,
                .free_slots = traits->slots,
                .granule_rows = traits->tile_rows,
                .padding = {traits->tile_rows, traits->tile_depth, traits->tile_cols},
                .stacks_max = traits->stacks_max,
                .time_scale = sim->scale,
                .seed_fixed_ns = traits->fixed_ns * sim->scale,
                .seed_ns_per_mac = traits->ns_per_mac * sim->scale,
                .work_macs = sim->model == NPU_PHOENIX ? npu_work_macs : NULL,
                .share = sim->model == NPU_PHOENIX ? npu_share : NULL,
        };
        assert(traits->slots <= ARRAY_SIZE(sim->runs));
}

static int sim_open(uv_loop_t *loop, struct timeline *timeline, const struct device_settings *settings,
                    const struct device_events *events, void *userdata, struct device **ret_device,
                    const char **ret_reason)
{
        _cleanup_(freep) struct sim *sim = calloc(1, sizeof *sim);
        int r;

        (void)ret_reason; /* a model is never absent */
        if (!sim)
                return -ENOMEM;
        sim->timeline = timeline;
        sim->model = settings->sim_model;
        sim->compute = settings->sim_compute;
        sim->scale = settings->sim_scale;
        sim->faults = settings->sim_faults;
        alarm_init(&sim->alarm, on_alarm, sim);
        sim_describe(sim, events, userdata);
        if (sim->compute == SIM_COMPUTE_ON_THREAD) {
                r = device_worker_open(&sim->worker, loop, run, &worker_events, sim);
                if (r < 0)
                        return r;
        }
        *ret_device = &steal(&sim)->device;
        return 0;
}

static void sim_close(struct device *device, device_closed_fn closed_fn, void *userdata)
{
        struct sim *sim = container_of(device, struct sim, device);

        assert(sim->n_runs == 0);
        sim->closed_fn = closed_fn;
        sim->closed_userdata = userdata;
        if (sim->compute == SIM_COMPUTE_ON_THREAD) {
                device_worker_close(&sim->worker);
                return;
        }
        sim->alarm.fn = on_closed; /* later, as promised */
        alarm_set(sim->timeline, &sim->alarm, timeline_now_ns(sim->timeline));
}

const struct device_ops sim_device_ops = {
        .name = "sim",
        .open = sim_open,
        .submit = sim_submit,
        .forget = sim_forget,
        .close = sim_close,
};
