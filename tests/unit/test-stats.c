/* SPDX-License-Identifier: MIT */
/* test-stats.c - the hold meter against sorted times; status as JSON, with the keys of npumm-client(1). */
#include <check.h>
#include <stdio.h>

#include <jansson.h>

#include "daemon/stats.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

static struct rng rng;

/* ---- hold meter ---- */

START_TEST(test_meter_empty)
{
        const struct hold_meter meter = {0};

        ck_assert_uint_eq(hold_meter_quantile_us(&meter, 0), 0);
        ck_assert_uint_eq(hold_meter_quantile_us(&meter, 0.99), 0);
        ck_assert_uint_eq(hold_meter_quantile_us(&meter, 1), 0);
}
END_TEST

START_TEST(test_meter_one_time)
{
        static const uint64_t times[] = {0, 1, 2, 3, 4, 1000, 1023, 1024, UINT32_MAX, UINT64_MAX};

        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
                struct hold_meter meter = {0};

                hold_meter_add(&meter, times[i]);
                ck_assert_uint_eq(meter.max_us, times[i]);
                ck_assert_uint_eq(meter.n_times, 1);
                ck_assert_uint_eq(hold_meter_quantile_us(&meter, 0), times[i]);
                ck_assert_uint_eq(hold_meter_quantile_us(&meter, 0.5), times[i]);
                ck_assert_uint_eq(hold_meter_quantile_us(&meter, 1), times[i]);
        }
}
END_TEST

START_TEST(test_meter_by_hand)
{
        struct hold_meter meter = {0};

        for (int i = 0; i < 98; i++)
                hold_meter_add(&meter, 5); /* 4 .. 7 */
        hold_meter_add(&meter, 100);       /* 64 .. 127 */
        hold_meter_add(&meter, 3000);
        ck_assert_uint_eq(hold_meter_quantile_us(&meter, 0.5), 8);
        ck_assert_uint_eq(hold_meter_quantile_us(&meter, 0.98), 8);
        ck_assert_uint_eq(hold_meter_quantile_us(&meter, 0.99), 128);
        ck_assert_uint_eq(hold_meter_quantile_us(&meter, 1), 3000); /* never above what there was */
}
END_TEST

static int compare(const void *left, const void *right)
{
        const uint64_t l = *(const uint64_t *)left, r = *(const uint64_t *)right;

        return l < r ? -1 : l > r;
}

/* An upper bound of the true quantile, and not more than twice as much. */
START_TEST(test_meter_bounds)
{
        static const double quantiles[] = {0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1};

        for (int round = 0; round < 200; round++) {
                uint64_t times[300];
                const size_t n = (size_t)rng_between(&rng, 1, ARRAY_SIZE(times));
                struct hold_meter meter = {0};

                for (size_t i = 0; i < n; i++) {
                        times[i] = rng_next(&rng) >> rng_between(&rng, 34, 63); /* every size below 2^30 */
                        hold_meter_add(&meter, times[i]);
                }
                qsort(times, n, sizeof times[0], compare);
                ck_assert_uint_eq(meter.max_us, times[n - 1]);
                for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
                        const uint64_t bound = hold_meter_quantile_us(&meter, quantiles[i]);
                        size_t rank = (size_t)(quantiles[i] * (double)n);

                        rank += (double)rank <
                                quantiles[i] * (double)n; /* how many times must lie within it */
                        ck_assert_uint_ge(bound, times[MAX(rank, 1) - 1]);
                        ck_assert_uint_le(bound, 2 * times[MAX(rank, 1) - 1] + 1);
                        ck_assert_uint_le(bound, meter.max_us);
                }
        }
}
END_TEST

/* ---- status ---- */

static const struct stats stats = {
        .submissions = 4,
        .submission_jobs = 6,
        .stacks = 5,
        .rows_stacked = 77,
        .macs = 3e12,
        .padded_macs = 4e12,
        .jobs_ok = 10,
        .jobs_refused = 20,
        .jobs_cancelled = 30,
        .jobs_failed = 40,
        .jobs_expired = 50,
        .device_busy_ns = 5999,
        .hold_ns = 7999,
        .connections_accepted = 61,
        .connections_refused = 62,
        .connections_faulted = 63,
        .loads = 65,
        .loads_shared = 64,
        .ring_spin_ns = 72999,
        .hold = {.max_us = 71, .n_times = 1, .buckets = {[7] = 1}},
};

