/* SPDX-License-Identifier: MIT */
/*
 * txn-tool.h - what the commands of npumm-txn share.
 *
 * Exit codes: 0 done, 1 the stream or the shapes are at fault, 2 bad usage, 3 a file cannot be read or written.
 */
#ifndef DAEMON_NPU_TXN_TOOL_H
#define DAEMON_NPU_TXN_TOOL_H

#include "daemon/npu/stream64-plan.h"

#include <argp.h>

enum txn_exit { TXN_DONE = 0, TXN_FAULTY, TXN_USAGE, TXN_FILE };

/* A line on stderr. Returns `code`. */
_printf_(2, 3) enum txn_exit txn_tool_fail(enum txn_exit code, const char *format, ...);

/* Shapes of the command line. */
#define TXN_SHAPES_MAX 256

struct txn_shapes {
        struct stream64_product products[TXN_SHAPES_MAX];
        size_t n;
        bool tile16; /* "tile16" in place of shapes */
        enum stream64_flow flow;
        bool sends_b;       /* B of all of them is streamed */
        const char *output; /* of generate; NULL: none given. Borrowed from argv */
};

enum txn_exit txn_tool_plan(struct txn_shapes *shapes);
enum txn_exit txn_tool_generate(struct txn_shapes *shapes);

#endif
