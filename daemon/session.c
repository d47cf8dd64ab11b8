/* SPDX-License-Identifier: MIT */
/* session.c - see session.h. Jobs are made in session-matmul.c, weights are loaded in session-weights.c. */
#include "daemon/session.h"

#include <errno.h>
#include <inttypes.h>

#include "daemon/session-internal.h"
#include "daemon/version.h"
#include "proto/ring.h"

int session_init(struct session *session, struct session_context *context, const struct reply_sink *sink,
                 uid_t uid)
{
        *session = (struct session){.context = context, .sink = *sink, .uid = uid};
        TAILQ_INIT(&session->arenas);
        TAILQ_INIT(&session->jobs);
        TAILQ_INIT(&session->weights);
        return pipeline_client_init(context->pipeline, &session->client, uid);
}

void session_reply(struct session *session, const struct reply *reply)
{
        session->sink.send(session->sink.userdata, reply, NULL, -1);
}

void session_refuse(struct session *session, const struct request *request, const struct fault *fault)
{
        const bool is_job = request->type == FRAME_MATMUL;

        if (is_job && fault->status == STATUS_DEADLINE)
                session->context->stats->jobs_expired++;
        else if (is_job)
                session->context->stats->jobs_refused++;
        session_reply(session, &(struct reply){
                                       .type = is_job ? FRAME_DONE : FRAME_ERROR,
                                       .id = request->id,
                                       .outcome = {.status = fault->status, .text = fault->text},
                               });
        if (is_job && !request->matmul.more) /* the group ends with it all the same */
                pipeline_complete_group(session->context->pipeline, &session->client);
}

/* ---- HELLO, STATUS, PING ---- */

static void hello(struct session *session, const struct request *request)
{
        session->greeted = true;
        session->features = request->hello.features & (MESSAGE_FEATURE_RING | MESSAGE_FEATURE_LAST_ROWS);
        memcpy(session->name, request->hello.client_name, sizeof session->name);
        session_reply(session, &(struct reply){
                                       .type = FRAME_WELCOME,
                                       .id = request->id,
                                       .welcome =
                                               {
                                                       .version_minor = MIN(request->hello.version_minor,
                                                                            (uint32_t)FRAME_VERSION_MINOR),
                                                       .features = session->features,
                                                       .daemon_version = DAEMON_VERSION,
                                                       .backend = session->context->backend,
                                                       .limits = session->context->limits,
                                               },
                               });
}

static void status(struct session *session, const struct request *request)
{
        const struct session_context *context = session->context;
        struct connection_payload payload;
        struct fault fault;

        if (!context->status_json(context->userdata, &payload)) {
                fault_set(&fault, STATUS_BUSY, "the daemon is out of memory; try again later");
                session_refuse(session, request, &fault);
                return;
        }
        session->sink.send(session->sink.userdata,
                           &(struct reply){.type = FRAME_STATUS_REPORT, .id = request->id}, &payload, -1);
}

/* Whoever may stop the daemon may also tell it how to work. */
static void set(struct session *session, const struct request *request)
{
        const struct session_context *context = session->context;
        struct fault fault;

        if (session->uid != 0 && session->uid != context->owner_uid) {
                fault_set(&fault, STATUS_DENIED,
                          "uid %u may not change settings; root and the daemon's own user may",
                          (unsigned)session->uid);
                session_refuse(session, request, &fault);
        } else if (!context->set(context->userdata, request->set.key, request->set.value, &fault)) {
                session_refuse(session, request, &fault);
        } else {
                session_reply(session, &(struct reply){.type = FRAME_SET_DONE, .id = request->id});
        }
}

static void ping(struct session *session, const struct request *request)
{
        session_reply(session, &(struct reply){.type = FRAME_PONG, .id = request->id});
}

/* ---- arenas ---- */

static struct session_arena *handle_find(const struct session *session, uint32_t id)
{
        struct session_arena *handle;

        TAILQ_FOREACH(handle, &session->arenas, link)
                if (handle->id == id && handle->arena)
                        return handle;
        return NULL;
}

bool session_place_find(const struct session *session, const char *name, const struct place *place,
                        struct arena **ret_arena, struct fault *ret_fault)
{
        const struct session_arena *handle = handle_find(session, place->arena);

        if (!handle)
                return fault_set(ret_fault, STATUS_NOT_FOUND,
                                 "%s: arena %" PRIu32 " is not one of this connection's", name, place->arena);
        if (place->offset_bytes + place->extent_bytes > handle->arena->size_bytes)
                return fault_set(ret_fault, STATUS_INVALID,
                                 "%s: bytes %" PRIu64 "..%" PRIu64 " lie outside arena %" PRIu32
                                 " of %" PRIu64 " bytes",
                                 name, place->offset_bytes, place->offset_bytes + place->extent_bytes,
                                 place->arena, handle->arena->size_bytes);
        *ret_arena = handle->arena;
        return true;
}

void session_arena_unref(void *arena)
{
        (void)arena_unref(arena);
}

/* The pages are free and the user is discharged: now the client may hear it. */
static void on_arena_gone(void *userdata)
{
        struct session_arena *handle = userdata;
        struct session *session = handle->session;

        TAILQ_REMOVE(&session->arenas, handle, link);
        session_reply(session, &(struct reply){.type = FRAME_ARENA_RELEASED, .id = handle->release_id});
        free(handle);
}

static bool arena_admit(struct session *session, uint64_t size_bytes, struct arena **ret_arena,
                        struct fault *fault)
{
        const struct limits *limits = &session->context->limits;
        int r;

