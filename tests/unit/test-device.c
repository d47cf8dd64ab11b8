/* SPDX-License-Identifier: MIT */
/* test-device.c - the registry: which device a name opens, or why it opens none or not the best. */
#include <check.h>

#include "daemon/device.h"
#include "tests/fake/timeline.h"
#include "tests/unit/suite.h"

static uv_loop_t loop;
static struct fake_timeline timeline;
static struct device *device;
static const char *reason;

static void setup(void)
{
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        fake_timeline_init(&timeline);
        device = NULL;
        reason = "not written";
}

static void on_closed(void *userdata)
{
        (void)userdata;
}

static void teardown(void)
{
        if (device)
                device->ops->close(device, on_closed, NULL);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static const struct device_events events; /* none comes */

static int open_by_name(const char *name)
{
        const struct device_settings settings = {.sim_scale = 1};

        return device_open(name, &loop, &timeline.timeline, &settings, &events, NULL, &device, &reason);
}

START_TEST(test_by_name)
{
        static const char *const names[] = {"cpu", "sim"};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                ck_assert_int_eq(open_by_name(names[i]), 0);
                ck_assert_str_eq(device->ops->name, names[i]);
                ck_assert_ptr_null(reason);
                if (i == 0)
                        device->ops->close(device, on_closed, NULL);
        }
}
END_TEST

/* "auto" says why it did not take a better one; and a model is for those who ask for it. */
START_TEST(test_auto)
{
        ck_assert_int_eq(open_by_name("auto"), 0);
        ck_assert_ptr_nonnull(device);
        ck_assert_str_ne(device->ops->name, "sim");
        if (strcmp(device->ops->name, "xrt") == 0)
                ck_assert_ptr_null(reason);
        else
                ck_assert_ptr_nonnull(strstr(reason, "NPU"));
}
END_TEST

START_TEST(test_unknown_name)
{
        static const char *const names[] = {"gpu", "", "CPU", "cpu "};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                ck_assert_int_eq(open_by_name(names[i]), DEVICE_E_UNKNOWN);
                ck_assert_ptr_null(device);
                ck_assert_ptr_null(reason);
        }
}
END_TEST

/* Every name that --backend= accepts opens, or has a reason why not. */
START_TEST(test_every_name)
{
        size_t n_opened = 0;

        ck_assert_str_eq(device_names[0], "auto");
        for (size_t i = 0; device_names[i]; i++) {
                const int r = open_by_name(device_names[i]);

                ck_assert(r == 0 || r == DEVICE_E_ABSENT);
                ck_assert(r == 0 || reason);
                if (r == 0)
                        device->ops->close(device, on_closed, NULL);
                device = NULL;
                n_opened += r == 0;
        }
        ck_assert_uint_ge(n_opened, 3); /* auto, cpu and sim, on any machine */
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("device");
        TCase *tcase = tcase_create("registry");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_by_name);
        tcase_add_test(tcase, test_auto);
        tcase_add_test(tcase, test_unknown_name);
        tcase_add_test(tcase, test_every_name);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
