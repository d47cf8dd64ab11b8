/* SPDX-License-Identifier: MIT */
/*
 * xrt.c - the NPU as a device, behind a worker process that can be lost.
 *
 * Role:   hands batches to the worker; begins one again that was interrupted, once; and lets the CPU serve what the NPU
 *         does not: so every batch is done, whatever becomes of the NPU.
 * In:     batches; what the keeper says of the worker.
 * Out:    the contract of device.h.
 * Thread: loop; the CPU's share is computed where cpu-engine has it computed.
 * Owns:   keeper and CPU engine; each batch from submit to batch_done.
 *
 * Where a batch is: at the door while a worker is being made ready, unless that takes longer than PATIENCE_NS; inside
 * the worker; or at the CPU, which is where it stays; or on its way out. A batch that was interrupted twice goes to the
 * CPU: it may be what the device does not survive. So does one with results that a worker which cannot be ended may
 * still write to: these are nobody's to compute, and fail; the others are not their matter.
 */
#include "daemon/device/cpu-engine.h"
#include "daemon/device/devices.h"
#include "daemon/device/npu-shape.h"
#include "daemon/device/portable.h"
#include "daemon/device/xrt-batch.h"
#include "daemon/device/xrt-keeper.h"
#include "proto/npu-model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define DRIVER "/sys/bus/pci/drivers/amdxdna"

#define PATIENCE_NS UINT64_C(1000000000)
#define TRIES_MAX   2

/* Weight of a new measurement of how long packing takes. */
#define PACK_SHARE 4

enum run_place { PLACE_DOOR = 0, PLACE_WORKER, PLACE_CPU, PLACE_OUT };

struct xrt {
        struct device device;
        struct timeline *timeline; /* borrowed: outlives us */
        struct xrt_settings settings;
        struct xrt_keeper keeper;
        struct cpu_engine cpu;
        struct alarm alarm; /* the end of patience with the door */
        struct run {
                struct batch *batch;
                enum run_place place;
                unsigned n_tries;  /* at the worker */
                uint64_t number;   /* there */
                uint64_t since_ns; /* at the worker */
                size_t n_held;     /* slices that may still be written to */
                bool is_held[BATCH_SLICES_MAX];
        } runs[WIRE_BATCHES_MAX]; /* inside, oldest first */
        size_t n_runs;
        bool is_cpu; /* that is what it says it is now */
        uint64_t last_number;
        uint64_t worker_free_ns;   /* when the worker was done with its last batch */
        struct wire_batch message; /* for one at a time: it is large */
        device_closed_fn closed_fn;
        void *closed_userdata;
};

static uint64_t now_ns(const struct xrt *xrt)
{
        return timeline_now_ns(xrt->timeline);
}

/* ---- the end of a batch ---- */

static struct run *run_of(struct xrt *xrt, const struct batch *batch)
{
        size_t i = 0;

        while (xrt->runs[i].batch != batch)
                i++;
        return &xrt->runs[i];
}

static void run_remove(struct xrt *xrt, const struct batch *batch)
{
        const size_t i = (size_t)(run_of(xrt, batch) - xrt->runs);

        xrt->n_runs--;
        memmove(&xrt->runs[i], &xrt->runs[i + 1], (xrt->n_runs - i) * sizeof xrt->runs[0]);
        xrt->device.free_slots++;
}

/* One that no slice has been reported of yet. */
static void run_report(struct xrt *xrt, struct batch *batch, enum status status)
{
        const struct device_events *events = xrt->device.events;

        run_remove(xrt, batch);
        for (size_t i = 0; i < batch->n_slices; i++) {
                batch->slices[i].status = status;
                events->slice_done(xrt->device.userdata, batch, i);
        }
        events->batch_done(xrt->device.userdata, batch);
}

static void on_cpu_slice_done(void *userdata, struct batch *batch, size_t index)
{
        struct xrt *xrt = userdata;

        if (run_of(xrt, batch)->is_held[index])
                batch->slices[index].status = STATUS_DEVICE_ERROR;
        xrt->device.events->slice_done(xrt->device.userdata, batch, index);
}

