/* SPDX-License-Identifier: MIT */
/*
 * array-cores.c - the inside of the model's array: lanes to the cores, the cores, the joins behind them.
 *
 * Role: FIFOs by counts (design notes in array-parts.h), sections 5 and 9 of xclbin/README.md for the cores.
 * In:   bytes of any number, by array_lane_put; objects of several tasks are put together as they come.
 * Out:  bytes of whole C objects, by array_join_take.
 */
#include <endian.h>

#include "tests/npu/array-parts.h"

/* Kt, section 6. */
#define STEPS_MAX 2048

uint64_t array_tag_mix(uint64_t h, uint64_t a, uint64_t b)
{
        h = ((h + UINT64_C(0x9e3779b97f4a7c15)) ^ a) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
        h = (h ^ b) * UINT64_C(0xc4ceb9fe1a85ec53);
        return h ^ (h >> 29);
}

static uint64_t read_tag(const uint8_t *from)
{
        uint64_t tag;

        memcpy(&tag, from, sizeof tag);
        return le64toh(tag);
}

static void write_tag(uint8_t *to, uint64_t tag)
{
        tag = htole64(tag);
        memcpy(to, &tag, sizeof tag);
}

/* What is kept of bytes [position, position + n) of an object, between memory and its image. */
static void copy(const struct shape *shape, uint8_t *image, uint64_t position, uint8_t *memory, uint64_t n,
                 bool to_memory)
{
        for (uint32_t i = 0; i < shape->n_kept; i++) {
                const uint64_t from = shape->kept[i].from;
                const uint64_t first = MAX(position, from);
                const uint64_t end = MIN(position + n, from + shape->kept[i].n);
                uint8_t *in_image = image + shape->kept[i].at + (first - from);
                uint8_t *in_memory = memory + (first - position);

                if (first >= end)
                        continue;
                if (to_memory)
                        memcpy(in_memory, in_image, end - first);
                else
                        memcpy(in_image, in_memory, end - first);
        }
}

/* ---- lanes ---- */

static uint8_t *lane_slot(const struct lane *lane, uint64_t object)
{
        return lane->slots + object % SLOTS * lane->shape.image;
}

uint64_t array_lane_room(const struct lane *lane)
{
        return (lane->n_sent + DEPTH - lane->n_arrived) * lane->shape.bytes - lane->partial;
}

void array_lane_put(struct lane *lane, uint8_t *from, uint64_t n)
{
        while (n > 0) {
                const uint64_t piece = MIN(n, lane->shape.bytes - lane->partial);

                copy(&lane->shape, lane_slot(lane, lane->n_arrived), lane->partial, from, piece, false);
                lane->partial += (uint32_t)piece;
                if (lane->partial == lane->shape.bytes) {
                        lane->partial = 0;
                        lane->n_arrived++;
                }
                from += piece;
                n -= piece;
        }
}

/* From the memory tile to all readers at once, or to none. */
bool array_lane_move(struct array *array, void *part)
{
        struct lane *lane = part;
        uint64_t slowest = lane->n_taken[0];
        uint64_t end;

        (void)array;
        for (uint32_t i = 1; i < lane->n_readers; i++)
                slowest = MIN(slowest, lane->n_taken[i]);
        end = MIN(lane->n_arrived, slowest + DEPTH);
        if (lane->n_sent == end)
                return false;
        lane->n_sent = end;
        return true;
}

/* The next object of a reader, or NULL if it has none. */
static const uint8_t *lane_peek(const struct lane *lane, uint32_t reader)
{
        return lane->n_taken[reader] < lane->n_sent ? lane_slot(lane, lane->n_taken[reader]) : NULL;
}

/* ---- joins ---- */

static uint8_t *join_slot(const struct join *join, uint32_t part, uint64_t tile)
{
        return join->slots + (part * SLOTS + tile % SLOTS) * join->shape.image;
}

/* Each core's tile moves by itself into its quarter. */
bool array_join_move(struct array *array, void *part)
{
        struct join *join = part;
        bool has_moved = false;

        (void)array;
        for (uint32_t i = 0; i < join->n_parts; i++) {
                const uint64_t end = MIN(join->n_released[i], join->n_drained + DEPTH);

                has_moved |= join->n_joined[i] != end;
                join->n_joined[i] = end;
        }
        return has_moved;
}

