/* SPDX-License-Identifier: MIT */
/*
 * array-controller.c - the model's command processor: operations of a TXN stream, registers, waits.
 *
 * Role:  executes operations in order, one after the other (section 4 of xclbin/README.md); between them, and while it
 *        waits, the array moves as the schedule has it.
 * Never: accepts what the contract does not list. Hardware may do something with it; the model does not know what.
 */
#include "tests/npu/array-parts.h"

#define HEADER_WORDS   4
#define HEADER_VERSION 0x06030100u
#define HEADER_DEVICE  0x00000104u

#define BLOCK_WRITE       1u
#define BLOCK_WRITE_WORDS 4 /* before its data */

#define DESCRIPTOR_REGISTERS 0x1D000u
#define CHANNEL_REGISTERS    0x1D200u /* control and queue of each */
#define STATUS_REGISTERS     0x1D220u
#define END_OF_REGISTERS     0x1D230u

#define PUSH_TOKEN     0x80000000u
#define PUSH_KNOWN     0x80FF000Fu
#define STATUS_WAITING 20
#define STATUS_KNOWN   0x00700000u

#define TOKEN_ONE 0x00010100u /* of one tile */

/* RANDOM: 0 to 2^n - 1 moves, n random below this, so that none and many are both frequent. */
#define RANDOM_BITS 12

/* ---- registers ---- */

/* What an address names. */
struct place {
        enum { NOTHING, DESCRIPTOR, CONTROL, TASK_QUEUE, STATUS } kind;
        struct channel *channel;
        struct descriptor *descriptor;
        uint32_t word; /* of the descriptor */
};

static struct place find_place(struct array *array, uint32_t address)
{
        const uint32_t column = address >> 25, row = address >> 20 & 31, at = address & 0xFFFFF;
        struct place place = {.kind = NOTHING};
        struct shim *shim;

        if (column >= ARRAY_COLUMNS || row != 0 || at % 4 != 0 || at < DESCRIPTOR_REGISTERS ||
            at >= END_OF_REGISTERS)
                return place;
        shim = &array->shims[column];
        if (at < CHANNEL_REGISTERS) {
                place.kind = DESCRIPTOR;
                place.descriptor = &shim->descriptors[(at - DESCRIPTOR_REGISTERS) / 32];
                place.word = at % 32 / 4;
        } else if (at < STATUS_REGISTERS) {
                place.kind = at % 8 == 0 ? CONTROL : TASK_QUEUE;
                place.channel = &shim->channels[(at - CHANNEL_REGISTERS) / 8];
        } else {
                place.kind = STATUS;
                place.channel = &shim->channels[(at - STATUS_REGISTERS) / 4];
        }
        return place;
}

static void push(struct array *array, struct channel *channel, uint32_t value)
{
        const struct task task = {.descriptor = value & 0xF,
                                  .repeats = (value >> 16 & 0xFF) + 1,
                                  .gives_token = value & PUSH_TOKEN};
        uint64_t address, bytes;

        if (value & ~PUSH_KNOWN)
                array_fault(array, ARRAY_BAD_STREAM, "push of 0x%08x: bits that mean nothing", value);
        else if (!array_descriptor_load(array, channel, task.descriptor, &address, &bytes))
                return; /* whoever queues this never wanted it so */
        else if (channel->n_waiting == QUEUE)
                array->result->stats.pushes_dropped++;
        else {
                channel->queue[channel->n_waiting++] = task;
                array->n_events++;
        }
}

static void write_register(struct array *array, uint32_t address, uint32_t value)
{
        const struct place place = find_place(array, address);

        switch (place.kind) {
        case DESCRIPTOR:
                place.descriptor->words[place.word] = value;
                if (place.word == 1 || place.word == 2)
                        place.descriptor->is_patched = false;
                break;
        case CONTROL:
                place.channel->control = value;
                break;
        case TASK_QUEUE:
                push(array, place.channel, value);
                break;
        default:
                array_fault(array, ARRAY_BAD_STREAM, "write to 0x%08x, which is no register for it", address);
        }
}

/* ---- how the array moves beside it ---- */

static uint64_t next_chance(struct array *array)
{
        uint64_t mixed = array->chance += UINT64_C(0x9e3779b97f4a7c15);

        mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
        return mixed ^ (mixed >> 31);
}

