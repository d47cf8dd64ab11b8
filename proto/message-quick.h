/* SPDX-License-Identifier: MIT */
/*
 * message-quick.h - the control parts that every job costs, without the library's detour.
 *
 * Role:   reads and writes MATMUL and ROWS in the form in which every encoder writes them: each field at most once,
 *         in the order of their numbers, none unknown. The bytes are the library's, and so is what has another form.
 * In:     control parts, which may be anything. Out: plain structs, not yet checked; control parts.
 * Thread: any; pure.
 *
 * Unpacking a MATMUL by protobuf-c takes some 3,300 instructions, this 400: where the product takes 2 us, that is felt.
 */
#ifndef PROTO_MESSAGE_QUICK_H
#define PROTO_MESSAGE_QUICK_H

#include "message.h"

/*
 * False: not of that form, or a field is missing that a MATMUL needs; the library knows what it is. extent_bytes of
 * what is given is 1.
 */
bool message_quick_read_matmul(const uint8_t *control, size_t n_bytes, struct request_matmul *ret_matmul);
bool message_quick_read_rows(const uint8_t *control, size_t n_bytes, struct reply_rows *ret_rows);

/* Both return the length. `ret_control` has MESSAGE_WRITE_MAX. */
size_t message_quick_write_matmul(const struct request_matmul *matmul, uint8_t *ret_control);
size_t message_quick_write_rows(const struct reply_rows *rows, uint8_t *ret_control);

#endif
