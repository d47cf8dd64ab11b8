/* SPDX-License-Identifier: MIT */
/* matmul.c - see matmul.h. */
#include "matmul.h"

#include <errno.h>
#include <inttypes.h>

#include "client.h"
#include "job.h"

static_assert((int)NPUMM_OUTPUT_INT32 == OUTPUT_INT32 && (int)NPUMM_OUTPUT_INT8 == OUTPUT_INT8 &&
                      (int)NPUMM_OUTPUT_FLOAT32 == OUTPUT_FLOAT32 &&
                      (int)NPUMM_OUTPUT_TILE16_SHIFT7 == OUTPUT_TILE16_SHIFT7 && OUTPUT_MAX == 4,
              "npumm.h and message.h disagree on output forms");
static_assert((int)NPUMM_ROUNDING_FLOOR == ROUNDING_FLOOR &&
                      (int)NPUMM_ROUNDING_NEAREST_EVEN == ROUNDING_NEAREST_EVEN && ROUNDING_MAX == 2,
              "npumm.h and message.h disagree on roundings");
static_assert(NPUMM_K_MAX == MESSAGE_K_MAX, "npumm.h and message.h disagree on K");

/* Of operands in one payload or staging block: as good for the kernels as what npumm_alloc() gives out. */
#define PLACE_ALIGN_BYTES 64u

/* One matrix or vector of a matmul. */
struct operand {
        const char *name;
        uint8_t *memory;     /* borrowed: the caller's; only C is written to */
        struct place *place; /* borrowed: in the request */
        uint64_t rows, row_bytes, stride_bytes;
        bool is_staged;
        uint64_t staged_at_bytes;
};

/* A matmul on its way to a frame. */
struct plan {
        struct request request;
        struct operand operands[6]; /* C first, then the inputs that are given */
        size_t n_operands;
        struct channel_view views[CHANNEL_VIEWS_MAX]; /* of the payload */
        size_t n_views;
        uint64_t payload_bytes;
};

/* ---- checking ---- */

/*
 * Until its real place is found an operand has its address for an offset, in an arena number that only the
 * check sees: the check then finds every fault of the numbers, addresses that wrap around included. Inputs
 * and C get two numbers, as overlap in memory has a check of its own.
 */
static struct place address_place(uint32_t arena, const void *memory, uint64_t ld_elems)
{
        return (struct place){
                .arena = arena,
                .offset_bytes = (uintptr_t)memory,
                .ld_elems = ld_elems,
                .extent_bytes = memory ? 1 : 0, /* given or not, as message_check_matmul() wants to know */
        };
}

static void plan_describe(const struct npumm_matmul *matmul, struct request_matmul *ret_request)
{
        *ret_request = (struct request_matmul){
                .m = matmul->m,
                .k = matmul->k,
                .n = matmul->n,
                .a = address_place(1, matmul->a, matmul->lda),
                .b = address_place(1, matmul->b, matmul->ldb),
                .b_transposed = (matmul->flags & NPUMM_MATMUL_B_TRANSPOSED) != 0,
                .c = address_place(2, matmul->c, matmul->ldc),
                .form = (enum output_form)matmul->output,
                .shift = matmul->shift,
                .rounding = (enum rounding)matmul->rounding,
                .row_scale = address_place(1, matmul->row_scale, 0),
                .col_scale = address_place(1, matmul->col_scale, 0),
                .bias = address_place(1, matmul->bias, 0),
        };
}

/* What the numbers cannot tell: pointers and flags. */
static int pointers_check(struct npumm_client *client, const struct npumm_matmul *matmul)
{
        const struct {
                const char *name;
                const void *memory;
                bool is_needed;
                size_t align_bytes;
        } pointers[] = {
                {"a", matmul->a, true, 1},
                {"b", matmul->b, true, 1},
                {"c", matmul->c, true, output_elem_bytes((enum output_form)matmul->output)},
                {"row_scale", matmul->row_scale, false, sizeof(float)},
                {"col_scale", matmul->col_scale, false, sizeof(float)},
                {"bias", matmul->bias, false, sizeof(float)},
        };

        if (matmul->flags & ~(uint32_t)(NPUMM_MATMUL_B_TRANSPOSED | NPUMM_MATMUL_INLINE))
                return client_fail(client, NPUMM_STATUS_INVALID,
                                   "flags are %#" PRIx32 "; this library knows %#x", matmul->flags,
                                   NPUMM_MATMUL_B_TRANSPOSED | NPUMM_MATMUL_INLINE);
        for (size_t i = 0; i < ARRAY_SIZE(pointers); i++) {
                if (pointers[i].is_needed && !pointers[i].memory)
                        return client_fail(client, NPUMM_STATUS_INVALID, "%s is NULL", pointers[i].name);
                if ((uintptr_t)pointers[i].memory % pointers[i].align_bytes != 0)
                        return client_fail(client, NPUMM_STATUS_INVALID,
                                           "%s is %p, not aligned to its elements of %zu bytes",
                                           pointers[i].name, pointers[i].memory, pointers[i].align_bytes);
        }
        return 0;
}

