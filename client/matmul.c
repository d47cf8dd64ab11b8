/* SPDX-License-Identifier: MIT */
/* matmul.c - see matmul.h. */
#include "matmul.h"

#include <errno.h>
#include <inttypes.h>

#include "client.h"
#include "job.h"
#include "operands.h"

static_assert((int)NPUMM_OUTPUT_INT32 == OUTPUT_INT32 && (int)NPUMM_OUTPUT_INT8 == OUTPUT_INT8 &&
                      (int)NPUMM_OUTPUT_FLOAT32 == OUTPUT_FLOAT32 &&
                      (int)NPUMM_OUTPUT_TILE16_SHIFT7 == OUTPUT_TILE16_SHIFT7 && OUTPUT_MAX == 4,
              "npumm.h and message.h disagree on output forms");
static_assert((int)NPUMM_ROUNDING_FLOOR == ROUNDING_FLOOR &&
                      (int)NPUMM_ROUNDING_NEAREST_EVEN == ROUNDING_NEAREST_EVEN && ROUNDING_MAX == 2,
              "npumm.h and message.h disagree on roundings");
static_assert(NPUMM_K_MAX == MESSAGE_K_MAX, "npumm.h and message.h disagree on K");

static_assert((int)NPUMM_CLASS_NORMAL == CLASS_NORMAL && (int)NPUMM_CLASS_INTERACTIVE == CLASS_INTERACTIVE &&
                      (int)NPUMM_CLASS_BULK == CLASS_BULK && CLASS_MAX == 3,
              "npumm.h and message.h disagree on classes");

#define FLAGS_KNOWN (NPUMM_MATMUL_B_TRANSPOSED | NPUMM_MATMUL_INLINE | NPUMM_MATMUL_MORE)

/* A matmul on its way to a frame. */
struct plan {
        struct request request;
        struct operands operands; /* C first, then the inputs that are given */
};

/* ---- checking ---- */

/* Inputs and C get two arena numbers, as overlap in memory has a check of its own. */
static void plan_describe(const struct npumm_matmul *matmul, struct request_matmul *ret_request)
{
        *ret_request = (struct request_matmul){
                .m = matmul->m,
                .k = matmul->k,
                .n = matmul->n,
                .a = operand_address(1, matmul->a, matmul->lda),
                .b_is_weights = matmul->weights != 0,
                .weights = matmul->weights,
                .b = operand_address(1, matmul->b, matmul->ldb),
                .b_transposed = (matmul->flags & NPUMM_MATMUL_B_TRANSPOSED) != 0,
                .c = operand_address(2, matmul->c, matmul->ldc),
                .form = (enum output_form)matmul->output,
                .shift = matmul->shift,
                .rounding = (enum rounding)matmul->rounding,
                .row_scale = operand_address(1, matmul->row_scale, 0),
                .col_scale = operand_address(1, matmul->col_scale, 0),
                .bias = operand_address(1, matmul->bias, 0),
                .class = (enum job_class)matmul->job_class,
                .deadline_us = matmul->deadline_us,
                .more = (matmul->flags & NPUMM_MATMUL_MORE) != 0,
        };
}

/* What the numbers cannot tell: pointers and flags. */
static int pointers_check(struct npumm_client *client, const struct npumm_matmul *matmul)
{
        const struct {
                const char *name;
                const void *memory;
                bool is_needed;
                size_t align_bytes; /* a power of two */
        } pointers[] = {
                {"a", matmul->a, true, 1},
                {"b", matmul->b, matmul->weights == 0, 1},
                {"c", matmul->c, true, output_elem_bytes((enum output_form)matmul->output)},
                {"row_scale", matmul->row_scale, false, sizeof(float)},
                {"col_scale", matmul->col_scale, false, sizeof(float)},
                {"bias", matmul->bias, false, sizeof(float)},
        };

        if (matmul->flags & ~(uint32_t)FLAGS_KNOWN)
                return client_fail(client, NPUMM_STATUS_INVALID,
                                   "flags are %#" PRIx32 "; this library knows %#x", matmul->flags,
                                   FLAGS_KNOWN);
        if (matmul->reserved != 0)
                return client_fail(client, NPUMM_STATUS_INVALID, "reserved is %#" PRIx32 "; set it to 0",
                                   matmul->reserved);
        if (matmul->weights != 0 && (matmul->b || matmul->ldb != 0))
                return client_fail(client, NPUMM_STATUS_INVALID,
                                   "both b and weights are given: leave b NULL and ldb 0, or weights 0");
        for (size_t i = 0; i < ARRAY_SIZE(pointers); i++) {
                if (pointers[i].is_needed && !pointers[i].memory)
                        return client_fail(client, NPUMM_STATUS_INVALID, "%s is NULL", pointers[i].name);
                if (((uintptr_t)pointers[i].memory & (pointers[i].align_bytes - 1)) != 0)
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
        static_assert(ARRAY_SIZE(all) == OPERANDS_MAX, "one each");

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i].memory)
                        operands_add(&plan->operands, all[i].name, all[i].memory, all[i].place, all[i].rows,
                                     all[i].cols, all[i].elem_bytes);
        plan->operands.all[0].is_output = true;
        plan->operands.inline_flag = "NPUMM_MATMUL_INLINE";
}

