/* SPDX-License-Identifier: MIT */
/* test-batcher.c - how jobs are cut: within the bound, at granules, every row once and in order. */
#include <check.h>

#include "daemon/batcher.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

static struct scheduler scheduler;
static struct rng rng;

static struct job *job_push(uint64_t m, uint64_t k, uint64_t n)
{
        struct job *job = job_new(0, NULL, NULL, NULL);

        ck_assert_ptr_nonnull(job);
        job->product.m = m;
        job->product.k = k;
        job->product.n = n;
        scheduler_push(&scheduler, job);
        return job;
}

/* As if the device had let go of everything. */
static struct job *job_drop(struct job *job)
{
        job->slices_inside = 0;
        scheduler_remove(&scheduler, job);
        return job_free(job);
}

START_TEST(test_nothing_waits)
{
        const struct cost_model cost = {.fixed_ns = 0, .ns_per_mac = 1};
        const struct batcher_limits limits = {.bound_ns = 100, .granule_rows = 1};
        struct batch batch, before;

        memset(&batch, 0x5a, sizeof batch);
        memcpy(&before, &batch, sizeof batch);
        scheduler_init(&scheduler);
        ck_assert(!batcher_compose(&scheduler, &cost, &limits, &batch));
        ck_assert_mem_eq(&batch, &before, sizeof batch);
        scheduler_deinit(&scheduler);
}
END_TEST

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
        const struct cost_model cost = {.fixed_ns = 1000, .ns_per_mac = 1};
        const struct batcher_limits limits = {.bound_ns = cuts[_i].bound_ns,
                                              .granule_rows = cuts[_i].granule_rows};
        struct batch batch = {0};
        struct job *job;

        scheduler_init(&scheduler);
        job = job_push(1000, 10, 10);
        ck_assert(batcher_compose(&scheduler, &cost, &limits, &batch));
        ck_assert_uint_eq(batch.n_slices, 1);
        ck_assert_ptr_eq(batch.slices[0].job, job);
        ck_assert_ptr_eq(batch.slices[0].product, &job->product);
        ck_assert_uint_eq(batch.slices[0].first_row, 0);
        ck_assert_uint_eq(batch.slices[0].rows, cuts[_i].rows);
        ck_assert_uint_eq(batch.work_macs, 100 * cuts[_i].rows);
        ck_assert_uint_eq(batch.predicted_ns, 1000 + 100 * cuts[_i].rows);
        ck_assert_uint_eq(job->next_row, cuts[_i].rows);
        ck_assert_uint_eq(job->slices_inside, 1);
        ck_assert_int_eq(job->is_queued, cuts[_i].rows < 1000);
        (void)job_drop(job);
        scheduler_deinit(&scheduler);
}
END_TEST

/* M, K and N at their ends: nothing wraps. */
START_TEST(test_largest_shape)
{
        const struct cost_model cost = {.fixed_ns = 0, .ns_per_mac = 1e-6};
        const struct batcher_limits limits = {.bound_ns = UINT64_MAX / 2, .granule_rows = 64};
        struct batch batch = {0};
        struct job *job;

        scheduler_init(&scheduler);
        job = job_push(MESSAGE_DIM_MAX, MESSAGE_K_MAX, MESSAGE_DIM_MAX);
        ck_assert(batcher_compose(&scheduler, &cost, &limits, &batch));
        ck_assert_uint_ge(batch.slices[0].rows, 1);
        ck_assert_uint_lt(batch.slices[0].rows, MESSAGE_DIM_MAX);
        ck_assert_uint_eq(batch.work_macs / batch.slices[0].rows, (uint64_t)MESSAGE_K_MAX * MESSAGE_DIM_MAX);
        ck_assert_uint_le(cost_predict_ns(&cost, batch.work_macs), limits.bound_ns);
        (void)job_drop(job);
        scheduler_deinit(&scheduler);
}
END_TEST

