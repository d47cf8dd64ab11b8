/* SPDX-License-Identifier: MIT */
/* txn-check.c - see txn-check.h. */
#include "daemon/npu/txn-check.h"

/* A channel of a shim, by what the stream has done with it and has proof of. */
struct channel {
        size_t n_pushed;
        size_t n_begun, n_ended; /* at least so many of them */
        size_t token;            /* the first transfer whose token has not been waited for, or TXN_NONE */
        bool has_control;        /* tokens arrive */
};

struct descriptor {
        bool is_written, is_patched;
        size_t user;          /* the last transfer that took it, or TXN_NONE */
        uint64_t bytes;       /* as written, */
        uint32_t arg, offset; /* as patched */
};

struct checker {
        struct txn_check *check; /* borrowed: the caller's */
        struct txn_fault *fault; /* borrowed: the caller's */
        struct channel channels[TXN_COLUMNS][TXN_CHANNELS];
        struct descriptor descriptors[TXN_COLUMNS][TXN_BDS];
};

#define FAULT(checker, op, ...) txn_fault_set((checker)->fault, TXN_E_FAULT, (op)->word, __VA_ARGS__)

/* ---- what an address names ---- */

enum reg { REG_NONE = 0, REG_DESCRIPTOR, REG_CONTROL, REG_QUEUE, REG_STATUS };

/* Of a shim: which register, and of which descriptor or channel. `within` is what a descriptor's own offset must be. */
static enum reg reg_of(uint32_t address, uint32_t within, unsigned *ret_column, unsigned *ret_index)
{
        const uint32_t reg = address & TXN_REGISTER, row = address >> TXN_ROW_SHIFT & 0x1F;

        *ret_column = address >> TXN_COLUMN_SHIFT;
        if (row != 0 || *ret_column >= TXN_COLUMNS)
                return REG_NONE;
        if (reg >= TXN_BD_FIRST && reg < txn_bd(TXN_BDS)) {
                *ret_index = (reg - TXN_BD_FIRST) / TXN_BD_STRIDE;
                return reg == txn_bd(*ret_index) + within ? REG_DESCRIPTOR : REG_NONE;
        }
        for (*ret_index = 0; *ret_index < TXN_CHANNELS; (*ret_index)++) {
                if (reg == TXN_CONTROL(*ret_index))
                        return REG_CONTROL;
                if (reg == TXN_QUEUE(*ret_index))
                        return REG_QUEUE;
                if (reg == TXN_STATUS(*ret_index))
                        return REG_STATUS;
        }
        return REG_NONE;
}

static const char *channel_name(unsigned channel)
{
        return txn_channel_names[channel];
}

/* ---- proof ---- */

static void channel_prove(struct channel *channel, size_t n_begun, size_t n_ended)
{
        channel->n_begun = MAX(channel->n_begun, MAX(n_begun, n_ended));
        channel->n_ended = MAX(channel->n_ended, n_ended);
}

/* A descriptor is in use until the last transfer that took it is known to have ended. */
static bool descriptor_is_in_use(const struct checker *c, unsigned column, unsigned bd)
{
        const size_t user = c->descriptors[column][bd].user;
        const struct txn_transfer *transfer;

        if (user == TXN_NONE)
                return false;
        transfer = &c->check->transfers[user];
        return transfer->position >= c->channels[column][transfer->channel].n_ended;
}

static void step_add(struct checker *c, enum txn_step_kind kind, const struct txn_op *op, size_t transfer)
{
        assert(c->check->n_steps < TXN_CHECK_STEPS_MAX);
        c->check->steps[c->check->n_steps++] =
                (struct txn_step){.kind = kind, .word = op->word, .transfer = transfer};
}

/* ---- operations ---- */

