/* SPDX-License-Identifier: MIT */
/*
 * test-batcher-random.c - any jobs, bounds, devices and classes: no batch over the bound, every row in exactly one of
 * them, everything charged once.
 */
#include "tests/lib/rng.h"
#include "tests/unit/batcher-desk.h"
#include "tests/unit/suite.h"

#define JOBS 24

static struct rng rng;
static struct job *jobs[JOBS];
static struct before {
        uint64_t next_row;
        enum job_class class; /* where it waited: a group's class is that of its last job */
} before[JOBS];               /* the batch at hand */
static uint64_t n_batches, n_cut, n_riders, n_lone, n_late, n_stacked, n_full;

static size_t index_of(const struct job *job)
{
        size_t i = 0;

        while (jobs[i] != job)
                ck_assert_uint_lt(++i, JOBS);
        return i;
}

/* ---- one batch ---- */

/* Each slice goes on where its job was; a job is in a batch once. */
static void check_slices(void)
{
        bool is_in[JOBS] = {false};

        ck_assert_uint_ge(batch.n_slices, 1);
        ck_assert_uint_le(batch.n_slices, BATCH_SLICES_MAX);
        ck_assert_uint_eq(report.jobs, batch.n_slices);
        for (size_t i = 0; i < batch.n_slices; i++) {
                const struct slice *slice = &batch.slices[i];
                const size_t which = index_of(slice->job);

                ck_assert(!is_in[which]);
                is_in[which] = true;
                ck_assert_ptr_eq(slice->product, &slice->job->product);
                ck_assert_uint_eq(slice->first_row, before[which].next_row);
                ck_assert_uint_ge(slice->rows, 1);
                ck_assert_uint_eq(slice->job->next_row, slice->first_row + slice->rows);
                ck_assert_uint_le(slice->job->next_row, slice->job->product.m);
                ck_assert(!slice->is_dropped);
                n_cut += slice->job->next_row < slice->job->product.m;
                n_riders += slice->charge_ns == 0;
        }
}

static void check_stacks(void)
{
        size_t n_slices = 0;
        double macs = 0, padded = 0;
        uint64_t rows_stacked = 0;

        ck_assert_uint_le(batch.n_stacks, batcher.stacks_max);
        for (size_t i = 0; i < batch.n_stacks; i++) {
                const struct stack *stack = &batch.stacks[i];
                const struct product *first = batch.slices[stack->first].product;
                uint64_t rows = 0;

                ck_assert_uint_eq(stack->first, n_slices);
                ck_assert(batcher.stacks || stack->n_slices == 1);
                for (size_t j = 0; j < stack->n_slices; j++, n_slices++) {
                        ck_assert(product_stacks_with(first, batch.slices[n_slices].product));
                        rows += batch.slices[n_slices].rows;
                }
                ck_assert_uint_eq(stack->rows, rows);
                ck_assert_double_eq(stack->padded_macs, batcher_padded_macs(&batcher, first, rows));
                for (size_t j = 0; j < i && batcher.stacks; j++) /* else they would be one */
                        ck_assert(!product_stacks_with(batch.slices[batch.stacks[j].first].product, first));
                macs += (double)rows * (double)first->k * (double)first->n;
                padded += stack->padded_macs;
                rows_stacked += stack->n_slices > 1 ? rows : 0;
        }
        ck_assert_uint_eq(n_slices, batch.n_slices);
        ck_assert_double_eq(report.macs, macs);
        ck_assert_uint_eq(report.rows_stacked, rows_stacked);
        for (size_t i = 0; i < COST_CLASSES; i++)
                padded -= report.work.macs[i];
        ck_assert_double_eq_tol(padded, 0, 1e-3);
        n_stacked += rows_stacked;
}

