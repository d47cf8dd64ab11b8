/* SPDX-License-Identifier: MIT */
/*
 * test-session-order.c - deadlines and groups as a client meets them: what is refused, and what becomes of the rest of
 * its group.
 */
#include <check.h>

#include "tests/unit/session-replies.h"
#include "tests/unit/suite.h"

#define M UINT64_C(5)
#define K UINT64_C(7)
#define N UINT64_C(3)

/* A, then B; C comes back in ROWS. */
#define PAYLOAD_BYTES (M * K + K * N)

static struct stage stage;

static void setup(void)
{
        stage_open(&stage, &stage_quota_limits, &stage_limits);
}

static void teardown(void)
{
        stage_close(&stage); /* checks that nothing is left */
}

static struct request_matmul matmul_inline(void)
{
        return (struct request_matmul){.m = M, .k = K, .n = N, .b = {.offset_bytes = M * K}};
}

/* A job that would be late is refused, counted as such, and leaves nothing; one that can be done in time is done. */
START_TEST(test_deadlines)
{
        struct request_matmul matmul = matmul_inline();
        const int8_t payload[PAYLOAD_BYTES] = {0};

        matmul.deadline_us = 1;
        stage.pipeline.cost.fixed_ns = 1001 - M * K * N;
        ck_assert(stage_matmul(&stage, 3, &matmul, payload, sizeof payload));
        expect_outcome(&stage, FRAME_DONE, 3, STATUS_DEADLINE, "its deadline is in 1 us");
        expect_nothing(&stage);
        ck_assert_uint_eq(stage_jobs(&stage), 0);
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
        ck_assert_uint_eq(stage.stats.jobs_expired, 1);
        ck_assert_uint_eq(stage.stats.jobs_refused, 0);
        stage.pipeline.cost.fixed_ns -= 1;
        ck_assert(stage_matmul(&stage, 4, &matmul, payload, sizeof payload));
        fake_device_run(&stage.device);
        (void)fake_reply_free(expect_reply(&stage, FRAME_ROWS, 4));
        expect_outcome(&stage, FRAME_DONE, 4, STATUS_OK, "");
        ck_assert_uint_eq(stage.stats.jobs_expired, 1);
}
END_TEST

static void expect_done_with_rows(uint64_t id)
{
        (void)fake_reply_free(expect_reply(&stage, FRAME_ROWS, id));
        expect_outcome(&stage, FRAME_DONE, id, STATUS_OK, "");
}

/* _i: how the last job of a group fails: it makes no sense, names what is not there, or would be late. */
START_TEST(test_last_of_a_group_is_refused)
{
        struct request_matmul matmul = matmul_inline(), last = matmul;
        const int8_t payload[PAYLOAD_BYTES] = {0};
        const struct fault fault = {.status = STATUS_INVALID, .text = "M is 0"};

        matmul.more = true;
        ck_assert(stage_matmul(&stage, 3, &matmul, payload, sizeof payload));
        ck_assert(stage_matmul(&stage, 4, &matmul, payload, sizeof payload));
        ck_assert_uint_eq(stage.device.n_inside, 0);
        if (_i == 0) {
                session_refuse(&stage.session, &(struct request){.type = FRAME_MATMUL, .id = 5}, &fault);
                expect_outcome(&stage, FRAME_DONE, 5, STATUS_INVALID, "M is 0");
        } else if (_i == 1) {
                last.a.arena = 99;
                ck_assert(!stage_matmul(&stage, 5, &last, payload, sizeof payload));
                expect_outcome(&stage, FRAME_DONE, 5, STATUS_NOT_FOUND, "A: arena 99");
        } else {
                last.deadline_us = 1;
                stage.pipeline.cost.fixed_ns = 2000;
                ck_assert(stage_matmul(&stage, 5, &last, payload, sizeof payload));
                expect_outcome(&stage, FRAME_DONE, 5, STATUS_DEADLINE, "would be done in");
        }
        ck_assert_uint_eq(stage.device.n_inside, 1); /* the group is what there is */
        ck_assert_uint_eq(stage.device.inside[0]->n_slices, 2);
        fake_device_run(&stage.device);
        expect_done_with_rows(3);
        expect_done_with_rows(4);
        expect_nothing(&stage);
}
END_TEST

/* A job in the middle of a group that is refused leaves it as it is: more is to come. */
START_TEST(test_middle_of_a_group_is_refused)
{
        struct request_matmul matmul = matmul_inline(), wrong;
        const int8_t payload[PAYLOAD_BYTES] = {0};

        matmul.more = true;
        ck_assert(stage_matmul(&stage, 3, &matmul, payload, sizeof payload));
        wrong = matmul;
        wrong.a.arena = 99;
        ck_assert(!stage_matmul(&stage, 4, &wrong, payload, sizeof payload));
        expect_outcome(&stage, FRAME_DONE, 4, STATUS_NOT_FOUND, "A: arena 99");
        ck_assert_uint_eq(stage.device.n_inside, 0);
        matmul.more = false;
        ck_assert(stage_matmul(&stage, 5, &matmul, payload, sizeof payload));
        ck_assert_uint_eq(stage.device.inside[0]->n_slices, 2);
        fake_device_run(&stage.device);
        expect_done_with_rows(3);
        expect_done_with_rows(5);
}
END_TEST

/* The connection goes while its group is forming. */
START_TEST(test_end_while_a_group_forms)
{
        struct request_matmul matmul = matmul_inline();
        const int8_t payload[PAYLOAD_BYTES] = {0};

        matmul.more = true;
        ck_assert(stage_matmul(&stage, 3, &matmul, payload, sizeof payload));
        ck_assert(stage_matmul(&stage, 4, &matmul, payload, sizeof payload));
        stage_session_deinit(&stage);
        ck_assert_uint_eq(stage_jobs(&stage), 0);
        ck_assert_uint_eq(stage.device.n_submits, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("session, order");
        TCase *tcase = tcase_create("order");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_deadlines);
        tcase_add_loop_test(tcase, test_last_of_a_group_is_refused, 0, 3);
        tcase_add_test(tcase, test_middle_of_a_group_is_refused);
        tcase_add_test(tcase, test_end_while_a_group_forms);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
