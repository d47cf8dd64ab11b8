/* SPDX-License-Identifier: MIT */
/* txn-dump.c - see txn-dump.h. */
#include "daemon/npu/txn-dump.h"

#include <inttypes.h>
#include <stdarg.h>

#define PLACE_BYTES  64
#define WORDS_A_LINE 8

struct dump {
        FILE *out;        /* borrowed */
        size_t n_unclear; /* what was not understood */
};

/* Output errors are in ferror(), where the caller looks once. */
_printf_(2, 3) static void say(const struct dump *dump, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vfprintf(dump->out, format, args);
        va_end(args);
}

static void say_words(const struct dump *dump, const uint32_t *words, size_t n)
{
        for (size_t i = 0; i < n; i++)
                say(dump, "%s%08x", i % WORDS_A_LINE == 0 ? "\n                " : " ", words[i]);
        say(dump, "\n");
}

/* ---- where a register is ---- */

struct place {
        enum place_kind {
                PLACE_OTHER = 0,
                PLACE_DESCRIPTOR,
                PLACE_ADDRESS, /* of a descriptor */
                PLACE_CONTROL,
                PLACE_QUEUE,
                PLACE_STATUS,
        } kind;
        char text[PLACE_BYTES];
};

/* A shim's registers by name, other tiles' by number. */
static struct place place_of(uint32_t address)
{
        const unsigned column = address >> TXN_COLUMN_SHIFT, row = address >> TXN_ROW_SHIFT & 0x1F;
        const uint32_t reg = address & TXN_REGISTER;
        struct place place = {0};

        if (row == 0 && reg >= TXN_BD_FIRST && reg < txn_bd(TXN_BDS)) {
                const uint32_t within = (reg - TXN_BD_FIRST) % TXN_BD_STRIDE;

                place.kind = within == 0                ? PLACE_DESCRIPTOR
                             : within == TXN_BD_ADDRESS ? PLACE_ADDRESS
                                                        : PLACE_OTHER;
                if (place.kind != PLACE_OTHER) {
                        (void)snprintf(place.text, sizeof place.text, "column %u descriptor %u", column,
                                       (reg - TXN_BD_FIRST) / TXN_BD_STRIDE);
                        return place;
                }
        }
        for (unsigned i = 0; row == 0 && i < TXN_CHANNELS; i++) {
                place.kind = reg == TXN_CONTROL(i)  ? PLACE_CONTROL
                             : reg == TXN_QUEUE(i)  ? PLACE_QUEUE
                             : reg == TXN_STATUS(i) ? PLACE_STATUS
                                                    : PLACE_OTHER;
                if (place.kind == PLACE_OTHER)
                        continue;
                (void)snprintf(place.text, sizeof place.text, "column %u %s", column, txn_channel_names[i]);
                return place;
        }
        (void)snprintf(place.text, sizeof place.text, "column %u row %u (%s) register 0x%05x", column, row,
                       row == 0   ? "shim"
                       : row == 1 ? "memory tile"
                                  : "core",
                       reg);
        return place;
}

/* ---- operations ---- */

static void dump_write(struct dump *dump, const struct txn_op *op)
{
        const struct place place = place_of(op->address);
        const unsigned repeats = (op->value >> TXN_PUSH_REPEAT_SHIFT & TXN_PUSH_REPEAT) + 1;

        if (place.kind != PLACE_QUEUE) {
                say(dump, "write         %s = 0x%x\n", place.text, op->value);
                return;
        }
        if ((op->value & ~(TXN_PUSH_TOKEN | TXN_PUSH_REPEAT << TXN_PUSH_REPEAT_SHIFT | TXN_PUSH_BD)) != 0) {
                dump->n_unclear++;
                say(dump, "not understood: a push of 0x%08x to %s\n", op->value, place.text);
                return;
        }
        say(dump, "push          %s: descriptor %u", place.text, op->value & TXN_PUSH_BD);
        if (repeats > 1)
                say(dump, ", %u times", repeats);
        say(dump, "%s\n", op->value & TXN_PUSH_TOKEN ? ", gives a token" : "");
}

static void dump_masked(struct dump *dump, const struct txn_op *op)
{
        const struct place place = place_of(op->address);

        if (op->opcode == TXN_MASKPOLL && place.kind == PLACE_STATUS && op->value == 0 &&
            op->mask == TXN_STATUS_FULL)
                say(dump, "wait          %s: room in its queue\n", place.text);
        else if (op->opcode == TXN_MASKPOLL)
                say(dump, "wait          %s%s & 0x%x = 0x%x\n", place.text,
                    place.kind == PLACE_STATUS ? " status" : "", op->mask, op->value);
        else if (place.kind == PLACE_CONTROL && op->value == TXN_CONTROL_TOKEN &&
                 op->mask == TXN_CONTROL_TOKEN_MASK)
                say(dump, "masked write  %s control: tokens arrive\n", place.text);
        else
                say(dump, "masked write  %s%s & 0x%x = 0x%x\n", place.text,
                    place.kind == PLACE_CONTROL ? " control" : "", op->mask, op->value);
}

static bool descriptor_is_linear(const uint32_t *words)
{
        return words[3] == 0 && (words[4] & 0x3FFFFFFF) == 0 && words[5] == TXN_BD_WORD5 && words[6] == 0;
}

