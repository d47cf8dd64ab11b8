/* SPDX-License-Identifier: MIT */
/* txn-read.c - see txn-read.h. */
#include "daemon/npu/txn-read.h"

#include <stdarg.h>

int txn_fault_set(struct txn_fault *ret_fault, int result, size_t word, const char *format, ...)
{
        va_list args;

        ret_fault->word = word;
        va_start(args, format);
        (void)vsnprintf(ret_fault->text, sizeof ret_fault->text, format, args);
        va_end(args);
        return result;
}

int txn_read_header(struct txn_reader *reader, const uint32_t *words, size_t n_words, uint32_t *ret_n_ops,
                    struct txn_fault *ret_fault)
{
        if (n_words < TXN_HEADER_WORDS)
                return txn_fault_set(ret_fault, TXN_E_FAULT, 0, "%zu words are no stream: its header has %d",
                                     n_words, TXN_HEADER_WORDS);
        if (words[0] != TXN_VERSION)
                return txn_fault_set(ret_fault, TXN_E_FAULT, 0,
                                     "header word 0 is 0x%08x, not an npu1 stream's 0x%08x", words[0],
                                     TXN_VERSION);
        if (words[1] != TXN_TILES)
                return txn_fault_set(ret_fault, TXN_E_FAULT, 1,
                                     "header word 1 is 0x%08x, not that of 4 columns, 0x%08x", words[1],
                                     TXN_TILES);
        if (words[3] % 4 != 0 || words[3] / 4 != n_words)
                return txn_fault_set(ret_fault, TXN_E_FAULT, 3,
                                     "the header promises %u bytes, and there are %zu", words[3],
                                     4 * n_words);
        *reader = (struct txn_reader){.words = words, .n_words = n_words, .position = TXN_HEADER_WORDS};
        *ret_n_ops = words[2];
        return 0;
}

/* ---- operations ---- */

/* `n` words from `first` on are 0. */
static bool all_zero(const uint32_t *words, size_t first, size_t n)
{
        for (size_t i = first; i < first + n; i++)
                if (words[i] != 0)
                        return false;
        return true;
}

static void decode_write(const uint32_t *words, struct txn_op *op)
{
        op->address = words[2];
        op->value = words[4];
        op->has_reserved = words[1] != 0 || words[3] != 0;
}

static void decode_masked(const uint32_t *words, struct txn_op *op)
{
        decode_write(words, op);
        op->mask = words[5];
}

static void decode_blockwrite(const uint32_t *words, struct txn_op *op)
{
        const uint32_t column = words[2] >> TXN_COLUMN_SHIFT, row = words[2] >> TXN_ROW_SHIFT & 0x1F;

        op->address = words[2];
        op->data = words + TXN_BLOCKWRITE_HEADER_WORDS;
        op->n_data = op->n_words - TXN_BLOCKWRITE_HEADER_WORDS;
        op->has_reserved = words[1] != (column | row << 8);
}

static void decode_token_wait(const uint32_t *words, struct txn_op *op)
{
        op->tile = words[2];
        op->n_tiles = words[3];
}

static void decode_patch(const uint32_t *words, struct txn_op *op)
{
        op->address = words[6];
        op->arg = words[8];
        op->arg_offset = words[10];
        op->has_reserved = !all_zero(words, 2, 4) || words[7] != 0 || words[9] != 0 || words[11] != 0;
}

static const struct shape {
        enum txn_opcode opcode;
        const char *name;
        size_t n_words;   /* at least */
        size_t size_word; /* which of them says how many bytes it has */
        void (*decode)(const uint32_t *words, struct txn_op *op);
} shapes[] = {
        {TXN_WRITE, "write", TXN_WRITE_WORDS, 5, decode_write},
        {TXN_BLOCKWRITE, "block write", TXN_BLOCKWRITE_HEADER_WORDS, 3, decode_blockwrite},
        {TXN_MASKWRITE, "masked write", TXN_MASKED_WORDS, 6, decode_masked},
        {TXN_MASKPOLL, "masked poll", TXN_MASKED_WORDS, 6, decode_masked},
        {TXN_TOKEN_WAIT, "wait for a token", TXN_TOKEN_WAIT_WORDS, 1, decode_token_wait},
        {TXN_PATCH, "patch", TXN_PATCH_WORDS, 1, decode_patch},
};

static const struct shape *shape_of(uint32_t opcode)
{
        for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
                if (shapes[i].opcode == opcode)
                        return &shapes[i];
        return NULL;
}

/* Operations from 0x80 on are extensions, and all of them say their size in the same place. */
static int read_unknown(struct txn_reader *reader, struct txn_op *ret_op, struct txn_fault *ret_fault)
{
        const uint32_t *words = reader->words + reader->position;
        const size_t n_left = reader->n_words - reader->position;

        *ret_op = (struct txn_op){.opcode = words[0], .word = reader->position};
        if (words[0] >= 0x80 && words[0] <= 0xFF && n_left >= 2 && words[1] % 4 == 0 && words[1] / 4 >= 2 &&
            words[1] / 4 <= n_left)
                ret_op->n_words = words[1] / 4;
        (void)txn_fault_set(ret_fault, 0, reader->position, "opcode 0x%x is not known", words[0]);
        reader->position = ret_op->n_words > 0 ? reader->position + ret_op->n_words : reader->n_words;
        return TXN_E_UNKNOWN;
}

int txn_read(struct txn_reader *reader, struct txn_op *ret_op, struct txn_fault *ret_fault)
{
        const uint32_t *words = reader->words + reader->position;
        const size_t n_left = reader->n_words - reader->position;
        const struct shape *shape;
        uint32_t bytes;

        if (n_left == 0)
                return TXN_E_END;
        shape = shape_of(words[0]);
        if (!shape)
                return read_unknown(reader, ret_op, ret_fault);
        if (n_left < shape->n_words)
                return txn_fault_set(ret_fault, TXN_E_FAULT, reader->position,
                                     "the stream ends within a %s: %zu words of %zu", shape->name, n_left,
                                     shape->n_words);
        bytes = words[shape->size_word];
        /* only a block write chooses its size */
        if (bytes % 4 != 0 || bytes / 4 < shape->n_words ||
            (shape->opcode != TXN_BLOCKWRITE && bytes / 4 > shape->n_words))
                return txn_fault_set(ret_fault, TXN_E_FAULT, reader->position, "a %s of %u bytes",
                                     shape->name, bytes);
        if (bytes / 4 > n_left)
                return txn_fault_set(ret_fault, TXN_E_FAULT, reader->position,
                                     "the stream ends within a %s: %zu words of %u", shape->name, n_left,
                                     bytes / 4);
        *ret_op = (struct txn_op){.opcode = shape->opcode, .word = reader->position, .n_words = bytes / 4};
        shape->decode(words, ret_op);
        reader->position += ret_op->n_words;
        return 0;
}