/* Within the bound, unless it is the least that there is: one block of rows. */
static void check_time(void)
{
        double charges_ns = 0;

        for (size_t i = 0; i < batch.n_slices; i++) {
                ck_assert_double_ge(batch.slices[i].charge_ns, 0);
                charges_ns += batch.slices[i].charge_ns;
        }
        ck_assert_double_eq_tol(charges_ns, (double)batch.predicted_ns, 2);
        ck_assert_double_eq_tol((double)cost_predict_ns(&cost, &report.work), (double)batch.predicted_ns, 2);
        if (batch.predicted_ns <= batcher.bound_ns)
                return;
        ck_assert_msg(batch.n_stacks == 1 && batch.stacks[0].rows <= batcher.padding.rows,
                      "%d ns are over the bound, and more than one block", (int)batch.predicted_ns);
        n_lone++;
}

/* Bulk beside others pays nothing, unless it had waited for too long when its turn came. */
static void check_bulk(bool bulk_starved)
{
        bool has_front = false;

        for (size_t i = 0; i < batch.n_slices; i++)
                has_front = has_front || before[index_of(batch.slices[i].job)].class != CLASS_BULK;
        if (!has_front || bulk_starved)
                return;
        for (size_t i = 0; i < batch.n_slices; i++)
                if (before[index_of(batch.slices[i].job)].class == CLASS_BULK)
                        ck_assert_double_eq(batch.slices[i].charge_ns, 0);
}

/*
 * Whoever is next would not have fitted in: not a row more, or where it was cut, not a granule more. Groups and late
 * ones have reasons of their own; riders, or one that was cut because its class had waited for too long, may have
 * changed the order.
 */
static void check_full(void)
{
        struct job *next = scheduler_next(&scheduler, now_ns);
        uint64_t rows_in_stack = 0, rows = 1;
        size_t stack;
        double added_ns;

        if (!next || next->group != 0 || next->deadline_ns != 0 || next->flow->class == CLASS_BULK)
                return;
        for (size_t i = 0; i < batch.n_slices; i++) {
                const struct job *job = batch.slices[i].job;

                if (job->deadline_ns != 0) /* the batch had to end before it */
                        return;
                if (batch.slices[i].charge_ns == 0 || (job != next && job->next_row < job->product.m))
                        return;
                if (job == next)
                        rows = batcher.granule_rows;
        }
        for (stack = 0; stack < batch.n_stacks; stack++) {
                const struct slice *first = &batch.slices[batch.stacks[stack].first];

                if (first->job != next &&
                    !(batcher.stacks && product_stacks_with(first->product, &next->product)))
                        continue;
                rows_in_stack = batch.stacks[stack].rows;
                break;
        }
        if (stack == batcher.stacks_max)
                return;
        added_ns = batcher_job_ns(&batcher, &cost, &next->product, rows_in_stack + rows) -
                   (rows_in_stack > 0 ? batcher_job_ns(&batcher, &cost, &next->product, rows_in_stack) : 0);
        ck_assert_double_gt((double)batch.predicted_ns + added_ns + 2, (double)batcher.bound_ns);
        n_full++;
}

/* ---- rounds ---- */

static void device_choose(void)
{
        static const struct device_padding npu = {256, 64, 256};
        const bool is_npu = rng_once_in(&rng, 2);
        const struct product block = {.m = 1, .k = 1, .n = 1};
        double block_ns;

        cost_init(&cost, (double)rng_below(&rng, 200000),
                  is_npu ? 0.0004 : 0.01 * (double)rng_between(&rng, 1, 300));
        if (is_npu)
                batcher.padding = npu;
        batcher.granule_rows = is_npu ? 256 : UINT64_C(1) << rng_below(&rng, 4);
        batcher.stacks_max = rng_once_in(&rng, 3) ? (size_t)rng_between(&rng, 1, 3)
                             : is_npu             ? 16
                                                  : BATCH_STACKS_MAX;
        batcher.stacks = !rng_once_in(&rng, 4);
        block_ns = batcher_job_ns(&batcher, &cost, &block, 1);
        batcher.bound_ns =
                (uint64_t)(cost.fixed_ns + block_ns * (double)rng_between(&rng, 1, is_npu ? 40 : 100000)) /
                        rng_between(&rng, 1, 4) +
                1;
}

