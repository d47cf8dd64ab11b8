/* SPDX-License-Identifier: MIT */
/* test-pipeline-time.c - deadlines, groups, windows and the second slot. */
#include "tests/unit/pipeline-desk.h"
#include "tests/unit/suite.h"

/* ---- deadlines ---- */

static const struct {
        const char *what;
        uint64_t inside_rows, age_us; /* a batch in the device, and since when */
        uint64_t own_rows;            /* of the same client, waiting */
        uint64_t others_rows;         /* of another user, waiting */
        uint64_t rows, deadline_us;
        bool is_accepted;
        const char *words;
} promises[] = {
        {"idle, to the last microsecond", 0, 0, 0, 0, 90, 100, true, ""},
        {"idle, one row too many", 0, 0, 0, 0, 91, 100, false,
         "would be done in 101 us, as things stand, and its deadline is in 100 us"},
        {"no deadline", 500, 0, 500, 500, 5000, 0, true, ""},
        {"busy", 50, 20, 0, 0, 50, 100, true, ""},
        {"busy for too long", 50, 19, 0, 0, 50, 100, false, "done in 101 us"},
        {"busy longer than predicted: now is as good as any time", 50, 70, 0, 0, 90, 100, true, ""},
        {"behind its own", 50, 0, 100, 0, 30, 200, true, ""},
        {"behind its own, too late", 50, 0, 100, 0, 31, 200, false, "done in 201 us"},
        {"beside others: they get as much as it does first", 50, 0, 0, 100, 30, 130, true, ""},
        {"beside others, too late", 50, 0, 0, 100, 30, 129, false, "done in 130 us"},
        {"a full batch", 0, 0, 0, 0, 990, 1000, true, ""},
        {"two full batches: each costs its own", 0, 0, 0, 0, 1980, 2000, true, ""},
        {"two full batches, too late", 0, 0, 0, 0, 1980, 1999, false, "done in 2000 us"},
        {"a row more: a third one", 0, 0, 0, 0, 1981, 2010, false, "done in 2011 us"},
        {"the last rows of a full batch", 50, 0, 980, 0, 10, 1060, true, ""},
        {"behind a full batch", 50, 0, 980, 0, 11, 1070, false, "done in 1071 us"},
};

START_TEST(test_promise)
{
        struct heard inside, own, others, job;
        struct fault fault = {0};
        bool is_accepted;

        setup_times(1, POLICY_NATURAL);
        if (promises[_i].inside_rows > 0)
                submit_as(3, &inside, promises[_i].inside_rows, &(struct wish){0});
        if (promises[_i].own_rows > 0)
                submit_as(0, &own, promises[_i].own_rows, &(struct wish){0});
        if (promises[_i].others_rows > 0)
                submit_as(2, &others, promises[_i].others_rows, &(struct wish){0});
        advance_us(promises[_i].age_us);
        is_accepted = try_submit(0, &job, promises[_i].rows,
                                 &(struct wish){.deadline_us = promises[_i].deadline_us}, &fault);
        ck_assert_msg(is_accepted == promises[_i].is_accepted, "%s: %s", promises[_i].what, fault.text);
        if (!is_accepted) {
                ck_assert_int_eq(fault.status, STATUS_DEADLINE);
                ck_assert_msg(strstr(fault.text, promises[_i].words), "%s: \"%s\" lacks \"%s\"",
                              promises[_i].what, fault.text, promises[_i].words);
                ck_assert_ptr_nonnull(strstr(fault.text, "allow more time"));
        }
        fake_device_run(&device);
        ck_assert_uint_eq(job.n_done, is_accepted);
        teardown();
}
END_TEST

/* Where a submission costs more than the bound allows there is still a promise: some work goes with each. */
START_TEST(test_promise_beyond_the_bound)
{
        struct heard job;
        struct fault fault;

        desk_prepare_times(1, POLICY_NATURAL);
        settings.bound_ns = 8 * US; /* 4 us of work each, for want of better */
        desk_open();
        ck_assert(!try_submit(0, &job, 4, &(struct wish){.deadline_us = 13}, &fault));
        ck_assert_ptr_nonnull(strstr(fault.text, "done in 14 us"));
        ck_assert(!try_submit(0, &job, 5, &(struct wish){.deadline_us = 24}, &fault));
        ck_assert_ptr_nonnull(strstr(fault.text, "done in 25 us"));
        teardown();
}
END_TEST

