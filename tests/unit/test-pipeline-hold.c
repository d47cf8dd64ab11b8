/* SPDX-License-Identifier: MIT */
/*
 * test-pipeline-hold.c - the idle device is held for clients that will be back at once: clients that work and think on
 * a virtual clock, and each end that a hold may have.
 */
#include "tests/unit/pipeline-desk.h"
#include "tests/unit/suite.h"

/* ---- clients that work and think, and a device that keeps its time ---- */

static struct agent {
        struct heard heard; /* first, so that what it hears leads to it */
        size_t client;
        uint64_t rows, gap_us;
        struct alarm think;
        unsigned n_jobs; /* done so far */
} agents[CLIENTS];
static struct alarm device_done;

static void agent_submit(void *userdata)
{
        struct agent *agent = userdata;

        submit_as(agent->client, &agent->heard, agent->rows, &(struct wish){.then = agent->heard.then});
}

static void agent_think(struct heard *heard)
{
        struct agent *agent = container_of(heard, struct agent, heard);

        ck_assert_int_eq(heard->status, STATUS_OK);
        agent->n_jobs++;
        alarm_set(&timeline.timeline, &agent->think, timeline.now_ns + agent->gap_us * US);
}

/* Begins to work so much later. */
static void agent_start(size_t client, uint64_t rows, uint64_t gap_us, uint64_t after_us)
{
        struct agent *agent = &agents[client];

        *agent = (struct agent){
                .client = client, .rows = rows, .gap_us = gap_us, .heard = {.then = agent_think}};
        alarm_init(&agent->think, agent_submit, agent);
        alarm_set(&timeline.timeline, &agent->think, timeline.now_ns + after_us * US);
}

static void on_device_done(void *userdata)
{
        (void)userdata;
        finish(0, STATUS_OK);
}

/* As many alarms as that: of agents, the pipeline and the device. */
static void live(unsigned n_alarms)
{
        for (unsigned i = 0; i < n_alarms; i++) {
                if (device.n_inside > 0 && device_done.at_ns == TIMELINE_NEVER)
                        alarm_set(&timeline.timeline, &device_done,
                                  timeline.now_ns + device.inside[0]->predicted_ns);
                ck_assert(fake_timeline_step(&timeline));
        }
}

/* Nobody submits any more; what is inside ends. */
static void agents_stop(void)
{
        alarm_set(&timeline.timeline, &device_done, TIMELINE_NEVER);
        for (size_t i = 0; i < CLIENTS; i++)
                agents[i].heard.then = NULL;
        for (size_t i = 0; i < CLIENTS; i++)
                alarm_set(&timeline.timeline, &agents[i].think, TIMELINE_NEVER);
        while (!pipeline_is_idle(&pipeline)) {
                if (device.n_inside > 0)
                        finish(0, STATUS_OK);
                else
                        (void)fake_timeline_step(&timeline);
        }
}

static void agents_init(void)
{
        alarm_init(&device_done, on_device_done, NULL);
        for (size_t i = 0; i < CLIENTS; i++) {
                agents[i] = (struct agent){0};
                alarm_init(&agents[i].think, agent_submit, &agents[i]);
        }
}

/* What it is all about: two clients that send, wait and send again meet under hold, and never under natural. */
START_TEST(test_two_synchronous_clients)
{
        static const struct {
                enum policy_kind policy;
                double jobs_per_submission;
        } cases[] = {{POLICY_NATURAL, 1}, {POLICY_HOLD, 2}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                uint64_t submissions, jobs;

                setup_times(1, cases[i].policy);
                agents_init();
                agent_start(0, 5, 2, 0);
                agent_start(1, 5, 4, 7); /* while the other's is inside */
                live(100);               /* time to learn */
                submissions = stats.submissions;
                jobs = stats.submission_jobs;
                live(300);
                submissions = stats.submissions - submissions;
                jobs = stats.submission_jobs - jobs;
                ck_assert_uint_ge(submissions, 50);
                ck_assert_double_eq_tol((double)jobs / (double)submissions, cases[i].jobs_per_submission,
                                        0.05);
                agents_stop();
                if (cases[i].policy == POLICY_NATURAL)
                        ck_assert_uint_eq(stats.hold_ns, 0);
                else /* from the first job that is back, 2 us after the answer, to the second */
                        ck_assert_double_eq_tol((double)stats.hold_ns / (double)(submissions * 2 * US), 1,
                                                0.5);
                teardown();
        }
}
END_TEST

