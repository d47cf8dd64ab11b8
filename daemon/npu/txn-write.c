/* SPDX-License-Identifier: MIT */
/* txn-write.c - see txn-write.h. */
#include "daemon/npu/txn-write.h"

void txn_begin(struct txn *txn, uint32_t *words, size_t n_words_max)
{
        *txn = (struct txn){.words = words, .n_words_max = n_words_max, .n_words = TXN_HEADER_WORDS};
}

static void put(struct txn *txn, const uint32_t *op, size_t n_words)
{
        if (n_words <= txn->n_words_max && txn->n_words <= txn->n_words_max - n_words)
                memcpy(txn->words + txn->n_words, op, n_words * sizeof *op);
        txn->n_words += n_words;
        txn->n_ops++;
}

static void put_write(struct txn *txn, uint32_t address, uint32_t value)
{
        const uint32_t op[TXN_WRITE_WORDS] = {TXN_WRITE, 0, address, 0, value, sizeof op};

        put(txn, op, TXN_WRITE_WORDS);
}

/* Masked write and masked poll look alike. */
static void put_masked(struct txn *txn, enum txn_opcode opcode, uint32_t address, uint32_t value,
                       uint32_t mask)
{
        const uint32_t op[TXN_MASKED_WORDS] = {opcode, 0, address, 0, value, mask, sizeof op};

        put(txn, op, TXN_MASKED_WORDS);
}

/* The address stays 0 until it is patched: whether a patch adds to it or replaces it is then the same. */
static void put_descriptor(struct txn *txn, const struct txn_task *task)
{
        const uint32_t op[TXN_BLOCKWRITE_HEADER_WORDS + TXN_BD_WORDS] = {
                TXN_BLOCKWRITE,
                task->column,
                txn_address(task->column, 0, txn_bd(task->bd)),
                sizeof op,
                [TXN_BLOCKWRITE_HEADER_WORDS + 0] = (uint32_t)(task->bytes / 4),
                [TXN_BLOCKWRITE_HEADER_WORDS + 4] = TXN_BD_WORD4,
                [TXN_BLOCKWRITE_HEADER_WORDS + 5] = TXN_BD_WORD5,
                [TXN_BLOCKWRITE_HEADER_WORDS + 7] = TXN_BD_WORD7,
        };

        put(txn, op, ARRAY_SIZE(op));
}

static void put_patch(struct txn *txn, const struct txn_task *task)
{
        const uint32_t op[TXN_PATCH_WORDS] = {
                [0] = TXN_PATCH,
                [1] = sizeof op,
                [6] = txn_address(task->column, 0, txn_bd(task->bd) + TXN_BD_ADDRESS),
                [8] = task->arg,
                [10] = (uint32_t)task->offset,
        };

        put(txn, op, TXN_PATCH_WORDS);
}

void txn_push(struct txn *txn, const struct txn_task *task)
{
        assert(task->bytes % 4 == 0 && task->offset % 4 == 0);
        assert(task->bytes / 4 <= UINT32_MAX && task->offset <= UINT32_MAX);
        assert(task->repeats >= 1 && task->repeats - 1 <= TXN_PUSH_REPEAT && task->bd < TXN_BDS);
        put_descriptor(txn, task);
        put_patch(txn, task);
        if (task->sets_control)
                put_masked(txn, TXN_MASKWRITE, txn_address(task->column, 0, TXN_CONTROL(task->channel)),
                           TXN_CONTROL_TOKEN, TXN_CONTROL_TOKEN_MASK);
        put_write(txn, txn_address(task->column, 0, TXN_QUEUE(task->channel)),
                  task->bd | (task->repeats - 1) << TXN_PUSH_REPEAT_SHIFT |
                          (task->gives_token ? TXN_PUSH_TOKEN : 0));
}

void txn_wait_room(struct txn *txn, unsigned column, enum txn_channel channel)
{
        put_masked(txn, TXN_MASKPOLL, txn_address(column, 0, TXN_STATUS(channel)), 0, TXN_STATUS_FULL);
}

void txn_wait_token(struct txn *txn, unsigned column, enum txn_channel channel)
{
        const uint32_t direction = txn_channel_is_output(channel) ? 0 : 1;
        const uint32_t number = channel == TXN_S2MM1 || channel == TXN_MM2S1;
        const uint32_t op[TXN_TOKEN_WAIT_WORDS] = {TXN_TOKEN_WAIT, sizeof op, direction | column << 16,
                                                   number << 24 | 0x10100u /* one column, one row */};

        put(txn, op, TXN_TOKEN_WAIT_WORDS);
}

bool txn_end(struct txn *txn)
{
        if (txn->n_words > txn->n_words_max)
                return false;
        txn->words[0] = TXN_VERSION;
        txn->words[1] = TXN_TILES;
        txn->words[2] = (uint32_t)txn->n_ops;
        txn->words[3] = (uint32_t)(txn->n_words * sizeof *txn->words);
        return true;
}