        if (size_bytes > limits->arena_bytes)
                return fault_set(fault, STATUS_BUSY,
                                 "%" PRIu64 " bytes are over the limit arena-bytes = %" PRIu64
                                 "; use several arenas",
                                 size_bytes, limits->arena_bytes);
        if (session->n_arenas >= limits->arenas)
                return fault_set(fault, STATUS_BUSY,
                                 "the connection is at its limit arenas-per-connection = %" PRIu32
                                 "; release one",
                                 limits->arenas);
        if (session->last_arena_id == UINT32_MAX)
                return fault_set(fault, STATUS_BUSY, "the connection has used up its arena ids; reconnect");
        r = arena_new(session->context->arenas, session->uid, size_bytes, ret_arena);
        return r == 0 || arena_fault(session->context->arenas, session->uid, r, fault);
}

static void arena_create(struct session *session, const struct request *request)
{
        struct session_arena *handle = calloc(1, sizeof *handle);
        struct connection_payload hold = {.release_fn = session_arena_unref};
        struct fault fault;

        if (!handle)
                quota_fault(session->context->quota, session->uid, QUOTA_BYTES, -ENOMEM, &fault);
        if (!handle || !arena_admit(session, request->arena_create.size_bytes, &handle->arena, &fault)) {
                free(handle);
                session_refuse(session, request, &fault);
                return;
        }
        handle->session = session;
        handle->id = ++session->last_arena_id;
        TAILQ_INSERT_TAIL(&session->arenas, handle, link);
        session->n_arenas++;
        handle->arena->is_shared = true;
        hold.owner = arena_ref(handle->arena); /* its fd must live until it is out */
        session->sink.send(
                session->sink.userdata,
                &(struct reply){
                        .type = FRAME_ARENA_CREATED,
                        .id = request->id,
                        .arena_created = {.arena = handle->id, .size_bytes = handle->arena->size_bytes},
                },
                &hold, handle->arena->fd);
}

bool session_ring_arena(struct session *session, const struct request_ring_start *start,
                        struct arena **ret_arena, struct fault *ret_fault)
{
        const struct place place = {
                .arena = start->arena,
                .offset_bytes = start->offset_bytes,
                .extent_bytes = ring_extent_bytes(start->submission_bytes, start->completion_bytes),
        };
        struct arena *arena;

        if (!(session->features & MESSAGE_FEATURE_RING))
                return fault_set(ret_fault, STATUS_INVALID,
                                 "HELLO did not name the feature RING; name it before asking for rings");
        if (!session_place_find(session, "the rings", &place, &arena, ret_fault))
                return false;
        *ret_arena = arena_ref(arena);
        return true;
}

static void arena_release(struct session *session, const struct request *request)
{
        const uint32_t id = request->arena_release.arena;
        struct session_arena *handle = handle_find(session, id);
        struct fault fault;

        if (!handle) {
                fault_set(&fault, STATUS_NOT_FOUND, "arena %" PRIu32 " is not one of this connection's", id);
                session_refuse(session, request, &fault);
                return;
        }
        session->n_arenas--;
        handle->release_id = request->id;
        handle->arena->gone_fn = on_arena_gone;
        handle->arena->gone_userdata = handle;
        handle->arena_going = handle->arena;
        handle->arena = arena_unref(handle->arena);
}

/* ---- jobs ---- */

static struct job *job_find(const struct session *session, uint64_t id)
{
        struct job *job;

        TAILQ_FOREACH(job, &session->jobs, session_link)
                if (job->request_id == id)
                        return job;
        return NULL;
}

/* A job that is unknown, or done in the meantime, is no fault: the two messages may have crossed. */
static void cancel(struct session *session, const struct request *request)
{
        struct job *job = job_find(session, request->id);

        if (job)
                pipeline_cancel(session->context->pipeline, job);
}

void session_request(struct session *session, const struct request *request, uint64_t payload_bytes,
                     uint8_t **ret_payload)
{
        switch (request->type) {
        case FRAME_HELLO:
                hello(session, request);
                break;
        case FRAME_ARENA_CREATE:
                arena_create(session, request);
                break;
        case FRAME_ARENA_RELEASE:
                arena_release(session, request);
                break;
        case FRAME_MATMUL:
                session_matmul(session, request, payload_bytes, ret_payload);
                break;
        case FRAME_CANCEL:
                cancel(session, request);
                break;
        case FRAME_STATUS:
                status(session, request);
                break;
        case FRAME_SET:
                set(session, request);
                break;
        case FRAME_PING:
                ping(session, request);
                break;
        case FRAME_WEIGHTS_LOAD:
                session_weights_load(session, request, payload_bytes, ret_payload);
                break;
        case FRAME_WEIGHTS_RELEASE:
                session_weights_release(session, request);
                break;
        default:
                assert(false && "a type that dispatch does not let through");
        }
}

void session_payload_done(struct session *session)
{
        session_matmul_arrived(session);
        session_weights_arrived(session);
}

void session_deinit(struct session *session)
{
        struct session_arena *handle;
        struct job *job;

        session->arriving = job_free(session->arriving);
        while ((job = TAILQ_FIRST(&session->jobs))) {
                TAILQ_REMOVE(&session->jobs, job, session_link);
                job_orphan(job);
                pipeline_cancel(session->context->pipeline, job);
        }
        session_weights_deinit(session);
        while ((handle = TAILQ_FIRST(&session->arenas))) {
                TAILQ_REMOVE(&session->arenas, handle, link);
                if (handle->arena_going)
                        handle->arena_going->gone_fn = NULL;
                (void)arena_unref(handle->arena);
                free(handle);
        }
        pipeline_client_deinit(session->context->pipeline, &session->client);
}
