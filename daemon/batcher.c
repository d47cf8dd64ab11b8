/* SPDX-License-Identifier: MIT */
/* batcher.c - see batcher.h. */
#include "daemon/batcher.h"

/* A batch as it grows. Small enough to be copied, to see whether a whole group would fit. */
struct plan {
        const struct batcher *batcher;
        const struct cost_model *cost;
        double bound_ns;     /* `batch-bound`, or when the first deadline in it says so */
        double predicted_ns; /* of all stacks, and of the submission itself */
        double share;        /* of what a submission can hold */
        size_t n_slices;
        size_t n_stacks;
        struct plan_stack {
                const struct product *product; /* of its first slice: that of all, as far as stacking goes */
                uint64_t rows;
                double work_macs;           /* of them: the sum of what each slice added */
                const struct product *last; /* of its last slice */
                double last_macs;           /* of so many rows, if all were that one's */
        } stacks[BATCH_STACKS_MAX];
};

/* What rows would make of a plan. */
struct addition {
        double macs;      /* of so many rows as their stack has then, if all were theirs */
        double work_macs; /* that they add to it */
        double ns;        /* that they add to the plan's time */
        double share;     /* and to what it holds */
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
        return multiple == 1 ? (double)n : (double)((n + multiple - 1) / multiple) * (double)multiple;
}

/* Multiply-adds of one row. */
static double row_macs(const struct batcher *batcher, const struct product *product)
{
        return padded(product->k, batcher->padding.depth) * padded(product->n, batcher->padding.cols);
}

static uint64_t block_rows(const struct batcher *batcher, const struct product *product)
{
        return batcher->block_rows ? batcher->block_rows(product) : batcher->padding.rows;
}

double batcher_padded_macs(const struct batcher *batcher, const struct product *product, uint64_t rows)
{
        return padded(rows, block_rows(batcher, product)) * row_macs(batcher, product);
}

static double work_macs(const struct batcher *batcher, const struct product *product, uint64_t rows)
{
        if (rows == 0)
                return 0;
        return batcher->work_macs ? batcher->work_macs(product, rows)
                                  : batcher_padded_macs(batcher, product, rows);
}

double batcher_job_ns(const struct batcher *batcher, const struct cost_model *cost,
                      const struct product *product, uint64_t rows)
{
        return work_macs(batcher, product, rows) * cost->slopes[cost_class(product)].ns_per_mac;
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
        const uint64_t rows = stack_rows(plan, stack);
        uint64_t multiple, over;

        if (rows == 0)
                return 0;
        multiple = block_rows(plan->batcher, plan->stacks[stack].product);
        over = rows % multiple;
        return over == 0 ? 0 : multiple - over;
}

static bool plan_has_room(const struct plan *plan, size_t stack)
{
        return plan->n_slices < BATCH_SLICES_MAX && stack < plan->batcher->stacks_max;
}

static double added_share(const struct plan *plan, const struct product *product, uint64_t before,
                          uint64_t rows)
{
        if (!plan->batcher->share)
                return 0;
        return plan->batcher->share(product, before + rows) -
               (before > 0 ? plan->batcher->share(product, before) : 0);
}

/*
 * Of the rows that a stack has, if all were this product's: forms differ in what a row costs, and nobody pays for
 * another's, or is paid. That they are of one form is the rule, and then it has been computed.
 */
static double before_macs(const struct plan *plan, const struct product *product, size_t stack)
{
        if (stack_rows(plan, stack) == 0)
                return 0;
        if (plan->stacks[stack].last->form == product->form)
                return plan->stacks[stack].last_macs;
        return work_macs(plan->batcher, product, plan->stacks[stack].rows);
}

static struct addition addition_of(const struct plan *plan, const struct product *product, size_t stack,
                                   uint64_t rows)
{
        const uint64_t before = stack_rows(plan, stack);
        const double after_macs = work_macs(plan->batcher, product, before + rows);
        const double added_macs = after_macs - before_macs(plan, product, stack);

        return (struct addition){
                .macs = after_macs,
                .work_macs = added_macs,
                .ns = added_macs * plan->cost->slopes[cost_class(product)].ns_per_mac,
                .share = added_share(plan, product, before, rows),
        };
}

