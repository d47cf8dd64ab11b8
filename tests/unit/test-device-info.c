/* SPDX-License-Identifier: MIT */
/* test-device-info.c - what is made of XRT's words about a device: which it is, and what people are shown. */
#include "daemon/xrt/device-info.h"
#include "tests/unit/suite.h"

#include <stdio.h>

START_TEST(test_generation)
{
        static const struct {
                const char *name;
                bool is_npu1;
        } names[] = {
                {"RyzenAI-npu1", true},
                {"NPU Phoenix", true},
                {"AMD NPU Hawk Point", true},
                {"npu1", true},
                {"", true},
                {"RyzenAI-npu4", false},
                {"RyzenAI-npu10", false},
                {"NPU Strix", false},
                {"NPU Strix Halo", false},
                {"NPU Krackan 1", false},
                {"NPU Gorgon Point", false},
                {"something else", false},
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                static struct xrt_shim_info info;

                (void)snprintf(info.name, sizeof info.name, "%s", names[i].name);
                ck_assert_msg(device_info_is_npu1(&info) == names[i].is_npu1, "%s", names[i].name);
        }
}
END_TEST

START_TEST(test_words)
{
        static struct xrt_shim_info info = {
                .name = "RyzenAI-npu1",
                .bdf = "no/such",
                .platform = "{\"platforms\": [{\"status\": {\"power_mode\": \"per\\u00e9formance\"}}]}",
                .host = "{\"drivers\": [{\"name\": \"virtio\", \"version\": \"9\"},"
                        " {\"name\": \"amdxdna\", \"version\": \"2.25\"}]}",
        };
        struct wire_ready ready = {0};

        device_info_read(&info, &ready);
        ck_assert_str_eq(ready.device, "RyzenAI-npu1 no/such");
        ck_assert_str_eq(ready.driver, "2.25");
        ck_assert_str_eq(ready.firmware, "");
        ck_assert_str_eq(ready.power_mode, "per??formance");
}
END_TEST

/* Whatever it says, or none of it. */
START_TEST(test_no_words)
{
        static const char *const texts[] = {"",
                                            "{",
                                            "[]",
                                            "{}",
                                            "{\"platforms\": 3}",
                                            "{\"drivers\": [1, null, {}]}",
                                            "{\"platforms\": [{\"status\": {\"power_mode\": 5}}]}"};

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                static struct xrt_shim_info info;
                struct wire_ready ready = {0};

                (void)snprintf(info.platform, sizeof info.platform, "%s", texts[i]);
                (void)snprintf(info.host, sizeof info.host, "%s", texts[i]);
                device_info_read(&info, &ready);
                ck_assert_str_eq(ready.driver, "");
                ck_assert_str_eq(ready.power_mode, "");
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("device-info");
        TCase *tcase = tcase_create("device-info");

        tcase_add_test(tcase, test_generation);
        tcase_add_test(tcase, test_words);
        tcase_add_test(tcase, test_no_words);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