/* The device was slower than predicted: the job is not begun, though its deadline has not passed. */
START_TEST(test_late_at_compose)
{
        struct heard inside, late, next;

        setup_times(1, POLICY_NATURAL);
        submit(&inside, 40);
        submit_as(0, &late, 50, &(struct wish){.deadline_us = 120});
        submit(&next, 5);
        advance_us(61); /* it was to be 50 */
        finish(0, STATUS_OK);
        expect_end(&late, STATUS_DEADLINE, "");
        ck_assert_ptr_nonnull(strstr(late.text, "its turn came too late"));
        ck_assert_uint_eq(n_in(0), 1); /* the next one's is the batch */
        fake_device_run(&device);
        expect_end(&next, STATUS_OK, "0+5 ");
        ck_assert_uint_eq(device.n_slices, 2); /* the device never saw it */
        ck_assert_uint_eq(stats.jobs_expired, 1);
        teardown();
}
END_TEST

/* The same, to the microsecond: it is begun. */
START_TEST(test_just_in_time_at_compose)
{
        struct heard inside, job;

        setup_times(1, POLICY_NATURAL);
        submit(&inside, 40);
        submit_as(0, &job, 50, &(struct wish){.deadline_us = 120});
        advance_us(60);
        finish(0, STATUS_OK);
        fake_device_run(&device);
        expect_end(&job, STATUS_OK, "0+50 ");
        teardown();
}
END_TEST

/* The device says nothing more: those that wait hear of their deadlines in time, the earliest first. */
START_TEST(test_deadlines_pass_while_busy)
{
        static const uint64_t deadlines_us[] = {300, 100, 0, 200};
        struct heard inside, jobs[ARRAY_SIZE(deadlines_us)];
        uint64_t start_ns;

        setup_times(1, POLICY_NATURAL);
        submit(&inside, 30);
        start_ns = timeline.now_ns;
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
                submit_as(i, &jobs[i], 10, &(struct wish){.deadline_us = deadlines_us[i]});
        ck_assert_uint_eq(next_us(), 100);
        advance_us(99);
        ck_assert_uint_eq(stats.jobs_expired, 0);
        advance_us(1000);
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
                if (deadlines_us[i] == 0)
                        continue;
                expect_end(&jobs[i], STATUS_DEADLINE, "");
                ck_assert_ptr_nonnull(strstr(jobs[i].text, "its deadline passed while it waited"));
                ck_assert_uint_eq(jobs[i].done_ns, start_ns + deadlines_us[i] * US);
        }
        fake_device_run(&device);
        expect_end(&inside, STATUS_OK, "0+30 ");
        expect_end(&jobs[2], STATUS_OK, "0+10 ");
        ck_assert_uint_eq(stats.jobs_expired, 3);
        teardown();
}
END_TEST

/* What the device has is left to it; the rest of the job is not made; it ends when the device lets go. */
START_TEST(test_deadline_passes_half_done)
{
        struct heard heard;

        setup_times(1, POLICY_NATURAL);
        submit_as(0, &heard, 1900, &(struct wish){.deadline_us = 2500});
        ck_assert_uint_eq(device.inside[0]->slices[0].rows, 990);
        advance_us(2500);
        ck_assert_uint_eq(heard.n_done, 0);
        ck_assert_uint_eq(pipeline.scheduler.depth, 0);
        finish(0, STATUS_OK);
        expect_end(&heard, STATUS_DEADLINE, "");
        ck_assert_uint_eq(heard.done_ns, timeline.now_ns);
        ck_assert_uint_eq(device.n_submits, 1);
        teardown();
}
END_TEST

/* And what it has not begun of it, it may leave out. */
START_TEST(test_deadline_passes_before_it_has_begun)
{
        struct heard heard;

        setup_times(1, POLICY_NATURAL);
        device.drops = true;
        submit_as(0, &heard, 1900, &(struct wish){.deadline_us = 2500});
        advance_us(2500);
        ck_assert(device.inside[0]->slices[0].is_dropped);
        finish(0, STATUS_OK);
        expect_end(&heard, STATUS_DEADLINE, "");
        teardown();
}
END_TEST

/* The same where it is the rest of the job that turns out to come too late, while its first slices are inside. */
START_TEST(test_rest_comes_too_late)
{
        struct heard heard;

        desk_prepare_times(2, POLICY_NATURAL);
        device.device.pack_ns = 5 * US;
        device.drops = true;
        desk_open();
        submit_as(0, &heard, 1900, &(struct wish){.deadline_us = 1920}); /* 990 and 910, and 10 each */
        ck_assert_uint_eq(next_us(), 995);
        timeline.now_ns += 1001 * US; /* the alarm rings late, and the device is late, too */
        ck_assert(fake_timeline_step(&timeline));
        ck_assert_uint_eq(device.n_inside, 1); /* 1,001 + 920 us */
        ck_assert(device.inside[0]->slices[0].is_dropped);
        finish(0, STATUS_OK);
        expect_end(&heard, STATUS_DEADLINE, "");
        ck_assert_ptr_nonnull(strstr(heard.text, "its turn came too late"));
        teardown();
}
END_TEST

