/* SPDX-License-Identifier: MIT */
/*
 * test-drive-fairness.c - device time is shared between users, then between a user's connections, whatever they send.
 * On the phoenix model: every time below is a model's.
 */
#include <check.h>
#include <stdio.h>

#include "tests/drive/drive.h"
#include "tests/unit/suite.h"

#define ARRIVALS (NPUMM_TEST_SLOW ? 22000 : 110000)

/*
 * Where many jobs are outstanding at once: a batch must not hold all of anybody's, or that one has nothing waiting when
 * the next is composed.
 */
#define SHORT_US 300

/* One client whose jobs have 64 macro-tiles, beside three whose jobs have 1 to 3; _i: 0 one user, 1 a user each. */
static void heavy_and_light(bool first_come, bool is_one_user, size_t depth, double ret_p99_us[4])
{
        struct drive_spec spec = drive_spec_of(ARRIVALS, 7, SHORT_US); /* 18 of these macro-tiles */
        struct drive_result result;

        spec.first_come = first_come;
        (void)drive_client_add(&spec, 1, 64 * 256, 0, depth);
        for (int i = 1; i < 4; i++)
                drive_client_add(&spec, is_one_user ? 1 : (uid_t)i + 1, 1, i, 1)->m_most = 3 * 256;
        drive_run(&spec, &result);
        for (size_t i = 0; i < 4; i++)
                ret_p99_us[i] = drive_quantile_us(&result.clients[i].latencies, 0.99);
        (void)printf("%s, %s, depth %zu: p99 heavy %.0f us, light %.0f %.0f %.0f us (model)\n",
                     first_come ? "first come" : "fair", is_one_user ? "one user" : "a user each", depth,
                     ret_p99_us[0], ret_p99_us[1], ret_p99_us[2], ret_p99_us[3]);
        drive_result_deinit(&result);
}

START_TEST(test_light_clients_beside_a_heavy_one)
{
        const bool is_one_user = _i % 2 == 0;
        const size_t depth = _i < 2 ? 1 : 4;
        double fair_us[4], first_come_us[4];

        heavy_and_light(false, is_one_user, depth, fair_us);
        heavy_and_light(true, is_one_user, depth, first_come_us);
        for (size_t i = 1; i < 4; i++)
                ck_assert_double_le(fair_us[i], first_come_us[i] / 2);
}
END_TEST

/* Within `share` of their mean, of whatever unit. */
static void expect_equal(const double *values, size_t n, double share, const char *unit, const char *what)
{
        double mean = 0;

        for (size_t i = 0; i < n; i++)
                mean += values[i] / (double)n;
        (void)printf("%s: mean %.3f %s:", what, mean, unit);
        for (size_t i = 0; i < n; i++)
                (void)printf(" %+.1f%%", 100 * (values[i] / mean - 1));
        (void)printf(" (model)\n");
        for (size_t i = 0; i < n; i++)
                ck_assert_double_eq_tol(values[i], mean, share * mean);
}

/* Ten connections of one user, two of another, one each of two more; all with more to do than is done. */
START_TEST(test_backlogged_shares_are_equal)
{
        static const struct {
                uid_t uid;
                uint64_t m, m_most, k, n;
                int weights;
        } senders[] = {
                {1, 100, 0, 384, 384, 0},  {1, 300, 0, 384, 384, 0},   {1, 500, 0, 384, 384, 0},
                {1, 700, 0, 384, 384, 1},  {1, 900, 0, 384, 384, 1},   {1, 1, 2000, 384, 384, 1},
                {1, 64, 0, 768, 384, 2},   {1, 5, 1500, 768, 384, 2},  {1, 1500, 0, 768, 384, 2},
                {1, 256, 0, 384, 2000, 3}, {2, 1, 3000, 384, 384, 4},  {3, 16384, 0, 384, 384, 5},
                {4, 16, 0, 384, 1000, 6},  {4, 500, 0, 1384, 1000, 7},
        };
        struct drive_spec spec = drive_spec_of(ARRIVALS, 8, 2000);
        double users_s[4] = {0}, first_s[10], last_s[2];
        struct drive_result result;

        for (size_t i = 0; i < ARRAY_SIZE(senders); i++) {
                struct drive_client *client =
                        drive_client_add(&spec, senders[i].uid, senders[i].m, senders[i].weights, 256);

                client->m_most = senders[i].m_most;
                client->k = senders[i].k;
                client->n = senders[i].n;
        }
        drive_run(&spec, &result);
        for (size_t i = 0; i < ARRAY_SIZE(senders); i++)
                users_s[senders[i].uid - 1] += (double)result.clients[i].device_ns * 1e-9;
        for (size_t i = 0; i < 10; i++)
                first_s[i] = (double)result.clients[i].device_ns * 1e-9;
        for (size_t i = 0; i < 2; i++)
                last_s[i] = (double)result.clients[12 + i].device_ns * 1e-9;
        expect_equal(users_s, 4, 0.1, "s of the device", "four users, the first with ten connections");
        expect_equal(first_s, 10, 0.1, "s of the device", "the ten connections");
        expect_equal(last_s, 2, 0.1, "s of the device", "the two of the last user");
        /* What was shared is what the device was busy with. */
        ck_assert_double_eq_tol(users_s[0] + users_s[1] + users_s[2] + users_s[3],
                                (double)result.stats.device_busy_ns * 1e-9, 1e-3);
        drive_result_deinit(&result);
}
END_TEST

