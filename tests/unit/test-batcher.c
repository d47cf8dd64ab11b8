/* SPDX-License-Identifier: MIT */
/* test-batcher.c - what goes into a batch: within the bound, at granules, every row once and in order. */
#include <check.h>

#include "daemon/batcher.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define NOW_NS   UINT64_C(1000000000)
#define AGING_NS UINT64_C(1000000000)

static struct rng rng;
static struct scheduler scheduler;
static struct scheduler_client client;
static struct cost_model cost;
static struct batcher batcher;
static struct job_list ended;
static struct batch batch;
static struct batcher_report report;

/* One client, a device that pads nothing. */
static void setup(void)
{
        batcher = (struct batcher){
                .bound_ns = 1000000,
                .stacks = true,
                .granule_rows = 1,
                .padding = {1, 1, 1},
                .stacks_max = BATCH_STACKS_MAX,
        };
        cost_init(&cost, 1, 1);
        TAILQ_INIT(&ended);
        scheduler_init(&scheduler, AGING_NS, 1e9);
        ck_assert_int_eq(scheduler_client_init(&scheduler, &client, 1000), 0);
}

static void teardown(void)
{
        ck_assert(TAILQ_EMPTY(&ended));
        ck_assert_uint_eq(scheduler.depth, 0);
        scheduler_client_deinit(&scheduler, &client);
        scheduler_deinit(&scheduler);
}

static struct job *job_push(uint64_t m, uint64_t k, uint64_t n)
{
        struct job *job = job_new(0, NULL, NULL, NULL);

        ck_assert_ptr_nonnull(job);
        job->product.m = m;
        job->product.k = k;
        job->product.n = n;
        job->product.b = (const int8_t *)job; /* each one's own: nothing stacks */
        scheduler_push(&scheduler, &client, job, batcher_job_ns(&batcher, &cost, &job->product, m), NOW_NS);
        return job;
}

/* As if the device had let go of everything. */
static struct job *job_drop(struct job *job)
{
        job->slices_inside = 0;
        scheduler_remove(&scheduler, job);
        return job_free(job);
}

static bool compose(void)
{
        return batcher_compose(&batcher, &scheduler, &cost, NOW_NS, &ended, &batch, &report);
}

START_TEST(test_nothing_waits)
{
        struct batch before;

        memset(&batch, 0x5a, sizeof batch);
        memcpy(&before, &batch, sizeof batch);
        ck_assert(!compose());
        ck_assert_mem_eq(&batch, &before, sizeof batch);
}
END_TEST

/* ---- cutting ---- */

/* Rows of 100 multiply-adds at 1 ns each, 1,000 ns fixed. */
static const struct {
        uint64_t bound_ns, granule_rows, rows;
} cuts[] = {
        {2000, 1, 10},      {2099, 1, 10}, {2100, 1, 11}, {2000, 4, 8},   {2199, 4, 8},   {2200, 4, 12},
        {1400, 4, 4},       {1399, 4, 3},  {1100, 4, 1},  {2000, 64, 10}, {7400, 64, 64}, {13799, 64, 64},
        {13800, 64, 128},   {1000, 4, 1},  {1, 4, 1}, /* too little for even one row: one all the same */
        {1000000, 4, 1000},                           /* more than there is */
};

START_TEST(test_cut)
{
        struct job *job;

        cost_init(&cost, 1000, 1);
        batcher.bound_ns = cuts[_i].bound_ns;
        batcher.granule_rows = cuts[_i].granule_rows;
        job = job_push(1000, 10, 10);
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 1);
        ck_assert_ptr_eq(batch.slices[0].job, job);
        ck_assert_ptr_eq(batch.slices[0].product, &job->product);
        ck_assert_uint_eq(batch.slices[0].first_row, 0);
        ck_assert_uint_eq(batch.slices[0].rows, cuts[_i].rows);
        ck_assert_uint_eq(batch.n_stacks, 1);
        ck_assert_double_eq(batch.stacks[0].padded_macs, 100 * (double)cuts[_i].rows);
        ck_assert_uint_eq(batch.predicted_ns, 1000 + 100 * cuts[_i].rows);
        ck_assert_uint_eq(job->next_row, cuts[_i].rows);
        ck_assert_uint_eq(job->slices_inside, 1);
        ck_assert_int_eq(job->flow != NULL, cuts[_i].rows < 1000);
        (void)job_drop(job);
}
END_TEST

/* M, K and N at their ends: nothing wraps. */
START_TEST(test_largest_shape)
{
        struct job *job;

        cost_init(&cost, 0, 1);
        batcher.bound_ns = UINT64_MAX / 2;
        batcher.granule_rows = 64;
        job = job_push(MESSAGE_DIM_MAX, MESSAGE_K_MAX, MESSAGE_DIM_MAX);
        ck_assert(compose());
        ck_assert_uint_ge(batch.slices[0].rows, 1);
        ck_assert_uint_lt(batch.slices[0].rows, MESSAGE_DIM_MAX);
        ck_assert_double_eq_tol(batch.stacks[0].padded_macs / (double)batch.slices[0].rows,
                                (double)MESSAGE_K_MAX * (double)MESSAGE_DIM_MAX, 1);
        ck_assert_uint_le(batch.predicted_ns, batcher.bound_ns);
        ck_assert_uint_ge(batch.predicted_ns, batcher.bound_ns / 2);
        (void)job_drop(job);
}
END_TEST