/* All of it is inside: it is done, late or not, and its client hears so. */
START_TEST(test_deadline_passes_inside)
{
        struct heard heard;

        setup_times(1, POLICY_NATURAL);
        submit_as(0, &heard, 50, &(struct wish){.deadline_us = 60});
        ck_assert_uint_eq(next_us(), TIMELINE_NEVER);
        advance_us(1000);
        fake_device_run(&device);
        expect_end(&heard, STATUS_OK, "0+50 ");
        teardown();
}
END_TEST

/* A deadline goes with its job. */
START_TEST(test_no_alarm_for_the_dead)
{
        struct heard inside, heard;

        setup_times(1, POLICY_NATURAL);
        submit(&inside, 30);
        submit_as(0, &heard, 10, &(struct wish){.deadline_us = 200});
        pipeline_cancel(&pipeline, heard.job);
        expect_end(&heard, STATUS_CANCELLED, "");
        ck_assert_uint_eq(next_us(), TIMELINE_NEVER);
        advance_us(1000);
        fake_device_run(&device);
        teardown();
}
END_TEST

static struct heard successor;

static void submit_another(struct heard *heard)
{
        (void)heard;
        submit(&successor, 10);
}

/* What is submitted from within the end of another is looked after, though nothing else happens. */
START_TEST(test_submitted_from_within_an_end)
{
        struct heard forming;

        setup_times(1, POLICY_NATURAL);
        submit_as(0, &forming, 10, &(struct wish){.deadline_us = 100, .more = true, .then = submit_another});
        advance_us(100); /* the device is idle all the time */
        expect_end(&forming, STATUS_DEADLINE, "");
        ck_assert_uint_eq(n_in(0), 1);
        fake_device_run(&device);
        expect_end(&successor, STATUS_OK, "0+10 ");
        teardown();
}
END_TEST

/* A group that is never completed does not keep its jobs beyond their deadlines. */
START_TEST(test_deadline_passes_while_forming)
{
        struct heard jobs[2];

        setup_times(1, POLICY_NATURAL);
        submit_as(0, &jobs[0], 10, &(struct wish){.deadline_us = 100, .more = true});
        ck_assert_uint_eq(device.n_submits, 0);
        ck_assert_uint_eq(next_us(), 100);
        advance_us(100);
        expect_end(&jobs[0], STATUS_DEADLINE, "");
        submit(&jobs[1], 10); /* completes what is left of the group: itself */
        fake_device_run(&device);
        expect_end(&jobs[1], STATUS_OK, "0+10 ");
        teardown();
}
END_TEST

/* ---- groups ---- */

START_TEST(test_group_goes_as_one)
{
        struct heard jobs[3], other;

        setup_times(1, POLICY_NATURAL);
        submit_as(0, &jobs[0], 10, &(struct wish){.more = true});
        submit_as(0, &jobs[1], 20, &(struct wish){.more = true});
        ck_assert_uint_eq(device.n_submits, 0);
        ck_assert_uint_eq(pipeline.scheduler.depth, 0);
        submit_as(2, &other, 5, &(struct wish){0}); /* is not kept waiting */
        ck_assert_uint_eq(n_in(0), 1);
        submit_as(0, &jobs[2], 30, &(struct wish){0});
        ck_assert_uint_eq(pipeline.scheduler.depth, 3);
        finish(0, STATUS_OK);
        ck_assert_uint_eq(n_in(0), 3);
        fake_device_run(&device);
        for (size_t i = 0; i < 3; i++)
                ck_assert_int_eq(jobs[i].status, STATUS_OK);
        ck_assert_uint_eq(stats.submissions, 2);
        teardown();
}
END_TEST