static const struct stats_client clients[] = {
        {.uid = 1000, .pid = 17, .name = "first \"one\"", .device_ns = 8999, .jobs = 3},
        {.uid = 0, .pid = 2147483647, .name = "", .device_ns = 0, .jobs = 0},
};

static const struct stats_user users[] = {
        {.uid = 1000, .device_ns = 9999, .jobs_waiting = 2},
        {.uid = 0, .device_ns = 0, .jobs_waiting = 0},
};

static const struct device_health health = {
        .state = DEVICE_DEGRADED,
        .cause = "hung",
        .advice = "do \"this\"",
        .reason = "why",
        .clock_mhz = 1800,
        .hardware = "an NPU",
        .driver = "1.8",
        .firmware = "1.5",
        .power_mode = "default",
        .counters = {.workers = 1,
                     .faults = 2,
                     .wrong = 3,
                     .reruns = 4,
                     .cpu_batches = 5,
                     .failed = 6,
                     .unended = 7,
                     .commands = 8,
                     .control_syncs = 9,
                     .checks = 10,
                     .recovery_us = 11},
};

static const struct stats_now now = {
        .health = &health,
        .health_retry_s = 2.5,
        .backend = "cpu",
        .device_state = "degraded",
        .device = "a \"device\"",
        .uptime_s = 1.5,
        .policy = "hold",
        .stacking = true,
        .weights_packs = 87,
        .model_overruns = 88,
        .predicted_fixed_ns = 108999,
        .class_depths = {[CLASS_NORMAL] = 41, [CLASS_INTERACTIVE] = 42, [CLASS_BULK] = 43},
        .clients = clients,
        .n_clients = ARRAY_SIZE(clients),
        .users = users,
        .n_users = ARRAY_SIZE(users),
        .buffer_syncs = 81,
        .matrix_copies = 82,
        .queue_depth = 83,
        .connections = 84,
        .arenas = 85,
        .arena_bytes = UINT64_C(1) << 40,
        .jobs_inside = 86,
        .weights = 87,
        .weights_bytes = UINT64_C(1) << 41,
        .weights_kept = 88,
};

static json_t *status(const struct stats *from)
{
        char *text = stats_json(from, &now);
        json_error_t error;
        json_t *object;

        ck_assert_ptr_nonnull(text);
        object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
        ck_assert_msg(object, "%s: %s", text, error.text);
        free(text);
        return object;
}

