/* SPDX-License-Identifier: MIT */
/*
 * test-drive-coalescing.c - `hold` coalesces clients that send, wait and send again, where `natural` never does, and
 * costs nothing elsewhere. On the phoenix model: every time below is a model's.
 */
#include <check.h>
#include <stdio.h>

#include "tests/drive/drive.h"
#include "tests/unit/suite.h"

#define ARRIVALS (NPUMM_TEST_SLOW ? 22000 : 110000) /* the first tenth is not judged */
#define GAP_US   30.0

/* Of stream64's time model, for one (1536,384,384): 6 x 2 macro-tiles of 6 steps of 1.78 us. */
#define FIXED_US 108.0
#define WORK_US  (6 * 2 * 6 * 1.78)

static struct drive_spec spec_of(size_t n_clients, uint64_t seed)
{
        struct drive_spec spec = drive_spec_of(ARRIVALS, seed, 0);

        for (size_t i = 0; i < n_clients; i++)
                drive_client_add(&spec, 1000, 1536, 0, 1)->n = 384;
        return spec;
}

/* Both policies on the same traffic. */
struct pair {
        double jobs_a_s[2], p99_us[2], jobs_a_submission[2]; /* [POLICY_NATURAL], [POLICY_HOLD] */
};

static struct pair run_both(struct drive_spec *spec, const char *what)
{
        struct pair pair;

        for (enum policy_kind policy = POLICY_NATURAL; policy <= POLICY_HOLD; policy++) {
                struct drive_result result;

                spec->policy = policy;
                drive_run(spec, &result);
                ck_assert_uint_ge(result.n_submitted, ARRIVALS / 11 * 10);
                ck_assert_uint_eq(result.n_failed + result.n_expired + result.n_refused, 0);
                pair.jobs_a_s[policy] = drive_jobs_a_s(&result);
                pair.p99_us[policy] = drive_quantile_us(&result.latencies, 0.99);
                pair.jobs_a_submission[policy] = drive_jobs_a_submission(&result);
                drive_result_deinit(&result);
        }
        (void)printf("%s: natural %.0f jobs/s, p99 %.0f us, %.2f a submission; hold %.0f (%+.1f%%), %.0f "
                     "(%+.1f%%), "
                     "%.2f (model)\n",
                     what, pair.jobs_a_s[0], pair.p99_us[0], pair.jobs_a_submission[0], pair.jobs_a_s[1],
                     100 * (pair.jobs_a_s[1] / pair.jobs_a_s[0] - 1), pair.p99_us[1],
                     100 * (pair.p99_us[1] / pair.p99_us[0] - 1), pair.jobs_a_submission[1]);
        return pair;
}

static const size_t cohorts[] = {2, 4, 8};
static const uint64_t seeds[] = {1, 2, 3};

/* A round of two half-cohorts takes 2 fixed + K work, one of a held cohort fixed + K work + gap. */
START_TEST(test_synchronous_clients_meet)
{
        const size_t k = cohorts[(size_t)_i / ARRAY_SIZE(seeds)];
        struct drive_spec spec = spec_of(k, seeds[(size_t)_i % ARRAY_SIZE(seeds)]);
        const double work_us = WORK_US * (double)k;
        const double expected = (2 * FIXED_US + work_us) / (FIXED_US + work_us + GAP_US);
        char what[64];
        struct pair pair;

        (void)snprintf(what, sizeof what, "%zu synchronous clients, seed %llu", k,
                       (unsigned long long)spec.seed);
        pair = run_both(&spec, what);
        ck_assert_double_ge(pair.jobs_a_submission[POLICY_HOLD], 0.95 * (double)k);
        ck_assert_double_eq_tol(pair.jobs_a_submission[POLICY_NATURAL], (double)k / 2, 0.05 * (double)k);
        ck_assert_double_eq_tol(pair.jobs_a_s[POLICY_HOLD] / pair.jobs_a_s[POLICY_NATURAL], expected,
                                0.05 * expected);
        ck_assert_double_lt(pair.p99_us[POLICY_HOLD], pair.p99_us[POLICY_NATURAL]);
}
END_TEST