/* The last job of a group was refused: what is there is the group. Others' groups go on forming. */
START_TEST(test_group_is_completed)
{
        struct heard jobs[2], others[2];

        setup_times(1, POLICY_NATURAL);
        submit_as(0, &jobs[0], 10, &(struct wish){.more = true});
        submit_as(0, &jobs[1], 10, &(struct wish){.more = true});
        submit_as(1, &others[0], 10, &(struct wish){.more = true});
        submit_as(2, &others[1], 10, &(struct wish){.more = true});
        pipeline_complete_group(&pipeline, &clients[3]); /* has none */
        ck_assert_uint_eq(device.n_submits, 0);
        pipeline_complete_group(&pipeline, &clients[0]);
        ck_assert_uint_eq(n_in(0), 2);
        fake_device_run(&device);
        expect_end(&jobs[0], STATUS_OK, "0+10 ");
        expect_end(&jobs[1], STATUS_OK, "0+10 ");
        ck_assert_uint_eq(others[0].n_done + others[1].n_done, 0);
        pipeline_complete_all_groups(&pipeline);
        fake_device_run(&device);
        expect_end(&others[0], STATUS_OK, "0+10 ");
        expect_end(&others[1], STATUS_OK, "0+10 ");
        teardown();
}
END_TEST

START_TEST(test_cancel_while_forming)
{
        struct heard jobs[3];

        setup_times(1, POLICY_NATURAL);
        for (size_t i = 0; i < 3; i++)
                submit_as(0, &jobs[i], 10, &(struct wish){.more = true});
        pipeline_cancel(&pipeline, jobs[1].job);
        expect_end(&jobs[1], STATUS_CANCELLED, "");
        pipeline_complete_group(&pipeline, &clients[0]);
        ck_assert_uint_eq(n_in(0), 2);
        fake_device_run(&device);
        submit_as(0, &jobs[0], 10, &(struct wish){.more = true});
        submit_as(1, &jobs[1], 10, &(struct wish){.more = true});
        pipeline_cancel_all(&pipeline); /* those that form wait, too */
        expect_end(&jobs[0], STATUS_CANCELLED, "");
        expect_end(&jobs[1], STATUS_CANCELLED, "");
        ck_assert(pipeline_is_idle(&pipeline));
        teardown();
}
END_TEST

/* ---- window ---- */

START_TEST(test_window)
{
        struct heard jobs[2];

        setup_times(1, POLICY_WINDOW);
        submit_as(0, &jobs[0], 5, &(struct wish){0});
        advance_us(30);
        submit_as(1, &jobs[1], 5, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 0);
        ck_assert_uint_eq(next_us(), 20);
        advance_us(20);
        ck_assert_uint_eq(n_in(0), 2);
        ck_assert_uint_eq(stats.hold_ns, 50 * US);
        fake_device_run(&device);
        teardown();
}
END_TEST

/* A model's times are longer than real ones by a factor, and so are the settings that are times of the device. */
START_TEST(test_time_scale)
{
        struct heard job;

        desk_prepare_times(1, POLICY_WINDOW);
        device.device.time_scale = 3;
        device.device.seed_fixed_ns *= 3;
        device.device.seed_ns_per_mac *= 3;
        desk_open();
        ck_assert_uint_eq(pipeline.scheduler.aging_ns, 3 * AGING_NS);
        submit(&job, 989);
        ck_assert_uint_eq(next_us(), 150); /* not quite full */
        pipeline_cancel(&pipeline, job.job);
        submit(&job, 990);
        ck_assert_uint_eq(device.inside[0]->slices[0].rows, 990);
        fake_device_run(&device);
        submit(&job, 5);
        ck_assert_uint_eq(next_us(), 150);
        pipeline_set_policy(&pipeline, POLICY_WINDOW, 20 * US);
        ck_assert_uint_eq(next_us(), 60);
        advance_us(60);
        ck_assert_uint_eq(n_in(0), 1);
        fake_device_run(&device);
        teardown();
}
END_TEST

/* ---- a second slot ---- */

/* The first batch is predicted to take 110 us, and packing the next one 5 us. */
static void two_slots(enum policy_kind policy, struct heard *first)
{
        desk_prepare_times(2, policy);
        device.device.pack_ns = 5 * US;
        desk_open();
        submit_as(3, first, 100, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 1);
}

/* The second batch is composed as late as it can be, so that it holds what comes until then. */
START_TEST(test_second_slot_stays_open)
{
        struct heard first, second, third, fourth;

        two_slots(POLICY_NATURAL, &first);
        submit_as(0, &second, 5, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 1);
        ck_assert_uint_eq(next_us(), 105);
        advance_us(104);
        submit_as(1, &third, 5, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 1);
        advance_us(1);
        ck_assert_uint_eq(device.n_inside, 2);
        ck_assert_uint_eq(n_in(1), 2);
        submit_as(2, &fourth, 5,
                  &(struct wish){0}); /* both slots are taken: it waits for one, not for a time */
        ck_assert_uint_eq(next_us(), TIMELINE_NEVER);
        finish(0, STATUS_OK);
        ck_assert_uint_eq(device.n_inside, 1);
        ck_assert_uint_eq(next_us(),
                          15); /* the second is predicted from when it was submitted: 105 + 20 - 5 */
        fake_device_run(&device);
        expect_end(&fourth, STATUS_OK, "0+5 ");
        ck_assert_uint_eq(stats.hold_ns, 0);
        teardown();
}
END_TEST

