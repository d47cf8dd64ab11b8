/* SPDX-License-Identifier: MIT */
/* test-xrt-breaker.c - after which faults the NPU is tried again at once, later, or much later. */
#include "daemon/device/xrt-breaker.h"
#include "tests/unit/suite.h"

#define S    UINT64_C(1000000000)
#define WAIT (2 * S)

static struct xrt_breaker breaker;

static void setup(void)
{
        xrt_breaker_init(&breaker, WAIT);
}

static void teardown(void)
{
}

static void expect(enum wire_cause cause, uint64_t now_ns, enum device_state state, uint64_t wait_ns)
{
        const struct xrt_verdict verdict = xrt_breaker_fault(&breaker, cause, now_ns);

        ck_assert_int_eq(verdict.state, state);
        ck_assert_uint_eq(verdict.try_ns, now_ns + wait_ns);
}

START_TEST(test_third_fault_opens)
{
        expect(WIRE_CAUSE_HUNG, 1 * S, DEVICE_RECOVERING, 0);
        expect(WIRE_CAUSE_ERROR, 2 * S, DEVICE_RECOVERING, 0);
        expect(WIRE_CAUSE_TIMEOUT, 3 * S, DEVICE_DEGRADED, WAIT);
}
END_TEST

START_TEST(test_faults_far_apart_do_not)
{
        for (uint64_t i = 0; i < 20; i++)
                expect(WIRE_CAUSE_HUNG, (1 + 30 * i) * S, DEVICE_RECOVERING, 0); /* never three in a minute */
        expect(WIRE_CAUSE_HUNG, (1 + 30 * 19 + 1) * S, DEVICE_DEGRADED, WAIT);
}
END_TEST

START_TEST(test_waits_double_up_to_a_bound)
{
        uint64_t now_ns = S, wait_ns = WAIT;

        (void)xrt_breaker_fault(&breaker, WIRE_CAUSE_ERROR, now_ns);
        (void)xrt_breaker_fault(&breaker, WIRE_CAUSE_ERROR, now_ns);
        for (int i = 0; i < 12; i++) {
                expect(WIRE_CAUSE_ABSENT, now_ns, DEVICE_DEGRADED, wait_ns);
                now_ns += wait_ns;
                wait_ns = MIN(2 * wait_ns, 32 * WAIT);
        }
}
END_TEST

START_TEST(test_work_after_a_quiet_minute_begins_anew)
{
        expect(WIRE_CAUSE_GONE, 1 * S, DEVICE_DEGRADED, WAIT);
        expect(WIRE_CAUSE_GONE, 2 * S, DEVICE_DEGRADED, 2 * WAIT);
        xrt_breaker_worked(&breaker, 3 * S); /* too soon to mean anything */
        expect(WIRE_CAUSE_GONE, 4 * S, DEVICE_DEGRADED, 4 * WAIT);
        xrt_breaker_worked(&breaker, 64 * S);
        expect(WIRE_CAUSE_GONE, 65 * S, DEVICE_DEGRADED, WAIT);
}
END_TEST

START_TEST(test_grave_and_wrong_wait_longest)
{
        expect(WIRE_CAUSE_MEMLOCK, S, DEVICE_FAILED, 32 * WAIT);
        setup();
        expect(WIRE_CAUSE_WRONG, S, DEVICE_DEGRADED, 32 * WAIT);
}
END_TEST

/* Each says what it means and what to do, on one line. */
START_TEST(test_every_cause_has_words)
{
        for (int cause = WIRE_CAUSE_NONE; cause <= WIRE_CAUSE_MAX; cause++) {
                const struct xrt_cause_info *info = xrt_cause_info((enum wire_cause)cause);

                ck_assert_ptr_nonnull(info->name);
                ck_assert_str_ne(info->text, "");
                ck_assert(cause == WIRE_CAUSE_NONE || info->advice[0] != '\0');
                ck_assert_ptr_null(strchr(info->advice, '\n'));
                ck_assert_uint_lt(strlen(info->text) + WIRE_TEXT_MAX + 2,
                                  sizeof((struct device_health *)0)->reason);
        }
        ck_assert_ptr_eq(xrt_cause_info(WIRE_CAUSE_MAX), xrt_cause_info(WIRE_CAUSE_WORKER));
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("xrt-breaker");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_third_fault_opens);
        tcase_add_test(tcase, test_faults_far_apart_do_not);
        tcase_add_test(tcase, test_waits_double_up_to_a_bound);
        tcase_add_test(tcase, test_work_after_a_quiet_minute_begins_anew);
        tcase_add_test(tcase, test_grave_and_wrong_wait_longest);
        tcase_add_test(tcase, test_every_cause_has_words);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("xrt-breaker");

        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