/* ---- one hold ---- */

/* Clients 0 and 1 are known to be back after 2 us, and have just been answered. The hold is to last 6 us. */
static void hold_begin(void)
{
        setup_times(1, POLICY_HOLD);
        agents_init();
        agent_start(0, 5, 2, 0);
        agent_start(1, 5, 2, 0);
        live(60);
        while (pipeline.policy.hold_until_ns == 0)
                live(1);
        for (size_t i = 0; i < 2; i++) {
                agents[i].heard.then = NULL;
                alarm_set(&timeline.timeline, &agents[i].think, TIMELINE_NEVER);
        }
        alarm_set(&timeline.timeline, &device_done, TIMELINE_NEVER);
        ck_assert_uint_eq(device.n_inside, 0);
        ck_assert_uint_eq(pipeline.policy.n_expected, 2);
        ck_assert_uint_eq(pipeline.policy.hold_until_ns, timeline.now_ns + 6 * US);
        stats.hold_ns = 0;
        n_idle = 0;
}

START_TEST(test_hold_ends_when_all_are_back)
{
        struct heard jobs[2];

        hold_begin();
        advance_us(1);
        submit_as(0, &jobs[0], 5, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 0);
        ck_assert_uint_eq(next_us(), 5);
        advance_us(3);
        submit_as(1, &jobs[1], 5, &(struct wish){0});
        ck_assert_uint_eq(n_in(0), 2);
        ck_assert_uint_eq(stats.hold_ns, 3 * US);
        ck_assert_uint_eq(next_us(), TIMELINE_NEVER);
        fake_device_run(&device);
        teardown();
}
END_TEST

START_TEST(test_hold_runs_out)
{
        struct heard job, others;

        hold_begin();
        advance_us(1);
        submit_as(0, &job, 5, &(struct wish){0});
        submit_as(2, &others, 5, &(struct wish){0}); /* waits with it, and is not who was expected */
        advance_us(4);
        ck_assert_uint_eq(device.n_inside, 0);
        advance_us(1);
        ck_assert_uint_eq(n_in(0), 2);
        ck_assert_uint_eq(stats.hold_ns, 5 * US);
        fake_device_run(&device);
        teardown();
}
END_TEST

/* The device was idle, and nobody was waiting: that is no hold. */
START_TEST(test_hold_without_jobs_is_none)
{
        struct heard job;

        hold_begin();
        advance_us(100);
        ck_assert_uint_eq(next_us(), TIMELINE_NEVER);
        submit_as(2, &job, 5, &(struct wish){0});
        ck_assert_uint_eq(n_in(0), 1);
        ck_assert_uint_eq(stats.hold_ns, 0);
        fake_device_run(&device);
        teardown();
}
END_TEST

START_TEST(test_hold_ends_when_the_expected_leaves)
{
        struct heard job;

        hold_begin();
        submit_as(0, &job, 5, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 0);
        advance_us(1);
        disconnect(1);
        ck_assert_uint_eq(n_in(0), 1);
        ck_assert_uint_eq(stats.hold_ns, 1 * US);
        fake_device_run(&device);
        teardown();
}
END_TEST

START_TEST(test_hold_ends_on_full_batch)
{
        struct heard job;

        hold_begin();
        submit_as(0, &job, 989, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 0);
        pipeline_cancel(&pipeline, job.job);
        submit_as(0, &job, 990, &(struct wish){0}); /* and 10 us that it costs to submit it */
        ck_assert_uint_eq(n_in(0), 1);
        fake_device_run(&device);
        teardown();
}
END_TEST

