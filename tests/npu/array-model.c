/* SPDX-License-Identifier: MIT */
/*
 * array-model.c - a context of the model: how the array is wired, a run from outside, what is left in it.
 *
 * Role: owns the memory of all parts; geometry of both programs (sections 1, 3 and 9 of xclbin/README.md).
 */
#include <stdarg.h>
#include <stdio.h>

#include "tests/npu/array-parts.h"

const char *array_channel_name(enum array_channel index)
{
        static const char *const names[ARRAY_CHANNELS] = {"S2MM0", "S2MM1", "MM2S0", "MM2S1"};

        return names[index];
}

uint64_t array_address(uint32_t argument, uint32_t offset)
{
        return (uint64_t)(argument + 1) << ADDRESS_ARGUMENT_AT | offset;
}

/* ---- wiring ---- */

/* An object of which all is kept, or in TAGS n bytes at `from`. */
static struct shape shape_of(const struct array *array, uint32_t bytes, uint32_t from, uint32_t n)
{
        if (array->options.mode == ARRAY_TAGS)
                return (struct shape){
                        .bytes = bytes, .image = n, .n_kept = 1, .kept = {{.from = from, .n = n}}};
        return (struct shape){.bytes = bytes, .image = bytes, .n_kept = 1, .kept = {{.n = bytes}}};
}

static uint8_t *allocate(struct array *array, uint32_t image, uint32_t n)
{
        uint8_t *memory = array->memory + array->memory_used;

        array->memory_used += (image * n + 63) / 64 * 64;
        assert(array->memory_used <= sizeof array->memory);
        return memory;
}

static void act(struct array *array, bool (*move)(struct array *, void *), void *part)
{
        array->actors[array->n_actors++] = (struct actor){.move = move, .part = part};
}

static struct lane *wire_lane(struct array *array, char letter, uint32_t column, enum array_channel channel,
                              struct shape shape, uint32_t n_readers)
{
        struct lane *lane = &array->lanes[array->n_lanes++];

        *lane = (struct lane){.name = {letter, (char)('0' + column)}, .shape = shape, .n_readers = n_readers};
        lane->slots = allocate(array, shape.image, SLOTS);
        array->shims[column].channels[channel].lane = lane;
        act(array, array_lane_move, lane);
        return lane;
}

static struct join *wire_join(struct array *array, uint32_t column, struct shape shape, uint32_t n_parts)
{
        struct join *join = &array->joins[array->n_joins++];

        *join = (struct join){.name = {'C', (char)('0' + column)}, .shape = shape, .n_parts = n_parts};
        join->slots = allocate(array, shape.image, SLOTS * n_parts);
        array->shims[column].channels[ARRAY_S2MM0].join = join;
        return join;
}

static struct shape shape_of_a(const struct array *array)
{
        if (array->options.mode == ARRAY_TAGS)
                return (struct shape){
                        .bytes = 4160, .image = 16, .n_kept = 2, .kept = {{0, 4, 0}, {64, 8, A_TAG_AT}}};
        return shape_of(array, 4160, 0, 0);
}

static void wire_stream64(struct array *array)
{
        struct lane *a[ARRAY_COLUMNS], *b[ARRAY_COLUMNS];
        struct join *c[ARRAY_COLUMNS];

        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                a[j] = wire_lane(array, 'A', j, ARRAY_MM2S0, shape_of_a(array), READERS);
                b[j] = wire_lane(array, 'B', j, ARRAY_MM2S1, shape_of(array, 4096, 0, 8), READERS);
                c[j] = wire_join(array, j, shape_of(array, 16384, 0, 8), PARTS);
        }
        for (uint32_t i = 0; i < ARRAY_COLUMNS; i++)
                for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                        struct core *core = &array->cores[array->n_cores++];

                        *core = (struct core){
                                .a = a[i], .a_reader = j, .b = b[j], .b_reader = i, .join = c[j], .part = i};
                        act(array, array_core_move, core);
                }
}

static void wire_tile16(struct array *array)
{
        struct core *core = &array->cores[array->n_cores++];

        core->a = wire_lane(array, 'A', 0, ARRAY_MM2S0, shape_of(array, 512, 0, 8), 1);
        core->join = wire_join(array, 0, shape_of(array, 256, 0, 8), 1);
        act(array, array_tile16_move, core);
}

/* In the order in which bytes pass them, so that one round of all actors takes them through. */
static void wire(struct array *array)
{
        for (uint32_t column = 0; column < ARRAY_COLUMNS; column++)
                for (uint32_t i = 0; i < ARRAY_CHANNELS; i++) {
                        struct channel *channel = &array->shims[column].channels[i];

                        channel->column = column;
                        channel->index = i;
                        if (i >= ARRAY_MM2S0)
                                act(array, array_channel_move, channel);
                }
        if (array->options.program == ARRAY_TILE16)
                wire_tile16(array);
        else
                wire_stream64(array);
        for (size_t i = 0; i < array->n_joins; i++)
                act(array, array_join_move, &array->joins[i]);
        for (uint32_t column = 0; column < ARRAY_COLUMNS; column++) {
                act(array, array_channel_move, &array->shims[column].channels[ARRAY_S2MM0]);
                act(array, array_channel_move, &array->shims[column].channels[ARRAY_S2MM1]);
        }
}

struct array *array_new(const struct array_options *options)
{
        struct array *array = aligned_alloc(alignof(struct array), sizeof *array);

