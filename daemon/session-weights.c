/* SPDX-License-Identifier: MIT */
/*
 * session-weights.c - a client's weights: from WEIGHTS_LOAD to a handle, and to WEIGHTS_RELEASE.
 *
 * Role:   finds where the matrix lies, or stages one that comes inline; charges, loads, gives out handles.
 * Thread: loop.
 * Never:  gives out a handle that says anything: it is random, and means nothing to any other session.
 */
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <sys/random.h>

#include "daemon/session-internal.h"
#include "daemon/weights-load.h"

/* A client's handle on weights, from the WEIGHTS_LOAD on. */
struct session_weights {
        struct weights_holder holder; /* session::weights */
        struct session *session;      /* borrowed: owns us; NULL once that has ended */
        uint64_t request_id;          /* of the WEIGHTS_LOAD */
        uint64_t id;                  /* 0 until it is loaded */
        struct weights_load *load;    /* owned; NULL once it is loaded */
        struct weights *weights;      /* ref; NULL until it is loaded */
        struct quota_charge charge;   /* QUOTA_WEIGHTS */
};

static struct session_weights *handle_free(struct session_weights *handle)
{
        if (!handle)
                return NULL;
        (void)weights_load_free(handle->load);
        (void)weights_unref(handle->weights);
        quota_discharge(&handle->charge);
        free(handle);
        return NULL;
}

static void end(struct weights_holder *holder)
{
        (void)handle_free(container_of(holder, struct session_weights, holder));
}

/* ---- handles ---- */

static int compare(const void *left, const void *right)
{
        const struct session_weights *l = left, *r = right;

        return l->id < r->id ? -1 : l->id > r->id;
}

static struct session_weights *handle_find(const struct session *session, uint64_t id)
{
        const struct session_weights wanted = {.id = id};
        struct session_weights **node = tfind(&wanted, &session->weights_by_id, compare);

        return node ? *node : NULL;
}

struct weights *session_weights_find(const struct session *session, uint64_t id)
{
        const struct session_weights *handle = handle_find(session, id);

        return handle ? handle->weights : NULL;
}

/* Gives the handle its number and puts it where it is found by it; false when memory is short. */
static bool handle_publish(struct session_weights *handle)
{
        struct session_weights **node;

        for (;;) {
                if (getrandom(&handle->id, sizeof handle->id, 0) != sizeof handle->id)
                        return false;
                if (handle->id == 0)
                        continue;
                node = tsearch(handle, &handle->session->weights_by_id, compare);
                if (!node || *node == handle)
                        return node != NULL;
        }
}

/* ---- loading ---- */

/* Whether the payload is the matrix as the daemon keeps it: then it may arrive in the copy itself. */
static bool is_as_kept(const struct request_weights_load *load, uint64_t payload_bytes)
{
        return load->b.arena == 0 && !load->b_transposed && load->b.offset_bytes == 0 &&
               load->b.extent_bytes == load->k * load->n && load->b.extent_bytes == payload_bytes;
}

/* ret_source has a reference on its arena, which is one of the client's or a new one for the payload. */
static bool source_find(const struct session *session, const struct request_weights_load *load,
                        uint64_t payload_bytes, struct weights_source *ret_source, struct fault *fault)
{
        const struct session_context *context = session->context;
        struct arena *arena;
        int r;

        if (load->b.arena != 0) {
                if (!session_place_find(session, "B", &load->b, &arena, fault))
                        return false;
                (void)arena_ref(arena);
        } else {
                r = arena_new(context->arenas, session->uid, payload_bytes, &arena);
                if (r != 0)
                        return arena_fault(context->arenas, session->uid, r, fault);
        }
        *ret_source = (struct weights_source){
                .arena = arena,
                .offset_bytes = load->b.offset_bytes,
                .ld_elems = load->b.ld_elems,
                .is_transposed = load->b_transposed,
        };
        return true;
}

/* Makes the load. ret_payload: where the payload goes, if there is one. */
static bool load_make(struct session_weights *handle, const struct request_weights_load *load,
                      uint64_t payload_bytes, uint8_t **ret_payload, struct fault *fault)
{
        const struct session *session = handle->session;
        struct weights_set *set = session->context->weights;
        struct weights_source source = {0};
        const bool is_direct = is_as_kept(load, payload_bytes);
        int r;

        if (!is_direct && !source_find(session, load, payload_bytes, &source, fault))
                return false;
        r = weights_load_new(set, session->uid, load->k, load->n, is_direct ? NULL : &source, &handle->load);
        if (r == 0 && payload_bytes > 0)
                *ret_payload = is_direct ? weights_load_memory(handle->load) : source.arena->memory;
        (void)arena_unref(source.arena); /* the load's reference is the one that counts */
        return r == 0 || weights_fault(set, session->uid, r, fault);
}

