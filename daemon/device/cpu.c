/* SPDX-License-Identifier: MIT */
/*
 * cpu.c - the CPU as a device.
 *
 * Role:   serves every product exactly on any machine; operands are read and results written in place, so it makes no
 *         copies and needs no syncs.
 * Thread: loop for the contract of device.h; products where cpu-engine has them computed.
 */
#include "daemon/device/cpu-engine.h"
#include "daemon/device/devices.h"

#include <errno.h>

struct cpu {
        struct device device;
        struct cpu_engine engine;
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

static const struct device_worker_events engine_events = {
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
        if (!cpu)
                return -ENOMEM;
        r = cpu_engine_open(&cpu->engine, loop, &settings->cpu, &engine_events, cpu, ret_reason);
        if (r != 0)
                return r;
        cpu->device = (struct device){
                .ops = &cpu_device_ops,
                .events = events,
                .userdata = userdata,
                .description = cpu->engine.description,
                .free_slots = 1,
                .time_scale = 1,
        };
        cpu_engine_describe(&cpu->engine, &cpu->device);
        *ret_device = &steal(&cpu)->device;
        return 0;
}

static void cpu_submit(struct device *device, struct batch *batch)
{
        struct cpu *cpu = container_of(device, struct cpu, device);

        assert(device->free_slots > 0);
        device->free_slots--;
        cpu_engine_submit(&cpu->engine, batch);
        device->counters.weights_packs = cpu->engine.weights_packs;
}

static bool cpu_compute(struct device *device)
{
        return cpu_engine_compute(&container_of(device, struct cpu, device)->engine);
}

static void cpu_drop(struct device *device, struct batch *batch, size_t index)
{
        cpu_engine_drop(&container_of(device, struct cpu, device)->engine, batch, index);
}

static void cpu_forget(struct device *device, struct resident *resident)
{
        cpu_engine_forget(&container_of(device, struct cpu, device)->engine, resident);
}

static void cpu_close(struct device *device, device_closed_fn closed_fn, void *userdata)
{
        struct cpu *cpu = container_of(device, struct cpu, device);

        cpu->closed_fn = closed_fn;
        cpu->closed_userdata = userdata;
        cpu_engine_close(&cpu->engine);
}

const struct device_ops cpu_device_ops = {
        .name = "cpu",
        .open = cpu_open,
        .submit = cpu_submit,
        .compute = cpu_compute,
        .drop = cpu_drop,
        .forget = cpu_forget,
        .close = cpu_close,
};
