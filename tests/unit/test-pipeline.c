/* SPDX-License-Identifier: MIT */
/*
 * test-pipeline.c - one hazard at a time between submit and the end of a job; -time.c: what has to do with time,
 * -random.c mixes all of it.
 */
#include "tests/unit/pipeline-desk.h"
#include "tests/unit/suite.h"

/* ---- the straight way ---- */

START_TEST(test_one_job)
{
        struct heard heard;

        setup(1);
        submit(&heard, 10);
        ck_assert_uint_eq(device.n_submits, 1); /* composed at once, and only for the free slot */
        ck_assert_str_eq(heard.rows, "");
        fake_device_step(&device, 0, STATUS_OK);
        ck_assert_str_eq(heard.rows, "0+4 "); /* reported with its slice, not with its batch */
        ck_assert_uint_eq(device.n_submits, 1);
        fake_device_step(&device, 0, STATUS_OK);
        ck_assert_uint_eq(device.n_submits, 2);
        finish(0, STATUS_OK);
        fake_device_step(&device, 0, STATUS_OK);
        expect_end(&heard, STATUS_OK,
                   "0+4 4+4 8+2 ");   /* with its last slice: the device touches it no more */
        ck_assert_uint_eq(n_idle, 0); /* but still has the batch */
        fake_device_step(&device, 0, STATUS_OK);
        ck_assert_uint_eq(n_idle, 1);
        ck_assert_uint_eq(stats.submissions, 3);
        ck_assert_uint_eq(stats.submission_jobs, 3);
        ck_assert_uint_eq(stats.jobs_ok, 1);
        teardown();
}
END_TEST

START_TEST(test_jobs_in_order)
{
        struct heard heard[3];

        setup(1);
        submit(&heard[0], 5);
        submit(&heard[1], 4);
        submit(&heard[2], 1);
        finish(0, STATUS_OK);
        ck_assert_uint_eq(heard[0].n_done, 0);
        fake_device_step(&device, 0, STATUS_OK);
        expect_end(&heard[0], STATUS_OK, "0+4 4+1 ");
        ck_assert_str_eq(heard[1].rows, "");
        finish(0, STATUS_OK); /* the same batch goes on: what the first job has left is the next one's */
        ck_assert_str_eq(heard[1].rows, "0+3 ");
        ck_assert_uint_eq(heard[1].n_done, 0);
        fake_device_step(&device, 0, STATUS_OK);
        expect_end(&heard[1], STATUS_OK, "0+3 3+1 ");
        ck_assert_uint_eq(heard[2].n_done, 0);
        fake_device_step(&device, 0, STATUS_OK);
        expect_end(&heard[2], STATUS_OK, "0+1 ");
        ck_assert_uint_eq(n_idle, 0);
        fake_device_step(&device, 0, STATUS_OK);
        ck_assert_uint_eq(n_idle, 1);
        ck_assert_uint_eq(stats.submissions, 3);
        ck_assert_uint_eq(stats.submission_jobs, 5);
        teardown();
}
END_TEST

/* A device may finish its batches in any order; the job ends with the last of them. */
START_TEST(test_two_slots_out_of_order)
{
        struct heard heard;

        setup(2);
        submit(&heard, 8);
        ck_assert_uint_eq(device.n_inside, 2);
        finish(1, STATUS_OK);
        ck_assert_str_eq(heard.rows, "4+4 ");
        ck_assert_uint_eq(heard.n_done, 0);
        finish(0, STATUS_OK);
        expect_end(&heard, STATUS_OK, "4+4 0+4 ");
        teardown();
}
END_TEST

START_TEST(test_idle_each_time)
{
        struct heard heard;

        setup(1);
        for (unsigned i = 1; i <= 3; i++) {
                submit(&heard, 4);
                fake_device_run(&device);
                expect_end(&heard, STATUS_OK, "0+4 ");
                ck_assert_uint_eq(n_idle, i);
        }
        pipeline.idle_fn = NULL; /* nobody needs to listen */
        submit(&heard, 4);
        fake_device_run(&device);
        expect_end(&heard, STATUS_OK, "0+4 ");
        teardown();
}
END_TEST

