/* SPDX-License-Identifier: MIT */
/*
 * operands.h - operands of a request, from the caller's pointers to places that the daemon can reach.
 *
 * Role:   finds those that lie in an arena already; makes the others part of the frame's payload, or copies
 *         them to arena memory (staging).
 * In:     matrices and vectors by address, whose numbers message.h has checked.
 * Out:    their places in the request; views of the payload; arena memory that is the caller's to free.
 * Thread: the client's.
 * Owns:   nothing.
 */
#ifndef CLIENT_OPERANDS_H
#define CLIENT_OPERANDS_H

#include "channel.h"
#include "proto/message.h"

#define OPERANDS_MAX 6u /* of a matmul */

struct npumm_client;

/* One matrix or vector of a request. */
struct operand {
        const char *name;
        uint8_t *memory;     /* borrowed: the program's; only an output is written to */
        struct place *place; /* borrowed: in the request */
        uint64_t rows, row_bytes, stride_bytes;
        bool is_output;
        bool is_staged;           /* it has a place in staged memory: */
        uint64_t staged_at_bytes; /* from the beginning of that */
};

struct operands {
        const char *inline_flag; /* what the program would leave out to send less inline */
        struct operand all[OPERANDS_MAX];
        size_t n;
        struct channel_view views[CHANNEL_VIEWS_MAX]; /* of the payload */
        size_t n_views;
        uint64_t payload_bytes;
};

/*
 * Until its real place is found an operand has its address for an offset, in an arena number that only the
 * checks of message.h see: they then find every fault of the numbers, addresses that wrap around included.
 */
struct place operand_address(uint32_t arena, const void *memory, uint64_t ld_elems);

/* Appends `rows` x `cols`; its place has been checked. */
void operands_add(struct operands *operands, const char *name, const void *memory, struct place *place,
                  uint64_t rows, uint64_t cols, uint64_t elem_bytes);

/* Inputs into the payload, each at a 64-byte boundary. Returns 0 or NPUMM_STATUS_TOO_BIG. */
int operands_place_inline(struct npumm_client *client, struct operands *operands);

/*
 * Operands into arenas: in place where they lie in one already, else into memory of arenas_alloc(), inputs
 * as copies. Returns what arenas_alloc() does, or NPUMM_STATUS_INVALID; *ret_staged, NULL where nothing needs
 * it, is the caller's from then on.
 */
int operands_place_arenas(struct npumm_client *client, struct operands *operands, uint8_t **ret_staged);

#endif