static void on_cpu_batch_done(void *userdata, struct batch *batch)
{
        struct xrt *xrt = userdata;

        xrt->keeper.health.counters.failed += run_of(xrt, batch)->n_held > 0;
        run_remove(xrt, batch);
        xrt->device.events->batch_done(xrt->device.userdata, batch);
}

/* ---- what it is now ---- */

/* What a row of the form that the worker's own kernel computes takes, in the NPU's multiply-adds. */
#define CPU_NS_PER_MAC 0.12

static bool is_tile16(const struct product *product)
{
        return product->form == OUTPUT_TILE16_SHIFT7;
}

static uint64_t block_rows(const struct product *product)
{
        return is_tile16(product) ? 1 : npu_model_traits(NPU_PHOENIX)->tile_rows;
}

static double work_macs(const struct product *product, uint64_t rows)
{
        return is_tile16(product) ? portable_work_macs(product, rows) * CPU_NS_PER_MAC /
                                            npu_model_traits(NPU_PHOENIX)->ns_per_mac
                                  : npu_work_macs(product, rows);
}

static double share(const struct product *product, uint64_t rows)
{
        return is_tile16(product) ? 0 : npu_share(product, rows);
}

/* stream64 on Phoenix, the only NPU that there is a program for. */
static void traits_npu(struct device *device)
{
        const struct npu_traits *traits = npu_model_traits(NPU_PHOENIX);

        device->granule_rows = traits->tile_rows;
        device->padding = (struct device_padding){traits->tile_rows, traits->tile_depth, traits->tile_cols};
        device->block_rows = block_rows;
        device->stacks_max = traits->stacks_max;
        device->seed_fixed_ns = traits->fixed_ns;
        device->seed_ns_per_mac = traits->ns_per_mac;
        device->work_macs = work_macs;
        device->share = share;
}

static void traits_choose(struct xrt *xrt, bool is_cpu)
{
        if (is_cpu == xrt->is_cpu)
                return;
        xrt->is_cpu = is_cpu;
        if (is_cpu) /* so that nobody waits for as much as only an NPU would do at a time */
                cpu_engine_describe(&xrt->cpu, &xrt->device);
        else
                traits_npu(&xrt->device);
        xrt->device.events->traits_changed(xrt->device.userdata);
}

/* ---- where it goes ---- */

static void on_result(void *userdata, struct region *region)
{
        struct xrt *xrt = userdata;

        xrt_keeper_hold(&xrt->keeper, region);
}

static void on_region(void *userdata, struct region *region)
{
        struct xrt *xrt = userdata;

        xrt_keeper_give(&xrt->keeper, region);
}

static void run_to_worker(struct xrt *xrt, struct run *run)
{
        run->place = PLACE_WORKER;
        run->since_ns = now_ns(xrt);
        run->n_tries++;
        run->number = ++xrt->last_number;
        xrt->keeper.health.counters.reruns += run->n_tries > 1;
        xrt_batch_write(run->batch, xrt->settings.regions, run->number, on_region, xrt, &xrt->message);
        xrt_keeper_send(&xrt->keeper, &xrt->message, WIRE_BATCH_BYTES(run->batch->n_slices));
}

static void run_to_cpu(struct xrt *xrt, struct run *run)
{
        run->place = PLACE_CPU;
        xrt->keeper.health.counters.cpu_batches++;
        cpu_engine_submit(&xrt->cpu, run->batch);
}

/* Marks and leaves out what a worker that cannot be ended may still write to. */
static void run_look_for_held(const struct xrt *xrt, struct run *run)
{
        for (size_t i = 0; i < run->batch->n_slices; i++) {
                struct slice *slice = &run->batch->slices[i];

                if (run->is_held[i] || region_find(xrt->settings.regions, slice->product->c)->holds == 0)
                        continue;
                run->is_held[i] = slice->is_dropped = true;
                run->n_held++;
        }
}

