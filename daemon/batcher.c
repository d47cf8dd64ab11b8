/* SPDX-License-Identifier: MIT */
/* batcher.c - see batcher.h. */
#include "daemon/batcher.h"

/* A batch as it grows. Small enough to be copied, to see whether a whole group would fit. */
struct plan {
        const struct batcher *batcher;
        const struct cost_model *cost;
        double predicted_ns; /* of all stacks, and of the submission itself */
        size_t n_slices;
        size_t n_stacks;
        struct plan_stack {
                const struct product *product; /* of its first slice: that of all, as far as stacking goes */
                uint64_t rows;
        } stacks[BATCH_STACKS_MAX];
};

/* What composing works on. */
struct composition {
        struct plan plan;
        struct scheduler *scheduler;
        uint64_t now_ns;
        struct job_list *ended;
        struct batch *batch; /* slices as they were taken, until they are sorted by stack */
        uint8_t stack_of[BATCH_SLICES_MAX];
        bool has_front; /* a slice that is not BULK */
};

static_assert(BATCH_STACKS_MAX <= UINT8_MAX, "stack_of holds any of them");

/* ---- what things cost ---- */

static double padded(uint64_t n, uint64_t multiple)
{
        return (double)((n + multiple - 1) / multiple) * (double)multiple;
}

/* Multiply-adds of one row. */
static double row_macs(const struct batcher *batcher, const struct product *product)
{
        return padded(product->k, batcher->padding.depth) * padded(product->n, batcher->padding.cols);
}

double batcher_padded_macs(const struct batcher *batcher, const struct product *product, uint64_t rows)
{
        return padded(rows, batcher->padding.rows) * row_macs(batcher, product);
}

double batcher_job_ns(const struct batcher *batcher, const struct cost_model *cost,
                      const struct product *product, uint64_t rows)
{
        return batcher_padded_macs(batcher, product, rows) * cost->slopes[cost_class(product)].ns_per_mac;
}

/* The stack that a product's rows would join; n_stacks: a new one. */
static size_t stack_find(const struct plan *plan, const struct product *product)
{
        for (size_t i = 0; i < plan->n_stacks && plan->batcher->stacks; i++)
                if (product_stacks_with(plan->stacks[i].product, product))
                        return i;
        return plan->n_stacks;
}

static uint64_t stack_rows(const struct plan *plan, size_t stack)
{
        return stack < plan->n_stacks ? plan->stacks[stack].rows : 0;
}

/* Rows that a stack is padded with: they cost nothing. */
static uint64_t stack_free_rows(const struct plan *plan, size_t stack)
{
        const uint64_t multiple = plan->batcher->padding.rows, over = stack_rows(plan, stack) % multiple;

        return over == 0 ? 0 : multiple - over;
}

static bool plan_has_room(const struct plan *plan, size_t stack)
{
        return plan->n_slices < BATCH_SLICES_MAX && stack < plan->batcher->stacks_max;
}

/* How many more rows of a product the batch may take: all, or so many that their stack is a multiple of the granule. */
static uint64_t rows_within(const struct plan *plan, const struct product *product, size_t stack,
                            uint64_t rows_left)
{
        const struct batcher *batcher = plan->batcher;
        const uint64_t granule = batcher->granule_rows, before = stack_rows(plan, stack);
        const double block_ns = batcher_job_ns(batcher, plan->cost, product, batcher->padding.rows);
        const double blocks = ((double)batcher->bound_ns - plan->predicted_ns) / block_ns;
        uint64_t rows = stack_free_rows(plan, stack);

        if (blocks >= (double)rows_left) /* a block has a row at least; and no number gets too large */
                return rows_left;
        if (blocks >= 1)
                rows += (uint64_t)blocks * batcher->padding.rows;
        if (rows >= rows_left)
                return rows_left;
        return (before + rows) / granule * granule > before ? (before + rows) / granule * granule - before
                                                            : rows;
}

