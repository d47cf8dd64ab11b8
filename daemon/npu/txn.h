/* SPDX-License-Identifier: MIT */
/*
 * txn.h - the words of an npu1 instruction stream.
 *
 * Role:   opcodes, registers and fields of ../../xclbin/README.md, section 4: numbers that writers and readers of
 *         streams must not each have for themselves.
 */
#ifndef DAEMON_NPU_TXN_H
#define DAEMON_NPU_TXN_H

#include "proto/base.h"

/* ---- header ---- */

#define TXN_HEADER_WORDS 4
#define TXN_VERSION      0x06030100u /* 6 rows, device generation 3, version 0.1 */
#define TXN_TILES        0x00000104u /* one row of memory tiles, 4 columns */

/* ---- operations ---- */

enum txn_opcode {
        TXN_WRITE = 0,
        TXN_BLOCKWRITE = 1,
        TXN_MASKWRITE = 3,
        TXN_MASKPOLL = 4,
        TXN_TOKEN_WAIT = 0x80,
        TXN_PATCH = 0x81,
};

#define TXN_WRITE_WORDS             6
#define TXN_BLOCKWRITE_HEADER_WORDS 4
#define TXN_MASKED_WORDS            7
#define TXN_TOKEN_WAIT_WORDS        4
#define TXN_PATCH_WORDS             12

/* ---- registers ---- */

#define TXN_COLUMN_SHIFT 25
#define TXN_ROW_SHIFT    20
#define TXN_REGISTER     ((1u << TXN_ROW_SHIFT) - 1)

#define TXN_BD_FIRST   0x1D000u
#define TXN_BD_STRIDE  32u
#define TXN_BDS        16u
#define TXN_BD_WORDS   8u
#define TXN_BD_ADDRESS 4u /* of its address words, from its beginning */

/* A shim's four channels: S2MM 0 and 1, MM2S 0 and 1. */
enum txn_channel { TXN_S2MM0 = 0, TXN_S2MM1, TXN_MM2S0, TXN_MM2S1, TXN_CHANNELS };

extern const char *const txn_channel_names[TXN_CHANNELS];

#define TXN_CONTROL(channel) (0x1D200u + 8u * (unsigned)(channel))
#define TXN_QUEUE(channel)   (0x1D204u + 8u * (unsigned)(channel))
#define TXN_STATUS(channel)  (0x1D220u + 4u * (unsigned)(channel))

#define TXN_STATUS_FULL        (1u << 22) /* the high bit of the tasks that wait, 0 to 4 */
#define TXN_CONTROL_TOKEN      0xF00u     /* where tokens go, */
#define TXN_CONTROL_TOKEN_MASK 0x1F00u
#define TXN_PUSH_TOKEN         (1u << 31) /* and that this task gives one */
#define TXN_PUSH_REPEAT_SHIFT  16
#define TXN_PUSH_REPEAT        0xFFu /* repeats - 1 */
#define TXN_PUSH_BD            0xFu

#define TXN_QUEUE_TASKS 4 /* that wait; one more runs */

/* ---- a linear descriptor ---- */

#define TXN_BD_WORD4 0x80000000u /* bursts of 256 bytes */
#define TXN_BD_WORD5 0x02000000u /* cacheable */
#define TXN_BD_WORD7 0x02000000u /* valid; no lock, no next */

/* The address of a register. */
static inline uint32_t txn_address(unsigned column, unsigned row, uint32_t reg)
{
        return column << TXN_COLUMN_SHIFT | row << TXN_ROW_SHIFT | reg;
}

static inline uint32_t txn_bd(unsigned bd)
{
        return TXN_BD_FIRST + TXN_BD_STRIDE * bd;
}

static inline bool txn_channel_is_output(enum txn_channel channel)
{
        return channel < TXN_MM2S0; /* S2MM: from the array to memory */
}

#endif
