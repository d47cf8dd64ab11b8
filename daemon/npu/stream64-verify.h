/* SPDX-License-Identifier: MIT */
/*
 * stream64-verify.h - whether an instruction stream computes a batch, and nothing else.
 *
 * Role:   the last look before a stream is submitted, since a wrong one can wedge the NPU for every process of the
 *         machine. After txn-check's rules: every address inside its buffer object; each lane carries the batch's
 *         objects, in their order; the packed A has the headers that cores will read; C is written once; and
 *         controller, queues and FIFOs reach the end (stream64-progress).
 * In:     words, the buffer objects as they are bound, and the batch, of which nothing is believed either.
 * Out:    the first fault, in words for people.
 * Thread: any; a struct txn_check belongs to one thread.
 * Never:  shares code with what generates streams; of txn.h they share the numbers, which tests/npu's model of the
 *         array and tile16's golden stream have for themselves.
 */
#ifndef DAEMON_NPU_STREAM64_VERIFY_H
#define DAEMON_NPU_STREAM64_VERIFY_H

#include "daemon/npu/stream64.h"
#include "daemon/npu/txn-check.h"

/* What is bound to a run. */
struct stream64_buffers {
        uint64_t size_bytes[STREAM64_ARG_MAX]; /* 0: not bound */
        const uint8_t *a; /* what argument 0 holds, all of it, for the headers to be read; borrowed */
};

/*
 * Returns 0 or TXN_E_FAULT. `check` is scratch. A fault of the batch itself, or of what a lane lacks, is put at the
 * last push that it has to do with, or at word 0.
 */
int stream64_verify(struct txn_check *check, const uint32_t *words, size_t n_words,
                    const struct stream64_buffers *buffers, const struct stream64_batch *batch,
                    struct txn_fault *ret_fault);

#endif