START_TEST(test_json_values)
{
        static const struct {
                const char *key;
                json_int_t value;
        } integers[] = {
                {"submissions", 4},
                {"submission_jobs", 6},
                {"stacks", 5},
                {"rows_stacked", 77},
                {"jobs", 150},
                {"jobs_ok", 10},
                {"jobs_refused", 20},
                {"jobs_cancelled", 30},
                {"jobs_failed", 40},
                {"jobs_expired", 50},
                {"jobs_inside", 86},
                {"queue_depth", 83},
                {"queue_interactive", 42},
                {"queue_normal", 41},
                {"queue_bulk", 43},
                {"weights_packs", 87},
                {"model_overruns", 88},
                {"hold_us", 7},
                {"submission_cost_us", 108},
                {"buffer_syncs", 81},
                {"matrix_copies", 82},
                {"device_busy_us", 5},
                {"connections", 84},
                {"connections_accepted", 61},
                {"connections_refused", 62},
                {"connections_faulted", 63},
                {"arenas", 85},
                {"arena_bytes", (json_int_t)1 << 40},
                {"weights", 87},
                {"weights_kept", 88},
                {"weights_bytes", (json_int_t)1 << 41},
                {"loads", 65},
                {"loads_shared", 64},
                {"ring_spin_us", 72},
                {"loop_held_max_us", 71},
                {"loop_held_p99_us", 71},
        };
        json_t *object = status(&stats);

        for (size_t i = 0; i < ARRAY_SIZE(integers); i++) {
                const json_t *value = json_object_get(object, integers[i].key);

                ck_assert_msg(json_is_integer(value), "%s", integers[i].key);
                ck_assert_msg(json_integer_value(value) == integers[i].value, "%s", integers[i].key);
        }
        ck_assert_str_eq(json_string_value(json_object_get(object, "backend")), "cpu");
        ck_assert_str_eq(json_string_value(json_object_get(object, "device_state")), "degraded");
        ck_assert_str_eq(json_string_value(json_object_get(object, "device")), "a \"device\"");
        ck_assert_str_ne(json_string_value(json_object_get(object, "version")), "");
        ck_assert_double_eq_tol(json_real_value(json_object_get(object, "uptime_s")), 1.5, 1e-6);
        ck_assert_double_eq_tol(json_real_value(json_object_get(object, "jobs_per_submission")), 1.5, 1e-6);
        ck_assert_double_eq_tol(json_real_value(json_object_get(object, "macs")), 3e12, 1);
        ck_assert_double_eq_tol(json_real_value(json_object_get(object, "padded_macs")), 4e12, 1);
        ck_assert_double_eq_tol(json_real_value(json_object_get(object, "padding_share")), 0.25, 1e-6);
        ck_assert_str_eq(json_string_value(json_object_get(object, "policy")), "hold");
        ck_assert_str_eq(json_string_value(json_object_get(object, "stacking")), "on");
        json_decref(object);
}
END_TEST

START_TEST(test_json_before_the_first_submission)
{
        const struct stats nothing = {0};
        json_t *object = status(&nothing);

        ck_assert_double_eq(json_real_value(json_object_get(object, "jobs_per_submission")), 0);
        ck_assert_double_eq(json_real_value(json_object_get(object, "padding_share")), 0);
        ck_assert_int_eq(json_integer_value(json_object_get(object, "loop_held_p99_us")), 0);
        json_decref(object);
}
END_TEST

/* Numbers and strings, an object that is flat, and two arrays of such. */
START_TEST(test_json_is_nearly_flat)
{
        json_t *object = status(&stats);
        const char *key;
        json_t *value;

        ck_assert_uint_gt(json_object_size(object), 0);
        json_object_foreach(object, key, value)
                ck_assert_msg(json_is_number(value) || json_is_string(value) || strcmp(key, "clients") == 0 ||
                                      strcmp(key, "users") == 0 || strcmp(key, "npu") == 0,
                              "%s", key);
        json_decref(object);
}
END_TEST

START_TEST(test_json_clients)
{
        json_t *object = status(&stats);
        const json_t *array = json_object_get(object, "clients");

        ck_assert(json_is_array(array));
        ck_assert_uint_eq(json_array_size(array), ARRAY_SIZE(clients));
        for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
                const json_t *client = json_array_get(array, i);

                ck_assert_uint_eq(json_object_size(client), 5);
                ck_assert_int_eq(json_integer_value(json_object_get(client, "uid")), clients[i].uid);
                ck_assert_int_eq(json_integer_value(json_object_get(client, "pid")), clients[i].pid);
                ck_assert_str_eq(json_string_value(json_object_get(client, "name")), clients[i].name);
                ck_assert_int_eq(json_integer_value(json_object_get(client, "device_us")),
                                 (json_int_t)(clients[i].device_ns / 1000));
                ck_assert_int_eq(json_integer_value(json_object_get(client, "jobs")),
                                 (json_int_t)clients[i].jobs);
        }
        json_decref(object);
}
END_TEST

