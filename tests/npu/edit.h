/* SPDX-License-Identifier: MIT */
/*
 * edit.h - takes a right stream apart and puts it together wrongly.
 *
 * Role:   for tests of what judges streams: finds operations by what they are, takes out, moves, repeats and changes
 *         them, and mends the header, so that a stream has the one fault that a test is about. Reads opcodes from
 *         xclbin/README.md by itself.
 * Thread: one.
 */
#ifndef TESTS_NPU_EDIT_H
#define TESTS_NPU_EDIT_H

#include "proto/base.h"

#define EDIT_OPS_MAX 4096

enum edit_kind {
        EDIT_BLOCKWRITE = 0,
        EDIT_PATCH,
        EDIT_MASKWRITE,
        EDIT_PUSH,
        EDIT_POLL,
        EDIT_WAIT,
        EDIT_OTHER
};

struct edit_op {
        enum edit_kind kind;
        unsigned column, channel; /* S2MM0, S2MM1, MM2S0, MM2S1; of a descriptor: its number */
        size_t n_words;
        uint32_t words[20]; /* block writes of up to 16 words */
};

struct edit {
        struct edit_op ops[EDIT_OPS_MAX];
        size_t n;
};

/* Asserts that the stream is whole. */
void edit_read(struct edit *edit, const uint32_t *words, size_t n_words);
/* The stream with a header that fits. */
size_t edit_write(const struct edit *edit, uint32_t *words);

/* Index of the `nth` (from 0) operation of this kind on this channel (or descriptor); asserts that there is one. */
size_t edit_find(const struct edit *edit, enum edit_kind kind, unsigned column, unsigned channel, size_t nth);
/* Where an operation begins, in words. */
size_t edit_word(const struct edit *edit, size_t index);

void edit_remove(struct edit *edit, size_t index, size_t n);
/* Takes n operations out and puts them before what stood at `to`. */
void edit_move(struct edit *edit, size_t from, size_t n, size_t to);
/* Puts a copy of `op` before what stands at `to`. */
void edit_insert(struct edit *edit, size_t to, const struct edit_op *op);

/*
 * The task that ends with this push: its first operation's index; ret_n how many there are: poll or wait of its own
 * channel, block write, patch, masked write, push.
 */
size_t edit_task(const struct edit *edit, size_t push, size_t *ret_n);

#endif