START_TEST(test_hold_ends_for_a_deadline)
{
        struct heard job;

        hold_begin();
        submit_as(0, &job, 5, &(struct wish){.deadline_us = 18}); /* needs 15 */
        ck_assert_uint_eq(device.n_inside, 0);
        ck_assert_uint_eq(next_us(), 3);
        advance_us(3);
        ck_assert_uint_eq(n_in(0), 1);
        fake_device_run(&device);
        expect_end(&job, STATUS_OK, "0+5 ");
        teardown();
}
END_TEST

/* A deadline of a job whose group is not complete presses nobody: no start would help it. */
START_TEST(test_hold_goes_on_for_a_group_that_forms)
{
        struct heard job, forming;
        uint64_t hold_us;

        hold_begin();
        submit_as(0, &job, 5, &(struct wish){0});
        hold_us = next_us();
        submit_as(2, &forming, 5, &(struct wish){.deadline_us = FIXED_US + 10, .more = true});
        ck_assert_uint_eq(next_us(), hold_us);
        ck_assert_uint_eq(device.n_inside, 0);
        advance_us(hold_us);
        ck_assert_uint_eq(n_in(0), 1);
        fake_device_run(&device);
        pipeline_cancel(&pipeline, forming.job);
        teardown();
}
END_TEST

/* The one that was kept waiting goes: nothing was held for anybody, and no alarm is left. */
START_TEST(test_hold_for_a_job_that_is_cancelled)
{
        struct heard job, other;

        hold_begin();
        submit_as(0, &job, 5, &(struct wish){0});
        advance_us(1);
        pipeline_cancel(&pipeline, job.job);
        ck_assert_uint_eq(next_us(), TIMELINE_NEVER);
        ck_assert_uint_eq(n_idle, 1);
        advance_us(3);
        submit_as(1, &other, 5, &(struct wish){0});
        ck_assert_uint_eq(n_in(0), 1);
        ck_assert_uint_eq(stats.hold_ns, 0);
        fake_device_run(&device);
        teardown();
}
END_TEST

START_TEST(test_hold_ends_with_its_policy)
{
        struct heard job;

        hold_begin();
        submit_as(0, &job, 5, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 0);
        pipeline_set_policy(&pipeline, POLICY_NATURAL, 0);
        ck_assert_uint_eq(n_in(0), 1);
        fake_device_run(&device);
        teardown();
}
END_TEST

/* Who begins a group is not back before the group is. */
START_TEST(test_hold_waits_for_whole_groups)
{
        struct heard jobs[3];

        hold_begin();
        submit_as(0, &jobs[0], 5, &(struct wish){0});
        submit_as(1, &jobs[1], 5, &(struct wish){.more = true});
        ck_assert_uint_eq(device.n_inside, 0);
        advance_us(1);
        submit_as(1, &jobs[2], 5, &(struct wish){0});
        ck_assert_uint_eq(n_in(0), 3);
        fake_device_run(&device);
        teardown();
        hold_begin();
        submit_as(0, &jobs[0], 5, &(struct wish){0});
        submit_as(1, &jobs[1], 5, &(struct wish){.more = true});
        pipeline_complete_group(&pipeline, &clients[1]); /* its last job was refused */
        ck_assert_uint_eq(n_in(0), 2);
        fake_device_run(&device);
        teardown();
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("hold");

        tcase_add_test(tcase, test_two_synchronous_clients);
        tcase_add_test(tcase, test_hold_ends_when_all_are_back);
        tcase_add_test(tcase, test_hold_runs_out);
        tcase_add_test(tcase, test_hold_without_jobs_is_none);
        tcase_add_test(tcase, test_hold_ends_when_the_expected_leaves);
        tcase_add_test(tcase, test_hold_ends_on_full_batch);
        tcase_add_test(tcase, test_hold_ends_for_a_deadline);
        tcase_add_test(tcase, test_hold_goes_on_for_a_group_that_forms);
        tcase_add_test(tcase, test_hold_for_a_job_that_is_cancelled);
        tcase_add_test(tcase, test_hold_ends_with_its_policy);
        tcase_add_test(tcase, test_hold_waits_for_whole_groups);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("pipeline, hold");

        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
