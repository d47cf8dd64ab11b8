/* SPDX-License-Identifier: MIT */
/* edit.c - see edit.h. */
#include "tests/npu/edit.h"

#define HEADER_WORDS 4

/* Size in words of the operation at `words`. */
static size_t op_size(const uint32_t *words)
{
        switch (words[0]) {
        case 0:
                return 6;
        case 1:
                return words[3] / 4;
        case 3:
        case 4:
                return 7;
        case 0x80:
                return 4;
        case 0x81:
                return 12;
        default:
                assert(false);
                return 0;
        }
}

/* Column and channel, or descriptor, that an address names. */
static void op_place(struct edit_op *op, uint32_t address)
{
        const uint32_t reg = address & 0xFFFFF;

        op->column = address >> 25;
        if (reg >= 0x1D000 && reg < 0x1D200)
                op->channel = (reg - 0x1D000) / 32;
        else if (reg >= 0x1D200 && reg < 0x1D220)
                op->channel = (reg - 0x1D200) / 8;
        else if (reg >= 0x1D220 && reg < 0x1D230)
                op->channel = (reg - 0x1D220) / 4;
        else
                op->kind = EDIT_OTHER;
}

static void op_read(struct edit_op *op, const uint32_t *words)
{
        op->n_words = op_size(words);
        assert(op->n_words <= ARRAY_SIZE(op->words));
        memcpy(op->words, words, 4 * op->n_words);
        switch (words[0]) {
        case 0:
                op->kind = EDIT_PUSH;
                op_place(op, words[2]);
                break;
        case 1:
                op->kind = EDIT_BLOCKWRITE;
                op_place(op, words[2]);
                break;
        case 3:
                op->kind = EDIT_MASKWRITE;
                op_place(op, words[2]);
                break;
        case 4:
                op->kind = EDIT_POLL;
                op_place(op, words[2]);
                break;
        case 0x80:
                op->kind = EDIT_WAIT;
                op->column = words[2] >> 16;
                op->channel = 2 * (words[2] & 0xFF) + (words[3] >> 24);
                break;
        default:
                op->kind = EDIT_PATCH;
                op_place(op, words[6]);
                break;
        }
}

void edit_read(struct edit *edit, const uint32_t *words, size_t n_words)
{
        size_t at = HEADER_WORDS;

        edit->n = 0;
        while (at < n_words) {
                assert(edit->n < EDIT_OPS_MAX);
                op_read(&edit->ops[edit->n], words + at);
                at += edit->ops[edit->n++].n_words;
        }
        assert(at == n_words);
}

size_t edit_write(const struct edit *edit, uint32_t *words)
{
        size_t n = HEADER_WORDS;

        for (size_t i = 0; i < edit->n; i++) {
                memcpy(words + n, edit->ops[i].words, 4 * edit->ops[i].n_words);
                n += edit->ops[i].n_words;
        }
        words[0] = 0x06030100;
        words[1] = 0x00000104;
        words[2] = (uint32_t)edit->n;
        words[3] = (uint32_t)(4 * n);
        return n;
}

size_t edit_find(const struct edit *edit, enum edit_kind kind, unsigned column, unsigned channel, size_t nth)
{
        for (size_t i = 0; i < edit->n; i++)
                if (edit->ops[i].kind == kind && edit->ops[i].column == column &&
                    edit->ops[i].channel == channel && nth-- == 0)
                        return i;
        assert(false);
        return 0;
}

size_t edit_word(const struct edit *edit, size_t index)
{
        size_t word = HEADER_WORDS;

        for (size_t i = 0; i < index; i++)
                word += edit->ops[i].n_words;
        return word;
}

void edit_remove(struct edit *edit, size_t index, size_t n)
{
        memmove(edit->ops + index, edit->ops + index + n, (edit->n - index - n) * sizeof *edit->ops);
        edit->n -= n;
}

void edit_insert(struct edit *edit, size_t to, const struct edit_op *op)
{
        const struct edit_op copy = *op; /* it may be one of those that move */

        assert(edit->n < EDIT_OPS_MAX);
        memmove(edit->ops + to + 1, edit->ops + to, (edit->n - to) * sizeof *edit->ops);
        edit->ops[to] = copy;
        edit->n++;
}

void edit_move(struct edit *edit, size_t from, size_t n, size_t to)
{
        struct edit_op taken[64];

        assert(n <= ARRAY_SIZE(taken) && (to <= from || to >= from + n));
        memcpy(taken, edit->ops + from, n * sizeof *taken);
        edit_remove(edit, from, n);
        if (to > from)
                to -= n;
        for (size_t i = 0; i < n; i++)
                edit_insert(edit, to + i, &taken[i]);
}

size_t edit_task(const struct edit *edit, size_t push, size_t *ret_n)
{
        size_t first = push;

        while (edit->ops[first].kind != EDIT_BLOCKWRITE)
                first--;
        if (first > 0 && (edit->ops[first - 1].kind == EDIT_POLL || edit->ops[first - 1].kind == EDIT_WAIT) &&
            edit->ops[first - 1].column == edit->ops[push].column &&
            edit->ops[first - 1].channel == edit->ops[push].channel)
                first--;
        *ret_n = push - first + 1;
        return first;
}
