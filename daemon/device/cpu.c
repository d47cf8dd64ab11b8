/* SPDX-License-Identifier: MIT */
/*
 * cpu.c - the CPU as a device.
 *
 * Role:   serves every product exactly on any machine, on one thread of its own; operands are read and results
 *         written in place, so it makes no copies and needs no syncs.
 * Thread: loop for the contract of device.h; the slices run on the worker's thread.
 */
#include "daemon/device-worker.h"
#include "daemon/device/devices.h"
#include "daemon/device/portable.h"

#include <errno.h>

/*
 * What the first submission is predicted to cost. Measured on an AMD EPYC (Zen 4) guest with GCC 12: 0.10-0.13 ns
 * a multiply-add over eight shapes. What a submission costs besides is next to nothing: a hand-over to the thread and
 * back, about 20 us, is not in the times that batches report. The cost model corrects both.
 */
#define CPU_SEED_FIXED_NS   1e3
#define CPU_SEED_NS_PER_MAC 0.12

struct cpu {
        struct device device;
        struct device_worker worker;
        device_closed_fn closed_fn;
        void *closed_userdata;
};

static void on_slice_done(void *userdata, struct batch *batch, size_t index)
{
        struct cpu *cpu = userdata;

        cpu->device.events->slice_done(cpu->device.userdata, batch, index);
}

static void on_batch_done(void *userdata, struct batch *batch)
{
        struct cpu *cpu = userdata;

        cpu->device.free_slots++;
        cpu->device.events->batch_done(cpu->device.userdata, batch);
}

static void on_closed(void *userdata)
{
        struct cpu *cpu = userdata;

        cpu->closed_fn(cpu->closed_userdata);
        free(cpu);
}

static const struct device_worker_events worker_events = {
        .slice_done = on_slice_done,
        .batch_done = on_batch_done,
        .closed = on_closed,
};

static int cpu_open(uv_loop_t *loop, struct timeline *timeline, const struct device_settings *settings,
                    const struct device_events *events, void *userdata, struct device **ret_device,
                    const char **ret_reason)
{
        _cleanup_(freep) struct cpu *cpu = calloc(1, sizeof *cpu);
        int r;

        (void)timeline;
        (void)settings;
        (void)ret_reason; /* a CPU is never absent */
        if (!cpu)
                return -ENOMEM;
        cpu->device = (struct device){
                .ops = &cpu_device_ops,
                .events = events,
                .userdata = userdata,
                .description = "portable C kernel, 1 thread",
                .free_slots = 1,
                .granule_rows = PORTABLE_ROWS,
                .padding = {.rows = 1, .depth = 1, .cols = 1},
                .stacks_max = BATCH_STACKS_MAX,
                .time_scale = 1,
                .seed_fixed_ns = CPU_SEED_FIXED_NS,
                .seed_ns_per_mac = CPU_SEED_NS_PER_MAC,
                .work_macs = portable_work_macs,
        };
        r = device_worker_open(&cpu->worker, loop, portable_run, &worker_events, cpu);
        if (r < 0)
                return r;
        *ret_device = &steal(&cpu)->device;
        return 0;
}

static void cpu_submit(struct device *device, struct batch *batch)
{
        struct cpu *cpu = container_of(device, struct cpu, device);

        assert(device->free_slots > 0);
        device->free_slots--;
        device_worker_submit(&cpu->worker, batch);
}

static void cpu_drop(struct device *device, struct batch *batch, size_t index)
{
        device_worker_drop(&container_of(device, struct cpu, device)->worker, batch, index);
}

static void cpu_close(struct device *device, device_closed_fn closed_fn, void *userdata)
{
        struct cpu *cpu = container_of(device, struct cpu, device);

        cpu->closed_fn = closed_fn;
        cpu->closed_userdata = userdata;
        device_worker_close(&cpu->worker);
}

const struct device_ops cpu_device_ops = {
        .name = "cpu",
        .open = cpu_open,
        .submit = cpu_submit,
        .drop = cpu_drop,
        .close = cpu_close,
};
