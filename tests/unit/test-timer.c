/* SPDX-License-Identifier: MIT */
/* test-timer.c - the timeline of the machine's clock: alarms in order, never early, none after close. */
#include <check.h>

#include "daemon/timer.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define US UINT64_C(1000)
#define MS (1000 * US)

static struct rng rng;
static uv_loop_t loop;
static struct timer timer;
static uv_timer_t guard; /* keeps the loop alive, as the daemon's other handles do */

static struct bell {
        struct alarm alarm;
        uint64_t at_ns;
        unsigned n_rung;
        void (*then)(struct bell *bell);
} bells[32];
static struct bell *order[64]; /* as they rang */
static size_t n_order;

static void on_alarm(void *userdata)
{
        struct bell *bell = userdata;

        ck_assert_uint_ge(timeline_now_ns(&timer.timeline), bell->at_ns); /* never early */
        bell->n_rung++;
        ck_assert_uint_lt(n_order, ARRAY_SIZE(order));
        order[n_order++] = bell;
        if (bell->then)
                bell->then(bell);
}

static void on_guard(uv_timer_t *handle)
{
        (void)handle;
        ck_abort_msg("the alarm did not ring");
}

static void setup(void)
{
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        ck_assert_int_eq(timer_open(&timer, &loop), 0);
        ck_assert_int_eq(uv_timer_init(&loop, &guard), 0);
        ck_assert_int_eq(uv_timer_start(&guard, on_guard, 60000, 0), 0);
        memset(bells, 0, sizeof bells);
        for (size_t i = 0; i < ARRAY_SIZE(bells); i++)
                alarm_init(&bells[i].alarm, on_alarm, &bells[i]);
        n_order = 0;
}

static void teardown(void)
{
        if (timer.fd >= 0)
                timer_close(&timer);
        uv_close((uv_handle_t *)&guard, NULL);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_int_eq(timer.fd, -1);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void set(struct bell *bell, uint64_t at_ns)
{
        bell->at_ns = at_ns;
        alarm_set(&timer.timeline, &bell->alarm, at_ns);
}

static void await_order(size_t n)
{
        while (n_order < n)
                (void)uv_run(&loop, UV_RUN_ONCE);
        ck_assert_uint_eq(n_order, n);
}

START_TEST(test_clock_goes_on)
{
        const uint64_t before_ns = uv_hrtime(), now_ns = timeline_now_ns(&timer.timeline);

        ck_assert_uint_ge(now_ns, before_ns);
        ck_assert_uint_le(now_ns, uv_hrtime());
}
END_TEST

/* In the order of their times, however they were set, and each once. */
START_TEST(test_in_order_and_not_early)
{
        const uint64_t now_ns = timeline_now_ns(&timer.timeline);

        for (size_t i = 0; i < ARRAY_SIZE(bells); i++)
                set(&bells[i], now_ns + rng_between(&rng, 1, 40) * 250 * US);
        await_order(ARRAY_SIZE(bells));
        for (size_t i = 0; i < ARRAY_SIZE(bells); i++) {
                ck_assert_uint_eq(bells[i].n_rung, 1);
                if (i > 0)
                        ck_assert_uint_le(order[i - 1]->at_ns, order[i]->at_ns);
        }
}
END_TEST

/* Now, and times that have passed: also 0, which the kernel would take for "off". */
START_TEST(test_times_that_have_passed)
{
        set(&bells[0], timeline_now_ns(&timer.timeline));
        set(&bells[1], 1);
        set(&bells[2], 0);
        await_order(3);
        ck_assert_ptr_eq(order[0], &bells[2]);
        ck_assert_ptr_eq(order[1], &bells[1]);
        ck_assert_ptr_eq(order[2], &bells[0]);
}
END_TEST

/* An earlier alarm goes before one that the kernel waits for already; one that is taken back does not ring. */
START_TEST(test_move_and_take_back)
{
        const uint64_t now_ns = timeline_now_ns(&timer.timeline);

        set(&bells[0], now_ns + 3600000 * MS); /* an hour */
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        set(&bells[1], now_ns + 2 * MS);
        set(&bells[2], now_ns + 1 * MS);
        alarm_set(&timer.timeline, &bells[2].alarm, TIMELINE_NEVER);
        await_order(1);
        ck_assert_ptr_eq(order[0], &bells[1]);
        set(&bells[0], now_ns + 4 * MS);
        await_order(2);
        ck_assert_ptr_eq(order[1], &bells[0]);
        ck_assert_uint_eq(bells[2].n_rung, 0);
}
END_TEST

static void again_now(struct bell *bell)
{
        if (bell->n_rung < 20)
                set(bell, timeline_now_ns(&timer.timeline));
}

static void on_zero(uv_timer_t *handle)
{
        ck_assert_uint_lt(bells[0].n_rung, 20); /* between rings the loop has looked after others */
        *(bool *)handle->data = true;
        uv_close((uv_handle_t *)handle, NULL);
}

/* An alarm that sets itself for now, again and again, rings once a turn: nobody holds the loop. */
START_TEST(test_holds_no_loop)
{
        bool others_ran = false;
        uv_timer_t other;

        ck_assert_int_eq(uv_timer_init(&loop, &other), 0);
        other.data = &others_ran;
        ck_assert_int_eq(uv_timer_start(&other, on_zero, 0, 0), 0);
        bells[0].then = again_now;
        set(&bells[0], timeline_now_ns(&timer.timeline));
        await_order(20);
        ck_assert(others_ran);
}
END_TEST

/* By itself it is no reason for a loop to run. */
START_TEST(test_keeps_no_loop_alive)
{
        set(&bells[0], timeline_now_ns(&timer.timeline) + 3600000 * MS);
        uv_unref((uv_handle_t *)&guard);
        ck_assert_int_eq(uv_loop_alive(&loop), 0);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
}
END_TEST

/* Alarms that are due and not yet rung, and alarms set later, are silent. */
START_TEST(test_silent_once_closed)
{
        set(&bells[0], timeline_now_ns(&timer.timeline));
        timer_close(&timer);
        set(&bells[1], timeline_now_ns(&timer.timeline));
        uv_unref((uv_handle_t *)&guard);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_uint_eq(n_order, 0);
        ck_assert_int_eq(timer.fd, -1);
        alarm_set(&timer.timeline, &bells[0].alarm,
                  TIMELINE_NEVER); /* taken back when all is over: as in pipeline_deinit */
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("timer");
        TCase *tcase = tcase_create("timer");

        rng_start(&rng, "timer");
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_clock_goes_on);
        tcase_add_test(tcase, test_in_order_and_not_early);
        tcase_add_test(tcase, test_times_that_have_passed);
        tcase_add_test(tcase, test_move_and_take_back);
        tcase_add_test(tcase, test_holds_no_loop);
        tcase_add_test(tcase, test_keeps_no_loop_alive);
        tcase_add_test(tcase, test_silent_once_closed);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
