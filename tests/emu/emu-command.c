/* SPDX-License-Identifier: MIT */
/* emu-command.c - see emu-command.h. */
#include "tests/emu/emu-command.h"
#include "tests/emu/emu-clock.h"
#include "tests/emu/emu-config.h"
#include "tests/emu/emu-log.h"

#include <inttypes.h>
#include <stdio.h>

/*
 * A packet: a word with state (bits 3:0), further masks of compute units (11:10), words behind it (22:12) and opcode
 * (27:23); masks of compute units; the kernel's arguments, at the offsets that the xclbin gives them.
 */
#define HEADER_STATE 0xFu
#define START_CU     0u /* opcode */
#define ARGUMENT_TXN 3u /* the kernel's first argument: what follows is a TXN stream */
#define ARGUMENTS    60 /* bytes: opcode 8, address 8 and number of instruction words 4, five addresses of 8 */

#define STREAM64_C 2 /* arguments with results */
#define TILE16_C   1

struct packet {
        uint64_t opcode, stream, bos[ARRAY_ARGUMENTS];
        uint32_t n_words;
};

/* False: it is none that this firmware knows. */
static bool packet_read(const struct emu_command *command, const struct emu_memory *memory,
                        struct packet *packet)
{
        const uint8_t *at = memory->host + command->packet->offset;
        const uint32_t header = __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_ACQUIRE);
        const uint32_t n_masks = 1 + (header >> 10 & 3), n_words = header >> 12 & 0x7FF,
                       opcode = header >> 23 & 31;

        if (opcode != START_CU || 4 * n_words < 4 * n_masks + ARGUMENTS ||
            command->packet->size < 4 + 4 * (uint64_t)n_words) {
                emu_say("command %" PRIu64 ": a packet of opcode %u with %u words", command->number, opcode,
                        n_words);
                return false;
        }
        at += 4 + (size_t)4 * n_masks;
        packet->opcode = get_le(at, 8);
        packet->stream = get_le(at + 8, 8);
        packet->n_words = (uint32_t)get_le(at + 16, 4);
        for (size_t i = 0; i < ARRAY_ARGUMENTS; i++)
                packet->bos[i] = get_le(at + 20 + 8 * i, 8);
        if (packet->opcode != ARGUMENT_TXN)
                emu_say("command %" PRIu64 ": its first argument is %" PRIu64 ", not 3", command->number,
                        packet->opcode);
        return packet->opcode == ARGUMENT_TXN;
}

/* False: that address is nowhere, or runs over. */
static bool find(const struct emu_command *command, const struct emu_memory *memory, const char *what,
                 uint64_t address, uint64_t n_bytes, struct array_buffer *ret_buffer)
{
        uint64_t left = 0;
        const struct emu_bo *bo = emu_bo_at(command->bos, command->n_bos, address, &left);

        if (!bo || left < n_bytes) {
                emu_say("command %" PRIu64 ": %s at 0x%" PRIx64 ", %" PRIu64
                        " bytes, is not in an object of its own",
                        command->number, what, address, n_bytes);
                return false;
        }
        *ret_buffer = (struct array_buffer){memory->device + bo->offset + (bo->size - left), left};
        return true;
}

static bool find_all(const struct emu_command *command, const struct emu_memory *memory,
                     const struct packet *packet, struct array_buffer *ret_stream,
                     struct array_buffer ret_buffers[ARRAY_ARGUMENTS])
{
        char what[] = "argument 0";

        if (!find(command, memory, "the stream", packet->stream, 4 * (uint64_t)packet->n_words, ret_stream))
                return false;
        for (size_t i = 0; i < ARRAY_ARGUMENTS; i++) {
                what[sizeof what - 2] = (char)('0' + i);
                ret_buffers[i] = (struct array_buffer){NULL, 0};
                if (packet->bos[i] != 0 && !find(command, memory, what, packet->bos[i], 1, &ret_buffers[i]))
                        return false;
        }
        return true;
}

/* ---- streams ---- */

/* Words of the operation there; 0: it is none. */
static size_t op_words(const uint32_t *words, size_t n)
{
        size_t bytes = 0;

        if (n < 4)
                return 0;
        switch (words[0]) {
        case 0x00: /* write */
                bytes = 24;
                break;
        case 0x01: /* block write */
                bytes = words[3];
                break;
        case 0x03: /* masked write and poll */
        case 0x04:
                bytes = 28;
                break;
        case 0x80: /* wait for a token */
        case 0x81: /* patch */
                bytes = words[1];
                break;
        default:
                break;
        }
        return bytes % 4 == 0 && bytes / 4 <= n ? bytes / 4 : 0;
}

