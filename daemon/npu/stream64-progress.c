/* SPDX-License-Identifier: MIT */
/*
 * stream64-progress.c - see stream64-progress.h.
 *
 * Positions are counted in objects since the stream's begin, for each lane and core. What limits them:
 *
 *   memory tile of a lane   <= what its pushed transfers hold, and cores of the lane + 2
 *   cores' buffers          <= memory tile, and the slowest core of the lane + 2     (a broadcast moves to all four)
 *   core (i, j)             <= its A and its B; the next macro-tile needs one of its two C tiles to be free
 *   memory tile of C        <= the slowest core of the column, and what was written + 2
 *   what was written of C   <= memory tile of C, and what its pushed transfers hold
 */
#include "daemon/npu/stream64-progress.h"

#include <inttypes.h>

#define DEPTH 2 /* objects that a link buffers at each end */

struct input {
        uint64_t bytes_pushed;
        uint64_t in_memory_tile, in_cores; /* objects that have come so far */
        uint64_t object_bytes;
};

struct output {
        uint64_t bytes_pushed;
        uint64_t in_memory_tile, written; /* macro-tiles */
};

/* A core's next step. */
struct core {
        uint64_t steps;       /* done */
        uint64_t macro_tiles; /* done */
        uint64_t left;        /* steps of this macro-tile that are left */
        size_t job;           /* that it belongs to */
        uint64_t job_left;    /* macro-tiles of the job that are left, this one included */
};

struct array {
        const struct stream64_batch *batch; /* borrowed */
        struct input a[STREAM64_CORE_ROWS], b[STREAM64_COLUMNS];
        struct output c[STREAM64_COLUMNS];
        struct core cores[STREAM64_CORE_ROWS][STREAM64_COLUMNS];
};

/* ---- cores ---- */

static void core_begin_job(const struct array *array, struct core *core)
{
        if (core->job >= array->batch->n_jobs)
                return;
        core->left = array->batch->jobs[core->job].size.k;
        core->job_left = array->batch->jobs[core->job].size.m * array->batch->jobs[core->job].size.n;
}

/* Goes `n` steps on, at most to the end of its macro-tile. */
static void core_go(const struct array *array, struct core *core, uint64_t n)
{
        core->steps += n;
        core->left -= n;
        if (core->left > 0)
                return;
        core->macro_tiles++;
        if (--core->job_left > 0) {
                core->left = array->batch->jobs[core->job].size.k;
                return;
        }
        core->job++;
        core_begin_job(array, core);
}

/* How many steps it could go on in its macro-tile; to begin one it needs a C tile that has been taken away. */
static uint64_t core_steps(const struct array *array, unsigned i, unsigned j, uint64_t a_there,
                           uint64_t b_there)
{
        const struct core *core = &array->cores[i][j];

        if (core->job >= array->batch->n_jobs || core->macro_tiles >= array->c[j].in_memory_tile + DEPTH)
                return 0;
        return MIN(MIN(a_there, b_there) - core->steps, core->left);
}

/* ---- what moves ---- */

static bool raise_to(uint64_t *value, uint64_t limit)
{
        if (*value >= limit)
                return false;
        *value = limit;
        return true;
}

static uint64_t objects_pushed(const struct input *input)
{
        return input->bytes_pushed / input->object_bytes;
}

/* `slowest`: of the four cores that the lane feeds. */
static bool input_move(struct input *input, uint64_t slowest)
{
        bool moved;

        moved = raise_to(&input->in_memory_tile, MIN(objects_pushed(input), input->in_cores + DEPTH));
        return raise_to(&input->in_cores, MIN(input->in_memory_tile, slowest + DEPTH)) || moved;
}

static uint64_t slowest_of_row(const struct array *array, unsigned i)
{
        uint64_t least = array->cores[i][0].steps;

        for (unsigned j = 1; j < STREAM64_COLUMNS; j++)
                least = MIN(least, array->cores[i][j].steps);
        return least;
}

static uint64_t slowest_of_column(const struct array *array, unsigned j, bool by_macro_tiles)
{
        uint64_t least = UINT64_MAX;

        for (unsigned i = 0; i < STREAM64_CORE_ROWS; i++)
                least = MIN(least,
                            by_macro_tiles ? array->cores[i][j].macro_tiles : array->cores[i][j].steps);
        return least;
}

static bool output_move(struct array *array, unsigned j)
{
        struct output *c = &array->c[j];
        bool moved;

        moved = raise_to(&c->in_memory_tile, MIN(slowest_of_column(array, j, true), c->written + DEPTH));
        return raise_to(&c->written, MIN(c->in_memory_tile, c->bytes_pushed / STREAM64_C_OBJECT_BYTES)) ||
               moved;
}

/* One round: everything moves as far as the rest lets it. */
static bool array_move(struct array *array)
{
        bool moved = false;

        for (unsigned i = 0; i < STREAM64_COLUMNS; i++) {
                moved |= input_move(&array->a[i], slowest_of_row(array, i));
                moved |= input_move(&array->b[i], slowest_of_column(array, i, false));
        }
        for (unsigned i = 0; i < STREAM64_CORE_ROWS; i++) {
                for (unsigned j = 0; j < STREAM64_COLUMNS; j++) {
                        const uint64_t n =
                                core_steps(array, i, j, array->a[i].in_cores, array->b[j].in_cores);

                        if (n == 0)
                                continue;
                        core_go(array, &array->cores[i][j], n);
                        moved = true;
                }
        }
        for (unsigned j = 0; j < STREAM64_COLUMNS; j++)
                moved |= output_move(array, j);
        return moved;
}

