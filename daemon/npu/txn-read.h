/* SPDX-License-Identifier: MIT */
/*
 * txn-read.h - the operations of an instruction stream, one after the other.
 *
 * Role:   words to operations, whoever wrote them; says what is malformed and judges nothing else.
 * In:     words that need not be a stream at all.
 * Thread: any; pure.
 */
#ifndef DAEMON_NPU_TXN_READ_H
#define DAEMON_NPU_TXN_READ_H

#include "daemon/npu/txn.h"

#include <stdio.h>

/* What is wrong with a stream, and where. */
struct txn_fault {
        size_t word;    /* offset of the first word of what is wrong, in words */
        char text[200]; /* what it is, for people */
};

/* Fills in a fault. Returns `result`, so that it can be returned in turn. */
_printf_(4, 5) int txn_fault_set(struct txn_fault *ret_fault, int result, size_t word, const char *format,
                                 ...);

/* Positive results. */
enum {
        TXN_E_SUCCESS = 0,
        TXN_E_END,     /* no operation is left */
        TXN_E_UNKNOWN, /* an opcode that this reader does not know; n_words is its size if it tells, else 0 */
        TXN_E_FAULT,   /* ret_fault says what */
};

/* One operation. Which fields it has depends on the opcode. */
struct txn_op {
        uint32_t opcode; /* enum txn_opcode, or another */
        size_t word;     /* where it stands */
        size_t n_words;
        uint32_t address;     /* all but TXN_TOKEN_WAIT */
        uint32_t value;       /* TXN_WRITE, _MASKWRITE, _MASKPOLL */
        uint32_t mask;        /* TXN_MASKWRITE, _MASKPOLL */
        const uint32_t *data; /* TXN_BLOCKWRITE; borrowed: the stream's */
        size_t n_data;
        uint32_t arg, arg_offset; /* TXN_PATCH */
        uint32_t tile, n_tiles;   /* TXN_TOKEN_WAIT: direction, row, column; rows, columns, channel */
        bool has_reserved; /* words that should be 0 are not, or the tile is named in two ways that differ */
};

struct txn_reader {
        const uint32_t *words; /* borrowed */
        size_t n_words, position;
};

/* The header: that it is npu1's, and that its bytes are those that there are. ret_n_ops: operations it promises. */
int txn_read_header(struct txn_reader *reader, const uint32_t *words, size_t n_words, uint32_t *ret_n_ops,
                    struct txn_fault *ret_fault);

/* The next operation. After TXN_E_UNKNOWN with a size, reading may go on behind it. */
int txn_read(struct txn_reader *reader, struct txn_op *ret_op, struct txn_fault *ret_fault);

#endif
