/* SPDX-License-Identifier: MIT */
/*
 * txn-check.h - what can be said of an instruction stream by itself.
 *
 * Role:   the rules of ../../xclbin/README.md, section 4, that need no batch: operations and registers that are
 *         allowed, descriptors whole when they are pushed and left alone while they are in use, queues never
 *         overfilled, tokens that come, results that are waited for. Written apart from what generates streams.
 *         What it relies on is only what a stream has proof of: a task has ended if a poll or a token says so.
 * In:     words that need not be a stream at all.
 * Out:    the first fault; or the tasks, for stream64-verify to judge what they carry.
 * Thread: any; a struct txn_check belongs to one thread.
 */
#ifndef DAEMON_NPU_TXN_CHECK_H
#define DAEMON_NPU_TXN_CHECK_H

#include "daemon/npu/txn-read.h"

#define TXN_COLUMNS 4
#define TXN_ARGS    5 /* buffer objects that can be bound to a run */

#define TXN_CHECK_BYTES_MAX  65536
#define TXN_CHECK_PUSHES_MAX (TXN_CHECK_BYTES_MAX / 4 / TXN_WRITE_WORDS)
#define TXN_CHECK_STEPS_MAX  (TXN_CHECK_BYTES_MAX / 4 / TXN_TOKEN_WAIT_WORDS)
#define TXN_NONE             SIZE_MAX

/* What a push starts. */
struct txn_transfer {
        size_t word; /* of the push */
        uint8_t column, channel, bd;
        bool gives_token;
        uint32_t arg, repeats;
        uint64_t offset, bytes; /* of each repeat */
        size_t position;        /* in its lane: transfers of the same column and channel before it */
        size_t previous, next;  /* in its lane; TXN_NONE: there is none */
};

/* What the controller does, as far as the array has to do with it. */
enum txn_step_kind {
        TXN_STEP_PUSH = 0,
        TXN_STEP_WAIT_BEGIN, /* until the transfer has begun: a poll for room */
        TXN_STEP_WAIT_END,   /* until it has ended: a wait for its token */
};

struct txn_step {
        enum txn_step_kind kind;
        size_t word;
        size_t transfer;
};

struct txn_check {
        size_t n_transfers, n_steps;
        struct txn_transfer transfers[TXN_CHECK_PUSHES_MAX];
        struct txn_step steps[TXN_CHECK_STEPS_MAX];
        struct {
                size_t first, last; /* transfers of the lane; TXN_NONE */
        } lanes[TXN_COLUMNS][TXN_CHANNELS];
};

/*
 * 0, or TXN_E_FAULT. `check` is large (a few hundred KiB): whoever verifies often keeps one. It is filled in as far as
 * the stream is right.
 */
int txn_check(struct txn_check *check, const uint32_t *words, size_t n_words, struct txn_fault *ret_fault);

#endif