static void jobs_choose(void)
{
        static const uint64_t ks[WEIGHTS] = {0, 10, 64, 400}, ns[WEIGHTS] = {0, 300, 40, 40};

        for (size_t i = 0; i < WEIGHTS; i++)
                weights[i].k = ks[i], weights[i].n = ns[i];
        for (size_t i = 0; i < JOBS; i++) {
                const size_t w = (size_t)rng_below(&rng, WEIGHTS);

                jobs[i] = job_push(&(struct wish){
                        .m = rng_between(&rng, 1,
                                         !rng_once_in(&rng, 3)      ? 20
                                         : batcher.padding.rows > 1 ? 900
                                                                    : 80),
                        .k = w > 0 ? ks[w] : rng_between(&rng, 1, 500),
                        .n = w > 0 ? ns[w] : rng_between(&rng, 1, 500),
                        .client = (size_t)rng_below(&rng, CLIENTS),
                        .class = (enum job_class)rng_below(&rng, CLASS_MAX),
                        .weights = w,
                        .more = rng_once_in(&rng, 4),
                        .within_ns = rng_once_in(&rng, 6) ? rng_between(&rng, 1, 3000000) : 0,
                        .form = (enum output_form)rng_below(&rng, OUTPUT_MAX),
                });
        }
        for (size_t i = 0; i < CLIENTS; i++)
                scheduler_complete_group(&scheduler, &clients[i], now_ns);
}

static void ended_take(void)
{
        struct job *job;

        while ((job = TAILQ_FIRST(&ended))) {
                TAILQ_REMOVE(&ended, job, ended_link);
                ck_assert_int_eq(job->end_status, STATUS_DEADLINE);
                ck_assert_uint_ne(job->deadline_ns, 0);
                ck_assert_ptr_null(job->flow);
                n_late++;
        }
}

START_TEST(test_any_mixture)
{
        device_choose();
        jobs_choose();
        for (;;) {
                bool starved;

                for (size_t i = 0; i < JOBS; i++)
                        before[i] = (struct before){
                                .next_row = jobs[i]->next_row,
                                .class = jobs[i]->flow ? jobs[i]->flow->class : CLASS_MAX,
                        };
                starved = scheduler_is_starving(&scheduler, CLASS_BULK, now_ns);
                if (!compose())
                        break;
                check_slices();
                check_stacks();
                check_time();
                check_bulk(starved);
                check_full();
                ended_take();
                n_batches++;
                now_ns += rng_once_in(&rng, 30) ? AGING_NS : rng_below(&rng, 2000000);
        }
        ended_take();
        for (size_t i = 0; i < JOBS; i++) {
                if (jobs[i]->end_status == STATUS_OK)
                        ck_assert_uint_eq(jobs[i]->next_row, jobs[i]->product.m);
                (void)job_drop(jobs[i]);
        }
        ck_assert_double_eq(scheduler.queued_ns, 0);
}
END_TEST

/* After all rounds: all that is worth a look has happened. */
START_TEST(test_enough_has_happened)
{
        ck_assert_uint_gt(n_batches, 1000);
        ck_assert_uint_gt(n_cut, 500);
        ck_assert_uint_gt(n_riders, 200);
        ck_assert_uint_gt(n_lone, 10);
        ck_assert_uint_gt(n_late, 100);
        ck_assert_uint_gt(n_stacked, 1000);
        ck_assert_uint_gt(n_full, 300);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("batcher, at random");
        TCase *tcase = tcase_create("any mixture");

        rng_start(&rng, "batcher-random");
        tcase_add_checked_fixture(tcase, desk_open, desk_close);
        tcase_add_loop_test(tcase, test_any_mixture, 0, 300);
        tcase_add_test(tcase, test_enough_has_happened);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
