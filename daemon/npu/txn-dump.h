/* SPDX-License-Identifier: MIT */
/*
 * txn-dump.h - an instruction stream for people.
 *
 * Role:   one line for each operation of an npu1 stream, whoever made it, in the words of ../../xclbin/README.md.
 *         What it does not understand it prints as numbers, and says so; it judges nothing.
 * In:     words that need not be a stream at all.
 * Out:    text on a stdio stream, whose errors are the caller's to look at.
 * Thread: any.
 */
#ifndef DAEMON_NPU_TXN_DUMP_H
#define DAEMON_NPU_TXN_DUMP_H

#include "daemon/npu/txn-read.h"

/* Returns how many things in it were not understood. */
size_t txn_dump(FILE *out, const uint32_t *words, size_t n_words);

#endif