        if (!array)
                return NULL;
        memset(array, 0, offsetof(struct array, memory));
        array->options = *options;
        array->chance = options->seed;
        array_reset(array);
        return array;
}

void array_free(struct array *array)
{
        free(array);
}

void array_reset(struct array *array)
{
        memset(&array->shims, 0, offsetof(struct array, memory) - offsetof(struct array, shims));
        wire(array);
}

void array_set_schedule(struct array *array, enum array_schedule schedule, uint64_t seed)
{
        array->options.schedule = schedule;
        array->chance = seed;
}

/* ---- what is left in it ---- */

static bool channel_is_clean(const struct channel *channel)
{
        return channel->n_waiting == 0 && channel->running.repeats == 0 && channel->n_tokens == 0;
}

static bool lane_is_clean(const struct lane *lane)
{
        for (uint32_t i = 0; i < lane->n_readers; i++)
                if (lane->n_taken[i] != lane->n_arrived)
                        return false;
        return lane->partial == 0;
}

static bool join_is_clean(const struct join *join)
{
        for (uint32_t i = 0; i < join->n_parts; i++)
                if (join->n_released[i] != join->n_drained)
                        return false;
        return true; /* of an object that has left in part, the tiles are still there */
}

static bool is_clean(const struct array *array)
{
        bool is = true;

        for (uint32_t column = 0; column < ARRAY_COLUMNS; column++)
                for (uint32_t i = 0; i < ARRAY_CHANNELS; i++)
                        is &= channel_is_clean(&array->shims[column].channels[i]);
        for (size_t i = 0; i < array->n_lanes; i++)
                is &= lane_is_clean(&array->lanes[i]);
        for (size_t i = 0; i < array->n_joins; i++)
                is &= join_is_clean(&array->joins[i]);
        for (size_t i = 0; i < array->n_cores; i++)
                is &= array->cores[i].steps_left == 0;
        return is;
}

/* ---- a run ---- */

/* Appends to the result's text, as far as it goes. */
_printf_(2, 0) static void say_list(struct array_result *result, const char *format, va_list args)
{
        const size_t n = strlen(result->text);

        (void)vsnprintf(result->text + n, sizeof result->text - n, format, args);
}

_printf_(2, 3) static void say(struct array_result *result, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        say_list(result, format, args);
        va_end(args);
}

void array_fault(struct array *array, enum array_outcome outcome, const char *format, ...)
{
        va_list args;

        if (array->is_over)
                return;
        array->is_over = true;
        array->result->outcome = outcome;
        array->result->word = array->at;
        say(array->result, "word %zu: ", array->at);
        va_start(args, format);
        say_list(array->result, format, args);
        va_end(args);
}

/* Does a core wait for this lane, and for this lane alone? */
static bool is_wanted(const struct array *array, const struct lane *lane)
{
        for (size_t i = 0; i < array->n_cores; i++) {
                const struct core *core = &array->cores[i];
                const bool has_a = core->a->n_taken[core->a_reader] < core->a->n_sent;
                const bool has_b = core->b && core->b->n_taken[core->b_reader] < core->b->n_sent;

                if (core->a == lane && !has_a && (has_b || core->steps_left > 0))
                        return true;
                if (core->b == lane && !has_b && (has_a || core->steps_left > 0))
                        return true;
        }
        return false;
}

static void say_channel(struct array *array, const struct channel *channel)
{
        const struct lane *lane = channel->lane;
        const struct join *join = channel->join;
        struct array_result *result = array->result;
        const bool is_busy = channel->running.repeats > 0;

        if (lane && (is_busy || lane->partial > 0 || is_wanted(array, lane)))
                say(result, "; %s %s (%u bytes of a next object)", lane->name,
                    array_lane_room(lane) == 0 ? "is full" : "gives nothing", lane->partial);
        else if (join && is_busy)
                say(result, "; %s gets nothing (%llu bytes are to come)", join->name,
                    (unsigned long long)channel->left);
        else if (join && array_join_ready(join) > 0)
                say(result, "; %s has nowhere to go (%llu bytes are ready)", join->name,
                    (unsigned long long)array_join_ready(join));
        else if (is_busy)
                say(result, "; column %u %s leads nowhere", channel->column,
                    array_channel_name(channel->index));
        else
                return;
        say(result, is_busy ? ": 1 task runs, %u wait" : ": no task", channel->n_waiting);
}

void array_stuck(struct array *array, const char *what, const struct channel *channel)
{
        array_fault(array, ARRAY_NO_PROGRESS, "waits for ever for %s of column %u %s", what, channel->column,
                    array_channel_name(channel->index));
        for (uint32_t column = 0; column < ARRAY_COLUMNS; column++)
                for (uint32_t i = 0; i < ARRAY_CHANNELS; i++)
                        say_channel(array, &array->shims[column].channels[i]);
}

enum array_outcome array_run(struct array *array, const uint32_t *words, size_t n_words,
                             const struct array_buffer buffers[ARRAY_ARGUMENTS],
                             struct array_result *ret_result)
{
        memset(ret_result, 0, sizeof *ret_result);
        array->words = words;
        array->n_words = n_words;
        array->at = 0;
        array->buffers = buffers;
        array->result = ret_result;
        array->is_over = false;
        array_execute(array);
        if (!array->is_over)
                ret_result->word = n_words;
        ret_result->is_clean = is_clean(array);
        return ret_result->outcome;
}