/* Each part in turn. */
static bool move_next(struct array *array)
{
        const struct actor *actor = &array->actors[array->next_actor];

        array->next_actor = array->next_actor + 1 < array->n_actors ? array->next_actor + 1 : 0;
        return actor->move(array, actor->part);
}

static void move_between(struct array *array)
{
        uint64_t n;

        switch (array->options.schedule) {
        case ARRAY_EAGER:
                for (size_t idle = 0; idle < array->n_actors && !array->is_over;)
                        idle = move_next(array) ? 0 : idle + 1;
                break;
        case ARRAY_RANDOM:
                n = next_chance(array);
                n = (n >> 32) & ((UINT64_C(1) << n % RANDOM_BITS) - 1);
                for (; n > 0 && !array->is_over; n--) {
                        array->next_actor = next_chance(array) % array->n_actors;
                        (void)move_next(array);
                }
                break;
        case ARRAY_LAZY:
        default:
                break;
        }
}

/* What the processor waits for: a token of the channel, or bits of its status. */
struct wait {
        struct channel *channel;
        bool is_for_token;
        uint32_t value, mask;
};

static bool is_met(const struct wait *wait)
{
        if (wait->is_for_token)
                return wait->channel->n_tokens > 0;
        return (wait->channel->n_waiting << STATUS_WAITING & wait->mask) == wait->value;
}

/* False if that never comes, or something goes wrong before. */
static bool wait_for(struct array *array, const struct wait *wait)
{
        size_t idle = 0;

        while (!is_met(wait)) {
                const uint64_t seen = array->n_events;

                while (array->n_events == seen) {
                        if (idle == array->n_actors) {
                                array_stuck(array, wait->is_for_token ? "a token" : "the polled status",
                                            wait->channel);
                                return false;
                        }
                        idle = move_next(array) ? 0 : idle + 1;
                        if (array->is_over)
                                return false;
                }
        }
        return true;
}

/* ---- operations ---- */

static void execute_write(struct array *array, const uint32_t *op)
{
        write_register(array, op[2], op[4]);
}

static void execute_block_write(struct array *array, const uint32_t *op)
{
        const size_t n = op[3] / 4 - BLOCK_WRITE_WORDS;

        if (op[1] != (op[2] >> 25 | (op[2] >> 20 & 31) << 8)) {
                array_fault(array, ARRAY_BAD_STREAM, "block write to 0x%08x says that this is tile 0x%x",
                            op[2], op[1]);
                return;
        }
        for (size_t i = 0; i < n && !array->is_over; i++)
                write_register(array, op[2] + (uint32_t)i * 4, op[BLOCK_WRITE_WORDS + i]);
}

static void execute_masked_write(struct array *array, const uint32_t *op)
{
        const struct place place = find_place(array, op[2]);

        if (place.kind != CONTROL)
                array_fault(array, ARRAY_BAD_STREAM, "masked write to 0x%08x, which is no control register",
                            op[2]);
        else
                write_register(array, op[2], (place.channel->control & ~op[5]) | (op[4] & op[5]));
}

static void execute_poll(struct array *array, const uint32_t *op)
{
        const struct place place = find_place(array, op[2]);
        const struct wait wait = {.channel = place.channel, .value = op[4], .mask = op[5]};

        if (place.kind != STATUS)
                array_fault(array, ARRAY_BAD_STREAM, "poll of 0x%08x, which is no status", op[2]);
        else if (wait.mask & ~STATUS_KNOWN)
                array_fault(array, ARRAY_BAD_STREAM,
                            "poll of a status with mask 0x%08x: bits of which the model knows nothing",
                            wait.mask);
        else
                (void)wait_for(array, &wait);
}

static void execute_token(struct array *array, const uint32_t *op)
{
        const uint32_t direction = op[2] & 0xFF, row = op[2] >> 8 & 0xFF, column = op[2] >> 16;
        const uint32_t channel = op[3] >> 24;
        struct wait wait = {.is_for_token = true};

        if (direction > 1 || row != 0 || column >= ARRAY_COLUMNS || channel > 1 ||
            (op[3] & 0xFFFFFF) != TOKEN_ONE) {
                array_fault(array, ARRAY_BAD_STREAM, "wait for a token 0x%08x 0x%08x: of no shim's channel",
                            op[2], op[3]);
                return;
        }
        wait.channel = &array->shims[column].channels[2 * direction + channel];
        if (wait_for(array, &wait))
                wait.channel->n_tokens--;
}