/* Makes the first half of a stream of it, in place: a stream by itself, which waits for nothing at its end. */
static size_t cut(uint32_t *words, size_t n)
{
        const uint32_t n_ops = n < 4 ? 0 : words[2] / 2;
        size_t at = 4;

        if (n < 4)
                return n;
        for (uint32_t i = 0; i < n_ops; i++) {
                const size_t op = op_words(words + at, n - at);

                if (op == 0)
                        return n;
                at += op;
        }
        words[2] = n_ops;
        words[3] = (uint32_t)(4 * at);
        return at;
}

/*
 * Flips a bit of element (0, 0) of C, where the stream's patches say that C begins: in an element that every product
 * has, and not in the last 64 bytes of a tile.
 */
static void spoil(const uint32_t *words, size_t n, const struct array_buffer *c, uint32_t argument)
{
        uint64_t first = UINT64_MAX;

        for (size_t at = 4, op; at < n && (op = op_words(words + at, n - at)) > 0; at += op)
                if (words[at] == 0x81 && op == 12 && words[at + 8] == argument)
                        first = MIN(first, words[at + 10]);
        if (first < c->size && c->size - first >= 4)
                c->bytes[first + 2] ^= 0x10;
}

/* ---- running ---- */

static bool goes_wrong_halfway(enum emu_fault_kind kind)
{
        return kind == EMU_FAULT_ERROR || kind == EMU_FAULT_ABORT || kind == EMU_FAULT_TIMEOUT ||
               kind == EMU_FAULT_HANG || kind == EMU_FAULT_STUCK || kind == EMU_FAULT_WEDGE;
}

static bool is_never_run(enum emu_fault_kind kind)
{
        return kind == EMU_FAULT_DROPPED || kind == EMU_FAULT_NOSTATE;
}

/* What the model could not do, hardware would hang of. */
static enum emu_end execute(const struct emu_command *command, struct array *array,
                            enum array_program program, uint32_t *words, size_t n,
                            const struct array_buffer buffers[ARRAY_ARGUMENTS], struct emu_run *run)
{
        const uint32_t c = program == ARRAY_TILE16 ? TILE16_C : STREAM64_C;
        const uint64_t began_ns = emu_now_ns();
        struct array_result result;

        /* What stays behind has gone as far as it can: to where the next command finds it. */
        array_set_schedule(array, goes_wrong_halfway(command->fault.kind) ? ARRAY_EAGER : ARRAY_RANDOM,
                           emu_config()->seed + command->number);
        (void)array_run(array, words, n, buffers, &result);
        run->ns = emu_now_ns() - began_ns;
        run->stats = result.stats;
        run->is_clean = result.is_clean;
        if (goes_wrong_halfway(command->fault.kind))
                return EMU_END_STUCK;
        if (result.outcome != ARRAY_COMPLETED) {
                emu_say("command %" PRIu64 " hangs: the model says, at word %zu: %s", command->number,
                        result.word, result.text);
                return EMU_END_STUCK;
        }
        if (command->fault.kind == EMU_FAULT_WRONG)
                spoil(words, n, &buffers[c], c);
        return EMU_END_COMPLETED;
}

enum emu_end emu_command_run(const struct emu_command *command, const struct emu_memory *memory,
                             struct array *array, enum array_program program, struct emu_run *ret_run)
{
        _cleanup_(freep) uint32_t *words = NULL;
        const enum emu_fault_kind kind = command->fault.kind;
        struct array_buffer stream, buffers[ARRAY_ARGUMENTS];
        struct packet packet;
        size_t n;

        *ret_run = (struct emu_run){.is_clean = true};
        if (!packet_read(command, memory, &packet) || !find_all(command, memory, &packet, &stream, buffers))
                return EMU_END_ERROR;
        if (is_never_run(kind))
                return EMU_END_STUCK;
        if (kind == EMU_FAULT_SLOW) {
                const struct timespec wait = emu_timespec(command->fault.ms * EMU_NS_PER_MS);

                (void)nanosleep(&wait, NULL);
        }
        n = packet.n_words;
        words = malloc(MAX(4 * n, 4));
        if (!words)
                return EMU_END_ERROR;
        memcpy(words, stream.bytes, 4 * n);
        if (goes_wrong_halfway(kind))
                n = cut(words, n);
        return execute(command, array, program, words, n, buffers, ret_run);
}

void emu_command_set_state(const struct emu_command *command, const struct emu_memory *memory,
                           enum emu_state state)
{
        uint32_t *header = (uint32_t *)(void *)(memory->host + command->packet->offset);

        __atomic_store_n(header, (*header & ~HEADER_STATE) | (uint32_t)state, __ATOMIC_RELEASE);
}

const char *emu_state_name(enum emu_state state)
{
        switch (state) {
        case EMU_STATE_NEW:
                return "NEW";
        case EMU_STATE_COMPLETED:
                return "COMPLETED";
        case EMU_STATE_ERROR:
                return "ERROR";
        case EMU_STATE_ABORT:
                return "ABORT";
        case EMU_STATE_TIMEOUT:
                return "TIMEOUT";
        default:
                return "?";
        }
}