/* Moves on whatever waits at the door and need not. Reports nothing, since it may be a submit that calls it. */
static void door_look(struct xrt *xrt)
{
        const struct xrt_keeper *keeper = &xrt->keeper;
        const uint64_t now = now_ns(xrt), patient_ns = keeper->absent_ns + PATIENCE_NS;
        const bool is_patient = keeper->health.state == DEVICE_RECOVERING && now < patient_ns;
        uint64_t next_ns = is_patient && !keeper->is_ready ? patient_ns : TIMELINE_NEVER;

        traits_choose(xrt, !keeper->is_ready && !is_patient);
        for (size_t i = 0; i < xrt->n_runs; i++) {
                struct run *run = &xrt->runs[i];

                if (run->place != PLACE_DOOR)
                        continue;
                run_look_for_held(xrt, run);
                if (run->n_held > 0 || run->n_tries >= TRIES_MAX || (!keeper->is_ready && !is_patient))
                        run_to_cpu(xrt, run);
                else if (keeper->is_ready)
                        run_to_worker(xrt, run);
        }
        alarm_set(xrt->timeline, &xrt->alarm, next_ns);
}

/* A worker is ready, the device's health is another, or patience is at its end. */
static void on_door(void *userdata)
{
        door_look(userdata);
}

/* ---- what the keeper says ---- */

static void count(struct xrt *xrt, const struct wire_done *done)
{
        struct device_health *health = &xrt->keeper.health;

        xrt->device.counters.buffer_syncs += done->counts.matrix_syncs;
        xrt->device.counters.matrix_copies += done->counts.matrix_copies;
        xrt->device.counters.weights_packs += done->counts.weights_packs;
        health->counters.commands += done->counts.submissions;
        health->counters.control_syncs += done->counts.control_syncs;
        health->counters.checks += done->counts.checks;
        xrt->device.pack_ns = (xrt->device.pack_ns * (PACK_SHARE - 1) + done->pack_ns) / PACK_SHARE;
}

/* The worker ends its batches in order. NULL: it has none. */
static struct run *worker_first(struct xrt *xrt)
{
        struct run *first = NULL;

        for (size_t i = 0; i < xrt->n_runs; i++)
                if (xrt->runs[i].place == PLACE_WORKER && (!first || xrt->runs[i].number < first->number))
                        first = &xrt->runs[i];
        return first;
}

static void on_done(void *userdata, const struct wire_done *done)
{
        struct xrt *xrt = userdata;
        struct run *run = worker_first(xrt);
        const uint64_t now = now_ns(xrt);
        struct batch *batch;

        if (!run || run->number != done->number) {
                xrt_keeper_reject(&xrt->keeper, "it ended a batch that it was not given, or not in order");
                return;
        }
        batch = run->batch;
        count(xrt, done);
        /* Two that are inside do not both take the time that they share. */
        batch->device_ns = now - MAX(run->since_ns, xrt->worker_free_ns);
        xrt->worker_free_ns = now;
        run->place = PLACE_OUT;
        xrt->keeper.is_busy = worker_first(xrt) != NULL;
        run_report(xrt, batch, STATUS_OK);
}

static void on_interrupted(void *userdata, bool is_harmless)
{
        struct xrt *xrt = userdata;

        for (size_t i = 0; i < xrt->n_runs; i++) {
                struct run *run = &xrt->runs[i];

                if (run->place != PLACE_WORKER)
                        continue;
                if (!is_harmless)
                        xrt_batch_results(run->batch, xrt->settings.regions, on_result, xrt);
                run->place = PLACE_DOOR; /* which is where what is held is found */
        }
        door_look(xrt);
}

static const struct xrt_keeper_events keeper_events = {
        .ready = on_door,
        .changed = on_door,
        .done = on_done,
        .interrupted = on_interrupted,
};

/* ---- contract ---- */

static void xrt_submit(struct device *device, struct batch *batch)
{
        struct xrt *xrt = container_of(device, struct xrt, device);

        assert(device->free_slots > 0);
        device->free_slots--;
        xrt->runs[xrt->n_runs++] = (struct run){.batch = batch};
        door_look(xrt);
}

/* What is left out of a command would take its time: only the CPU drops. */
static void xrt_drop(struct device *device, struct batch *batch, size_t index)
{
        struct xrt *xrt = container_of(device, struct xrt, device);

        for (size_t i = 0; i < xrt->n_runs; i++)
                if (xrt->runs[i].batch == batch && xrt->runs[i].place == PLACE_CPU)
                        cpu_engine_drop(&xrt->cpu, batch, index);
}

