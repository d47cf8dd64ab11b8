/* SPDX-License-Identifier: MIT */
/* test-pipeline-shares.c - who pays for the device's time: what was measured, by what was predicted of each. */
#include "tests/unit/pipeline-desk.h"
#include "tests/unit/suite.h"

/* By what was predicted of each: the first brings the submission about. */
START_TEST(test_shares)
{
        struct heard inside, jobs[3];
        uint64_t before_ns;

        setup_times(1, POLICY_NATURAL);
        submit_as(3, &inside, 1, &(struct wish){0});
        submit_as(0, &jobs[0], 10, &(struct wish){0});
        submit_as(1, &jobs[1], 30, &(struct wish){0});
        submit_as(2, &jobs[2], 50, &(struct wish){0});
        finish(0, STATUS_OK);
        before_ns = stats.device_busy_ns;
        ck_assert_uint_eq(before_ns, 11 * US);
        ck_assert_uint_eq(clients[3].device_ns, before_ns);
        ck_assert_uint_eq(n_in(0), 3);
        ck_assert_ptr_eq(device.inside[0]->slices[0].job,
                         jobs[0].job); /* the least served, and the first to come */
        device.took_ns = 200 * US;     /* and not 100, as was predicted */
        finish(0, STATUS_OK);
        ck_assert_uint_eq(stats.device_busy_ns, before_ns + 200 * US);
        ck_assert_uint_le(clients[0].device_ns - 39999, 2);
        ck_assert_uint_le(clients[1].device_ns - 59999, 2);
        ck_assert_uint_le(clients[2].device_ns - 99999, 2);
        ck_assert_uint_eq(clients[0].scheduled.user->device_ns, clients[0].device_ns + clients[1].device_ns);
        ck_assert_uint_eq(clients[2].scheduled.user->device_ns, clients[2].device_ns);
        teardown();
}
END_TEST

/* A slice that was left out has cost nothing: who was computed pays, though another brought the submission about. */
START_TEST(test_who_was_left_out_pays_nothing)
{
        struct heard inside, jobs[2], after;
        uint64_t before_ns;

        setup_times(1, POLICY_NATURAL);
        device.drops = true;
        submit_as(3, &inside, 1, &(struct wish){0});
        submit_as(0, &jobs[0], 10, &(struct wish){0});
        submit_as(2, &jobs[1], 50, &(struct wish){0});
        finish(0, STATUS_OK);
        ck_assert_uint_eq(n_in(0), 2);
        ck_assert_ptr_eq(device.inside[0]->slices[0].job, jobs[0].job);
        before_ns = stats.device_busy_ns;
        pipeline_cancel(&pipeline, jobs[0].job);
        finish(0, STATUS_OK);
        expect_end(&jobs[0], STATUS_CANCELLED, "");
        expect_end(&jobs[1], STATUS_OK, "0+50 ");
        ck_assert_uint_eq(clients[0].device_ns, 0);
        ck_assert_uint_le(stats.device_busy_ns - before_ns - clients[2].device_ns, 1);
        submit_as(0, &after, 10, &(struct wish){0}); /* if all are left out, it is as if none were */
        pipeline_cancel(&pipeline, after.job);
        before_ns = stats.device_busy_ns;
        finish(0, STATUS_OK);
        ck_assert_uint_gt(clients[0].device_ns, 0);
        ck_assert_uint_le(stats.device_busy_ns - before_ns - clients[0].device_ns, 1);
        teardown();
}
END_TEST

/*
 * Clients go while their jobs are inside, and one of them takes its user's last connection with it: the time that is
 * measured later is still its user's, as long as anybody knows the user.
 */
START_TEST(test_clients_go_while_inside)
{
        struct heard inside, jobs[3];
        struct scheduler_user *user;

        setup_times(1, POLICY_NATURAL);
        submit_as(3, &inside, 1, &(struct wish){0});
        submit_as(0, &jobs[0], 10, &(struct wish){0});
        submit_as(2, &jobs[1], 10, &(struct wish){0});
        submit_as(1, &jobs[2], 20, &(struct wish){0});
        finish(0, STATUS_OK);
        ck_assert_uint_eq(n_in(0), 3);
        user = clients[0].scheduled.user;
        for (size_t i = 0; i < 2; i++) { /* as a session ends */
                job_orphan(jobs[i].job);
                pipeline_cancel(&pipeline, jobs[i].job);
        }
        disconnect(0);
        disconnect(2);
        fake_device_run(&device);
        expect_end(&jobs[2], STATUS_OK, "0+20 ");
        ck_assert_uint_ge(user->device_ns, 39 * US); /* 10 + 10 + 20 us, or without the first's 10 */
        ck_assert_uint_gt(user->device_ns, clients[1].device_ns);
        ck_assert_uint_eq(jobs[0].n_done + jobs[1].n_done, 0);
        ck_assert_uint_eq(quota.used[QUOTA_JOBS], 0);
        teardown();
}
END_TEST

