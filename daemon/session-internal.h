/* SPDX-License-Identifier: MIT */
/* session-internal.h - what the session's own files share. Nobody else includes it. */
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

/* The arena of a place, borrowed: there is such a handle, and the place lies inside. False: ret_fault says why not. */
bool session_place_find(const struct session *session, const char *name, const struct place *place,
                        struct arena **ret_arena, struct fault *ret_fault);

/* arena_unref, as a release_fn of a payload. */
void session_arena_unref(void *arena);

/* Admits a MATMUL, or answers why not; it is submitted with session_matmul_arrived(), if one is arriving. */
void session_matmul(struct session *session, const struct request *request, uint64_t payload_bytes,
                    uint8_t **ret_payload);
void session_matmul_arrived(struct session *session);

/* The same for a WEIGHTS_LOAD; it is begun with session_weights_arrived(), if one is arriving, and answered later. */
void session_weights_load(struct session *session, const struct request *request, uint64_t payload_bytes,
                          uint8_t **ret_payload);
void session_weights_arrived(struct session *session);

/* The weights of a living handle, borrowed; NULL: no such handle, and session_weights_fault (false) says so. */
struct weights *session_weights_find(const struct session *session, uint64_t id);
bool session_weights_fault(uint64_t id, struct fault *ret_fault);

void session_weights_release(struct session *session, const struct request *request);

/* Gives up all handles, and what is being loaded. */
void session_weights_deinit(struct session *session);

#endif