/* After one job in fifty a client goes off for 20 ms. */
START_TEST(test_pauses_do_not_spoil_it)
{
        const size_t k = cohorts[(size_t)_i / ARRAY_SIZE(seeds)];
        struct drive_spec spec = spec_of(k, seeds[(size_t)_i % ARRAY_SIZE(seeds)]);
        char what[64];
        struct pair pair;

        for (size_t i = 0; i < k; i++) {
                spec.clients[i].pause_share = 0.02;
                spec.clients[i].pause_us = 20000;
        }
        (void)snprintf(what, sizeof what, "%zu that pause, seed %llu", k, (unsigned long long)spec.seed);
        pair = run_both(&spec, what);
        ck_assert_double_gt(pair.jobs_a_s[POLICY_HOLD], pair.jobs_a_s[POLICY_NATURAL]);
        ck_assert_double_le(pair.p99_us[POLICY_HOLD], pair.p99_us[POLICY_NATURAL]);
}
END_TEST

static void expect_no_loss(struct drive_spec *spec, const char *what)
{
        const struct pair pair = run_both(spec, what);

        ck_assert_double_ge(pair.jobs_a_s[POLICY_HOLD], 0.98 * pair.jobs_a_s[POLICY_NATURAL]);
        ck_assert_double_le(pair.p99_us[POLICY_HOLD], 1.02 * pair.p99_us[POLICY_NATURAL]);
}

/* Poisson arrivals, at these shares of what full submissions would carry, from these many connections. */
static const struct {
        double load;
        size_t n_clients;
} open_loads[] = {{0.2, 1}, {0.6, 1}, {0.9, 1}, {0.2, 4}, {0.6, 4}, {0.9, 4}};

START_TEST(test_open_loop_loses_nothing)
{
        const size_t n = open_loads[_i].n_clients;
        struct drive_spec spec = spec_of(n, 4);
        const double capacity_a_s = 1e6 / (WORK_US + FIXED_US * WORK_US / (10000 - FIXED_US));
        char what[64];

        for (size_t i = 0; i < n; i++) {
                spec.clients[i].arrivals = DRIVE_OPEN;
                spec.clients[i].rate_a_s = open_loads[_i].load * capacity_a_s / (double)n;
        }
        (void)snprintf(what, sizeof what, "open loop, load %.1f, %zu connections", open_loads[_i].load, n);
        expect_no_loss(&spec, what);
}
END_TEST

static const struct {
        double think_us;
        enum drive_think think;
        size_t n_clients;
} thinkers[] = {
        {200, DRIVE_NORMAL, 2},      {200, DRIVE_NORMAL, 4},       {200, DRIVE_NORMAL, 8},
        {200, DRIVE_EXPONENTIAL, 4}, {2000, DRIVE_NORMAL, 2},      {2000, DRIVE_NORMAL, 4},
        {2000, DRIVE_NORMAL, 8},     {2000, DRIVE_EXPONENTIAL, 4},
};

START_TEST(test_thinking_clients_lose_nothing)
{
        struct drive_spec spec = spec_of(thinkers[_i].n_clients, 5);
        char what[64];

        for (size_t i = 0; i < spec.n_clients; i++) {
                spec.clients[i].think_us = thinkers[_i].think_us;
                spec.clients[i].think = thinkers[_i].think;
        }
        (void)snprintf(what, sizeof what, "%zu that think %.0f us (%s)", spec.n_clients,
                       thinkers[_i].think_us, thinkers[_i].think == DRIVE_NORMAL ? "normal" : "exponential");
        expect_no_loss(&spec, what);
}
END_TEST

/* A window does not do what a hold does: whoever waits is older than the window already. */
START_TEST(test_windows_never_meet)
{
        struct drive_spec spec = spec_of(4, 6);
        struct drive_result result;

        spec.policy = POLICY_WINDOW;
        spec.window_us = 100;
        drive_run(&spec, &result);
        ck_assert_double_le(drive_jobs_a_submission(&result), 2.1);
        drive_result_deinit(&result);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("drive-coalescing");
        TCase *tcase = tcase_create("coalescing");
        const int cases = (int)(ARRAY_SIZE(cohorts) * ARRAY_SIZE(seeds));

        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, test_synchronous_clients_meet, 0, cases);
        tcase_add_loop_test(tcase, test_pauses_do_not_spoil_it, 0, cases);
        tcase_add_loop_test(tcase, test_open_loop_loses_nothing, 0, ARRAY_SIZE(open_loads));
        tcase_add_loop_test(tcase, test_thinking_clients_lose_nothing, 0, ARRAY_SIZE(thinkers));
        tcase_add_test(tcase, test_windows_never_meet);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