static void dump_blockwrite(struct dump *dump, const struct txn_op *op)
{
        static const unsigned burst_bytes[] = {64, 128, 256, 512};
        const struct place place = place_of(op->address);

        if (place.kind != PLACE_DESCRIPTOR || op->n_data != TXN_BD_WORDS) {
                say(dump, "block write   %s: %zu words", place.text, op->n_data);
                say_words(dump, op->data, op->n_data);
                return;
        }
        say(dump, "block write   %s: %" PRIu64 " bytes, bursts of %u%s", place.text,
            4 * (uint64_t)op->data[0], burst_bytes[op->data[4] >> 30],
            op->data[7] & TXN_BD_WORD7 ? "" : ", not valid");
        if (op->data[1] != 0 || (op->data[2] & 0xFFFF) != 0)
                say(dump, ", at 0x%04x%08x", op->data[2] & 0xFFFF, op->data[1]);
        if (descriptor_is_linear(op->data) && op->data[2] >> 16 == 0 && (op->data[7] & ~TXN_BD_WORD7) == 0)
                say(dump, "\n");
        else { /* strides, iteration, packets, locks, a next one */
                say(dump, ", more than linear:");
                say_words(dump, op->data, op->n_data);
        }
}

static void dump_token_wait(struct dump *dump, const struct txn_op *op)
{
        const unsigned direction = op->tile & 0xFF, row = op->tile >> 8 & 0xFF, column = op->tile >> 16;
        const unsigned n_rows = op->n_tiles >> 8 & 0xFF, n_columns = op->n_tiles >> 16 & 0xFF;

        if (direction > 1 || column > 0xFF || (op->n_tiles & 0xFF) != 0) {
                dump->n_unclear++;
                say(dump, "not understood: a wait for tokens of 0x%08x, 0x%08x\n", op->tile, op->n_tiles);
                return;
        }
        say(dump, "wait          column %u ", column);
        if (row != 0)
                say(dump, "row %u ", row);
        say(dump, "%s%u: a token", direction == 0 ? "S2MM" : "MM2S", op->n_tiles >> 24);
        if (n_rows != 1 || n_columns != 1)
                say(dump, " from each of %u columns and %u rows", n_columns, n_rows);
        say(dump, "\n");
}

static void dump_patch(struct dump *dump, const struct txn_op *op)
{
        const struct place place = place_of(op->address);

        say(dump, "patch         %s: argument %u + %u\n", place.text, op->arg, op->arg_offset);
}

static void dump_op(struct dump *dump, const struct txn_op *op)
{
        switch (op->opcode) {
        case TXN_WRITE:
                dump_write(dump, op);
                break;
        case TXN_BLOCKWRITE:
                dump_blockwrite(dump, op);
                break;
        case TXN_MASKWRITE:
        case TXN_MASKPOLL:
                dump_masked(dump, op);
                break;
        case TXN_TOKEN_WAIT:
                dump_token_wait(dump, op);
                break;
        default:
                dump_patch(dump, op);
                break;
        }
        if (!op->has_reserved)
                return;
        dump->n_unclear++;
        say(dump, "              not understood: words of it that have no meaning are not 0\n");
}

/* ---- the whole ---- */

static void dump_header(struct dump *dump, const uint32_t *words, size_t n_words)
{
        const unsigned generation = words[0] >> 16 & 0xFF;

        say(dump,
            "%6d  header        version %u.%u, generation %u (%s), %u rows, %u of memory tiles, %u columns; "
            "%u operations, %u bytes\n",
            0, words[0] & 0xFF, words[0] >> 8 & 0xFF, generation,
            generation == 3   ? "npu1"
            : generation == 4 ? "npu2"
                              : "not known",
            words[0] >> 24, words[1] >> 8 & 0xFF, words[1] & 0xFF, words[2], words[3]);
        if (words[0] != TXN_VERSION) {
                dump->n_unclear++;
                say(dump, "              not understood: only npu1's version 0.1 is known, and the rest is "
                          "read as that\n");
        }
        if (words[3] == n_words * sizeof *words)
                return;
        dump->n_unclear++;
        say(dump, "              not understood: there are %zu bytes\n", n_words * sizeof *words);
}

size_t txn_dump(FILE *out, const uint32_t *words, size_t n_words)
{
        struct txn_reader reader = {.words = words, .n_words = n_words, .position = TXN_HEADER_WORDS};
        struct dump dump = {.out = out};
        struct txn_fault fault;
        uint32_t n_ops = 0;
        struct txn_op op;
        int r;

        if (n_words < TXN_HEADER_WORDS) {
                say(&dump, "%zu words, and a stream's header has %d:", n_words, TXN_HEADER_WORDS);
                say_words(&dump, words, n_words);
                return 1;
        }
        dump_header(&dump, words, n_words);
        while ((r = txn_read(&reader, &op, &fault)) != TXN_E_END) {
                n_ops++;
                if (r == 0) {
                        say(&dump, "%6zu  ", op.word);
                        dump_op(&dump, &op);
                        continue;
                }
                dump.n_unclear++;
                if (r == TXN_E_FAULT)
                        op = (struct txn_op){.word = fault.word};
                say(&dump, "%6zu  not understood: %s", op.word, fault.text);
                say_words(&dump, words + op.word, op.n_words > 0 ? op.n_words : n_words - op.word);
                if (r == TXN_E_FAULT)
                        break;
        }
        if (n_ops != words[2]) {
                dump.n_unclear++;
                say(&dump, "%6zu  not understood: %u operations, and the header has %u\n", n_words, n_ops,
                    words[2]);
        }
        return dump.n_unclear;
}
