/* SPDX-License-Identifier: MIT */
/*
 * test-drive-origin.c - what one 500x512 @ 512x512 product takes of a device: one batched submission beside the
 * original's 32,768 calls of one tile each. Times are models' (proto/npu-model.h).
 */
#include <check.h>
#include <stdio.h>

#include "tests/drive/drive.h"
#include "tests/unit/suite.h"

static struct drive_result run(enum npu_model model, uint64_t m, uint64_t k, uint64_t n, int weights,
                               uint64_t n_jobs)
{
        const struct drive_spec spec = {
                .model = model,
                .policy = POLICY_HOLD,
                .n_jobs = n_jobs,
                .seed = 1,
                .n_clients = 1,
                .clients = {{.uid = 1, .m = m, .k = k, .n = n, .weights = weights, .start_us = 0.001}},
        };
        struct drive_result result;

        drive_run(&spec, &result);
        ck_assert_uint_eq(result.n_done, n_jobs);
        (void)printf("%s: %llu jobs of %llux%llu @ %llux%llu: %llu submissions, %llu syncs, %llu copies, "
                     "%.6f s (model)\n",
                     npu_model_names[model], (unsigned long long)n_jobs, (unsigned long long)m,
                     (unsigned long long)k, (unsigned long long)k, (unsigned long long)n,
                     (unsigned long long)result.stats.submissions, (unsigned long long)result.buffer_syncs,
                     (unsigned long long)result.matrix_copies, result.seconds);
        return result;
}

START_TEST(test_one_submission)
{
        struct drive_result result = run(NPU_PHOENIX, 500, 512, 512, 0, 1);

        ck_assert_uint_eq(result.stats.submissions, 1);
        ck_assert_uint_eq(result.buffer_syncs, 2);
        ck_assert_uint_eq(result.matrix_copies, 2);
        ck_assert_uint_eq(result.weights_packs, 1);
        /* 108 us, and 2 x 2 macro-tiles of 8 steps of 1.78 us */
        ck_assert_double_eq_tol(result.seconds, 164.96e-6, 1e-7);
        drive_result_deinit(&result);
}
END_TEST

/* B that comes with the job is sent and packed for it. */
START_TEST(test_one_submission_without_weights)
{
        struct drive_result result = run(NPU_PHOENIX, 500, 512, 512, DRIVE_OWN_B, 1);

        ck_assert_uint_eq(result.stats.submissions, 1);
        ck_assert_uint_eq(result.buffer_syncs, 3);
        ck_assert_uint_eq(result.matrix_copies, 3);
        ck_assert_uint_eq(result.weights_packs, 0);
        drive_result_deinit(&result);
}
END_TEST

/* 32 x 32 x 32 tiles: 500 rows are 31 tiles and a quarter. */
START_TEST(test_tile_by_tile)
{
        struct drive_result result = run(NPU_ORIGIN, 16, 16, 16, DRIVE_OWN_B, 32768);

        ck_assert_uint_eq(result.stats.submissions, 32768);
        ck_assert_uint_eq(result.buffer_syncs, 65536);
        ck_assert_uint_eq(result.matrix_copies, 262144);
        ck_assert_double_eq_tol(result.seconds, 1082, 0.5);
        drive_result_deinit(&result);
}
END_TEST

/* As it was measured later: 15.1 s for the same product. */
START_TEST(test_tile_by_tile_as_measured)
{
        struct drive_result result = run(NPU_ORIGIN_MEASURED, 16, 16, 16, DRIVE_OWN_B, 32768);

        ck_assert_uint_eq(result.stats.submissions, 32768);
        ck_assert_double_eq_tol(result.seconds, 15.1, 0.1);
        drive_result_deinit(&result);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("drive-origin");
        TCase *tcase = tcase_create("origin");

        tcase_set_timeout(tcase, 0);
        tcase_add_test(tcase, test_one_submission);
        tcase_add_test(tcase, test_one_submission_without_weights);
        tcase_add_test(tcase, test_tile_by_tile);
        tcase_add_test(tcase, test_tile_by_tile_as_measured);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
