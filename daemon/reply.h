/* SPDX-License-Identifier: MIT */
/*
 * reply.h - how answers leave a session, and their way onto a connection.
 *
 * Role:   struct reply -> frame -> connection; the only place where a result becomes bytes.
 * In:     replies of a session, through a reply_sink. Out: queued frames.
 * Thread: loop.
 *
 * The sink is the seam for other transports: a session knows only this.
 */
#ifndef DAEMON_REPLY_H
#define DAEMON_REPLY_H

#include "daemon/connection.h"
#include "proto/message.h"

struct reply_sink {
        /*
         * Sends a reply. `payload` (NULL: none) is consumed, whatever happens; `fd` (-1: none) is borrowed until
         * the payload is released.
         * Never fails as far as the caller is concerned: a peer that cannot be told is disconnected.
         */
        void (*send)(void *userdata, const struct reply *reply, const struct connection_payload *payload,
                     int fd);
        void *userdata;
};

/* Room for a reply without its payload. */
#define REPLY_BYTES_MAX (FRAME_HEADER_BYTES + MESSAGE_WRITE_MAX)

/* Writes header and control part of a reply whose payload has `payload_bytes`; returns their length. */
size_t reply_encode(const struct reply *reply, uint64_t payload_bytes, uint8_t ret_bytes[REPLY_BYTES_MAX]);

/* The sink that writes to `connection`, which must outlive it. */
struct reply_sink reply_sink_for(struct connection *connection);

#endif
