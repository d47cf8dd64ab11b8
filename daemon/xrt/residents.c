/* SPDX-License-Identifier: MIT */
/*
 * residents.c - weights of batches into the weights object, and out of it.
 *
 * Role:   packs what stays when it is first used, and makes the object larger as long as it may be. What finds no
 *         room is streamed: the batch is computed all the same.
 * Thread: main.
 */
#include "daemon/xrt/engine-internal.h"

#include <errno.h>

#define PIECE_BYTES (UINT64_C(16) << 20) /* packed at once inside the gate: some 10 ms */

int residents_init(struct engine *engine, struct xrt_fault *ret_fault)
{
        const uint64_t most = engine->options.weights_bytes;
        const uint64_t first = MIN(engine->options.weights_first_bytes, most);

        weights_pool_init(&engine->pool, first, most);
        return object_reserve(engine, &engine->weights, STREAM64_ARG_WEIGHTS, first, ret_fault);
}

/* ---- growing ---- */

static int objects_copy(struct engine *engine, struct object *larger, struct xrt_fault *ret_fault)
{
        const struct weights_item *item;

        TAILQ_FOREACH(item, &engine->pool.by_place, by_place) {
                int r;

                memcpy(larger->bytes + item->offset, engine->weights.bytes + item->offset, item->bytes);
                r = object_sync(larger, XRT_SHIM_TO_DEVICE, item->offset, item->bytes, ret_fault);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* Where no memory is to be had for a larger one, it has become as large as it will. */
static int pool_grow(struct engine *engine, struct xrt_fault *ret_fault)
{
        const uint64_t bytes = weights_pool_next_bytes(&engine->pool);
        struct object larger = {0};
        int r;

        r = object_reserve(engine, &larger, STREAM64_ARG_WEIGHTS, bytes, ret_fault);
        if (r != 0 && ret_fault->cause == WIRE_CAUSE_MEMORY) {
                engine->pool.most_bytes = engine->pool.size_bytes;
                return 0;
        }
        if (r != 0)
                return r;
        r = objects_copy(engine, &larger, ret_fault);
        if (r != 0)
                return r;
        engine->weights.buffer = xrt_shim_buffer_free(engine->weights.buffer);
        engine->weights = larger;
        engine->pool.size_bytes = bytes;
        return 0;
}

/* ---- packing ---- */

/* All of B, in pieces: whole columns of macro-tiles, at least one. */
static void resident_pack(struct engine *engine, const struct product *product,
                          const struct weights_item *item)
{
        const struct stream64_size size = stream64_size_of(1, product->k, product->n);
        const uint64_t col_bytes = size.k * STREAM64_B_OBJECT_BYTES; /* of a lane */
        const uint64_t piece = MAX(PIECE_BYTES / (STREAM64_COLUMNS * col_bytes), 1);
        struct pack_count ignored = {0};

        for (uint64_t n = 0; n < size.n; n += piece) {
                const uint64_t first_col = n * STREAM64_MACRO_COLS;
                const struct stream64_lanes lanes = {.arg = STREAM64_ARG_WEIGHTS,
                                                     .offset = item->offset + n * col_bytes,
                                                     .lane_stride = size.n * col_bytes};
                const struct pack_part part = {
                        .product = product,
                        .first_col = first_col,
                        .cols = MIN(piece * STREAM64_MACRO_COLS, product->n - first_col),
                };

                engine_enter(engine);
                pack_b(engine->weights.bytes, &lanes, &part, &ignored);
                engine_leave(engine);
        }
}

static uint64_t packed_bytes(const struct product *product)
{
        const struct stream64_size size = stream64_size_of(1, product->k, product->n);

        return STREAM64_COLUMNS * size.n * size.k * STREAM64_B_OBJECT_BYTES;
}

/* Finds a place, and packs into it. WEIGHTS_POOL_E_SMALL in ret_placing: nothing was done. */
static int resident_load(struct engine *engine, struct work *work, const struct product *product,
                         struct weights_item *item, int *ret_placing, struct xrt_fault *ret_fault)
{
        *ret_placing = weights_pool_place(&engine->pool, item, packed_bytes(product));
        if (*ret_placing != 0)
                return 0;
        resident_pack(engine, product, item);
        work->counts.weights_packs++;
        return object_sync(&engine->weights, XRT_SHIM_TO_DEVICE, item->offset, item->bytes, ret_fault);
}

/* WEIGHTS_POOL_E_SMALL in ret_placing: the object has to grow first. */
static int stack_place(struct engine *engine, struct work *work, struct work_stack *stack, int *ret_placing,
                       struct xrt_fault *ret_fault)
{
        const struct product *product = &work->products[stack->first];
        struct weights_item *item;

        *ret_placing = 0;
        if (!stack->resident || stack->is_cpus || !stream64_can_reside(product->k, product->n))
                return 0;
        item = &stack->resident->packed;
        if (!item->is_placed) {
                const int r = resident_load(engine, work, product, item, ret_placing, ret_fault);

                if (r != 0 || *ret_placing != 0)
                        return r;
        }
        weights_pool_use(&engine->pool, item);
        stack->is_packed = true;
        return 0;
}

int residents_place(struct engine *engine, struct work *work, bool *ret_is_placed, bool *ret_has_stepped,
                    struct xrt_fault *ret_fault)
{
        const uint64_t packs = work->counts.weights_packs;

        *ret_is_placed = false;
        while (work->n_placed < work->n_stacks) {
                int placing, r;

                if (work->counts.weights_packs != packs) {
                        *ret_has_stepped = true;
                        return 0;
                }

                r = stack_place(engine, work, &work->stacks[work->n_placed], &placing, ret_fault);
                if (r != 0)
                        return r;
                if (placing == WEIGHTS_POOL_E_SMALL && engine->n_started != engine->n_reaped)
                        return 0;
                if (placing != WEIGHTS_POOL_E_SMALL) {
                        work->n_placed++;
                        continue;
                }
                *ret_has_stepped = true;
                return pool_grow(engine, ret_fault);
        }
        *ret_is_placed = true;
        return 0;
}

void residents_leave(struct work *work)
{
        for (size_t i = 0; i < work->n_stacks; i++)
                if (work->stacks[i].is_packed)
                        weights_pool_leave(&work->stacks[i].resident->packed);
}
