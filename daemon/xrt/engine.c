/* SPDX-License-Identifier: MIT */
/* engine.c - see engine.h: batches in their order, and what only one of a kind is made of. */
#include "daemon/xrt/engine-internal.h"

#include "daemon/device/portable.h"

#include <errno.h>
#include <sys/random.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#define OBJECT_BYTES_LEAST (UINT64_C(64) << 10)
#define OVERDUE_NS         UINT64_C(500000000) /* what the waiter may take to say that it gives up */
#define CPU_MACS           (UINT64_C(1) << 24) /* of a piece: a few milliseconds of the portable kernel */
#define CPU_COLS_LEAST     UINT64_C(64)

/* ---- memory ---- */

void engine_enter(struct engine *engine)
{
        if (!wire_gate_enter(engine->options.gate))
                _exit(0); /* the daemon has given us up, and has said all that there is to say */
}

void engine_leave(struct engine *engine)
{
        wire_gate_leave(engine->options.gate);
}

/*
 * Transfers are loops of cache line flushes, which some versions of the driver's library do not order. This orders
 * them: a full barrier for the compiler, for the processor, and on x86 for flushes, too.
 */
static void fence(void)
{
#if defined(__x86_64__) || defined(__i386__)
        _mm_mfence();
#else
        __sync_synchronize();
#endif
}

int object_sync(struct object *object, enum xrt_shim_direction direction, uint64_t offset_bytes,
                uint64_t n_bytes, struct xrt_fault *ret_fault)
{
        struct xrt_shim_error error;
        int r;

        fence();
        r = xrt_shim_buffer_sync(object->buffer, direction, offset_bytes, n_bytes, &error);
        fence();
        return r == 0 ? 0 : xrt_fault_thrown(ret_fault, XRT_SYNC, &error);
}

int object_reserve(struct engine *engine, struct object *object, unsigned arg, uint64_t n_bytes,
                   struct xrt_fault *ret_fault)
{
        uint64_t size_bytes = OBJECT_BYTES_LEAST;
        struct xrt_shim_error error;

        if (object->size_bytes >= MAX(n_bytes, OBJECT_BYTES_LEAST))
                return 0;
        while (size_bytes < n_bytes)
                size_bytes *= 2;
        if (arg == STREAM64_ARG_WEIGHTS)
                size_bytes = n_bytes; /* its steps are the pool's */
        object->buffer = xrt_shim_buffer_free(object->buffer);
        *object = (struct object){0};
        if (xrt_shim_buffer_new(engine->options.device, arg, size_bytes, &object->buffer, &object->bytes,
                                &error) != 0)
                return xrt_fault_thrown(ret_fault, XRT_MEMORY, &error);
        object->size_bytes = size_bytes;
        return 0;
}

/* ---- life ---- */

static int instructions_init(struct engine *engine, struct xrt_fault *ret_fault)
{
        uint32_t *words[STREAMS_MAX];

        for (size_t i = 0; i < STREAMS_MAX; i++) {
                const int r = object_reserve(engine, &engine->instructions[i], XRT_SHIM_ARGS,
                                             STREAM64_STREAM_BYTES_MAX, ret_fault);

                if (r != 0)
                        return r;
                words[i] = (uint32_t *)(void *)engine->instructions[i].bytes;
        }
        streams_init(&engine->streams, words);
        return 0;
}

static int runs_init(struct engine *engine, struct xrt_fault *ret_fault)
{
        struct xrt_shim_error error;

        for (size_t i = 0; i < ENGINE_SLOTS; i++)
                if (xrt_shim_run_new(engine->options.device, &engine->submissions[i].run, &error) != 0)
                        return xrt_fault_thrown(ret_fault, XRT_CONTEXT, &error);
        return 0;
}

static int engine_fill(struct engine *engine, struct xrt_fault *ret_fault)
{
        uint64_t seed;
        int r;

        if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, errno, "getrandom: %s", strerror(errno));
        freivalds_init(&engine->freivalds, seed);
        r = waiter_new(engine->options.timeout_ns, &engine->waiter);
        if (r < 0)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_MEMORY, -r, "no second thread: %s", strerror(-r));
        r = residents_init(engine, ret_fault);
        if (r != 0)
                return r;
        r = instructions_init(engine, ret_fault);
        return r != 0 ? r : runs_init(engine, ret_fault);
}

