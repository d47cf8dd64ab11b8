/* SPDX-License-Identifier: MIT */
/*
 * txn-write.h - composes an instruction stream.
 *
 * Role:   one call for each step of a task; the words of ../../xclbin/README.md, section 4.
 * In:     a buffer of the caller's. What does not fit is counted and not written: txn_end says so, once.
 * Thread: any.
 */
#ifndef DAEMON_NPU_TXN_WRITE_H
#define DAEMON_NPU_TXN_WRITE_H

#include "daemon/npu/txn.h"

struct txn {
        uint32_t *words; /* borrowed: the caller's */
        size_t n_words_max;
        size_t n_words, n_ops;
};

/* A linear transfer between memory and a channel. */
struct txn_task {
        unsigned column;
        enum txn_channel channel;
        unsigned bd;
        uint32_t arg;     /* buffer object, */
        uint64_t offset;  /* bytes into it */
        uint64_t bytes;   /* of each repeat */
        unsigned repeats; /* 1 to 256 */
        bool gives_token;
        bool sets_control; /* for tokens to arrive: before the channel's first one */
};

/* Leaves room for the header. */
void txn_begin(struct txn *txn, uint32_t *words, size_t n_words_max);

void txn_push(struct txn *txn, const struct txn_task *task);
/* Until the channel's queue has room. */
void txn_wait_room(struct txn *txn, unsigned column, enum txn_channel channel);
/* For one token of the channel. */
void txn_wait_token(struct txn *txn, unsigned column, enum txn_channel channel);

/* Writes the header. False: the buffer was too small; n_words says how many there would be. */
bool txn_end(struct txn *txn);

#endif