/*
 * While all cores are at the same step and every lane has more, they can go on together to the end of the macro-tile
 * or of what is pushed: what rounds of a few objects each would come to.
 */
static bool array_leap(struct array *array)
{
        const uint64_t steps = array->cores[0][0].steps;
        uint64_t n = UINT64_MAX;

        for (unsigned i = 0; i < STREAM64_CORE_ROWS; i++)
                for (unsigned j = 0; j < STREAM64_COLUMNS; j++) {
                        if (array->cores[i][j].steps != steps)
                                return false;
                        n = MIN(n, core_steps(array, i, j, MAX(steps, objects_pushed(&array->a[i])),
                                              MAX(steps, objects_pushed(&array->b[j]))));
                }
        if (n == 0)
                return false;
        for (unsigned i = 0; i < STREAM64_CORE_ROWS; i++)
                for (unsigned j = 0; j < STREAM64_COLUMNS; j++)
                        core_go(array, &array->cores[i][j], n);
        for (unsigned i = 0; i < STREAM64_COLUMNS; i++) {
                (void)raise_to(&array->a[i].in_memory_tile, steps + n);
                (void)raise_to(&array->a[i].in_cores, steps + n);
                (void)raise_to(&array->b[i].in_memory_tile, steps + n);
                (void)raise_to(&array->b[i].in_cores, steps + n);
        }
        return true;
}

/* Until nothing moves any more. */
static void array_settle(struct array *array)
{
        bool moved;

        do {
                moved = array_leap(array);
                moved |= array_move(array);
        } while (moved);
}

/* ---- the controller ---- */

/* Bytes of a transfer's lane that have moved: what a full memory tile can take of an object counts too. */
static uint64_t bytes_moved(const struct array *array, const struct txn_transfer *transfer)
{
        const struct input *input;

        if (transfer->channel ==
            TXN_S2MM0) { /* what the memory tile has ready, complete or not, as far as it goes */
                const struct output *c = &array->c[transfer->column];

                return MIN(c->bytes_pushed, c->in_memory_tile * STREAM64_C_OBJECT_BYTES);
        }
        input = transfer->channel == TXN_MM2S0 ? &array->a[transfer->column] : &array->b[transfer->column];
        return MIN(input->bytes_pushed, (input->in_cores + DEPTH) * input->object_bytes);
}

/* Whether the step's transfer has got as far as it waits for. */
static bool step_is_over(const struct array *array, const struct txn_check *check,
                         const struct txn_step *step)
{
        const struct txn_transfer *transfer = &check->transfers[step->transfer];
        uint64_t bytes = 0; /* before it, or with it */

        for (size_t i = transfer->previous; i != TXN_NONE; i = check->transfers[i].previous)
                bytes += check->transfers[i].bytes * check->transfers[i].repeats;
        if (step->kind == TXN_STEP_WAIT_END)
                bytes += transfer->bytes * transfer->repeats;
        return bytes_moved(array, transfer) >= bytes;
}

static void array_push(struct array *array, const struct txn_transfer *transfer)
{
        const uint64_t bytes = transfer->bytes * transfer->repeats;

        if (transfer->channel == TXN_S2MM0)
                array->c[transfer->column].bytes_pushed += bytes;
        else if (transfer->channel == TXN_MM2S0)
                array->a[transfer->column].bytes_pushed += bytes;
        else
                array->b[transfer->column].bytes_pushed += bytes;
}

/* Which lane everything waits for: the one whose cores lack most. */
static int stuck(const struct array *array, const struct txn_check *check, const struct txn_step *step,
                 struct txn_fault *ret_fault)
{
        const struct txn_transfer *transfer = &check->transfers[step->transfer];
        const struct input *least = &array->a[0];
        char name = 'A';
        unsigned lane = 0;

        for (unsigned i = 0; i < STREAM64_COLUMNS; i++) {
                if (objects_pushed(&array->a[i]) < objects_pushed(least)) {
                        least = &array->a[i];
                        name = 'A';
                        lane = i;
                }
                if (objects_pushed(&array->b[i]) < objects_pushed(least)) {
                        least = &array->b[i];
                        name = 'B';
                        lane = i;
                }
        }
        return txn_fault_set(
                ret_fault, TXN_E_FAULT, step->word,
                "no progress: this waits for %s of column %u to %s what word %zu pushed, which waits for "
                "lane %c%u, of which %" PRIu64 " objects have been pushed",
                txn_channel_names[transfer->channel], transfer->column,
                step->kind == TXN_STEP_WAIT_END ? "end" : "begin", transfer->word, name, lane,
                objects_pushed(least));
}

static void array_init(struct array *array, const struct stream64_batch *batch)
{
        *array = (struct array){.batch = batch};
        for (unsigned i = 0; i < STREAM64_COLUMNS; i++) {
                array->a[i].object_bytes = STREAM64_A_OBJECT_BYTES;
                array->b[i].object_bytes = STREAM64_B_OBJECT_BYTES;
                for (unsigned j = 0; j < STREAM64_COLUMNS; j++)
                        core_begin_job(array, &array->cores[i][j]);
        }
}

int stream64_progress(const struct txn_check *check, const struct stream64_batch *batch,
                      struct txn_fault *ret_fault)
{
        struct array array;

        array_init(&array, batch);
        for (size_t i = 0; i < check->n_steps; i++) {
                const struct txn_step *step = &check->steps[i];

                if (step->kind == TXN_STEP_PUSH) {
                        array_push(&array, &check->transfers[step->transfer]);
                        continue;
                }
                if (step_is_over(&array, check, step))
                        continue;
                array_settle(&array);
                if (!step_is_over(&array, check, step))
                        return stuck(&array, check, step, ret_fault);
        }
        return 0;
}
