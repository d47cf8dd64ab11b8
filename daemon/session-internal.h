/* SPDX-License-Identifier: MIT */
/* session-internal.h - what session.c and session-matmul.c share. Nobody else includes it. */
#ifndef DAEMON_SESSION_INTERNAL_H
#define DAEMON_SESSION_INTERNAL_H

#include "daemon/session.h"

/* A client's handle on an arena, from ARENA_CREATED until its pages are free. */
struct session_arena {
        struct session *session; /* borrowed: owns us */
        uint32_t id;
        struct arena *arena;       /* ref; NULL once released */
        struct arena *arena_going; /* borrowed once released: jobs still hold it, or its end is under way */
        uint64_t release_id;       /* of the ARENA_RELEASE to answer when it is gone */
        TAILQ_ENTRY(session_arena) link; /* session::arenas */
};

void session_reply(struct session *session, const struct reply *reply);

/* The arena of a living handle, borrowed; NULL: no such handle. */
struct arena *session_arena_find(const struct session *session, uint32_t id);

/* arena_unref, as a release_fn of a payload. */
void session_arena_unref(void *arena);

/* Admits a MATMUL, or answers why not. */
void session_matmul(struct session *session, const struct request *request, uint64_t payload_bytes,
                    uint8_t **ret_payload);

#endif
