/* SPDX-License-Identifier: MIT */
/*
 * submission.c - one command: packed, verified, started; and its results looked at and unpacked.
 *
 * Thread: main.
 */
#include "daemon/xrt/engine-internal.h"
#include "daemon/xrt/poison.h"

#include <inttypes.h>

/* ---- the way in ---- */

/* How much of each slot the batch takes: jobs lie one after the other. Of weights nothing is transferred. */
static void used_bytes(const struct stream64_batch *batch, uint64_t ret_bytes[STREAM64_ARG_MAX])
{
        uint64_t a = 0, b = 0;

        for (size_t i = 0; i < batch->n_jobs; i++) {
                const struct stream64_job *job = &batch->jobs[i];

                a = job->a.offset + STREAM64_COLUMNS * job->a.lane_stride;
                if (job->b.arg == STREAM64_ARG_B)
                        b = job->b.offset + STREAM64_COLUMNS * job->b.lane_stride;
        }
        ret_bytes[STREAM64_ARG_A] = a;
        ret_bytes[STREAM64_ARG_WEIGHTS] = 0;
        ret_bytes[STREAM64_ARG_C] = batch->c.offset + STREAM64_COLUMNS * batch->c.lane_stride;
        ret_bytes[STREAM64_ARG_B] = b;
}

static int slot_reserve(struct engine *engine, struct submission *submission,
                        const uint64_t bytes[STREAM64_ARG_MAX], struct xrt_fault *ret_fault)
{
        for (unsigned arg = 0; arg < STREAM64_ARG_MAX; arg++) {
                int r;

                if (arg == STREAM64_ARG_WEIGHTS)
                        continue;
                r = object_reserve(engine, &submission->objects[arg], arg, bytes[arg], ret_fault);
                if (r != 0)
                        return r;
        }
        return 0;
}

static const struct work_stack *stack_of(const struct submission *submission, size_t job)
{
        const struct work *work = submission->work;

        return &work->stacks[work->planned_stacks[submission->parts[job].product]];
}

static void job_pack(struct engine *engine, struct submission *submission, size_t index,
                     struct pack_count *count)
{
        const struct stream64_job *job = &submission->batch.jobs[index];
        const struct work_stack *stack = stack_of(submission, index);
        const size_t n = work_parts(submission->work, stack, &submission->parts[index], engine->pack_parts);
        struct wire_counts *counts = &submission->work->counts;
        uint8_t *a = submission->objects[STREAM64_ARG_A].bytes;

        pack_a_frame(a, job, submission->parts[index].rows);
        for (size_t i = 0; i < n; i++)
                pack_a(a, job, &engine->pack_parts[i], count);
        if (submission->parts[index].first_row == 0)
                counts->matrix_copies += 2 * stack->n_slices; /* A of each now, C of each later */
        if (job->b.arg != STREAM64_ARG_B)
                return;
        pack_b(submission->objects[STREAM64_ARG_B].bytes, &job->b, &engine->pack_parts[0], count);
        counts->matrix_copies++;
}

/* Its stream, made if need be, and looked at in any case. */
static int stream_prepare(struct engine *engine, struct submission *submission, bool *ret_is_new,
                          struct xrt_fault *ret_fault)
{
        struct stream64_buffers buffers = {.a = submission->objects[STREAM64_ARG_A].bytes};
        const struct stream *stream;
        struct txn_fault txn_fault;
        int r;

        r = streams_take(&engine->streams, &submission->batch, engine->options.flow, &submission->stream,
                         ret_is_new);
        if (r != 0)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_STREAM, 0, "no stream can be made of a batch (%d)",
                                     r);
        for (unsigned arg = 0; arg < STREAM64_ARG_MAX; arg++)
                buffers.size_bytes[arg] = submission->objects[arg].size_bytes;
        buffers.size_bytes[STREAM64_ARG_WEIGHTS] = engine->weights.size_bytes;
        stream = &engine->streams.streams[submission->stream];
        r = stream64_verify(&engine->txn_check, stream->words, stream->n_words, &buffers, &submission->batch,
                            &txn_fault);
        if (r != 0)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_STREAM, 0,
                                     "a stream was refused at word %zu: %.200s", txn_fault.word,
                                     txn_fault.text);
        return 0;
}

