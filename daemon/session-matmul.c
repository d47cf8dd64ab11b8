/* SPDX-License-Identifier: MIT */
/*
 * session-matmul.c - from a MATMUL request to a job, and from the job's rows to replies.
 *
 * Role:   resolves places to addresses, stages what travels inline, charges, hands over; sends rows and the end.
 * Thread: loop.
 * Never:  reads operand bytes.
 */
#include <inttypes.h>

#include "daemon/session-internal.h"
#include "daemon/weights.h"

/* Inline rows travel in pieces of about this size, so that other replies get in between. At least one row. */
#define ROWS_PAYLOAD_BYTES 1048576
#define STAGING_ALIGN      64

/* ---- the way in ---- */

/* What is known of a MATMUL while it is being admitted. */
struct admission {
        struct session *session;
        const struct request_matmul *matmul;
        struct job *job;
        uint64_t payload_bytes;
        struct fault *fault;
};

/* The address of an operand that lies in one of the client's arenas or in the staged payload. */
static bool place_resolve(const struct admission *admission, const char *name, const struct place *place,
                          uint8_t **ret_address)
{
        struct job *job = admission->job;
        struct arena *arena;

        if (place->arena == 0) { /* inside the payload: message_check_matmul has seen to it */
                *ret_address = job->staging->memory + place->offset_bytes;
                return true;
        }
        if (!session_place_find(admission->session, name, place, &arena, admission->fault))
                return false;
        job_hold(job, arena);
        *ret_address = arena->memory + place->offset_bytes;
        return true;
}

static bool vector_resolve(const struct admission *admission, const char *name, const struct place *place,
                           const float **ret_vector)
{
        uint8_t *address = NULL;

        if (place->extent_bytes != 0 && !place_resolve(admission, name, place, &address))
                return false;
        *ret_vector = (const float *)(const void *)address; /* aligned: the check has seen to it */
        return true;
}

/* C that travels inline is computed behind the payload, in the same staging arena. */
static bool c_resolve(const struct admission *admission, uint64_t c_offset_bytes, uint8_t **ret_address)
{
        if (admission->matmul->c.arena != 0)
                return place_resolve(admission, "C", &admission->matmul->c, ret_address);
        *ret_address = admission->job->staging->memory + c_offset_bytes;
        return true;
}

/* Makes room for the payload and an inline C. */
static bool staging_make(const struct admission *admission, uint64_t *ret_c_offset_bytes)
{
        const struct request_matmul *matmul = admission->matmul;
        struct session *session = admission->session;
        struct arena *staging;
        uint64_t c_offset_bytes, size_bytes;
        int r;

        if (!checked_align(admission->payload_bytes, STAGING_ALIGN, &c_offset_bytes) ||
            !checked_add(c_offset_bytes, matmul->c.arena == 0 ? matmul->c.extent_bytes : 0, &size_bytes))
                return fault_set(admission->fault, STATUS_INVALID, "C: its size overflows 64-bit arithmetic");
        *ret_c_offset_bytes = c_offset_bytes;
        if (size_bytes == 0)
                return true;
        r = arena_new(session->context->arenas, session->uid, size_bytes, &staging);
        if (r != 0)
                return arena_fault(session->context->arenas, session->uid, r, admission->fault);
        job_hold(admission->job, staging);
        admission->job->staging = staging;
        (void)arena_unref(staging); /* the job's reference is the one that counts */
        return true;
}

/* B that stays. The job holds it: a client may release its handle at any time. */
static bool weights_resolve(const struct admission *admission)
{
        const struct request_matmul *matmul = admission->matmul;
        struct product *product = &admission->job->product;
        struct weights *weights = session_weights_find(admission->session, matmul->weights);

        if (!weights)
                return session_weights_fault(matmul->weights, admission->fault);
        if (matmul->k != weights->resident.k || matmul->n != weights->resident.n)
                return fault_set(
                        admission->fault, STATUS_INVALID,
                        "B is %" PRIu64 " x %" PRIu64 ", but weights %" PRIu64 " are %" PRIu64 " x %" PRIu64,
                        matmul->k, matmul->n, matmul->weights, weights->resident.k, weights->resident.n);
        admission->job->weights = weights_ref(weights);
        product->b = weights->resident.b;
        product->ldb = weights->resident.n;
        product->resident = &weights->resident;
        return true;
}

static bool b_resolve(const struct admission *admission)
{
        const struct request_matmul *matmul = admission->matmul;
        struct product *product = &admission->job->product;
        uint8_t *b = NULL;

        if (matmul->b_is_weights)
                return weights_resolve(admission);
        if (!place_resolve(admission, "B", &matmul->b, &b))
                return false;
        product->b = (const int8_t *)b;
        product->ldb = matmul->b.ld_elems;
        product->b_transposed = matmul->b_transposed;
        return true;
}