/* Whether not even a block of the product's rows is within a submission. It then has a batch that time alone bounds. */
static bool is_outsized(const struct plan *plan, const struct product *product)
{
        return plan->n_slices == 0 && plan->batcher->share &&
               plan->batcher->share(product, MIN(product->m, block_rows(plan->batcher, product))) > 1;
}

/* Whether it is within both bounds. */
static bool is_within(const struct plan *plan, const struct product *product, const struct addition *addition)
{
        return plan->predicted_ns + addition->ns <= plan->bound_ns &&
               (is_outsized(plan, product) || plan->share + addition->share <= 1);
}

static bool rows_fit(const struct plan *plan, const struct product *product, size_t stack, uint64_t rows)
{
        const struct addition addition = addition_of(plan, product, stack, rows);

        return is_within(plan, product, &addition);
}

/* How many more rows of a product the batch may take: all, or so many that their stack is a multiple of the granule. */
static uint64_t rows_within(const struct plan *plan, const struct product *product, size_t stack,
                            uint64_t rows_left, struct addition *ret_addition)
{
        const uint64_t granule = plan->batcher->granule_rows, block = block_rows(plan->batcher, product);
        const uint64_t before = stack_rows(plan, stack), free_rows = stack_free_rows(plan, stack);
        uint64_t blocks = 0, too_many, rows;

        *ret_addition = addition_of(plan, product, stack, rows_left);
        if (free_rows >= rows_left || is_within(plan, product, ret_addition))
                return rows_left;
        too_many = rows_left / block + 1;
        while (too_many - blocks >
               1) { /* as many blocks as fit, by halves: what rows cost need not be linear */
                const uint64_t middle = blocks + (too_many - blocks) / 2;

                if (rows_fit(plan, product, stack, MIN(free_rows + middle * block, rows_left)))
                        blocks = middle;
                else
                        too_many = middle;
        }
        rows = MIN(free_rows + blocks * block, rows_left);
        if ((before + rows) / granule * granule > before)
                rows = (before + rows) / granule * granule - before;
        *ret_addition = addition_of(plan, product, stack, rows);
        return rows;
}

/* Adds rows to the plan. */
static void plan_add(struct plan *plan, const struct product *product, size_t stack, uint64_t rows,
                     const struct addition *addition)
{
        if (stack == plan->n_stacks)
                plan->stacks[plan->n_stacks++] = (struct plan_stack){.product = product};
        plan->stacks[stack].rows += rows;
        plan->stacks[stack].work_macs += addition->work_macs;
        plan->stacks[stack].last = product;
        plan->stacks[stack].last_macs = addition->macs;
        plan->share += addition->share;
        plan->n_slices++;
        plan->predicted_ns += addition->ns;
}

/* ---- taking ---- */

/* Until the deadline of a job that has one. */
static double time_left_ns(const struct composition *composition, const struct job *job)
{
        return (double)job->deadline_ns - (double)composition->now_ns;
}

/* A slice of so many rows, in its stack; the job's own books are the scheduler's to keep. */
static struct slice *slice_add(struct composition *composition, struct job *job, size_t stack, uint64_t rows,
                               const struct addition *addition)
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
                .charge_ns = fixed_ns + addition->ns,
        };
        plan_add(plan, &job->product, stack, rows, addition);
        job->slices_inside++;
        return slice;
}

/*
 * In its turn. A device may report everything when the batch ends: so from here on the batch ends early enough for the
 * job's deadline, with time for what is left of it.
 */
static void take(struct composition *composition, struct job *job, size_t stack, uint64_t rows,
                 const struct addition *addition)
{
        struct plan *plan = &composition->plan;
        const uint64_t rows_after = job_rows_left(job) - rows;
        const struct slice *slice = slice_add(composition, job, stack, rows, addition);

        if (job->deadline_ns != 0) {
                const double rest_ns =
                        rows_after == 0 ? 0
                                        : plan->cost->fixed_ns + batcher_job_ns(plan->batcher, plan->cost,
                                                                                &job->product, rows_after);

                plan->bound_ns = MIN(plan->bound_ns, time_left_ns(composition, job) - rest_ns);
        }
        composition->has_front = composition->has_front || job->flow->class != CLASS_BULK;
        scheduler_take(composition->scheduler, job, rows, slice->charge_ns, composition->now_ns);
}

