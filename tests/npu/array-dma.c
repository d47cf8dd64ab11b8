/* SPDX-License-Identifier: MIT */
/*
 * array-dma.c - the model's shim DMA: tasks, the descriptors that they read, bytes between buffers and lanes.
 *
 * Role:  a channel's move starts a task, or reads a descriptor, or moves what the FIFO behind it lets through.
 * Never: reads or writes outside of a run's buffers; a descriptor that would is a fault.
 *
 * A descriptor is read when its task starts, and again at each repeat: a queued task is a number, not a copy.
 */
#include "tests/npu/array-parts.h"

/* Section 4: the one form of a descriptor's words 4, 5 and 7; 3 and 6 are 0. */
#define BURST     0x80000000u
#define CACHEABLE 0x02000000u
#define VALID     0x02000000u

#define CONTROL_MASK  0x1F00u
#define CONTROL_TOKEN 0x0F00u

static uint32_t argument_of(uint64_t address)
{
        return (uint32_t)(address >> ADDRESS_ARGUMENT_AT) - 1;
}

/* n bytes of a buffer of this run; NULL if it has not got them. */
static uint8_t *reach(const struct array *array, uint64_t address, uint64_t n)
{
        const struct array_buffer *buffer = &array->buffers[argument_of(address)];
        const uint64_t offset = address - array_address(argument_of(address), 0);

        return buffer->bytes && offset <= buffer->size && n <= buffer->size - offset ? buffer->bytes + offset
                                                                                     : NULL;
}

static void fault_out_of_bounds(struct array *array, const struct channel *channel, uint64_t address,
                                uint64_t n)
{
        const uint32_t argument = argument_of(address);
        const uint64_t offset = address - array_address(argument, 0);

        array_fault(array, ARRAY_BAD_STREAM,
                    "column %u %s: bytes %llu to %llu of argument %u, a buffer of %llu bytes",
                    channel->column, array_channel_name(channel->index), (unsigned long long)offset,
                    (unsigned long long)(offset + n), argument,
                    (unsigned long long)array->buffers[argument].size);
}

/* What is wrong with it, or NULL. */
static const char *find_fault(const struct descriptor *descriptor)
{
        const uint32_t *words = descriptor->words;

        if (words[7] != VALID)
                return words[7] & VALID ? "is chained or locked (word 7)" : "is not valid (word 7)";
        if (!descriptor->is_patched)
                return "has no address: not patched since it was written";
        if (words[3] != 0 || words[4] != BURST || words[5] != CACHEABLE)
                return "is not linear (words 3 to 5)";
        if (words[6] != 0)
                return "iterates (word 6)";
        if (words[0] == 0)
                return "has no length (word 0)";
        if (words[1] % 4 != 0)
                return "has an address that is no multiple of 4 (word 1)";
        return NULL;
}

bool array_descriptor_load(struct array *array, const struct channel *channel, uint32_t number,
                           uint64_t *ret_address, uint64_t *ret_bytes)
{
        const struct descriptor *descriptor = &array->shims[channel->column].descriptors[number];
        const char *what = find_fault(descriptor);
        const uint64_t address = descriptor->words[1] | (uint64_t)descriptor->words[2] << 32;
        const uint64_t bytes = (uint64_t)descriptor->words[0] * 4;

        if (what) {
                array_fault(array, ARRAY_BAD_STREAM, "column %u %s: descriptor %u %s", channel->column,
                            array_channel_name(channel->index), number, what);
                return false;
        }
        if (!reach(array, address, bytes)) {
                fault_out_of_bounds(array, channel, address, bytes);
                return false;
        }
        *ret_address = address;
        *ret_bytes = bytes;
        return true;
}

static bool start_next(struct array *array, struct channel *channel)
{
        if (channel->n_waiting == 0)
                return false;
        channel->running = channel->queue[0];
        channel->n_waiting--;
        memmove(&channel->queue[0], &channel->queue[1], channel->n_waiting * sizeof channel->queue[0]);
        array->result->stats.tasks[channel->column][channel->index]++;
        array->n_events++;
        return true;
}

static void end_task(struct array *array, struct channel *channel)
{
        if (channel->running.gives_token && (channel->control & CONTROL_MASK) == CONTROL_TOKEN)
                channel->n_tokens++;
        array->n_events++;
}

bool array_channel_move(struct array *array, void *part)
{
        struct channel *channel = part;
        uint64_t n = 0;
        uint8_t *bytes;

        if (channel->running.repeats == 0)
                return start_next(array, channel);
        if (channel->left == 0)
                return array_descriptor_load(array, channel, channel->running.descriptor, &channel->address,
                                             &channel->left);
        if (channel->lane)
                n = MIN(channel->left, array_lane_room(channel->lane));
        else if (channel->join)
                n = MIN(channel->left, array_join_ready(channel->join));
        if (n == 0)
                return false;
        /* Again, as this run's buffers may be others than those it started in. */
        bytes = reach(array, channel->address, n);
        if (!bytes) {
                fault_out_of_bounds(array, channel, channel->address, n);
                return false;
        }
        if (channel->lane)
                array_lane_put(channel->lane, bytes, n);
        else
                array->result->stats.c_tiles += array_join_take(channel->join, bytes, n);
        array->result->stats.bytes[channel->column][channel->index] += n;
        channel->address += n;
        channel->left -= n;
        if (channel->left == 0 && --channel->running.repeats == 0)
                end_task(array, channel);
        return true;
}
