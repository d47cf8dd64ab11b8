/* SPDX-License-Identifier: MIT */
/* cpu-engine.c - see cpu-engine.h. */
#include "daemon/device/cpu-engine.h"

#include <errno.h>
#include <stdio.h>

/*
 * What the first submission is predicted to cost besides its multiply-adds. A hand-over to the thread and back, about
 * 20 us, is not in the times that batches report.
 */
#define SEED_FIXED_NS 1e3

/*
 * A byte of weights, packed: on the way, in scratch; or for the first time, in pages that the kernel has yet to clear.
 * Neither is ever less on an AMD EPYC (Zen 4) guest; the second was 0.4 to 1.9.
 */
#define PACK_NS_PER_BYTE 0.15
#define FILL_NS_PER_BYTE 2.0

/* ---- computing: on the thread, or on the loop while the thread sleeps ---- */

static void pack_fill(const struct cpu_engine *engine, struct stack *stack, const struct product *product)
{
        const uint64_t start_ns = uv_hrtime();

        kernel_pack(engine->kernel, product->b, product->ldb, product->b_transposed, product->k, product->n,
                    stack->pack->bytes);
        stack->pack->is_filled = true;
        stack->once_ns = uv_hrtime() - start_ns;
}

static void run(void *userdata, struct stack *stack, const struct slice *slices, size_t n)
{
        struct cpu_engine *engine = userdata;
        const struct product *product = slices->product;
        const struct pack *pack = stack->pack;
        struct kernel_plan plan;
        unsigned threads;

        if (pack && !pack->is_filled)
                pack_fill(engine, stack, product);
        threads = tile_pool_threads(engine->pool,
                                    (double)stack->rows * (double)product->k * (double)product->n);
        kernel_plan(&plan, engine->kernel, slices, n, pack ? pack->bytes : NULL, threads);
        if (threads > 1)
                tile_pool_run(engine->pool, &plan, engine->scratch);
        else
                kernel_run(&plan, engine->scratch);
}

/* ---- loop ---- */

/* What is packed is used by the form that imitates tiles, too: all kernels sum by any depth. */
static void packs_take_all(struct cpu_engine *engine, struct batch *batch, double *ret_pack_ns)
{
        double pack_ns = 0;

        for (size_t i = 0; i < batch->n_stacks; i++) {
                struct stack *stack = &batch->stacks[i];
                const struct product *product = batch->slices[stack->first].product;
                const uint64_t n_bytes = kernel_packed_bytes(product->k, product->n);

                stack->pack =
                        product->resident ? packs_take(&engine->packs, product->resident, n_bytes) : NULL;
                if (!product->resident)
                        continue;   /* what it costs to pack is in work_macs */
                if (!stack->pack) { /* on the way, each time */
                        pack_ns += (double)n_bytes * PACK_NS_PER_BYTE;
                } else if (stack->pack->n_users == 1 && !stack->pack->is_filled) {
                        pack_ns += (double)n_bytes * FILL_NS_PER_BYTE;
                        engine->weights_packs++;
                }
        }
        *ret_pack_ns = pack_ns;
}

void cpu_engine_submit(struct cpu_engine *engine, struct batch *batch)
{
        double pack_ns;

        packs_take_all(engine, batch, &pack_ns);
        /* The thread and the loop never compute at the same time. */
        if ((double)batch->predicted_ns + pack_ns < (double)engine->here_ns &&
            TAILQ_EMPTY(&engine->worker.inside)) {
                assert(!engine->here); /* whose device has one slot */
                engine->here = batch;
        } else {
                device_worker_submit(&engine->worker, batch);
        }
}

bool cpu_engine_compute(struct cpu_engine *engine)
{
        struct batch *batch = steal(&engine->here);

        if (!batch)
                return false;
        device_worker_run(&engine->worker, batch);
        return true;
}

void cpu_engine_drop(struct cpu_engine *engine, struct batch *batch, size_t index)
{
        if (batch == engine->here)
                batch->slices[index].is_dropped = true;
        else
                device_worker_drop(&engine->worker, batch, index);
}

void cpu_engine_forget(struct cpu_engine *engine, struct resident *resident)
{
        packs_forget(&engine->packs, resident);
}

static void on_slice_done(void *userdata, struct batch *batch, size_t index)
{
        struct cpu_engine *engine = userdata;

        engine->events->slice_done(engine->userdata, batch, index);
}

static void on_batch_done(void *userdata, struct batch *batch)
{
        struct cpu_engine *engine = userdata;

        for (size_t i = 0; i < batch->n_stacks; i++)
                packs_give_back(&engine->packs, steal(&batch->stacks[i].pack));
        engine->events->batch_done(engine->userdata, batch);
}

static void on_closed(void *userdata)
{
        struct cpu_engine *engine = userdata;

        engine->pool = tile_pool_free(engine->pool);
        packs_deinit(&engine->packs);
        free(engine->scratch);
        engine->events->closed(engine->userdata);
}

static const struct device_worker_events worker_events = {
        .slice_done = on_slice_done,
        .batch_done = on_batch_done,
        .closed = on_closed,
};

int cpu_engine_open(struct cpu_engine *engine, uv_loop_t *loop, const struct cpu_settings *settings,
                    const struct device_worker_events *events, void *userdata, const char **ret_reason)
{
        int r = 0;

        *engine = (struct cpu_engine){
                .kernel = kernel_choose(settings->isa),
                .threads = MAX(settings->threads, 1U),
                .here_ns = settings->here_ns,
                .events = events,
                .userdata = userdata,
        };
        if (!engine->kernel) {
                *ret_reason = "NPUMM_ISA names no kernel: avx512-vnni, avx-vnni, avx2 or portable";
                return DEVICE_E_ABSENT;
        }
        (void)snprintf(engine->description, sizeof engine->description, "%s, %u thread%s",
                       engine->kernel->description, engine->threads, engine->threads == 1 ? "" : "s");
        packs_init(&engine->packs, loop, settings->weights_bytes);
        engine->scratch = kernel_scratch_new();
        if (!engine->scratch)
                return -ENOMEM;
        if (engine->threads > 1)
                r = tile_pool_new(engine->threads, &engine->pool);
        if (r == 0)
                r = device_worker_open(&engine->worker, loop, run, &worker_events, engine);
        if (r < 0) {
                engine->pool = tile_pool_free(engine->pool);
                free(engine->scratch);
        }
        return r;
}

void cpu_engine_describe(const struct cpu_engine *engine, struct device *device)
{
        device->granule_rows = engine->kernel->rows;
        device->padding = (struct device_padding){1, 1, 1};
        device->block_rows = NULL;
        device->stacks_max = BATCH_STACKS_MAX;
        device->pack_ns = 0;
        device->seed_fixed_ns = SEED_FIXED_NS;
        device->seed_ns_per_mac =
                engine->kernel->seed_ns_per_mac; /* of one thread: small products have no more */
        device->work_macs = engine->kernel->work_macs;
        device->share = NULL;
}

void cpu_engine_close(struct cpu_engine *engine)
{
        assert(!engine->here);
        device_worker_close(&engine->worker);
}