/* Whether a job would be done too late behind what the plan already has. */
static bool is_late(const struct composition *composition, const struct job *job)
{
        const struct plan *plan = &composition->plan;
        const size_t stack = stack_find(plan, &job->product);

        return job->deadline_ns != 0 &&
               plan->predicted_ns + addition_of(plan, &job->product, stack, job_rows_left(job)).ns >
                       time_left_ns(composition, job);
}

static void end_late(struct composition *composition, struct job *job)
{
        job_end_early(job, STATUS_DEADLINE,
                      "its turn came too late for its deadline; allow more time, or submit less at once");
        scheduler_remove(composition->scheduler, job);
        TAILQ_INSERT_TAIL(composition->ended, job, ended_link);
}

/* Adds the group that begins with `job` to a copy of a plan; false: it does not fit as a whole. */
static bool group_add(struct plan *plan, const struct job *job)
{
        for (; job; job = scheduler_next_of_group(job)) {
                const size_t stack = stack_find(plan, &job->product);
                struct addition addition;

                if (!plan_has_room(plan, stack))
                        return false;
                addition = addition_of(plan, &job->product, stack, job_rows_left(job));
                plan_add(plan, &job->product, stack, job_rows_left(job), &addition);
        }
        return plan->predicted_ns <= plan->bound_ns && plan->share <= 1;
}

static struct plan plan_empty(const struct batcher *batcher, const struct cost_model *cost)
{
        return (struct plan){.batcher = batcher,
                             .cost = cost,
                             .bound_ns = (double)batcher->bound_ns,
                             .predicted_ns = cost->fixed_ns};
}

/*
 * Takes a group whose first job is `job`, all of which takes until `all_ns`. Each but the first stands at the head of
 * its flow when its turn comes.
 */
static void take_group(struct composition *composition, struct job *job, double all_ns)
{
        const struct plan *plan = &composition->plan;
        struct job *next;

        for (; job; job = next) {
                const size_t stack = stack_find(plan, &job->product);
                const struct addition addition = addition_of(plan, &job->product, stack, job_rows_left(job));

                next = scheduler_next_of_group(job);
                if (job->deadline_ns != 0 && all_ns > time_left_ns(composition, job))
                        end_late(composition, job);
                else
                        take(composition, job, stack, job_rows_left(job), &addition);
        }
}

/* The next job and its group, as a whole. False: take it by itself; *ret_closes: or not at all in this batch. */
static bool take_next_group(struct composition *composition, struct job *job, bool *ret_closes)
{
        struct plan plan;

        *ret_closes = false;
        if (!scheduler_next_of_group(job))
                return false;
        plan = composition->plan;
        if (group_add(&plan, job)) {
                take_group(composition, job, plan.predicted_ns);
                return true;
        }
        plan = plan_empty(plan.batcher, plan.cost);
        *ret_closes = group_add(&plan, job);
        if (!*ret_closes)
                scheduler_split_group(job);
        return false;
}

/* As much of the next job as fits; false: the batch is full. */
static bool take_next(struct composition *composition, struct job *job)
{
        const struct plan *plan = &composition->plan;
        const size_t stack = stack_find(plan, &job->product);
        const uint64_t rows_left = job_rows_left(job);
        const uint64_t rows_least = MIN(rows_left, block_rows(plan->batcher, &job->product));
        struct addition addition;
        uint64_t rows;
        bool closes;

        if (take_next_group(composition, job, &closes))
                return true;
        if (closes || !plan_has_room(plan, stack))
                return false;
        rows = rows_within(plan, &job->product, stack, rows_left, &addition);
        if (plan->n_slices == 0 && rows < rows_least) { /* something goes, however long it takes */
                rows = rows_least;
                addition = addition_of(plan, &job->product, stack, rows);
        }
        if (rows == 0)
                return false;
        take(composition, job, stack, rows, &addition);
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
                struct addition addition;

                next = TAILQ_NEXT(job, waiting_link);
                if (rows == 0 || plan->n_slices == BATCH_SLICES_MAX)
                        return;
                if (job->group != 0 || !product_stacks_with(product, &job->product) ||
                    is_late(composition, job))
                        continue;
                addition = addition_of(plan, &job->product, stack, rows);
                (void)slice_add(composition, job, stack, rows, &addition);
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
                ret_report->work.macs[cost_class(product)] += composition->plan.stacks[i].work_macs;
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
        ret_batch->predicted_ns = cost_whole_ns(composition.plan.predicted_ns);
        ret_batch->device_ns = 0;
        return true;
}
