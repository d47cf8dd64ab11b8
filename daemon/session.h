/* SPDX-License-Identifier: MIT */
/*
 * session.h - what one client has: its arenas, its weights, its jobs.
 *
 * Role:   admits requests: looks up handles, checks that operands lie inside their arenas, charges, makes jobs.
 * In:     validated requests from dispatch. Out: jobs to the pipeline, replies to the sink.
 * Thread: loop.
 * Owns:   the client's handles on arenas and weights; the job whose payload is still arriving; loads of weights.
 *         Jobs in the pipeline are borrowed; those that outlive the session are orphaned.
 * Never:  knows a frame, a socket or a connection.
 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include "daemon/pipeline.h"
#include "daemon/reply.h"
#include "daemon/weights.h"

/* What all sessions of a daemon share. */
struct session_context {
        struct arena_set *arenas;    /* borrowed: outlives all sessions */
        struct weights_set *weights; /* borrowed: same */
        struct quota *quota;         /* borrowed: same */
        struct pipeline *pipeline;   /* borrowed: same */
        struct stats *stats;         /* borrowed: same */
        struct limits limits;        /* as announced in WELCOME */
        const char *backend;         /* static text */
        uid_t owner_uid;             /* the daemon's own: may change settings, as root may */
        bool stopping;               /* no new jobs, and no new weights */
        /*
         * The report that STATUS asks for, one JSON object, as a payload for the caller to release. Answers may share
         * it: a client can queue many for few bytes. False: memory is short.
         */
        bool (*status_json)(void *userdata, struct connection_payload *ret_payload);
        /* Changes a setting while the daemon runs. False: no such key, or not a value of it. */
        bool (*set)(void *userdata, const char *key, const char *value, struct fault *ret_fault);
        void *userdata; /* of these two */
};

struct session_arena;
struct session_weights;

struct session {
        struct session_context *context; /* borrowed: outlives us */
        struct reply_sink sink;
        uid_t uid;
        char name[MESSAGE_CLIENT_NAME_MAX + 1];
        bool greeted;                  /* HELLO has been answered */
        uint64_t features;             /* that both sides know */
        struct pipeline_client client; /* as the pipeline sees us */
        uint32_t last_arena_id;
        size_t n_arenas;                    /* with a living handle */
        TAILQ_HEAD(, session_arena) arenas; /* owned */
        TAILQ_HEAD(, job) jobs;             /* borrowed from the pipeline: accepted and not done */
        size_t n_jobs;
        struct job *arriving;                     /* owned: its payload is on the way; NULL: none */
        struct weights_holder_list weights;       /* owned: loaded, and being loaded */
        void *weights_by_id;                      /* tsearch tree of those that are loaded */
        struct session_weights *weights_arriving; /* one of them: its payload is on the way; NULL: none */
};

/* Returns 0 or -ENOMEM. */
int session_init(struct session *session, struct session_context *context, const struct reply_sink *sink,
                 uid_t uid);

/* Cancels what is running and drops all handles. The sink is not used any more. */
void session_deinit(struct session *session);

/*
 * Acts on a valid request. For a MATMUL or a WEIGHTS_LOAD *ret_payload says where its payload goes, NULL to discard it;
 * the job or load starts with session_payload_done(). Everything else is done when this returns.
 */
void session_request(struct session *session, const struct request *request, uint64_t payload_bytes,
                     uint8_t **ret_payload);

/* The payload of the last request is complete, if it had one. */
void session_payload_done(struct session *session);

/*
 * The arena that a RING_START names, lent (a ref) for the rings: the session goes on as if nothing were there. False:
 * ret_fault says why not.
 */
bool session_ring_arena(struct session *session, const struct request_ring_start *start,
                        struct arena **ret_arena, struct fault *ret_fault);

/* Answers a request that was not even valid. */
void session_refuse(struct session *session, const struct request *request, const struct fault *fault);

#endif