static void execute_patch(struct array *array, const uint32_t *op)
{
        const struct place place = find_place(array, op[6]);
        uint64_t address;

        if (place.kind != DESCRIPTOR || place.word != 1)
                array_fault(array, ARRAY_BAD_STREAM, "patch of 0x%08x, which is no descriptor's address",
                            op[6]);
        else if (op[8] >= ARRAY_ARGUMENTS)
                array_fault(array, ARRAY_BAD_STREAM, "patch with argument %u", op[8]);
        else {
                address = array_address(op[8], op[10]);
                place.descriptor->words[1] = (uint32_t)address;
                place.descriptor->words[2] = (uint32_t)(address >> 32);
                place.descriptor->is_patched = true;
        }
}

#define ANY (-1)

static const struct operation {
        const char *name;
        void (*execute)(struct array *array, const uint32_t *op);
        size_t n_words; /* a block write: what stands before its data */
        int64_t words[12];
} operations[] = {
        {"write", execute_write, 6, {0, 0, ANY, 0, ANY, 24}},
        {"block write", execute_block_write, BLOCK_WRITE_WORDS, {BLOCK_WRITE, ANY, ANY, ANY}},
        {"masked write", execute_masked_write, 7, {3, 0, ANY, 0, ANY, ANY, 28}},
        {"masked poll", execute_poll, 7, {4, 0, ANY, 0, ANY, ANY, 28}},
        {"wait for a token", execute_token, 4, {0x80, 16, ANY, ANY}},
        {"patch", execute_patch, 12, {0x81, 48, 0, 0, 0, 0, ANY, 0, ANY, 0, ANY, 0}},
};

/* Words of the operation at array->at; 0, and the run is over, if it is none. */
static size_t measure(struct array *array, const struct operation **ret_operation)
{
        const uint32_t *op = array->words + array->at;
        const size_t n_left = array->n_words - array->at;
        const struct operation *operation = operations;
        size_t n;

        while (operation->words[0] != op[0])
                if (++operation == operations + ARRAY_SIZE(operations)) {
                        array_fault(array, ARRAY_BAD_STREAM, "unknown operation 0x%x", op[0]);
                        return 0;
                }
        n = operation->n_words;
        if (n <= n_left && op[0] == BLOCK_WRITE) {
                n = op[3] / 4;
                if (op[3] % 4 != 0 || n <= BLOCK_WRITE_WORDS) {
                        array_fault(array, ARRAY_BAD_STREAM, "block write of %u bytes", op[3]);
                        return 0;
                }
        }
        if (n > n_left) {
                array_fault(array, ARRAY_BAD_STREAM, "%s: cut off by the end of the stream", operation->name);
                return 0;
        }
        for (size_t i = 0; i < operation->n_words; i++)
                if (operation->words[i] != ANY && operation->words[i] != op[i]) {
                        array_fault(array, ARRAY_BAD_STREAM, "%s: word %zu is 0x%x", operation->name, i,
                                    op[i]);
                        return 0;
                }
        *ret_operation = operation;
        return n;
}

static bool check_header(struct array *array)
{
        const uint32_t *words = array->words;

        if (array->n_words < HEADER_WORDS || words[0] != HEADER_VERSION || words[1] != HEADER_DEVICE)
                array_fault(array, ARRAY_BAD_STREAM, "not the header of a stream for this array");
        else if (words[3] != array->n_words * 4)
                array_fault(array, ARRAY_BAD_STREAM, "the header says %u bytes of %zu", words[3],
                            array->n_words * 4);
        return !array->is_over;
}

void array_execute(struct array *array)
{
        const struct operation *operation;
        size_t n = HEADER_WORDS;

        if (!check_header(array))
                return;
        move_between(array); /* what the run before has left */
        for (array->at = n; array->at < array->n_words && !array->is_over; array->at += n) {
                n = measure(array, &operation);
                if (n == 0)
                        return;
                operation->execute(array, array->words + array->at);
                if (array->is_over)
                        return;
                array->result->stats.ops++;
                move_between(array);
        }
        if (!array->is_over && array->result->stats.ops != array->words[2])
                array_fault(array, ARRAY_BAD_STREAM, "the header says %u operations", array->words[2]);
}