static void operands_list(const struct npumm_matmul *matmul, struct plan *plan)
{
        struct request_matmul *request = &plan->request.matmul;
        const uint64_t b_rows = request->b_transposed ? request->n : request->k;
        const uint64_t b_cols = request->b_transposed ? request->k : request->n;
        const struct {
                const char *name;
                const void *memory;
                struct place *place;
                uint64_t rows, cols, elem_bytes;
        } all[] = {
                {"C", matmul->c, &request->c, request->m, request->n, output_elem_bytes(request->form)},
                {"A", matmul->a, &request->a, request->m, request->k, 1},
                {"B", matmul->b, &request->b, b_rows, b_cols, 1},
                {"row_scale", matmul->row_scale, &request->row_scale, 1, request->m, sizeof(float)},
                {"col_scale", matmul->col_scale, &request->col_scale, 1, request->n, sizeof(float)},
                {"bias", matmul->bias, &request->bias, 1, request->n, sizeof(float)},
        };
        static_assert(ARRAY_SIZE(all) == ARRAY_SIZE(plan->operands), "one each");

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i].memory)
                        plan->operands[plan->n_operands++] = (struct operand){
                                .name = all[i].name,
                                .memory = (uint8_t *)all[i].memory,
                                .place = all[i].place,
                                .rows = all[i].rows,
                                .row_bytes = all[i].cols * all[i].elem_bytes,
                                .stride_bytes = all[i].place->ld_elems * all[i].elem_bytes,
                        };
}

static int overlap_check(struct npumm_client *client, const struct plan *plan)
{
        const struct place *c = plan->operands[0].place;

        for (size_t i = 1; i < plan->n_operands; i++) {
                const struct place *input = plan->operands[i].place;

                if (input->offset_bytes < c->offset_bytes + c->extent_bytes &&
                    c->offset_bytes < input->offset_bytes + input->extent_bytes)
                        return client_fail(client, NPUMM_STATUS_INVALID,
                                           "C overlaps %s: give the product memory of its own",
                                           plan->operands[i].name);
        }
        return 0;
}

/* Every check that needs no place yet; afterwards the plan's operands are listed. */
static int plan_check(struct npumm_client *client, const struct npumm_matmul *matmul, struct plan *plan)
{
        struct fault fault;
        int r;

        r = pointers_check(client, matmul);
        if (r != 0)
                return r;
        plan_describe(matmul, &plan->request.matmul);
        if (!message_check_matmul(&plan->request.matmul, 0, &fault))
                return client_fail(client, (int)fault.status, "%s", fault.text);
        operands_list(matmul, plan);
        return overlap_check(client, plan);
}

/* ---- placing ---- */

/* Inputs into the payload, each at a 64-byte boundary; the product comes back in payloads. */
static int plan_place_inline(struct npumm_client *client, struct plan *plan)
{
        *plan->operands[0].place = (struct place){.extent_bytes = 1};
        for (size_t i = 1; i < plan->n_operands; i++) {
                const struct operand *operand = &plan->operands[i];
                const uint64_t gap_bytes = -plan->payload_bytes % PLACE_ALIGN_BYTES;

                if (gap_bytes > 0) {
                        plan->views[plan->n_views++] = channel_zeros(gap_bytes);
                        plan->payload_bytes += gap_bytes;
                }
                *operand->place = (struct place){.offset_bytes = plan->payload_bytes, .extent_bytes = 1};
                plan->views[plan->n_views++] =
                        rows_view(operand->memory, operand->rows, operand->row_bytes, operand->stride_bytes);
                plan->payload_bytes +=
                        operand->rows * operand->row_bytes; /* below 2^49, by the limits of M, K, N */
        }
        if (plan->payload_bytes > client->limits.payload_bytes)
                return client_fail(client, NPUMM_STATUS_TOO_BIG,
                                   "inline operands of %" PRIu64
                                   " bytes are over the daemon's limit of %" PRIu64
                                   ": leave NPUMM_MATMUL_INLINE out",
                                   plan->payload_bytes, client->limits.payload_bytes);
        return 0;
}