static int check_blockwrite(struct checker *c, const struct txn_op *op)
{
        struct descriptor *descriptor;
        unsigned column, bd;

        if (reg_of(op->address, 0, &column, &bd) != REG_DESCRIPTOR)
                return FAULT(c, op, "a block write to 0x%08x, where no descriptor of a shim begins",
                             op->address);
        if (op->n_data != TXN_BD_WORDS)
                return FAULT(c, op, "a block write of %zu words: a descriptor has %u", op->n_data,
                             TXN_BD_WORDS);
        if (descriptor_is_in_use(c, column, bd))
                return FAULT(c, op,
                             "descriptor %u of column %u is written while it is in use: no poll or token has "
                             "said that the transfer pushed at word %zu has ended",
                             bd, column, c->check->transfers[c->descriptors[column][bd].user].word);
        if (op->data[0] == 0)
                return FAULT(c, op, "descriptor %u of column %u is of 0 bytes", bd, column);
        if (op->data[1] != 0 || op->data[2] != 0)
                return FAULT(c, op,
                             "words 1 and 2 of descriptor %u of column %u are 0x%x and 0x%x: the address is "
                             "the patch's",
                             bd, column, op->data[1], op->data[2]);
        if (op->data[3] != 0)
                return FAULT(c, op,
                             "word 3 of descriptor %u of column %u is 0x%x: it would not read in one line",
                             bd, column, op->data[3]);
        if (op->data[4] != TXN_BD_WORD4)
                return FAULT(c, op,
                             "word 4 of descriptor %u of column %u is 0x%x, not 0x%x: bursts of 256 bytes, "
                             "no stride",
                             bd, column, op->data[4], TXN_BD_WORD4);
        if (op->data[5] != TXN_BD_WORD5)
                return FAULT(c, op, "word 5 of descriptor %u of column %u is 0x%x, not 0x%x", bd, column,
                             op->data[5], TXN_BD_WORD5);
        if (op->data[6] != 0)
                return FAULT(c, op, "word 6 of descriptor %u of column %u is 0x%x: repeats would move on", bd,
                             column, op->data[6]);
        if (op->data[7] != TXN_BD_WORD7)
                return FAULT(c, op,
                             "word 7 of descriptor %u of column %u is 0x%x: valid, with no lock and no next, "
                             "is 0x%x",
                             bd, column, op->data[7], TXN_BD_WORD7);
        descriptor = &c->descriptors[column][bd];
        *descriptor =
                (struct descriptor){.is_written = true, .user = TXN_NONE, .bytes = 4 * (uint64_t)op->data[0]};
        return 0;
}

static int check_patch(struct checker *c, const struct txn_op *op)
{
        struct descriptor *descriptor;
        unsigned column, bd;

        if (reg_of(op->address, TXN_BD_ADDRESS, &column, &bd) != REG_DESCRIPTOR)
                return FAULT(c, op, "a patch of 0x%08x, where no descriptor of a shim has its address",
                             op->address);
        descriptor = &c->descriptors[column][bd];
        if (!descriptor->is_written)
                return FAULT(c, op, "descriptor %u of column %u is patched before it is written", bd, column);
        if (descriptor->is_patched)
                return FAULT(c, op, "descriptor %u of column %u is patched twice", bd, column);
        if (op->arg >= TXN_ARGS)
                return FAULT(c, op, "argument %u: a run has %d buffer objects", op->arg, TXN_ARGS);
        if (op->arg_offset % 4 != 0)
                return FAULT(c, op, "offset 0x%x into argument %u is no multiple of 4", op->arg_offset,
                             op->arg);
        descriptor->is_patched = true;
        descriptor->arg = op->arg;
        descriptor->offset = op->arg_offset;
        return 0;
}

static int check_maskwrite(struct checker *c, const struct txn_op *op)
{
        unsigned column, channel;

        if (reg_of(op->address, 0, &column, &channel) != REG_CONTROL)
                return FAULT(c, op, "a masked write to 0x%08x, where no channel of a shim has its control",
                             op->address);
        if (op->value != TXN_CONTROL_TOKEN || op->mask != TXN_CONTROL_TOKEN_MASK)
                return FAULT(
                        c, op,
                        "a masked write of 0x%x, mask 0x%x, to the control of %s of column %u: only 0x%x, "
                        "mask 0x%x, is known",
                        op->value, op->mask, channel_name(channel), column, TXN_CONTROL_TOKEN,
                        TXN_CONTROL_TOKEN_MASK);
        c->channels[column][channel].has_control = true;
        return 0;
}