static int transfers_make(struct engine *engine, struct submission *submission,
                          const uint64_t bytes[STREAM64_ARG_MAX], bool stream_is_new,
                          struct xrt_fault *ret_fault)
{
        struct wire_counts *counts = &submission->work->counts;
        const struct {
                struct object *object;
                uint64_t n_bytes;
                uint64_t *count;
        } transfers[] = {
                {&submission->objects[STREAM64_ARG_A], bytes[STREAM64_ARG_A], &counts->matrix_syncs},
                {&submission->objects[STREAM64_ARG_B], bytes[STREAM64_ARG_B], &counts->matrix_syncs},
                {&submission->objects[STREAM64_ARG_C], bytes[STREAM64_ARG_C], &counts->control_syncs},
                {&engine->instructions[submission->stream],
                 stream_is_new ? engine->streams.streams[submission->stream].n_words * sizeof(uint32_t) : 0,
                 &counts->control_syncs},
        };

        for (size_t i = 0; i < ARRAY_SIZE(transfers); i++) {
                int r;

                if (transfers[i].n_bytes == 0)
                        continue;
                r = object_sync(transfers[i].object, XRT_SHIM_TO_DEVICE, 0, transfers[i].n_bytes, ret_fault);
                if (r != 0)
                        return r;
                (*transfers[i].count)++;
        }
        return 0;
}

static int run_start(struct engine *engine, struct submission *submission, struct xrt_fault *ret_fault)
{
        struct xrt_shim_buffer *args[XRT_SHIM_ARGS];
        const uint64_t start_ns = waiter_now_ns();
        struct xrt_shim_error error;

        for (unsigned arg = 0; arg < XRT_SHIM_ARGS; arg++)
                args[arg] = submission->objects[arg].buffer;
        args[STREAM64_ARG_WEIGHTS] = engine->weights.buffer;
        if (xrt_shim_run_start(submission->run, engine->instructions[submission->stream].buffer,
                               (uint32_t)engine->streams.streams[submission->stream].n_words, args,
                               &error) != 0)
                return xrt_fault_thrown(ret_fault, XRT_START, &error);
        waiter_push(engine->waiter, submission->run, start_ns);
        submission->is_in_flight = true;
        submission->start_ns = start_ns;
        submission->work->n_in_flight++;
        submission->work->counts.submissions++;
        if (submission->work->counts.submissions == 1)
                submission->work->pack_ns = start_ns - submission->work->begin_ns;
        engine->n_started++;
        return 0;
}

static int submission_pack(struct engine *engine, struct submission *submission, struct xrt_fault *ret_fault)
{
        struct pack_count ignored = {0};
        uint64_t bytes[STREAM64_ARG_MAX];
        bool stream_is_new;
        int r;

        used_bytes(&submission->batch, bytes);
        r = slot_reserve(engine, submission, bytes, ret_fault);
        if (r != 0)
                return r;
        engine_enter(engine);
        for (size_t i = 0; i < submission->batch.n_jobs; i++)
                job_pack(engine, submission, i, &ignored);
        engine_leave(engine);
        poison_put(submission->objects[STREAM64_ARG_C].bytes, &submission->batch);
        r = stream_prepare(engine, submission, &stream_is_new, ret_fault);
        if (r != 0)
                return r;
        return transfers_make(engine, submission, bytes, stream_is_new, ret_fault);
}

int submission_start(struct engine *engine, struct work *work, bool *ret_has_started,
                     struct xrt_fault *ret_fault)
{
        struct submission *submission = &engine->submissions[engine->n_started % ENGINE_SLOTS];
        int r;

