/* SPDX-License-Identifier: MIT */
/*
 * stream64-generate.h - from a batch to the instruction stream that computes it.
 *
 * Role:   tasks of all lanes in the order of ../../xclbin/README.md, section 4: what is needed first is pushed first,
 *         no queue is overfilled, no descriptor rewritten while it is in use.
 * In:     a batch, as stream64-plan makes it.
 * Out:    words, the same for the same batch: a stream may be kept and used again.
 * Thread: any; pure.
 */
#ifndef DAEMON_NPU_STREAM64_GENERATE_H
#define DAEMON_NPU_STREAM64_GENERATE_H

#include "daemon/npu/stream64.h"

/* Positive results. */
enum {
        STREAM64_E_SUCCESS = 0,
        STREAM64_E_LIMIT, /* the batch is beyond what a stream can express: more jobs, repeats, bytes or offsets */
        STREAM64_E_LONG, /* its stream has more than n_words_max words */
};

/* `words` has room for n_words_max. What it holds after a failure is of no use. */
int stream64_generate(const struct stream64_batch *batch, enum stream64_flow flow, uint32_t *words,
                      size_t n_words_max, size_t *ret_n_words);

#endif