/* Whether the descriptor and the queue are ready for it. */
static int check_push_is_ready(struct checker *c, const struct txn_op *op, unsigned column, unsigned channel)
{
        const struct channel *to = &c->channels[column][channel];
        const unsigned bd = op->value & TXN_PUSH_BD;
        const struct descriptor *descriptor = &c->descriptors[column][bd];

        if ((op->value & ~(TXN_PUSH_TOKEN | TXN_PUSH_REPEAT << TXN_PUSH_REPEAT_SHIFT | TXN_PUSH_BD)) != 0)
                return FAULT(c, op, "a push of 0x%08x: bits of it have no meaning here", op->value);
        if (!descriptor->is_written)
                return FAULT(c, op, "descriptor %u of column %u is pushed before it is written", bd, column);
        if (!descriptor->is_patched)
                return FAULT(c, op, "descriptor %u of column %u is pushed without a patch: it has no address",
                             bd, column);
        if (descriptor_is_in_use(c, column, bd))
                return FAULT(c, op, "descriptor %u of column %u is pushed again while it is in use", bd,
                             column);
        if (to->n_pushed - to->n_begun >= TXN_QUEUE_TASKS)
                return FAULT(
                        c, op,
                        "a push to %s of column %u, whose queue may hold %d already: it would be dropped",
                        channel_name(channel), column, TXN_QUEUE_TASKS);
        if ((op->value & TXN_PUSH_TOKEN) && !to->has_control)
                return FAULT(c, op, "%s of column %u is to give a token, and its control has not been set",
                             channel_name(channel), column);
        return 0;
}

static int check_write(struct checker *c, const struct txn_op *op)
{
        const unsigned bd = op->value & TXN_PUSH_BD;
        const size_t index = c->check->n_transfers;
        struct txn_transfer *transfer;
        unsigned column, channel;
        struct channel *to;
        size_t last;
        int r;

        if (reg_of(op->address, 0, &column, &channel) != REG_QUEUE)
                return FAULT(c, op, "a write to 0x%08x, where no channel of a shim has its queue",
                             op->address);
        r = check_push_is_ready(c, op, column, channel);
        if (r != 0)
                return r;
        assert(index < TXN_CHECK_PUSHES_MAX);
        to = &c->channels[column][channel];
        last = c->check->lanes[column][channel].last;
        transfer = &c->check->transfers[index];
        *transfer = (struct txn_transfer){
                .word = op->word,
                .column = (uint8_t)column,
                .channel = (uint8_t)channel,
                .bd = (uint8_t)bd,
                .gives_token = (op->value & TXN_PUSH_TOKEN) != 0,
                .arg = c->descriptors[column][bd].arg,
                .offset = c->descriptors[column][bd].offset,
                .bytes = c->descriptors[column][bd].bytes,
                .repeats = (op->value >> TXN_PUSH_REPEAT_SHIFT & TXN_PUSH_REPEAT) + 1,
                .position = to->n_pushed++,
                .previous = last,
                .next = TXN_NONE,
        };
        *(last == TXN_NONE ? &c->check->lanes[column][channel].first : &c->check->transfers[last].next) =
                index;
        c->check->lanes[column][channel].last = index;
        c->check->n_transfers++;
        c->descriptors[column][bd].user = index;
        if (transfer->gives_token && to->token == TXN_NONE)
                to->token = index;
        step_add(c, TXN_STEP_PUSH, op, index);
        return 0;
}

/* Room means: at most three wait, and one runs. */
static int check_maskpoll(struct checker *c, const struct txn_op *op)
{
        unsigned column, number;
        struct channel *channel;
        size_t transfer;

        if (reg_of(op->address, 0, &column, &number) != REG_STATUS)
                return FAULT(c, op, "a poll of 0x%08x, where no channel of a shim has its status",
                             op->address);
        if (op->value != 0 || op->mask != TXN_STATUS_FULL)
                return FAULT(c, op,
                             "a poll of %s of column %u for 0x%x, mask 0x%x: only for room is known, 0, mask "
                             "0x%x",
                             channel_name(number), column, op->value, op->mask, TXN_STATUS_FULL);
        channel = &c->channels[column][number];
        if (channel->n_pushed < TXN_QUEUE_TASKS)
                return 0;
        transfer = c->check->lanes[column][number].last;
        for (int i = 0; i < TXN_QUEUE_TASKS - 1; i++)
                transfer = c->check->transfers[transfer].previous;
        channel_prove(channel, channel->n_pushed - (TXN_QUEUE_TASKS - 1),
                      channel->n_pushed - TXN_QUEUE_TASKS);
        step_add(c, TXN_STEP_WAIT_BEGIN, op, transfer);
        return 0;
}