        assert(!submission->is_in_flight);
        r = stream64_plan_next(&work->plan, &submission->batch, submission->parts);
        if (r == STREAM64_PLAN_E_END) {
                *ret_has_started = false;
                return 0;
        }
        if (r != 0)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0,
                                     "batch %" PRIu64 " cannot be planned (%d)", work->number, r);
        submission->work = work;
        r = submission_pack(engine, submission, ret_fault);
        if (r != 0)
                return r;
        *ret_has_started = true;
        return run_start(engine, submission, ret_fault);
}

/* ---- the way out ---- */

/* Each time, never, or once in a while; all that a client can know of when is how often. */
static bool is_to_check(struct engine *engine)
{
        return engine->options.check == ENGINE_CHECK_ALWAYS ||
               (engine->options.check == ENGINE_CHECK_SAMPLE &&
                freivalds_below(&engine->freivalds, ENGINE_SAMPLE) == 0);
}

static int results_check(struct engine *engine, const struct submission *submission,
                         struct xrt_fault *ret_fault)
{
        const uint8_t *buffers[STREAM64_ARG_MAX];

        for (unsigned arg = 0; arg < STREAM64_ARG_MAX; arg++)
                buffers[arg] = submission->objects[arg].bytes;
        buffers[STREAM64_ARG_WEIGHTS] = engine->weights.bytes;
        for (size_t i = 0; i < submission->batch.n_jobs; i++) {
                const struct stream64_part *part = &submission->parts[i];
                const uint64_t k = submission->work->products[stack_of(submission, i)->first].k;

                submission->work->counts.checks++;
                if (!freivalds_check(&engine->freivalds, &submission->batch, i, buffers))
                        return xrt_fault_set(ret_fault, WIRE_CAUSE_WRONG, 0,
                                             "the NPU has said COMPLETED, and %" PRIu64 " x %" PRIu64
                                             " of a product, K %" PRIu64 ", are wrong",
                                             part->rows, part->cols, k);
        }
        return 0;
}

/* Nothing is believed of the state alone. */
static int results_look(struct engine *engine, struct submission *submission, struct xrt_fault *ret_fault)
{
        struct object *c = &submission->objects[STREAM64_ARG_C];
        struct poison_tile tile;
        int r;

        r = object_sync(c, XRT_SHIM_FROM_DEVICE, 0, STREAM64_COLUMNS * submission->batch.c.lane_stride,
                        ret_fault);
        if (r != 0)
                return r;
        submission->work->counts.matrix_syncs++;
        if (poison_is_left(c->bytes, &submission->batch, &tile))
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WRONG, 0,
                                     "the NPU has said COMPLETED, and core (%" PRIu64 ", %" PRIu64
                                     ") has not computed macro-tile %" PRIu64 " of %" PRIu64,
                                     tile.core, tile.lane, tile.macro_tile,
                                     poison_macro_tiles(&submission->batch));
        return is_to_check(engine) ? results_check(engine, submission, ret_fault) : 0;
}

int submission_finish(struct engine *engine, struct submission *submission, struct xrt_fault *ret_fault)
{
        const uint8_t *c = submission->objects[STREAM64_ARG_C].bytes;
        struct pack_count ignored = {0};
        int r;

        r = results_look(engine, submission, ret_fault);
        if (r != 0)
                return r;
        engine_enter(engine);
        for (size_t i = 0; i < submission->batch.n_jobs; i++) {
                const size_t n = work_parts(submission->work, stack_of(submission, i), &submission->parts[i],
                                            engine->pack_parts);

                for (size_t part = 0; part < n; part++)
                        unpack_c(c, &submission->batch, i, &engine->pack_parts[part], &ignored);
        }
        engine_leave(engine);
        streams_give_back(&engine->streams, submission->stream);
        submission->is_in_flight = false;
        submission->work->n_in_flight--;
        return 0;
}