/* A client that was answered with the last slice closes before the batch is reported. */
START_TEST(test_client_goes_between_slice_and_batch)
{
        struct heard job;

        setup_times(1, POLICY_NATURAL);
        submit_as(2, &job, 10, &(struct wish){0});
        fake_device_step(&device, 0, STATUS_OK);
        expect_end(&job, STATUS_OK, "0+10 ");
        disconnect(2);
        fake_device_step(&device, 0, STATUS_OK);
        ck_assert_uint_eq(stats.device_busy_ns, 20 * US);
        teardown();
}
END_TEST

/*
 * _i: the class. Turns are given by what was predicted, and corrected by what it took: whoever's jobs take longer than
 * the model knows is ahead by that.
 */
START_TEST(test_turns_are_corrected)
{
        const enum job_class class = (enum job_class)_i;
        const enum scheduler_lane lane = class == CLASS_BULK ? LANE_BULK : LANE_FRONT;
        const struct scheduler_client *scheduled = &clients[2].scheduled;
        struct heard job;

        setup_times(1, POLICY_NATURAL);
        submit_as(2, &job, 10, &(struct wish){.class = class});
        ck_assert_double_eq_tol(scheduled->user->lanes[lane].served_ns, 20e3, 1);
        device.took_ns = 200 * US;
        finish(0, STATUS_OK);
        for (size_t i = 0; i < LANE_MAX; i++)
                ck_assert_double_eq_tol(scheduled->user->lanes[i].served_ns, i == lane ? 200e3 : 0, 1);
        for (size_t i = 0; i < CLASS_MAX; i++)
                ck_assert_double_eq_tol(scheduled->flows[i].served_ns, i == class ? 200e3 : 0, 1);
        teardown();
}
END_TEST

/* The same where its client has gone meanwhile: the user's other connections do not get the time for nothing. */
START_TEST(test_turns_of_the_gone_are_corrected)
{
        struct scheduler_user *user;
        struct heard job;

        setup_times(1, POLICY_NATURAL);
        user = clients[0].scheduled.user;
        submit_as(0, &job, 10, &(struct wish){0});
        job_orphan(job.job);
        disconnect(0);
        device.took_ns = 200 * US;
        finish(0, STATUS_OK);
        ck_assert_double_eq_tol(user->lanes[LANE_FRONT].served_ns, 200e3, 1);
        ck_assert_double_eq(clients[1].scheduled.flows[CLASS_NORMAL].served_ns, 0);
        teardown();
}
END_TEST

static struct heard alike[2][2]; /* of clients 2 and 3, two each */

static void submit_again(struct heard *heard)
{
        if (heard->status == STATUS_OK)
                submit_as(heard < alike[1] ? 2 : 3, heard, 10, &(struct wish){.then = submit_again});
}

/* Two users with jobs alike, but one's take ten times as long: whatever the model makes of it, they get the same. */
START_TEST(test_fair_in_measured_time)
{
        uint64_t longest_ns = 0;

        desk_prepare_times(1, POLICY_NATURAL);
        settings.bound_ns = 20 * US; /* one job a batch, or less */
        desk_open();
        for (size_t i = 0; i < 4; i++)
                submit_as(2 + i % 2, &alike[i % 2][i / 2], 10, &(struct wish){.then = submit_again});
        for (int i = 0; i < 300; i++) {
                const struct slice *slice = &device.inside[0]->slices[0];
                const bool is_slow = slice->job->client == &clients[2];

                if (n_in(0) == 1) /* one of each: half and half, by what is predicted */
                        device.took_ns = (is_slow ? 20 : 2) * slice->rows * US;
                longest_ns = MAX(longest_ns, device.took_ns);
                finish(0, STATUS_OK);
                if (i >= 10) {
                        ck_assert_uint_le(clients[2].device_ns, clients[3].device_ns + 2 * longest_ns);
                        ck_assert_uint_le(clients[3].device_ns, clients[2].device_ns + 2 * longest_ns);
                }
        }
        ck_assert_uint_gt(clients[2].device_ns, 10 * longest_ns);
        pipeline_cancel_all(&pipeline);
        for (size_t i = 0; i < 4; i++)
                alike[i % 2][i / 2].then = NULL;
        fake_device_run(&device);
        teardown();
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("shares");

        tcase_add_test(tcase, test_shares);
        tcase_add_test(tcase, test_who_was_left_out_pays_nothing);
        tcase_add_test(tcase, test_clients_go_while_inside);
        tcase_add_test(tcase, test_client_goes_between_slice_and_batch);
        tcase_add_loop_test(tcase, test_turns_are_corrected, 0, CLASS_MAX);
        tcase_add_test(tcase, test_turns_of_the_gone_are_corrected);
        tcase_add_test(tcase, test_fair_in_measured_time);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("pipeline, shares");

        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