/* What is inside goes one after the other: the second batch begins when the first is done. */
START_TEST(test_promise_behind_two_slots)
{
        struct heard first, second, late, job;
        struct fault fault;

        two_slots(POLICY_NATURAL, &first);
        submit_as(0, &second, 50, &(struct wish){0});
        advance_us(105);
        ck_assert_uint_eq(device.n_inside, 2); /* for 5 us more, and then for 60 */
        ck_assert(!try_submit(1, &late, 10, &(struct wish){.deadline_us = 84}, &fault));
        ck_assert_ptr_nonnull(strstr(fault.text, "done in 85 us"));
        submit_as(1, &job, 10, &(struct wish){.deadline_us = 85});
        fake_device_run(&device);
        expect_end(&job, STATUS_OK, "0+10 ");
        teardown();
}
END_TEST

START_TEST(test_first_slot_is_early)
{
        struct heard first, second;

        two_slots(POLICY_NATURAL, &first);
        submit_as(0, &second, 5, &(struct wish){0});
        advance_us(50);
        finish(0, STATUS_OK);
        ck_assert_uint_eq(n_in(0), 1); /* the device is idle: at once */
        ck_assert_uint_eq(next_us(), TIMELINE_NEVER);
        fake_device_run(&device);
        teardown();
}
END_TEST

START_TEST(test_first_slot_is_late)
{
        struct heard first, second, third;

        two_slots(POLICY_NATURAL, &first);
        advance_us(300);
        submit_as(0, &second, 5, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 2); /* it may end at any moment */
        submit_as(0, &third, 5, &(struct wish){0});
        ck_assert_uint_eq(device.n_inside, 2);
        fake_device_run(&device);
        expect_end(&third, STATUS_OK, "0+5 ");
        teardown();
}
END_TEST

/* Under hold nothing goes ahead of clients that will be back as soon as they are answered. */
START_TEST(test_second_slot_waits_for_swift_clients)
{
        struct heard first, second, again;

        two_slots(POLICY_HOLD, &first);
        for (int i = 0; i < 6; i++) { /* client 3 is back after 2 us each time */
                finish(0, STATUS_OK);
                advance_us(2);
                submit_as(3, &first, 100, &(struct wish){0});
                while (device.n_inside == 0)
                        ck_assert(fake_timeline_step(&timeline));
        }
        submit_as(0, &second, 5, &(struct wish){0});
        advance_us(500);
        ck_assert_uint_eq(device.n_inside, 1);
        finish(0, STATUS_OK);
        ck_assert_uint_eq(device.n_inside, 0); /* now it is held for it */
        advance_us(2);
        submit_as(3, &again, 100, &(struct wish){0});
        ck_assert_uint_eq(n_in(0), 2);
        fake_device_run(&device);
        expect_end(&second, STATUS_OK, "0+5 ");
        teardown();
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("time");

        tcase_add_loop_test(tcase, test_promise, 0, ARRAY_SIZE(promises));
        tcase_add_test(tcase, test_promise_beyond_the_bound);
        tcase_add_test(tcase, test_late_at_compose);
        tcase_add_test(tcase, test_just_in_time_at_compose);
        tcase_add_test(tcase, test_deadlines_pass_while_busy);
        tcase_add_test(tcase, test_deadline_passes_half_done);
        tcase_add_test(tcase, test_deadline_passes_before_it_has_begun);
        tcase_add_test(tcase, test_rest_comes_too_late);
        tcase_add_test(tcase, test_deadline_passes_inside);
        tcase_add_test(tcase, test_no_alarm_for_the_dead);
        tcase_add_test(tcase, test_submitted_from_within_an_end);
        tcase_add_test(tcase, test_deadline_passes_while_forming);
        tcase_add_test(tcase, test_group_goes_as_one);
        tcase_add_test(tcase, test_group_is_completed);
        tcase_add_test(tcase, test_cancel_while_forming);
        tcase_add_test(tcase, test_window);
        tcase_add_test(tcase, test_time_scale);
        tcase_add_test(tcase, test_second_slot_stays_open);
        tcase_add_test(tcase, test_promise_behind_two_slots);
        tcase_add_test(tcase, test_first_slot_is_early);
        tcase_add_test(tcase, test_first_slot_is_late);
        tcase_add_test(tcase, test_second_slot_waits_for_swift_clients);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("pipeline, time");

        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
