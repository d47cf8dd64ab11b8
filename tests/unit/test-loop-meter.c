/* SPDX-License-Identifier: MIT */
/* test-loop-meter.c - a callback that holds the loop is seen; the meter itself keeps no loop alive. */
#include <check.h>

#include "daemon/loop-meter.h"
#include "tests/unit/suite.h"

#define HELD_US 3000

static uv_loop_t loop;
static struct hold_meter hold;
static struct loop_meter meter;

static void setup(void)
{
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        hold = (struct hold_meter){0};
        ck_assert_int_eq(loop_meter_open(&meter, &loop, &hold), 0);
}

static void teardown(void)
{
        loop_meter_close(&meter);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void on_timer(uv_timer_t *timer)
{
        const uint64_t end_ns = uv_hrtime() + HELD_US * UINT64_C(1000);
        unsigned *n_left = timer->data;

        while (uv_hrtime() < end_ns)
                ;
        if (--*n_left == 0)
                uv_close((uv_handle_t *)timer, NULL);
}

START_TEST(test_held_loop)
{
        unsigned n_left = 5;
        uv_timer_t timer;

        ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
        timer.data = &n_left;
        ck_assert_int_eq(uv_timer_start(&timer, on_timer, 1, 1), 0);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_uint_eq(n_left, 0);
        ck_assert_uint_ge(hold.n_times, 4); /* turns between two waits, so one less than turns */
        ck_assert_uint_ge(hold.max_us, HELD_US);
        ck_assert_uint_ge(hold_meter_quantile_us(&hold, 0.99), HELD_US);
}
END_TEST

START_TEST(test_keeps_no_loop_alive)
{
        ck_assert_int_eq(uv_loop_alive(&loop), 0);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("loop-meter");
        TCase *tcase = tcase_create("loop-meter");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_held_loop);
        tcase_add_test(tcase, test_keeps_no_loop_alive);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