int engine_new(const struct engine_options *options, struct engine **ret_engine, struct xrt_fault *ret_fault)
{
        struct engine *engine = calloc(1, sizeof *engine);
        int r;

        if (!engine)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_MEMORY, ENOMEM, "no memory");
        engine->options = *options;
        r = engine_fill(engine, ret_fault);
        if (r != 0) {
                (void)engine_free(engine);
                return r;
        }
        *ret_engine = engine;
        return 0;
}

struct engine *engine_free(struct engine *engine)
{
        if (!engine)
                return NULL;
        (void)waiter_free(engine->waiter);
        for (size_t i = 0; i < ENGINE_SLOTS; i++)
                for (size_t arg = 0; arg < STREAM64_ARG_MAX; arg++)
                        (void)xrt_shim_buffer_free(engine->submissions[i].objects[arg].buffer);
        for (size_t i = 0; i < STREAMS_MAX; i++)
                (void)xrt_shim_buffer_free(engine->instructions[i].buffer);
        (void)xrt_shim_buffer_free(engine->weights.buffer);
        free(engine);
        return NULL;
}

int engine_fd(const struct engine *engine)
{
        return waiter_fd(engine->waiter);
}

/* ---- batches ---- */

static struct work *work_at(struct engine *engine, uint64_t number)
{
        return &engine->works[number % WIRE_BATCHES_MAX];
}

struct work *engine_room(struct engine *engine)
{
        return engine->n_pushed - engine->n_popped < WIRE_BATCHES_MAX ? work_at(engine, engine->n_pushed)
                                                                      : NULL;
}

void engine_push(struct engine *engine)
{
        assert(engine->n_pushed - engine->n_popped < WIRE_BATCHES_MAX);
        engine->n_pushed++;
}

bool engine_names_region(const struct engine *engine, uint64_t id)
{
        for (uint64_t i = engine->n_popped; i < engine->n_pushed; i++)
                if (work_names_region(&engine->works[i % WIRE_BATCHES_MAX], id))
                        return true;
        return false;
}

void engine_forget(struct engine *engine, struct mapping *region)
{
        weights_pool_remove(&engine->pool, &region->packed);
}

/* Of what the device computes; where its B lies is known now. */
static void work_plan(struct engine *engine, struct work *work)
{
        for (size_t i = 0; i < work->n_stacks; i++) {
                const struct work_stack *stack = &work->stacks[i];
                const struct product *product = &work->products[stack->first];

                if (stack->is_cpus)
                        continue;
                work->planned_stacks[work->n_planned] = i;
                work->planned[work->n_planned++] = (struct stream64_product){
                        .m = stack->rows,
                        .k = product->k,
                        .n = product->n,
                        .b_is_resident = stack->is_packed,
                        .b_offset = stack->is_packed ? stack->resident->packed.offset : 0,
                };
        }
        stream64_plan_begin(&work->plan, work->planned, work->n_planned, engine->options.flow);
        work->is_begun = true;
}

/* Its next command, if there is one and if it can be started now. */
static int work_advance(struct engine *engine, struct work *work, bool *ret_has_stepped,
                        struct xrt_fault *ret_fault)
{
        bool is_placed = true, has_started = false;
        int r = 0;

        if (work->begin_ns == 0)
                work->begin_ns = waiter_now_ns();
        if (!work->is_begun)
                r = residents_place(engine, work, &is_placed, ret_has_stepped, ret_fault);
        if (r != 0 || !is_placed)
                return r;
        if (!work->is_begun)
                work_plan(engine, work);
        r = submission_start(engine, work, &has_started, ret_fault);
        if (r != 0)
                return r;
        work->is_sent = !has_started;
        *ret_has_stepped = true;
        return 0;
}

/* ---- what the CPU computes ---- */

static bool slice_is_cpus(const struct work *work, size_t slice)
{
        return work->products[slice].form == OUTPUT_TILE16_SHIFT7;
}

static bool work_has_cpus(struct work *work)
{
        while (work->cpu_slice < work->n_slices && !slice_is_cpus(work, work->cpu_slice))
                work->cpu_slice++;
        return work->cpu_slice < work->n_slices;
}

