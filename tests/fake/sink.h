/* SPDX-License-Identifier: MIT */
/*
 * sink.h - where a session's replies go when there is no connection.
 *
 * Role:   a reply_sink that keeps what it is given, in order, until the test takes it out. A reply's payload
 *         is released only then: as on a connection, where it is sent some time later.
 * Thread: one.
 * Owns:   the replies not yet taken, their payloads, duplicates of their fds.
 */
#ifndef TESTS_FAKE_SINK_H
#define TESTS_FAKE_SINK_H

#include "daemon/reply.h"

struct fake_reply {
        struct reply reply; /* its strings point into `text` */
        char text[2][FAULT_TEXT_MAX];
        bool has_payload;
        struct connection_payload payload;
        int fd;                       /* owned; -1: none */
        TAILQ_ENTRY(fake_reply) link; /* fake_sink::replies */
};

struct fake_sink {
        TAILQ_HEAD(, fake_reply) replies; /* owned, oldest first */
        size_t n_replies;
        uint64_t n_sent; /* so far */
        bool is_closed;  /* by the test: nothing may come any more */
};

void fake_sink_init(struct fake_sink *sink);

/* Drops what is left in it, as a connection does that closes. */
void fake_sink_deinit(struct fake_sink *sink);

/* The struct that a session is made with; the sink must outlive it. */
struct reply_sink fake_sink_for(struct fake_sink *sink);

/* Takes out the oldest reply; NULL: there is none. */
struct fake_reply *fake_sink_take(struct fake_sink *sink);

/* Releases its payload. Returns NULL; NULL is allowed. */
struct fake_reply *fake_reply_free(struct fake_reply *reply);

#endif