/* Finds operands that lie in an arena; the others get a place in memory to come, whose size is returned. */
static int plan_find_places(struct npumm_client *client, struct plan *plan, uint64_t *ret_staged_bytes)
{
        uint64_t staged_bytes = 0;

        for (size_t i = 0; i < plan->n_operands; i++) {
                struct operand *operand = &plan->operands[i];
                struct place *place = operand->place;

                switch (arenas_find(client, operand->memory, place->extent_bytes, &place->arena,
                                    &place->offset_bytes)) {
                case ARENAS_INSIDE:
                        break;
                case ARENAS_ASTRAY:
                        return client_fail(client, NPUMM_STATUS_INVALID,
                                           "%s: its %" PRIu64
                                           " bytes at %p lie partly outside of what npumm_alloc() "
                                           "gave out",
                                           operand->name, place->extent_bytes, (void *)operand->memory);
                case ARENAS_OUTSIDE:
                        operand->is_staged = true;
                        operand->staged_at_bytes = staged_bytes;
                        if (!checked_add(staged_bytes, operand->rows * operand->row_bytes, &staged_bytes) ||
                            !checked_align(staged_bytes, PLACE_ALIGN_BYTES, &staged_bytes))
                                return client_fail(client, NPUMM_STATUS_BUSY, "%s is too large for any arena",
                                                   operand->name);
                        break;
                }
        }
        *ret_staged_bytes = staged_bytes;
        return 0;
}

/* Operands into arenas: in place where they lie in one already, else staged, inputs as copies. */
static int plan_place_arenas(struct npumm_client *client, struct plan *plan, struct job *job)
{
        uint64_t staged_bytes = 0;
        int r;

        r = plan_find_places(client, plan, &staged_bytes);
        if (r != 0 || staged_bytes == 0)
                return r;
        r = arenas_alloc(client, staged_bytes, &job->staged);
        if (r != 0)
                return r;
        for (size_t i = 0; i < plan->n_operands; i++) {
                struct operand *operand = &plan->operands[i];
                struct place *place = operand->place;
                uint8_t *memory = job->staged + operand->staged_at_bytes;

                if (!operand->is_staged)
                        continue;
                *place = (struct place){.extent_bytes = 1};
                (void)arenas_find(client, memory, 1, &place->arena, &place->offset_bytes);
                if (i == 0)
                        job->staged_c = memory;
                else
                        rows_copy(memory, operand->row_bytes, operand->memory, operand->stride_bytes,
                                  operand->rows, operand->row_bytes);
        }
        return 0;
}

/* ---- sending ---- */

static int job_push(struct npumm_client *client, struct plan *plan, struct job *job)
{
        struct fault fault;
        int r;

        /* The daemon looks at the same numbers in the same way: it must find nothing that we have missed. */
        if (!message_check_matmul(&plan->request.matmul, plan->payload_bytes, &fault))
                return client_fail(client, NPUMM_STATUS_INTERNAL, "%s", fault.text);
        plan->request.type = FRAME_MATMUL;
        plan->request.id = client->last_id + 1;
        r = channel_push(&client->channel, &plan->request, plan->views, plan->n_views);
        if (r < 0)
                return client_fail(client, r, "no memory to send a job");
        client->last_id = plan->request.id;
        job->id = plan->request.id;
        TAILQ_INSERT_TAIL(&client->jobs.list, job, link);
        client->jobs.n_jobs++;
        return 0;
}

int jobs_submit(struct npumm_client *client, const struct npumm_matmul *matmul, npumm_rows_fn rows_fn,
                npumm_done_fn done_fn, void *userdata, uint64_t *ret_job)
{
        struct plan plan = {0};
        const struct operand *c = &plan.operands[0];
        struct job *job;
        int r;

        r = plan_check(client, matmul, &plan);
        if (r != 0)
                return r;
        if (client->jobs.n_jobs >= client->limits.jobs)
                return client_fail(
                        client, NPUMM_STATUS_BUSY,
                        "%zu jobs are outstanding, as many as the daemon allows (npumm_info::jobs_max): "
                        "dispatch until one is done",
                        client->jobs.n_jobs);
        job = calloc(1, sizeof *job);
        if (!job)
                return client_fail(client, -ENOMEM, "no memory to keep track of a job");
        job->is_inline = (matmul->flags & NPUMM_MATMUL_INLINE) != 0;
        job->m = matmul->m;
        job->c = (struct channel_view){c->memory, c->rows * c->row_bytes, c->row_bytes, c->stride_bytes};
        job->rows_fn = rows_fn;
        job->done_fn = done_fn;
        job->userdata = userdata;
        r = job->is_inline ? plan_place_inline(client, &plan) : plan_place_arenas(client, &plan, job);
        if (r == 0)
                r = job_push(client, &plan, job);
        if (r != 0) {
                (void)arenas_free(client, job->staged);
                job_free(job);
                return r;
        }
        if (ret_job)
                *ret_job = job->id;
        channel_flush(&client->channel);
        return 0;
}

int jobs_cancel(struct npumm_client *client, uint64_t id)
{
        const struct request request = {.type = FRAME_CANCEL, .id = id};
        const struct job *job = job_find(client, id);

        if (!job)
                return client_fail(client, NPUMM_STATUS_NOT_FOUND, "job %" PRIu64 " is not outstanding", id);
        if (job->is_over)
                return 0; /* it was faster */
        if (channel_push(&client->channel, &request, NULL, 0) < 0)
                return client_fail(client, -ENOMEM, "no memory to cancel a job");
        channel_flush(&client->channel);
        return 0;
}