/* The last batch and the last job that waits end at the same time: idle is told once. */
START_TEST(test_idle_once)
{
        struct heard inside, waiting;

        setup(1);
        submit(&inside, 4);
        submit_as(0, &waiting, 4, &(struct wish){.deadline_us = 1});
        timeline.now_ns += 2000; /* its alarm is due, and has not rung */
        finish(0, STATUS_OK);
        expect_end(&waiting, STATUS_DEADLINE, "");
        ck_assert_uint_eq(n_idle, 1);
        teardown();
}
END_TEST

/* What submissions took corrects the model: rows that take 3 ns each come in smaller slices. */
START_TEST(test_learns_from_batches)
{
        struct heard heard;

        setup(1);
        submit(&heard, 400);
        for (int i = 0; i < 20; i++) {
                device.took_ns = 1 + 3 * device.inside[0]->slices[0].rows;
                finish(0, STATUS_OK);
        }
        ck_assert_uint_lt(device.inside[0]->slices[0].rows, BOUND_ROWS);
        ck_assert_uint_ge(stats.device_busy_ns, 20 * 4);
        ck_assert_uint_lt(stats.device_busy_ns, 20 * (1 + 3 * BOUND_ROWS));
        fake_device_run(&device);
        ck_assert_int_eq(heard.status, STATUS_OK);
        teardown();
}
END_TEST

/*
 * What was left out or failed took no time that would say how long it takes: a cancelled batch must not make the next
 * ones larger.
 */
START_TEST(test_learns_nothing_from_what_was_not_done)
{
        struct heard gone, failed, next;
        struct cost_model before;

        setup(1);
        device.drops = true;
        before = pipeline.cost;
        device.took_ns = 1;
        submit(&gone, 4);
        pipeline_cancel(&pipeline, gone.job);
        finish(0, STATUS_OK);
        expect_end(&gone, STATUS_CANCELLED, "");
        submit(&failed, 4);
        finish(0, STATUS_DEVICE_ERROR);
        expect_end(&failed, STATUS_DEVICE_ERROR, "");
        ck_assert_mem_eq(&before, &pipeline.cost, sizeof before);
        submit(&next, 400);
        ck_assert_uint_eq(device.inside[0]->slices[0].rows, BOUND_ROWS);
        pipeline_cancel(&pipeline, next.job);
        fake_device_run(&device);
        teardown();
}
END_TEST

/* ---- cancelling ---- */

START_TEST(test_cancel_while_queued)
{
        struct heard first, second, third;

        setup(1);
        submit(&first, 4);
        submit(&second, 4);
        submit(&third, 4);
        pipeline_cancel(&pipeline, second.job);
        expect_end(&second, STATUS_CANCELLED, "");
        fake_device_run(&device);
        expect_end(&first, STATUS_OK, "0+4 ");
        expect_end(&third, STATUS_OK, "0+4 ");
        ck_assert_uint_eq(second.n_done, 1);
        ck_assert_uint_eq(device.n_slices, 2); /* the device never saw it */
        ck_assert_uint_eq(stats.jobs_cancelled, 1);
        teardown();
}
END_TEST

/* The device still writes to its operands: the end waits for it; rows that nobody wants are not reported. */
START_TEST(test_cancel_while_inside)
{
        struct heard heard;

        setup(1);
        submit(&heard, 10);
        finish(0, STATUS_OK);
        pipeline_cancel(&pipeline, heard.job);
        ck_assert_uint_eq(heard.n_done, 0);
        ck_assert_uint_eq(pipeline.scheduler.depth, 0);
        pipeline_cancel(&pipeline, heard.job); /* twice is once */
        ck_assert_uint_eq(heard.n_done, 0);
        ck_assert_uint_eq(n_idle, 0);
        fake_device_step(&device, 0, STATUS_OK);
        expect_end(&heard, STATUS_CANCELLED, "0+4 ");
        fake_device_step(&device, 0, STATUS_OK);
        ck_assert_uint_eq(device.n_submits, 2);
        ck_assert_uint_eq(n_idle, 1);
        teardown();
}
END_TEST

/* The device has the batch, but nothing of the job any more: it ends at once. */
START_TEST(test_cancel_between_last_slice_and_batch)
{
        struct heard heard;

        setup(1);
        submit(&heard, 8);
        fake_device_step(&device, 0, STATUS_OK);
        ck_assert_str_eq(heard.rows, "0+4 ");
        pipeline_cancel(&pipeline, heard.job);
        expect_end(&heard, STATUS_CANCELLED, "0+4 ");
        ck_assert_uint_eq(n_idle, 0);
        fake_device_step(&device, 0, STATUS_OK);
        ck_assert_uint_eq(n_idle, 1);
        ck_assert_uint_eq(device.n_submits, 1);
        teardown();
}
END_TEST