/* Whole objects alone: a column's share of a macro-tile leaves when all of its cores have given theirs. */
uint64_t array_join_ready(const struct join *join)
{
        uint64_t slowest = join->n_joined[0];

        for (uint32_t i = 1; i < join->n_parts; i++)
                slowest = MIN(slowest, join->n_joined[i]);
        return (slowest - join->n_drained) * join->n_parts * join->shape.bytes - join->drained;
}

uint64_t array_join_take(struct join *join, uint8_t *to, uint64_t n)
{
        const uint32_t tile_bytes = join->shape.bytes;
        uint64_t n_tiles = 0;

        while (n > 0) {
                const uint32_t position = join->drained % tile_bytes;
                const uint64_t piece = MIN(n, tile_bytes - position);

                copy(&join->shape, join_slot(join, join->drained / tile_bytes, join->n_drained), position, to,
                     piece, true);
                n_tiles += position + piece == tile_bytes;
                join->drained += (uint32_t)piece;
                if (join->drained == join->n_parts * tile_bytes) {
                        join->drained = 0;
                        join->n_drained++;
                }
                to += piece;
                n -= piece;
        }
        return n_tiles;
}

/* The tile that a core writes next, or NULL if both of its own are still there. */
static uint8_t *join_acquire(const struct join *join, uint32_t part)
{
        return join->n_released[part] < join->n_joined[part] + DEPTH
                       ? join_slot(join, part, join->n_released[part])
                       : NULL;
}

/* ---- cores ---- */

static bool begin_macro_tile(struct array *array, struct core *core, const uint8_t *a, uint8_t *c)
{
        uint32_t steps;

        memcpy(&steps, a, sizeof steps);
        steps = le32toh(steps);
        if (steps < 1 || steps > STEPS_MAX) {
                array_fault(array, ARRAY_CORE_FAULT,
                            "core (%u, %s) would run %u steps: word 0 of object %llu of %s is no trip count",
                            core->part, &core->join->name[1], steps,
                            (unsigned long long)core->a->n_taken[core->a_reader], core->a->name);
                return false;
        }
        core->steps_left = steps;
        if (array->options.mode == ARRAY_TAGS)
                core->tag = 0;
        else
                array->options.zero((int32_t *)(void *)c);
        return true;
}

/* Section 5: steps until something is missing. */
bool array_core_move(struct array *array, void *part)
{
        struct core *core = part;
        const bool is_tagged = array->options.mode == ARRAY_TAGS;
        const uint8_t *a, *b;
        uint8_t *c;
        uint64_t n = 0;

        while ((c = join_acquire(core->join, core->part)) && (a = lane_peek(core->a, core->a_reader)) &&
               (b = lane_peek(core->b, core->b_reader))) {
                if (core->steps_left == 0 && !begin_macro_tile(array, core, a, c))
                        break;
                if (is_tagged)
                        core->tag = array_tag_mix(core->tag, read_tag(a + A_TAG_AT), read_tag(b));
                else
                        array->options.step((const int32_t *)(const void *)a, (const int8_t *)b,
                                            (int32_t *)(void *)c);
                core->a->n_taken[core->a_reader]++;
                core->b->n_taken[core->b_reader]++;
                n++;
                if (--core->steps_left > 0)
                        continue;
                if (is_tagged)
                        write_tag(c, core->tag);
                core->join->n_released[core->part]++;
        }
        array->result->stats.steps += n;
        return n > 0;
}

/* Section 9: a tile in, a tile out. */
bool array_tile16_move(struct array *array, void *part)
{
        struct core *core = part;
        uint8_t *out = join_acquire(core->join, core->part);
        const uint8_t *in = lane_peek(core->a, core->a_reader);

        if (!out || !in)
                return false;
        if (array->options.mode == ARRAY_TAGS)
                write_tag(out, array_tag_mix(0, read_tag(in), 0));
        else
                array->options.tile((const int8_t *)in, (int8_t *)out);
        core->a->n_taken[core->a_reader]++;
        core->join->n_released[core->part]++;
        array->result->stats.steps++;
        return true;
}
