/* SPDX-License-Identifier: MIT */
/*
 * cpu-engine.h - batches computed by the CPU's kernels: for the device that is the CPU, and where it stands in for
 *                another.
 *
 * Role:   small batches on the loop, others on a thread, large products on several; weights packed once.
 * In:     batches, on the loop. Out: slice_done and batch_done, on the loop.
 * Thread: loop; kernels on the worker's thread and on those of the tile pool.
 * Owns:   threads, scratch, packed weights; each batch from submit to batch_done.
 */
#ifndef DAEMON_DEVICE_CPU_ENGINE_H
#define DAEMON_DEVICE_CPU_ENGINE_H

#include "daemon/device-worker.h"
#include "daemon/device/packs.h"
#include "daemon/device/tile-pool.h"

struct cpu_engine {
        const struct kernel *kernel;
        unsigned threads;
        struct packs packs;
        struct tile_pool *pool; /* owned; NULL: one thread */
        void *scratch;          /* owned: of whoever computes, thread or loop */
        struct device_worker worker;
        struct batch *here; /* to be computed on the loop; NULL: none */
        uint64_t
                here_ns; /* batches predicted to take no longer are; above 0 only where one slot is all there is, and
                                cpu_engine_compute follows each submit */
        uint64_t weights_packs;
        char description[64];
        const struct device_worker_events *events; /* borrowed: outlives us */
        void *userdata;
};

/*
 * Stays where it is until events->closed. Returns 0, -errno, or DEVICE_E_ABSENT with the reason (static) in ret_reason.
 */
int cpu_engine_open(struct cpu_engine *engine, uv_loop_t *loop, const struct cpu_settings *settings,
                    const struct device_worker_events *events, void *userdata, const char **ret_reason);

/* What a device is whose batches go here: how it computes, and what that costs at first. */
void cpu_engine_describe(const struct cpu_engine *engine, struct device *device);

/* device_ops::submit: reports nothing by itself. */
void cpu_engine_submit(struct cpu_engine *engine, struct batch *batch);

/* device_ops::compute. */
bool cpu_engine_compute(struct cpu_engine *engine);

/* device_ops::drop and forget. */
void cpu_engine_drop(struct cpu_engine *engine, struct batch *batch, size_t index);
void cpu_engine_forget(struct cpu_engine *engine, struct resident *resident);

/* No batch may be inside but one that batch_done is being called of. */
void cpu_engine_close(struct cpu_engine *engine);

#endif