/* A device that has not begun what nobody wants leaves it out. */
START_TEST(test_cancel_drops_what_has_not_begun)
{
        struct heard kept, dropped;

        setup(1);
        device.drops = true;
        submit(&kept, 1);
        submit(&dropped, 3); /* waits while the first one runs by itself */
        finish(0, STATUS_OK);
        expect_end(&kept, STATUS_OK, "0+1 ");
        submit(&kept, 4);
        pipeline_cancel(&pipeline, dropped.job);
        ck_assert_uint_eq(dropped.n_done, 0); /* it is the device's to say so */
        ck_assert(device.inside[0]->slices[0].is_dropped);
        finish(0, STATUS_OK);
        expect_end(&dropped, STATUS_CANCELLED, "");
        ck_assert_str_eq(dropped.text, "cancelled"); /* and no failure of the device */
        fake_device_run(&device);
        expect_end(&kept, STATUS_OK, "0+4 ");
        ck_assert_uint_eq(stats.jobs_failed, 0);
        teardown();
}
END_TEST

START_TEST(test_cancel_in_two_slots)
{
        struct heard heard;

        setup(2);
        submit(&heard, 12);
        pipeline_cancel(&pipeline, heard.job);
        finish(1, STATUS_OK);
        ck_assert_uint_eq(heard.n_done, 0);
        fake_device_step(&device, 0, STATUS_OK);
        expect_end(&heard, STATUS_CANCELLED, "");
        fake_device_step(&device, 0, STATUS_OK);
        ck_assert_uint_eq(device.n_submits, 2);
        teardown();
}
END_TEST

/* Waiting jobs end at once; of those inside, one has rows left and is cancelled, the other one ends well. */
START_TEST(test_cancel_all)
{
        struct heard nearly, partly, waiting[3];

        setup(2);
        submit(&nearly, 4);
        submit(&partly, 8);
        for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
                submit(&waiting[i], 4);
        pipeline_cancel_all(&pipeline);
        for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
                expect_end(&waiting[i], STATUS_CANCELLED, "");
        ck_assert_uint_eq(pipeline.jobs_inside, 2);
        ck_assert_uint_eq(n_idle, 0);
        pipeline_cancel_all(&pipeline); /* again: nothing waits */
        fake_device_run(&device);
        expect_end(&nearly, STATUS_OK, "0+4 ");
        expect_end(&partly, STATUS_CANCELLED, "");
        ck_assert_uint_eq(n_idle, 1);
        teardown();
}
END_TEST

static struct heard chain[3];

static void cancel_the_next(struct heard *heard)
{
        pipeline_cancel(&pipeline, heard[1].job);
}

/* Three jobs that come too late end one after the other; the first one's end cancels the second on its way. */
START_TEST(test_cancel_from_within_an_end)
{
        struct heard first;

        desk_prepare(1);
        settings.bound_ns = 10000;
        desk_open();
        submit(&first, 10);
        for (size_t i = 0; i < ARRAY_SIZE(chain); i++)
                submit_as(0, &chain[i], 300,
                          &(struct wish){.deadline_us = 1, .then = i == 0 ? cancel_the_next : NULL});
        fake_timeline_advance(&timeline, 800);
        finish(0, STATUS_OK);
        for (size_t i = 0; i < ARRAY_SIZE(chain); i++)
                expect_end(&chain[i], STATUS_DEADLINE, ""); /* the first reason stands */
        ck_assert_uint_eq(stats.jobs_expired, 3);
        teardown();
}
END_TEST

/* ---- the device fails ---- */

START_TEST(test_device_error_in_the_middle)
{
        struct heard failed, next;

        setup(1);
        submit(&failed, 12);
        submit(&next, 4);
        finish(0, STATUS_OK);
        fake_device_step(&device, 0, STATUS_DEVICE_ERROR);
        expect_end(&failed, STATUS_DEVICE_ERROR, "0+4 ");
        ck_assert_ptr_nonnull(strstr(failed.text, "device failed"));
        fake_device_run(&device);
        expect_end(&next, STATUS_OK, "0+4 ");
        ck_assert_uint_eq(device.n_slices, 3); /* its third slice was not worth anybody's time */
        ck_assert_uint_eq(stats.jobs_failed, 1);
        ck_assert_uint_eq(stats.jobs_ok, 1);
        teardown();
}
END_TEST