/* A job that was cancelled with rows to go leaves no slice behind. */
START_TEST(test_ended_job_is_skipped)
{
        const struct cost_model cost = {.fixed_ns = 0, .ns_per_mac = 1};
        const struct batcher_limits limits = {.bound_ns = 1, .granule_rows = 1};
        struct batch batch = {0};
        struct job *first, *second;

        scheduler_init(&scheduler);
        first = job_push(3, 1, 1);
        second = job_push(3, 1, 1);
        ck_assert(batcher_compose(&scheduler, &cost, &limits, &batch));
        ck_assert_ptr_eq(batch.slices[0].job, first);
        job_end_early(first, STATUS_CANCELLED, "cancelled");
        scheduler_remove(&scheduler, first);
        ck_assert(batcher_compose(&scheduler, &cost, &limits, &batch));
        ck_assert_ptr_eq(batch.slices[0].job, second);
        (void)job_drop(first);
        (void)job_drop(second);
        scheduler_deinit(&scheduler);
}
END_TEST

/* One batch of the property below: `job` is the one whose turn it is. */
static void expect_batch(const struct job *job, const struct cost_model *cost,
                         const struct batcher_limits *limits, const struct batch *batch, uint64_t next_row)
{
        const struct slice *slice = &batch->slices[0];
        const uint64_t row_macs = job->product.k * job->product.n;
        const bool is_last = slice->first_row + slice->rows == job->product.m;

        ck_assert_uint_eq(batch->n_slices, 1);
        ck_assert_ptr_eq(slice->job, job);
        ck_assert_uint_eq(slice->first_row, next_row); /* no row twice, none left out */
        ck_assert_uint_ge(slice->rows, 1);
        ck_assert_uint_le(slice->rows, job->product.m - next_row);
        ck_assert_uint_eq(batch->work_macs, slice->rows * row_macs);
        ck_assert_uint_eq(batch->predicted_ns, cost_predict_ns(cost, batch->work_macs));
        if (slice->rows > 1)
                ck_assert_uint_le(batch->predicted_ns, limits->bound_ns);
        if (slice->rows > limits->granule_rows && !is_last)
                ck_assert_uint_eq(slice->rows % limits->granule_rows, 0);
        if (!is_last) /* it could not have been a granule larger */
                ck_assert_uint_gt(cost_predict_ns(cost, (slice->rows + limits->granule_rows) * row_macs) + 1,
                                  limits->bound_ns);
}

/* Random jobs, bounds and granules: jobs go in the order they came, each whole, each row once. */
START_TEST(test_covers_exactly_once)
{
        enum { JOBS = 8 };
        uint64_t n_batches = 0;

        for (int round = 0; round < 300; round++) {
                const struct cost_model cost = {.fixed_ns = (double)rng_below(&rng, 2000),
                                                .ns_per_mac = 0.01 * (double)rng_between(&rng, 1, 300)};
                const struct batcher_limits limits = {.bound_ns = rng_between(&rng, 1, 100000),
                                                      .granule_rows = UINT64_C(1) << rng_below(&rng, 8)};
                struct job *jobs[JOBS];
                struct batch batch = {0};

                scheduler_init(&scheduler);
                for (size_t i = 0; i < JOBS; i++)
                        jobs[i] = job_push(rng_between(&rng, 1, 200), rng_between(&rng, 1, 50),
                                           rng_between(&rng, 1, 50));
                for (size_t i = 0; i < JOBS; i++) {
                        size_t n_slices = 0;

                        for (uint64_t row = 0; row < jobs[i]->product.m; row += batch.slices[0].rows) {
                                ck_assert(batcher_compose(&scheduler, &cost, &limits, &batch));
                                expect_batch(jobs[i], &cost, &limits, &batch, row);
                                ck_assert_uint_eq(jobs[i]->slices_inside, ++n_slices);
                        }
                        n_batches += n_slices;
                        ck_assert(!jobs[i]->is_queued);
                }
                ck_assert(!batcher_compose(&scheduler, &cost, &limits, &batch));
                for (size_t i = 0; i < JOBS; i++)
                        (void)job_drop(jobs[i]);
                scheduler_deinit(&scheduler);
        }
        ck_assert_uint_gt(n_batches, 2 * 300 * JOBS); /* most jobs were cut */
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("batcher");
        TCase *tcase = tcase_create("cut");

        rng_start(&rng, "batcher");
        tcase_add_test(tcase, test_nothing_waits);
        tcase_add_loop_test(tcase, test_cut, 0, ARRAY_SIZE(cuts));
        tcase_add_test(tcase, test_largest_shape);
        tcase_add_test(tcase, test_ended_job_is_skipped);
        tcase_add_test(tcase, test_covers_exactly_once);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