/* Adds rows to the plan; returns what they add to its time. */
static double plan_add(struct plan *plan, const struct product *product, size_t stack, uint64_t rows)
{
        const double before_ns = batcher_job_ns(plan->batcher, plan->cost, product, stack_rows(plan, stack));
        double added_ns;

        if (stack == plan->n_stacks)
                plan->stacks[plan->n_stacks++] = (struct plan_stack){.product = product};
        plan->stacks[stack].rows += rows;
        plan->n_slices++;
        added_ns = batcher_job_ns(plan->batcher, plan->cost, product, plan->stacks[stack].rows) - before_ns;
        plan->predicted_ns += added_ns;
        return added_ns;
}

/* ---- taking ---- */

/* A slice of so many rows, in its stack; the job's own books are the scheduler's to keep. */
static struct slice *slice_add(struct composition *composition, struct job *job, size_t stack, uint64_t rows)
{
        struct plan *plan = &composition->plan;
        struct slice *slice = &composition->batch->slices[plan->n_slices];
        const double fixed_ns =
                plan->n_slices == 0 ? plan->cost->fixed_ns : 0; /* the first brings it about */

        composition->stack_of[plan->n_slices] = (uint8_t)stack;
        *slice = (struct slice){
                .job = job,
                .product = &job->product,
                .first_row = job->next_row,
                .rows = rows,
                .charge_ns = fixed_ns + plan_add(plan, &job->product, stack, rows),
        };
        job->slices_inside++;
        return slice;
}

static void take(struct composition *composition, struct job *job, size_t stack, uint64_t rows)
{
        const struct slice *slice = slice_add(composition, job, stack, rows);

        composition->has_front = composition->has_front || job->flow->class != CLASS_BULK;
        scheduler_take(composition->scheduler, job, rows, slice->charge_ns, composition->now_ns);
}

static bool is_late(const struct composition *composition, const struct job *job)
{
        const struct plan *plan = &composition->plan;
        const double takes_ns = plan->cost->fixed_ns +
                                batcher_job_ns(plan->batcher, plan->cost, &job->product, job_rows_left(job));

        return job->deadline_ns != 0 && (double)composition->now_ns + takes_ns > (double)job->deadline_ns;
}

static void end_late(struct composition *composition, struct job *job)
{
        job_end_early(job, STATUS_DEADLINE,
                      "its turn came too late for its deadline; allow more time, or submit less at once");
        scheduler_remove(composition->scheduler, job);
        TAILQ_INSERT_TAIL(composition->ended, job, ended_link);
}

/* The group that begins with `job`, as a whole, to a copy of the plan. */
static bool group_fits(struct plan plan, const struct job *job)
{
        for (; job; job = scheduler_next_of_group(job)) {
                const size_t stack = stack_find(&plan, &job->product);

                if (!plan_has_room(&plan, stack))
                        return false;
                (void)plan_add(&plan, &job->product, stack, job_rows_left(job));
        }
        return plan.predicted_ns <= (double)plan.batcher->bound_ns;
}

static struct plan plan_empty(const struct batcher *batcher, const struct cost_model *cost)
{
        return (struct plan){.batcher = batcher, .cost = cost, .predicted_ns = cost->fixed_ns};
}

/* Takes a group whose first job is `job`. Each but the first stands at the head of its flow when its turn comes. */
static void take_group(struct composition *composition, struct job *job)
{
        struct job *next;

        for (; job; job = next) {
                next = scheduler_next_of_group(job);
                if (is_late(composition, job))
                        end_late(composition, job);
                else
                        take(composition, job, stack_find(&composition->plan, &job->product),
                             job_rows_left(job));
        }
}

/* As much of the next job as fits; false: the batch is full. */
static bool take_next(struct composition *composition, struct job *job)
{
        const struct plan *plan = &composition->plan;
        const size_t stack = stack_find(plan, &job->product);
        const uint64_t rows_left = job_rows_left(job);
        uint64_t rows;

        if (scheduler_next_of_group(job)) {
                if (group_fits(*plan, job)) {
                        take_group(composition, job);
                        return true;
                }
                if (plan->n_slices > 0 && group_fits(plan_empty(plan->batcher, plan->cost), job))
                        return false;
        }
        if (!plan_has_room(plan, stack))
                return false;
        rows = rows_within(plan, &job->product, stack, rows_left);
        if (plan->n_slices == 0) /* something goes, however long it takes */
                rows = MAX(rows, MIN(rows_left, plan->batcher->padding.rows));
        if (rows == 0)
                return false;
        take(composition, job, stack, rows);
        return rows == rows_left; /* a job that was cut has filled it */
}

