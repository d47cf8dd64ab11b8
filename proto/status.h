/* SPDX-License-Identifier: MIT */
/*
 * status.h - how a request or a connection can end: the one table of it.
 *
 * Role:  wire value, name and plain words of every status. npumm.proto and npumm.h spell the same values
 *        for readers of those files; message.c and client/npumm.c assert at compile time that they agree.
 */
#ifndef PROTO_STATUS_H
#define PROTO_STATUS_H

#include "base.h"

/* clang-format off */
/*      name          value  plain words, for a person who sees only the status */
#define STATUS_TABLE(X)                                                                                      \
        X(OK,             0, "done")                                                                         \
        X(INVALID,        1, "the request makes no sense")                                                   \
        X(NOT_FOUND,      2, "no such arena or weights on this connection")                                  \
        X(BUSY,           3, "a limit is reached; try again later")                                          \
        X(DEADLINE,       4, "the deadline could not be kept")                                               \
        X(CANCELLED,      5, "cancelled")                                                                    \
        X(DEVICE_ERROR,   6, "the device failed")                                                            \
        X(INTERNAL,       7, "the daemon failed")                                                            \
        X(PROTOCOL,       8, "the peer broke the protocol")                                                  \
        X(VERSION,        9, "the two sides speak different protocol versions")                              \
        X(TOO_BIG,       10, "a frame is larger than announced limits allow")                                \
        X(DENIED,        11, "only root and the daemon's own user may do this")

enum status {
#define X(name, value, text) STATUS_##name = value,
        STATUS_TABLE(X)
#undef X
        STATUS_MAX
};
/* clang-format on */

/* "OK", "NOT_FOUND", ...; "UNKNOWN" for a value outside the table. Never NULL. */
const char *status_name(unsigned status);

/* The plain words of the table. Never NULL. */
const char *status_text(unsigned status);

/* What went wrong with a request, as data: a status and one line that says what, where and what to do. */
#define FAULT_TEXT_MAX 240
struct fault {
        enum status status;
        char text[FAULT_TEXT_MAX];
};

/* Fills `fault` and returns false, so that a check reads `return fault_set(fault, STATUS_X, "...")`. */
bool fault_set(struct fault *fault, enum status status, const char *format, ...) _printf_(3, 4);

#endif