START_TEST(test_json_npu)
{
        static const struct {
                const char *key, *text;
                int number;
        } members[] = {
                {"state", "degraded", 0},     {"cause", "hung", 0},         {"advice", "do \"this\"", 0},
                {"reason", "why", 0},         {"hardware", "an NPU", 0},    {"driver", "1.8", 0},
                {"firmware", "1.5", 0},       {"power_mode", "default", 0}, {"clock_mhz", NULL, 1800},
                {"workers", NULL, 1},         {"faults", NULL, 2},          {"wrong_results", NULL, 3},
                {"reruns", NULL, 4},          {"cpu_batches", NULL, 5},     {"failed_batches", NULL, 6},
                {"workers_unended", NULL, 7}, {"commands", NULL, 8},        {"control_syncs", NULL, 9},
                {"checks", NULL, 10},         {"recovery_us", NULL, 11},
        };
        struct stats_now cannot_be_lost = now;
        json_t *object = status(&stats);
        const json_t *npu = json_object_get(object, "npu");
        char *text;

        ck_assert_uint_eq(json_object_size(npu), ARRAY_SIZE(members) + 1);
        ck_assert_double_eq(json_real_value(json_object_get(npu, "retry_s")), 2.5);
        for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
                const json_t *value = json_object_get(npu, members[i].key);

                if (members[i].text)
                        ck_assert_str_eq(json_string_value(value), members[i].text);
                else
                        ck_assert_int_eq(json_integer_value(value), members[i].number);
        }
        json_decref(object);
        cannot_be_lost.health = NULL;
        text = stats_json(&stats, &cannot_be_lost);
        ck_assert_ptr_null(strstr(text, "\"npu\""));
        free(text);
}
END_TEST

START_TEST(test_json_users)
{
        json_t *object = status(&stats);
        const json_t *array = json_object_get(object, "users");

        ck_assert(json_is_array(array));
        ck_assert_uint_eq(json_array_size(array), ARRAY_SIZE(users));
        for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
                const json_t *user = json_array_get(array, i);

                ck_assert_uint_eq(json_object_size(user), 3);
                ck_assert_int_eq(json_integer_value(json_object_get(user, "uid")), users[i].uid);
                ck_assert_int_eq(json_integer_value(json_object_get(user, "device_us")),
                                 (json_int_t)(users[i].device_ns / 1000));
                ck_assert_int_eq(json_integer_value(json_object_get(user, "jobs_waiting")),
                                 (json_int_t)users[i].jobs_waiting);
        }
        json_decref(object);
}
END_TEST

/* Looks up the keys that a line of the manual is about: "*key*", or "*key*, *key*". Returns how many. */
static size_t keys_of_line(const char *line, const json_t *object)
{
        char key[64];
        size_t n = 0;

        for (int end = 0; sscanf(line, "*%63[a-z0-9_]*%n", key, &end) == 1 && end > 0; end = 0) {
                ck_assert_msg(json_object_get(object, key), "the manual has %s, status has not", key);
                n++;
                line += end;
                line += strncmp(line, ", ", 2) == 0 ? 2 : 0;
        }
        return n;
}

START_TEST(test_keys_are_documented)
{
        FILE *manual = fopen(NPUMM_CLIENT_MANUAL, "re");
        json_t *object = status(&stats);
        bool in_section = false;
        size_t n_documented = 0;
        char line[256];

        ck_assert_msg(manual, NPUMM_CLIENT_MANUAL);
        while (fgets(line, sizeof line, manual)) {
                if (line[0] == '#')
                        in_section = strcmp(line, "# STATUS KEYS\n") == 0;
                if (in_section)
                        n_documented += keys_of_line(line, object);
        }
        ck_assert_uint_eq(n_documented, json_object_size(object));
        (void)fclose(manual);
        json_decref(object);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("stats");
        TCase *tcase = tcase_create("stats");

        rng_start(&rng, "stats");
        tcase_add_test(tcase, test_meter_empty);
        tcase_add_test(tcase, test_meter_one_time);
        tcase_add_test(tcase, test_meter_by_hand);
        tcase_add_test(tcase, test_meter_bounds);
        tcase_add_test(tcase, test_json_values);
        tcase_add_test(tcase, test_json_before_the_first_submission);
        tcase_add_test(tcase, test_json_is_nearly_flat);
        tcase_add_test(tcase, test_json_clients);
        tcase_add_test(tcase, test_json_npu);
        tcase_add_test(tcase, test_json_users);
        tcase_add_test(tcase, test_keys_are_documented);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