START_TEST(test_device_error_in_one_of_two_slots)
{
        struct heard heard;

        setup(2);
        submit(&heard, 12);
        finish(0, STATUS_DEVICE_ERROR);
        ck_assert_uint_eq(heard.n_done, 0);
        finish(0, STATUS_OK); /* right, but nobody wants it any more */
        expect_end(&heard, STATUS_DEVICE_ERROR, "");
        ck_assert_uint_eq(device.n_submits, 2);
        teardown();
}
END_TEST

/* The first reason stands. */
START_TEST(test_device_error_after_cancel)
{
        struct heard cancelled, failed;

        setup(2);
        submit(&cancelled, 4);
        submit(&failed, 4);
        pipeline_cancel(&pipeline, cancelled.job);
        finish(0, STATUS_DEVICE_ERROR);
        expect_end(&cancelled, STATUS_CANCELLED, "");
        fake_device_step(&device, 0, STATUS_DEVICE_ERROR);
        expect_end(&failed, STATUS_DEVICE_ERROR, "");
        fake_device_step(&device, 0, STATUS_OK);
        submit(&failed, 8); /* both halves inside */
        fake_device_step(&device, 0, STATUS_DEVICE_ERROR);
        pipeline_cancel(&pipeline, failed.job);
        ck_assert_uint_eq(failed.n_done, 0);
        fake_device_run(&device);
        expect_end(&failed, STATUS_DEVICE_ERROR, "");
        teardown();
}
END_TEST

/* ---- nobody listens any more ---- */

START_TEST(test_orphans_end_silently)
{
        struct heard inside, waiting;

        setup(1);
        submit(&inside, 12);
        submit(&waiting, 4);
        job_orphan(inside.job);
        pipeline_cancel(&pipeline, inside.job);
        job_orphan(waiting.job);
        pipeline_cancel(&pipeline, waiting.job);
        ck_assert_uint_eq(pipeline.jobs_inside, 1);
        ck_assert_uint_eq(quota.used[QUOTA_JOBS], 1);
        fake_device_run(&device);
        ck_assert_uint_eq(pipeline.jobs_inside, 0);
        ck_assert_uint_eq(quota.used[QUOTA_JOBS], 0);
        ck_assert_uint_eq(n_idle, 1);
        ck_assert_uint_eq(inside.n_done + waiting.n_done, 0);
        ck_assert_str_eq(inside.rows, "");
        ck_assert_uint_eq(device.n_submits, 1);
        teardown();
}
END_TEST

/* Nobody cancelled it: it is done to its end, and nobody is told. */
START_TEST(test_orphan_runs_on)
{
        struct heard heard;

        setup(1);
        submit(&heard, 8);
        finish(0, STATUS_OK);
        job_orphan(heard.job);
        fake_device_run(&device);
        ck_assert_uint_eq(heard.n_done, 0);
        ck_assert_str_eq(heard.rows, "0+4 ");
        ck_assert_uint_eq(stats.jobs_ok, 1);
        teardown();
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("pipeline");

        tcase_add_test(tcase, test_one_job);
        tcase_add_test(tcase, test_jobs_in_order);
        tcase_add_test(tcase, test_two_slots_out_of_order);
        tcase_add_test(tcase, test_idle_each_time);
        tcase_add_test(tcase, test_idle_once);
        tcase_add_test(tcase, test_learns_from_batches);
        tcase_add_test(tcase, test_learns_nothing_from_what_was_not_done);
        tcase_add_test(tcase, test_cancel_while_queued);
        tcase_add_test(tcase, test_cancel_while_inside);
        tcase_add_test(tcase, test_cancel_between_last_slice_and_batch);
        tcase_add_test(tcase, test_cancel_drops_what_has_not_begun);
        tcase_add_test(tcase, test_cancel_in_two_slots);
        tcase_add_test(tcase, test_cancel_all);
        tcase_add_test(tcase, test_cancel_from_within_an_end);
        tcase_add_test(tcase, test_device_error_in_the_middle);
        tcase_add_test(tcase, test_device_error_in_one_of_two_slots);
        tcase_add_test(tcase, test_device_error_after_cancel);
        tcase_add_test(tcase, test_orphans_end_silently);
        tcase_add_test(tcase, test_orphan_runs_on);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("pipeline");

        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