/* A job that was cancelled with rows to go leaves no slice behind. */
START_TEST(test_ended_job_is_skipped)
{
        struct job *first, *second;

        batcher.bound_ns = 1;
        first = job_push(3, 1, 1);
        second = job_push(3, 1, 1);
        ck_assert(compose());
        ck_assert_ptr_eq(batch.slices[0].job, first);
        job_end_early(first, STATUS_CANCELLED, "cancelled");
        scheduler_remove(&scheduler, first);
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 1);
        ck_assert_ptr_eq(batch.slices[0].job, second);
        (void)job_drop(first);
        (void)job_drop(second);
}
END_TEST

/* ---- any jobs, any bounds ---- */

/* The jobs go in the order in which they came, each row once; returns which job is next. */
static size_t expect_slices(struct job *const jobs[], size_t next, const uint64_t rows_before[])
{
        double macs = 0;

        for (size_t i = 0; i < batch.n_slices; i++) {
                const struct slice *slice = &batch.slices[i];
                const struct job *job = jobs[next];

                ck_assert_ptr_eq(slice->job, job);
                ck_assert_uint_eq(slice->first_row, rows_before[next]);
                ck_assert_uint_ge(slice->rows, 1);
                ck_assert_uint_eq(job->next_row, slice->first_row + slice->rows);
                ck_assert_uint_le(job->next_row, job->product.m);
                macs += (double)slice->rows * (double)job->product.k * (double)job->product.n;
                if (job->next_row == job->product.m)
                        next++;
                else
                        ck_assert_msg(i + 1 == batch.n_slices, "a job that was cut has filled the batch");
        }
        ck_assert_double_eq(report.macs, macs);
        ck_assert_double_eq_tol((double)batch.predicted_ns, (double)cost_predict_ns(&cost, &report.work), 2);
        return next;
}

/* What was left out would not have fitted in. */
static void expect_full(const struct job *job)
{
        const struct slice *last = &batch.slices[batch.n_slices - 1];
        const uint64_t rows = last->job == job ? batcher.granule_rows : 1;

        if (last->job == job && last->rows > batcher.granule_rows)
                ck_assert_uint_eq(last->rows % batcher.granule_rows, 0);
        ck_assert_double_gt((double)batch.predicted_ns + 2 +
                                    batcher_job_ns(&batcher, &cost, &job->product, rows),
                            (double)batcher.bound_ns);
}

START_TEST(test_covers_exactly_once)
{
        enum { JOBS = 8 };
        uint64_t n_batches = 0, n_cut = 0;

        for (int round = 0; round < 300; round++) {
                struct job *jobs[JOBS];
                uint64_t rows_before[JOBS];
                size_t next = 0;

                cost_init(&cost, (double)rng_below(&rng, 2000), 0.01 * (double)rng_between(&rng, 1, 300));
                batcher.bound_ns = rng_between(&rng, 1, 100000);
                batcher.granule_rows = UINT64_C(1) << rng_below(&rng, 8);
                for (size_t i = 0; i < JOBS; i++)
                        jobs[i] = job_push(rng_between(&rng, 1, 200), rng_between(&rng, 1, 50),
                                           rng_between(&rng, 1, 50));
                while (next < JOBS) {
                        for (size_t i = 0; i < JOBS; i++)
                                rows_before[i] = jobs[i]->next_row;
                        ck_assert(compose());
                        next = expect_slices(jobs, next, rows_before);
                        if (batch.n_slices > 1 || batch.slices[0].rows > 1)
                                ck_assert_uint_le(batch.predicted_ns, batcher.bound_ns);
                        if (next < JOBS)
                                expect_full(jobs[next]);
                        n_batches++;
                        n_cut += next < JOBS && jobs[next]->next_row > 0;
                }
                ck_assert(!compose());
                for (size_t i = 0; i < JOBS; i++)
                        (void)job_drop(jobs[i]);
        }
        ck_assert_uint_gt(n_batches, 2 * 300);
        ck_assert_uint_gt(n_cut, 300);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("batcher");
        TCase *tcase = tcase_create("batcher");

        rng_start(&rng, "batcher");
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_nothing_waits);
        tcase_add_loop_test(tcase, test_cut, 0, ARRAY_SIZE(cuts));
        tcase_add_test(tcase, test_largest_shape);
        tcase_add_test(tcase, test_ended_job_is_skipped);
        tcase_add_test(tcase, test_covers_exactly_once);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