static bool admit(struct session_weights *handle, const struct request_weights_load *load,
                  uint64_t payload_bytes, uint8_t **ret_payload, struct fault *fault)
{
        const struct session *session = handle->session;
        const struct session_context *context = session->context;
        int r;

        if (context->stopping)
                return fault_set(fault, STATUS_BUSY, "the daemon is stopping; load again when it is back");
        r = quota_charge(context->quota, session->uid, QUOTA_WEIGHTS, 1, &handle->charge);
        if (r != 0)
                return quota_fault(context->quota, session->uid, QUOTA_WEIGHTS, r, fault);
        return load_make(handle, load, payload_bytes, ret_payload, fault);
}

void session_weights_load(struct session *session, const struct request *request, uint64_t payload_bytes,
                          uint8_t **ret_payload)
{
        struct session_weights *handle = calloc(1, sizeof *handle);
        struct fault fault;

        assert(!session->weights_arriving);
        if (handle)
                handle->session = session;
        else
                quota_fault(session->context->quota, session->uid, QUOTA_WEIGHTS, -ENOMEM, &fault);
        if (!handle || !admit(handle, &request->weights_load, payload_bytes, ret_payload, &fault)) {
                (void)handle_free(handle);
                session_refuse(session, request, &fault);
                return;
        }
        handle->request_id = request->id;
        handle->holder.end_fn = end;
        session->weights_arriving = handle;
        TAILQ_INSERT_TAIL(&session->weights, &handle->holder, link);
}

static void on_loaded(struct weights *weights, bool is_shared, void *userdata)
{
        struct session_weights *handle = userdata;
        struct session *session = handle->session;
        struct fault fault;

        handle->load = NULL;
        handle->weights = weights;
        if (!session) /* it will end with the others that were left */
                return;
        if (!weights || !handle_publish(handle)) {
                quota_fault(session->context->quota, session->uid, QUOTA_WEIGHTS, -ENOMEM, &fault);
                session_refuse(session,
                               &(struct request){.type = FRAME_WEIGHTS_LOAD, .id = handle->request_id},
                               &fault);
                TAILQ_REMOVE(&session->weights, &handle->holder, link);
                (void)handle_free(handle);
                return;
        }
        session_reply(session, &(struct reply){
                                       .type = FRAME_WEIGHTS_LOADED,
                                       .id = handle->request_id,
                                       .weights_loaded =
                                               {
                                                       .weights = handle->id,
                                                       .charged_bytes = is_shared ? 0 : weights->size_bytes,
                                                       .shared = is_shared,
                                               },
                               });
}

void session_weights_arrived(struct session *session)
{
        struct session_weights *handle = session->weights_arriving;

        if (!handle)
                return;
        session->weights_arriving = NULL;
        weights_load_start(handle->load, on_loaded, handle);
}

/* ---- the end ---- */

void session_weights_release(struct session *session, const struct request *request)
{
        const uint64_t id = request->weights_release.weights;
        struct session_weights *handle = handle_find(session, id);
        struct fault fault;

        if (!handle) {
                session_weights_fault(id, &fault);
                session_refuse(session, request, &fault);
                return;
        }
        (void)tdelete(handle, &session->weights_by_id, compare);
        TAILQ_REMOVE(&session->weights, &handle->holder, link);
        (void)handle_free(handle);
        session_reply(session, &(struct reply){.type = FRAME_WEIGHTS_RELEASED, .id = request->id});
}

bool session_weights_fault(uint64_t id, struct fault *ret_fault)
{
        return fault_set(ret_fault, STATUS_NOT_FOUND, "weights %" PRIu64 " are not among this connection's",
                         id);
}

static void keep(void *handle)
{
        (void)handle; /* the tree goes, what is in it stays */
}

void session_weights_deinit(struct session *session)
{
        struct weights_holder *holder;

        session->weights_arriving = NULL;
        tdestroy(session->weights_by_id, keep);
        session->weights_by_id = NULL;
        TAILQ_FOREACH(holder, &session->weights, link)
                container_of(holder, struct session_weights, holder)->session = NULL;
        weights_end_holders(session->context->weights, &session->weights);
}