/* Rows that would be padding go to whoever waits with the same weights. Groups stay together. */
static void fill_padding(struct composition *composition, size_t stack)
{
        const struct plan *plan = &composition->plan;
        const struct product *product = plan->stacks[stack].product;
        struct job *job, *next;

        if (!product->resident || !plan->batcher->stacks)
                return;
        for (job = TAILQ_FIRST(&product->resident->waiting); job; job = next) {
                const uint64_t rows = MIN(stack_free_rows(plan, stack), job_rows_left(job));

                next = TAILQ_NEXT(job, waiting_link);
                if (rows == 0 || plan->n_slices == BATCH_SLICES_MAX)
                        return;
                if (job->group != 0 || !product_stacks_with(product, &job->product) ||
                    is_late(composition, job))
                        continue;
                (void)slice_add(composition, job, stack, rows);
                scheduler_take_along(composition->scheduler, job, rows);
        }
}

/* ---- the finished batch ---- */

/* Stacks in the order in which they were begun, slices of a stack in the order in which they were taken. */
static void sort_by_stack(const struct composition *composition)
{
        const struct plan *plan = &composition->plan;
        struct batch *batch = composition->batch;
        struct slice taken[BATCH_SLICES_MAX];
        size_t n = 0;

        memcpy(taken, batch->slices, plan->n_slices * sizeof taken[0]);
        for (size_t stack = 0; stack < plan->n_stacks; stack++) {
                batch->stacks[stack] = (struct stack){
                        .first = n,
                        .rows = plan->stacks[stack].rows,
                        .padded_macs = batcher_padded_macs(plan->batcher, plan->stacks[stack].product,
                                                           plan->stacks[stack].rows),
                };
                for (size_t i = 0; i < plan->n_slices; i++)
                        if (composition->stack_of[i] == stack)
                                batch->slices[n++] = taken[i];
                batch->stacks[stack].n_slices = n - batch->stacks[stack].first;
        }
        batch->n_slices = plan->n_slices;
        batch->n_stacks = plan->n_stacks;
}

static void report(const struct composition *composition, struct batcher_report *ret_report)
{
        const struct batch *batch = composition->batch;

        *ret_report = (struct batcher_report){.jobs = batch->n_slices}; /* a job has one slice in a batch */
        for (size_t i = 0; i < batch->n_stacks; i++) {
                const struct stack *stack = &batch->stacks[i];
                const struct product *product = batch->slices[stack->first].product;

                if (stack->n_slices > 1)
                        ret_report->rows_stacked += stack->rows;
                ret_report->macs += (double)stack->rows * (double)product->k * (double)product->n;
                ret_report->work.macs[cost_class(product)] += stack->padded_macs;
        }
}

bool batcher_compose(const struct batcher *batcher, struct scheduler *scheduler,
                     const struct cost_model *cost, uint64_t now_ns, struct job_list *ended,
                     struct batch *ret_batch, struct batcher_report *ret_report)
{
        struct composition composition = {
                .plan = plan_empty(batcher, cost),
                .scheduler = scheduler,
                .now_ns = now_ns,
                .ended = ended,
                .batch = ret_batch,
        };
        struct job *job;

        while ((job = scheduler_next(scheduler, now_ns))) {
                if (job->flow->class == CLASS_BULK && composition.has_front &&
                    !scheduler_is_starving(scheduler, CLASS_BULK, now_ns))
                        break;
                if (is_late(&composition, job))
                        end_late(&composition, job);
                else if (!take_next(&composition, job))
                        break;
        }
        if (composition.plan.n_slices == 0)
                return false;
        for (size_t stack = 0; stack < composition.plan.n_stacks; stack++)
                fill_padding(&composition, stack);
        sort_by_stack(&composition);
        report(&composition, ret_report);
        ret_batch->predicted_ns = (uint64_t)composition.plan.predicted_ns;
        ret_batch->device_ns = 0;
        return true;
}