static bool product_resolve(const struct admission *admission)
{
        const struct request_matmul *matmul = admission->matmul;
        struct product *product = &admission->job->product;
        uint8_t *a = NULL, *c = NULL;
        uint64_t c_offset_bytes = 0;

        *product = (struct product){
                .m = matmul->m,
                .k = matmul->k,
                .n = matmul->n,
                .lda = matmul->a.ld_elems,
                .ldc = matmul->c.ld_elems,
                .form = matmul->form,
                .shift = matmul->shift,
                .rounding = matmul->rounding,
        };
        if (!staging_make(admission, &c_offset_bytes) || !place_resolve(admission, "A", &matmul->a, &a) ||
            !b_resolve(admission) || !c_resolve(admission, c_offset_bytes, &c) ||
            !vector_resolve(admission, "row_scale", &matmul->row_scale, &product->row_scale) ||
            !vector_resolve(admission, "col_scale", &matmul->col_scale, &product->col_scale) ||
            !vector_resolve(admission, "bias", &matmul->bias, &product->bias))
                return false;
        product->a = (const int8_t *)a;
        product->c = c;
        return true;
}

static bool admit(const struct admission *admission)
{
        struct session *session = admission->session;
        const struct session_context *context = session->context;
        int r;

        if (context->stopping)
                return fault_set(admission->fault, STATUS_BUSY,
                                 "the daemon is stopping; submit again when it is back");
        if (session->n_jobs >= context->limits.jobs)
                return fault_set(admission->fault, STATUS_BUSY,
                                 "the connection is at its limit jobs-per-connection = %" PRIu32
                                 "; wait for one to be done",
                                 context->limits.jobs);
        r = quota_charge(context->quota, session->uid, QUOTA_JOBS, 1, &admission->job->charge);
        if (r != 0)
                return quota_fault(context->quota, session->uid, QUOTA_JOBS, r, admission->fault);
        return product_resolve(admission);
}

/* ---- the way out ---- */

static void rows_send_inline(struct session *session, const struct job *job, uint64_t first_row,
                             uint64_t rows)
{
        const uint64_t row_bytes = job->product.n * output_elem_bytes(job->product.form);
        const uint64_t rows_a_piece = MAX(UINT64_C(1), ROWS_PAYLOAD_BYTES / row_bytes);

        while (rows > 0) {
                const uint64_t piece = MIN(rows, rows_a_piece);
                const struct connection_payload payload = {
                        .bytes = (const uint8_t *)job->product.c + first_row * row_bytes,
                        .n_bytes = piece * row_bytes,
                        .release_fn = session_arena_unref,
                        .owner = arena_ref(job->staging),
                };

                session->sink.send(session->sink.userdata,
                                   &(struct reply){.type = FRAME_ROWS,
                                                   .id = job->request_id,
                                                   .rows = {.first_row = first_row, .rows = piece}},
                                   &payload, -1);
                first_row += piece;
                rows -= piece;
        }
}

static void on_rows(struct job *job, uint64_t first_row, uint64_t rows, void *userdata)
{
        struct session *session = userdata;

        if (job->c_is_inline)
                rows_send_inline(session, job, first_row, rows);
        else if (!(session->features & MESSAGE_FEATURE_LAST_ROWS) ||
                 !job_is_over(job)) /* else DONE says it */
                session_reply(session, &(struct reply){.type = FRAME_ROWS,
                                                       .id = job->request_id,
                                                       .rows = {.first_row = first_row, .rows = rows}});
}

static void on_done(struct job *job, enum status status, const char *text, void *userdata)
{
        struct session *session = userdata;

        TAILQ_REMOVE(&session->jobs, job, session_link);
        session->n_jobs--;
        session_reply(session, &(struct reply){.type = FRAME_DONE,
                                               .id = job->request_id,
                                               .outcome = {.status = status, .text = text}});
}

void session_matmul(struct session *session, const struct request *request, uint64_t payload_bytes,
                    uint8_t **ret_payload)
{
        struct job *job = job_new(request->id, on_rows, on_done, session);
        struct fault fault;
        const struct admission admission = {
                .session = session,
                .matmul = &request->matmul,
                .job = job,
                .payload_bytes = payload_bytes,
                .fault = &fault,
        };

        assert(!session->arriving);
        if (!job)
                fault_set(&fault, STATUS_BUSY, "the daemon is out of memory; try again later");
        if (!job || !admit(&admission)) {
                (void)job_free(job);
                session_refuse(session, request, &fault);
                return;
        }
        job->c_is_inline = request->matmul.c.arena == 0;
        job->class = request->matmul.class;
        job->deadline_us = request->matmul.deadline_us;
        job->more = request->matmul.more;
        session->arriving = job;
        if (payload_bytes > 0)
                *ret_payload = job->staging->memory;
}

void session_matmul_arrived(struct session *session)
{
        struct job *job = steal(&session->arriving);
        struct request request;
        struct fault fault;

        if (!job)
                return;
        if (session->context->stopping) /* the rest of its group would be refused: nobody would complete it */
                job->more = false;
        TAILQ_INSERT_TAIL(&session->jobs, job, session_link);
        session->n_jobs++;
        /* What a refusal needs to know of it: nothing else is left of the request, and the job may be gone below. */
        request =
                (struct request){.type = FRAME_MATMUL, .id = job->request_id, .matmul = {.more = job->more}};
        if (pipeline_submit(session->context->pipeline, &session->client, job, &fault))
                return;
        TAILQ_REMOVE(&session->jobs, job, session_link);
        session->n_jobs--;
        (void)job_free(job);
        session_refuse(session, &request, &fault);
}