/* Columns of a product of this form as a product of their own. */
static struct product columns_of(const struct product *product, uint64_t first_col, uint64_t cols)
{
        struct product part = *product;

        part.n = cols;
        part.b += product->b_transposed ? first_col * product->ldb : first_col;
        part.c = (int8_t *)product->c + first_col;
        return part;
}

/*
 * A few rows, or of long ones a few columns of one: who closes the gate, or asks whether we live, waits no longer.
 */
static void cpu_step(struct engine *engine, struct work *work)
{
        struct slice piece = work->slices[work->cpu_slice];
        const uint64_t rows_left = piece.rows - work->cpu_row, cols_left = piece.product->n - work->cpu_col;
        const uint64_t cols = MIN(cols_left, MAX(CPU_MACS / piece.product->k, CPU_COLS_LEAST));
        const uint64_t rows =
                cols == piece.product->n ? MAX(CPU_MACS / (piece.product->k * cols), UINT64_C(1)) : 1;
        const struct product part = columns_of(piece.product, work->cpu_col, cols);

        piece.product = &part;
        piece.first_row += work->cpu_row;
        piece.rows = MIN(rows, rows_left);
        engine_enter(engine);
        portable_run(&piece, 1);
        engine_leave(engine);
        work->cpu_col += cols;
        if (cols < cols_left)
                return;
        work->cpu_col = 0;
        work->cpu_row += piece.rows;
        if (piece.rows < rows_left)
                return;
        work->cpu_row = 0;
        work->cpu_slice++;
}

/* ---- stages ---- */

int engine_step(struct engine *engine, bool *ret_has_stepped, struct xrt_fault *ret_fault)
{
        *ret_has_stepped = false;
        for (uint64_t i = engine->n_popped; i < engine->n_pushed; i++) {
                struct work *work = work_at(engine, i);
                int r;

                if (work->is_sent)
                        continue;
                if (engine->n_started - engine->n_reaped == ENGINE_SLOTS)
                        break;
                r = work_advance(engine, work, ret_has_stepped, ret_fault);
                if (r != 0 || *ret_has_stepped)
                        return r;
                break; /* it waits; and batches do not overtake each other */
        }
        for (uint64_t i = engine->n_popped; i < engine->n_pushed; i++)
                if (work_has_cpus(work_at(engine, i))) {
                        cpu_step(engine, work_at(engine, i));
                        *ret_has_stepped = true;
                        return 0;
                }
        return 0;
}

int engine_reap(struct engine *engine, struct xrt_fault *ret_fault)
{
        struct submission *submission = &engine->submissions[engine->n_reaped % ENGINE_SLOTS];
        struct waiter_end end;
        int r;

        if (!waiter_pop(engine->waiter, &end))
                return 0;
        if (end.has_failed) {
                *ret_fault = end.fault;
                return XRT_E_FAULT;
        }
        submission->work->device_ns += end.end_ns - MAX(end.start_ns, engine->reaped_ns);
        engine->reaped_ns = end.end_ns;
        r = submission_finish(engine, submission, ret_fault);
        if (r != 0)
                return r;
        engine->n_reaped++;
        return 0;
}

bool engine_is_waiting(const struct engine *engine, bool *ret_is_overdue)
{
        const struct submission *oldest = &engine->submissions[engine->n_reaped % ENGINE_SLOTS];
        const uint64_t from_ns = MAX(oldest->start_ns, engine->reaped_ns);

        if (engine->n_started == engine->n_reaped)
                return false;
        *ret_is_overdue = waiter_now_ns() >= from_ns + engine->options.timeout_ns + OVERDUE_NS;
        return true;
}

bool engine_pop(struct engine *engine, struct wire_done *ret_done)
{
        struct work *work = work_at(engine, engine->n_popped);

        if (engine->n_popped == engine->n_pushed || !work->is_sent || work->n_in_flight > 0 ||
            work_has_cpus(work))
                return false;
        residents_leave(work);
        *ret_done = (struct wire_done){.kind = WIRE_DONE,
                                       .number = work->number,
                                       .pack_ns = work->pack_ns,
                                       .device_ns = work->device_ns,
                                       .counts = work->counts};
        engine->n_popped++;
        return true;
}