/*
 * Below K = 320 it is not the multiply-adds that take the time on this model, but draining C: judged by what the model
 * says of their products, and not by the daemon's own accounts.
 */
START_TEST(test_shares_are_equal_by_the_model)
{
        static const uint64_t depths[][2] = {{64, 383}, {64, 320}, {384, 4096}};
        struct drive_spec spec = drive_spec_of(ARRIVALS, 12, 2000);
        struct drive_result result;
        double users_s[2];

        for (int i = 0; i < 2; i++)
                drive_client_add(&spec, (uid_t)i + 1, 512, i, 256)->k = depths[_i][i];
        drive_run(&spec, &result);
        for (size_t i = 0; i < 2; i++)
                users_s[i] = result.clients[i].model_ns * 1e-9;
        expect_equal(users_s, 2, 0.1, "s of the device", "users of different K");
        ck_assert_double_le(result.longest_of_bound, 1.05);
        drive_result_deinit(&result);
}
END_TEST

/* Jobs of one size: equal time is equal numbers, as any user would count. */
START_TEST(test_equal_jobs_are_done_in_equal_numbers)
{
        struct drive_spec spec = drive_spec_of(ARRIVALS, 9, SHORT_US);
        struct drive_result result;
        double users[3] = {0};

        for (int i = 0; i < 12; i++) /* ten connections, one, one */
                (void)drive_client_add(&spec, i < 10 ? 1 : (uid_t)i, 256, i < 10 ? 0 : i, 64);
        drive_run(&spec, &result);
        for (size_t i = 0; i < 12; i++)
                users[i < 10 ? 0 : i - 9] += (double)result.clients[i].n_done;
        expect_equal(users, 3, 0.1, "jobs", "three users, the first with ten connections");
        drive_result_deinit(&result);
}
END_TEST

/* Away for half of the time, it comes back with all it has: it is owed its share from then on, and nothing else. */
START_TEST(test_a_client_that_returns_saves_nothing_up)
{
        struct drive_spec spec = drive_spec_of(3 * ARRIVALS + ARRIVALS / 2, 10, SHORT_US);
        const double away_s = NPUMM_TEST_SLOW ? 1 : 5;
        struct drive_result result;
        double share;

        for (int i = 0; i < 3; i++)
                (void)drive_client_add(&spec, (uid_t)i + 1, 512, i, 64);
        spec.clients[2].start_us = away_s * 1e6;
        drive_run(&spec, &result);
        ck_assert_double_gt(result.seconds, away_s + 1);
        share = (double)result.clients[2].device_ns * 1e-9 / (result.seconds - away_s);
        (void)printf("back after %.1f of %.1f s: %.3f of the device from then on, of three (model)\n", away_s,
                     result.seconds, share);
        ck_assert_double_eq_tol(share, 1.0 / 3, 0.1 / 3);
        drive_result_deinit(&result);
}
END_TEST

/* A class orders a user's own work: a flood of INTERACTIVE takes nothing from another user's NORMAL. */
START_TEST(test_a_class_is_no_claim_on_others)
{
        struct drive_spec spec = drive_spec_of(ARRIVALS, 11, SHORT_US);
        struct drive_result result;
        double users_s[2];

        for (int i = 0; i < 2; i++)
                drive_client_add(&spec, (uid_t)i + 1, 512, i, 64)->class =
                        i == 0 ? CLASS_INTERACTIVE : CLASS_NORMAL;
        drive_run(&spec, &result);
        for (size_t i = 0; i < 2; i++)
                users_s[i] = (double)result.clients[i].device_ns * 1e-9;
        expect_equal(users_s, 2, 0.1, "s of the device", "INTERACTIVE beside another user's NORMAL");
        drive_result_deinit(&result);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("drive-fairness");
        TCase *tcase = tcase_create("fairness");

        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, test_light_clients_beside_a_heavy_one, 0, 4);
        tcase_add_test(tcase, test_backlogged_shares_are_equal);
        tcase_add_loop_test(tcase, test_shares_are_equal_by_the_model, 0, 3);
        tcase_add_test(tcase, test_equal_jobs_are_done_in_equal_numbers);
        tcase_add_test(tcase, test_a_client_that_returns_saves_nothing_up);
        tcase_add_test(tcase, test_a_class_is_no_claim_on_others);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