static void on_region_ended(void *userdata, struct region *region)
{
        struct xrt *xrt = userdata;

        xrt_keeper_forget(&xrt->keeper, region);
}

/* The worker packs it again when it is used again. */
static void xrt_forget(struct device *device, struct resident *resident)
{
        struct xrt *xrt = container_of(device, struct xrt, device);
        struct region *region = region_find(xrt->settings.regions, resident->b);

        cpu_engine_forget(&xrt->cpu, resident);
        if (region)
                xrt_keeper_forget(&xrt->keeper, region);
}

static void on_cpu_closed(void *userdata)
{
        struct xrt *xrt = userdata;

        xrt->closed_fn(xrt->closed_userdata);
        free(xrt);
}

static const struct device_worker_events cpu_events = {
        .slice_done = on_cpu_slice_done,
        .batch_done = on_cpu_batch_done,
        .closed = on_cpu_closed,
};

static void xrt_close(struct device *device, device_closed_fn closed_fn, void *userdata)
{
        struct xrt *xrt = container_of(device, struct xrt, device);

        assert(xrt->n_runs == 0);
        xrt->closed_fn = closed_fn;
        xrt->closed_userdata = userdata;
        alarm_set(xrt->timeline, &xrt->alarm, TIMELINE_NEVER);
        xrt->settings.regions->ended_fn = NULL;
        xrt_keeper_close(&xrt->keeper);
        cpu_engine_close(&xrt->cpu);
}

/* Whether a driver for NPUs has any: other accelerators have nodes of the same kind. */
static bool npu_is_there(void)
{
        DIR *folder = opendir(DRIVER);
        const struct dirent *entry;
        bool is_there = false;

        if (!folder)
                return false;
        while (!is_there && (entry = readdir(folder)))
                is_there = strchr(entry->d_name, ':') != NULL; /* a device's address on the bus */
        (void)closedir(folder);
        return is_there;
}

static const char *reason_against(const struct device_settings *settings)
{
        if (!settings->xrt.worker_path ||
            faccessat(AT_FDCWD, settings->xrt.worker_path, X_OK, AT_EACCESS) < 0)
                return "this build has no NPU support: its worker npumatmuld-xrt is not installed "
                       "(NPUMM_XRT)";
        if (settings->is_automatic && !npu_is_there())
                return "there is no NPU (nothing in " DRIVER ": is amdxdna loaded?)";
        return NULL;
}

static int xrt_open(uv_loop_t *loop, struct timeline *timeline, const struct device_settings *settings,
                    const struct device_events *events, void *userdata, struct device **ret_device,
                    const char **ret_reason)
{
        const char *reason = reason_against(settings);
        struct cpu_settings cpu_settings = settings->cpu;
        struct xrt *xrt;
        int r;

        if (reason) {
                *ret_reason = reason;
                return DEVICE_E_ABSENT;
        }
        xrt = calloc(1, sizeof *xrt);
        if (!xrt)
                return -ENOMEM;
        xrt->timeline = timeline;
        xrt->settings = settings->xrt;
        alarm_init(&xrt->alarm, on_door, xrt);
        cpu_settings.here_ns = 0; /* batches come to it at any time, not only with a submit */
        r = cpu_engine_open(&xrt->cpu, loop, &cpu_settings, &cpu_events, xrt, ret_reason);
        if (r != 0) {
                free(xrt);
                return r;
        }
        xrt->settings.regions->ended_fn = on_region_ended;
        xrt->settings.regions->userdata = xrt;
        xrt->device = (struct device){
                .ops = &xrt_device_ops,
                .events = events,
                .userdata = userdata,
                .description = "NPU by XRT, stream64; CPU in its place",
                .health = &xrt->keeper.health,
                .free_slots = WIRE_BATCHES_MAX,
                .time_scale = 1,
        };
        traits_npu(&xrt->device);
        xrt_keeper_open(&xrt->keeper, loop, timeline, &xrt->settings, &keeper_events, xrt);
        *ret_device = &xrt->device;
        return 0;
}

const struct device_ops xrt_device_ops = {
        .name = "xrt",
        .open = xrt_open,
        .submit = xrt_submit,
        .drop = xrt_drop,
        .forget = xrt_forget,
        .close = xrt_close,
};