static int overlap_check(struct npumm_client *client, const struct plan *plan)
{
        const struct place *c = plan->operands.all[0].place;

        for (size_t i = 1; i < plan->operands.n; i++) {
                const struct place *input = plan->operands.all[i].place;

                if (input->offset_bytes < c->offset_bytes + c->extent_bytes &&
                    c->offset_bytes < input->offset_bytes + input->extent_bytes)
                        return client_fail(client, NPUMM_STATUS_INVALID,
                                           "C overlaps %s: give the product memory of its own",
                                           plan->operands.all[i].name);
        }
        return 0;
}

/*
 * Whether the daemon knows what the job asks for. A class it may ignore: the product is the same, only its
 * turn is another.
 */
static int version_check(struct npumm_client *client, const struct request_matmul *request)
{
        int r = 0;

        if (request->b_is_weights)
                r = client_need_minor(client, 1, "weights", "give b");
        if (r == 0 && request->deadline_us != 0)
                r = client_need_minor(client, 1, "deadlines", "leave deadline_us 0");
        if (r == 0 && request->more)
                r = client_need_minor(client, 1, "groups", "leave NPUMM_MATMUL_MORE out");
        return r;
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
        r = overlap_check(client, plan);
        return r != 0 ? r : version_check(client, &plan->request.matmul);
}

/* ---- sending ---- */

static int job_push(struct npumm_client *client, struct plan *plan, struct job *job)
{
        struct fault fault;
        int r;

        /* The daemon looks at the same numbers in the same way: it must find nothing that we have missed. With operands in
           arenas nothing but their places is new, which arenas_find has looked at. */
        if (job->is_inline &&
            !message_check_matmul(&plan->request.matmul, plan->operands.payload_bytes, &fault))
                return client_fail(client, NPUMM_STATUS_INTERNAL, "%s", fault.text);
        plan->request.type = FRAME_MATMUL;
        plan->request.id = client->last_id + 1;
        r = channel_push(&client->channel, &plan->request, plan->operands.views, plan->operands.n_views);
        if (r < 0)
                return client_fail(client, r, "no memory to send a job");
        client->last_id = plan->request.id;
        job->id = plan->request.id;
        TAILQ_INSERT_TAIL(&client->jobs.list, job, link);
        client->jobs.n_jobs++;
        client->jobs.n_in_group = plan->request.matmul.more ? client->jobs.n_in_group + 1 : 0;
        return 0;
}

/*
 * A group that takes up all jobs of the connection could never be ended: none of its jobs is queued before
 * the last has come, and no other would be taken.
 */
static int room_check(struct npumm_client *client, bool more)
{
        const struct jobs *jobs = &client->jobs;

        if (jobs->n_jobs >= client->limits.jobs)
                return client_fail(
                        client, NPUMM_STATUS_BUSY,
                        "%zu jobs are outstanding, as many as the daemon allows (npumm_info::jobs_max): "
                        "dispatch until one is done",
                        jobs->n_jobs);
        if (more && jobs->n_in_group + 1 >= client->limits.jobs)
                return client_fail(client, NPUMM_STATUS_BUSY,
                                   "a group of more than %" PRIu32
                                   " jobs (npumm_info::jobs_max): submit this one without NPUMM_MATMUL_MORE",
                                   client->limits.jobs);
        return 0;
}

static int job_place(struct npumm_client *client, struct plan *plan, struct job *job)
{
        const struct operand *c = &plan->operands.all[0];
        int r;

        if (job->is_inline)
                return operands_place_inline(client, &plan->operands);
        r = operands_place_arenas(client, &plan->operands, &job->staged);
        if (r == 0 && c->is_staged)
                job->staged_c = job->staged + c->staged_at_bytes;
        return r;
}

int jobs_submit(struct npumm_client *client, const struct npumm_matmul *matmul, npumm_rows_fn rows_fn,
                npumm_done_fn done_fn, void *userdata, uint64_t *ret_job)
{
        struct plan plan = {0};
        const struct operand *c = &plan.operands.all[0];
        struct job *job;
        int r;

        r = plan_check(client, matmul, &plan);
        if (r == 0)
                r = room_check(client, plan.request.matmul.more);
        if (r != 0)
                return r;
        job = calloc(1, sizeof *job);
        if (!job)
                return client_fail(client, -ENOMEM, "no memory to keep track of a job");
        job->is_inline = (matmul->flags & NPUMM_MATMUL_INLINE) != 0;
        job->m = matmul->m;
        job->c = (struct channel_view){c->memory, c->rows * c->row_bytes, c->row_bytes, c->stride_bytes};
        job->rows_fn = rows_fn;
        job->done_fn = done_fn;
        job->userdata = userdata;
        r = job_place(client, &plan, job);
        if (r == 0)
                r = job_push(client, &plan, job);
        if (r != 0) {
                (void)arenas_free(client, job->staged);
                job_free(job);
                return r;
        }
        if (ret_job)
                *ret_job = job->id;
        if (!client->in_callback) /* otherwise with all that its neighbours submit: jobs_deliver() */
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