static int check_token_wait(struct checker *c, const struct txn_op *op)
{
        const unsigned direction = op->tile & 0xFF, row = op->tile >> 8 & 0xFF, column = op->tile >> 16;
        const unsigned number = op->n_tiles >> 24;
        struct channel *channel;
        unsigned which;
        size_t transfer;

        if (direction > 1 || row != 0 || column >= TXN_COLUMNS || number > 1 ||
            (op->n_tiles & 0xFFFFFF) != 0x10100)
                return FAULT(c, op,
                             "a wait for tokens of 0x%x, 0x%x: only for one of a shim's channel is known",
                             op->tile, op->n_tiles);
        which = (direction == 0 ? TXN_S2MM0 : TXN_MM2S0) + number;
        channel = &c->channels[column][which];
        transfer = channel->token;
        if (transfer == TXN_NONE)
                return FAULT(c, op, "a wait for a token of %s of column %u, and no push before it gives one",
                             channel_name(which), column);
        channel_prove(channel, 0, c->check->transfers[transfer].position + 1);
        do
                channel->token = c->check->transfers[channel->token].next;
        while (channel->token != TXN_NONE && !c->check->transfers[channel->token].gives_token);
        step_add(c, TXN_STEP_WAIT_END, op, transfer);
        return 0;
}

static int check_op(struct checker *c, const struct txn_op *op)
{
        if (op->has_reserved)
                return FAULT(c, op,
                             op->opcode == TXN_BLOCKWRITE ? "the tile of a block write and its address differ"
                                                          : "words that have no meaning are not 0");
        switch (op->opcode) {
        case TXN_WRITE:
                return check_write(c, op);
        case TXN_BLOCKWRITE:
                return check_blockwrite(c, op);
        case TXN_MASKWRITE:
                return check_maskwrite(c, op);
        case TXN_MASKPOLL:
                return check_maskpoll(c, op);
        case TXN_TOKEN_WAIT:
                return check_token_wait(c, op);
        default:
                return check_patch(c, op);
        }
}

/* ---- the whole ---- */

/* What is written to memory has to be waited for, and no token may be left for the next stream. */
static int check_end(struct checker *c)
{
        for (unsigned column = 0; column < TXN_COLUMNS; column++) {
                for (unsigned i = 0; i < TXN_CHANNELS; i++) {
                        const struct channel *channel = &c->channels[column][i];
                        const size_t last = c->check->lanes[column][i].last;

                        if (channel->token != TXN_NONE)
                                return txn_fault_set(c->fault, TXN_E_FAULT,
                                                     c->check->transfers[channel->token].word,
                                                     "the token of %s of column %u is not waited for",
                                                     channel_name(i), column);
                        if (txn_channel_is_output((enum txn_channel)i) &&
                            channel->n_ended < channel->n_pushed)
                                return txn_fault_set(c->fault, TXN_E_FAULT, c->check->transfers[last].word,
                                                     "what %s of column %u writes is not waited for",
                                                     channel_name(i), column);
                }
        }
        return 0;
}

static void checker_init(struct checker *c, struct txn_check *check, struct txn_fault *fault)
{
        *c = (struct checker){.check = check, .fault = fault};
        check->n_transfers = 0;
        check->n_steps = 0;
        for (unsigned column = 0; column < TXN_COLUMNS; column++) {
                for (unsigned i = 0; i < TXN_CHANNELS; i++) {
                        c->channels[column][i].token = TXN_NONE;
                        check->lanes[column][i].first = TXN_NONE;
                        check->lanes[column][i].last = TXN_NONE;
                }
                for (unsigned bd = 0; bd < TXN_BDS; bd++)
                        c->descriptors[column][bd].user = TXN_NONE;
        }
}

int txn_check(struct txn_check *check, const uint32_t *words, size_t n_words, struct txn_fault *ret_fault)
{
        struct txn_reader reader;
        struct checker c;
        struct txn_op op;
        uint32_t n_ops;
        size_t n = 0;
        int r;

        checker_init(&c, check, ret_fault);
        if (n_words > TXN_CHECK_BYTES_MAX / 4)
                return txn_fault_set(ret_fault, TXN_E_FAULT, 0, "%zu words: a stream has %d at most", n_words,
                                     TXN_CHECK_BYTES_MAX / 4);
        r = txn_read_header(&reader, words, n_words, &n_ops, ret_fault);
        if (r != 0)
                return r;
        while ((r = txn_read(&reader, &op, ret_fault)) == 0) {
                r = check_op(&c, &op);
                if (r != 0)
                        return r;
                n++;
        }
        if (r != TXN_E_END)
                return TXN_E_FAULT;
        if (n != n_ops)
                return txn_fault_set(ret_fault, TXN_E_FAULT, 2,
                                     "the header promises %u operations, and there are %zu", n_ops, n);
        return check_end(&c);
}
