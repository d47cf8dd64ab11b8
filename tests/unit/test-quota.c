/* SPDX-License-Identifier: MIT */
/*
 * test-quota.c - charges: both limits, all or nothing, no overflow, and users that are forgotten when they
 * owe nothing.
 */
#include <check.h>
#include <errno.h>

#include "daemon/quota.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

static struct quota quota;
static struct rng rng;

static void limits_set(uint64_t per_uid, uint64_t total)
{
        struct quota_limits limits;

        for (int kind = 0; kind < QUOTA_KIND_MAX; kind++) {
                limits.per_uid[kind] = per_uid;
                limits.total[kind] = total;
        }
        quota_init(&quota, &limits);
}

static size_t users(void)
{
        const struct quota_user *user;
        size_t n = 0;

        TAILQ_FOREACH(user, &quota.users, link)
                n++;
        return n;
}

/* A charge that must be refused, and must then have changed nothing. */
static void expect_refused(uid_t uid, enum quota_kind kind, uint64_t amount, int expected)
{
        const uint64_t used = quota.used[kind];
        const size_t n_users = users();
        struct quota_charge charge = {0};

        ck_assert_int_eq(quota_charge(&quota, uid, kind, amount, &charge), expected);
        ck_assert_ptr_null(charge.user);
        ck_assert_ptr_null(charge.quota);
        ck_assert_uint_eq(quota.used[kind], used);
        ck_assert_uint_eq(users(), n_users);
}

static struct quota_charge expect_charged(uid_t uid, enum quota_kind kind, uint64_t amount)
{
        const uint64_t used = quota.used[kind];
        struct quota_charge charge = {0};

        ck_assert_int_eq(quota_charge(&quota, uid, kind, amount, &charge), 0);
        ck_assert_uint_eq(quota.used[kind], used + amount);
        return charge;
}

START_TEST(test_limit_of_one_user)
{
        struct quota_charge charge;

        limits_set(10, 100);
        expect_refused(1, QUOTA_JOBS, 11, QUOTA_E_UID);
        charge = expect_charged(1, QUOTA_JOBS, 10);
        expect_refused(1, QUOTA_JOBS, 1, QUOTA_E_UID);
        quota_discharge(&charge);
        charge = expect_charged(1, QUOTA_JOBS, 10);
        quota_discharge(&charge);
        quota_deinit(&quota);
}
END_TEST

START_TEST(test_limit_of_all)
{
        struct quota_charge charges[3];

        limits_set(10, 25);
        charges[0] = expect_charged(1, QUOTA_BYTES, 10);
        charges[1] = expect_charged(2, QUOTA_BYTES, 10);
        expect_refused(3, QUOTA_BYTES, 6, QUOTA_E_TOTAL);
        charges[2] = expect_charged(3, QUOTA_BYTES, 5);
        expect_refused(4, QUOTA_BYTES, 1, QUOTA_E_TOTAL);
        expect_refused(1, QUOTA_BYTES, 1, QUOTA_E_UID); /* who is over its own limit hears of that one */
        for (size_t i = 0; i < ARRAY_SIZE(charges); i++)
                quota_discharge(&charges[i]);
        quota_deinit(&quota);
}
END_TEST

START_TEST(test_limits_of_1)
{
        struct quota_charge charges[QUOTA_KIND_MAX];

        limits_set(1, 1);
        for (int kind = 0; kind < QUOTA_KIND_MAX; kind++) {
                charges[kind] = expect_charged(1, (enum quota_kind)kind, 1);
                expect_refused(1, (enum quota_kind)kind, 1, QUOTA_E_UID);
                expect_refused(2, (enum quota_kind)kind, 1, QUOTA_E_TOTAL);
        }
        ck_assert_uint_eq(users(), 1);
        for (int kind = 0; kind < QUOTA_KIND_MAX; kind++)
                quota_discharge(&charges[kind]);
        quota_deinit(&quota);
}
END_TEST

START_TEST(test_limits_of_0)
{
        limits_set(0, 0);
        expect_refused(1, QUOTA_BYTES, 1, QUOTA_E_UID);
        quota_deinit(&quota);
}
END_TEST

/* What one kind uses is no other kind's concern. */
START_TEST(test_kinds_are_apart)
{
        struct quota_charge bytes, job;

        limits_set(10, 10);
        bytes = expect_charged(1, QUOTA_BYTES, 10);
        job = expect_charged(1, QUOTA_JOBS, 10);
        ck_assert_uint_eq(quota.used[QUOTA_CONNECTIONS], 0);
        quota_discharge(&bytes);
        ck_assert_uint_eq(users(), 1); /* it still owes the job */
        ck_assert_uint_eq(quota.used[QUOTA_JOBS], 10);
        quota_discharge(&job);
        ck_assert_uint_eq(users(), 0);
        quota_deinit(&quota);
}
END_TEST

START_TEST(test_amounts_cannot_overflow)
{
        struct quota_charge most, rest;

        limits_set(UINT64_MAX, UINT64_MAX);
        most = expect_charged(1, QUOTA_BYTES, UINT64_MAX - 1);
        expect_refused(1, QUOTA_BYTES, 2, QUOTA_E_UID);
        expect_refused(1, QUOTA_BYTES, UINT64_MAX, QUOTA_E_UID);
        expect_refused(2, QUOTA_BYTES, UINT64_MAX, QUOTA_E_TOTAL);
        rest = expect_charged(1, QUOTA_BYTES, 1);
        expect_refused(1, QUOTA_BYTES, 1, QUOTA_E_UID);
        quota_discharge(&most);
        quota_discharge(&rest);
        quota_deinit(&quota);
}
END_TEST

START_TEST(test_discharge_twice_or_nothing)
{
        struct quota_charge charge, none = {0};

        limits_set(10, 10);
        quota_discharge(&none);
        charge = expect_charged(1, QUOTA_JOBS, 3);
        quota_discharge(&charge);
        ck_assert_ptr_null(charge.user);
        quota_discharge(&charge);
        ck_assert_uint_eq(quota.used[QUOTA_JOBS], 0);
        quota_deinit(&quota);
}
END_TEST

/* Random charges of a few users against a model that adds them up anew each time. */
START_TEST(test_random_charges)
{
        enum { USERS = 4, CHARGES = 5 * QUOTA_KIND_MAX, PER_UID = 20, TOTAL = 50 };
        struct quota_charge charges[CHARGES] = {{0}};
        uid_t uids[CHARGES] = {0};
        size_t n_charged = 0, n_refused[QUOTA_E_TOTAL + 1] = {0};

        limits_set(PER_UID, TOTAL);
        for (int step = 0; step < 20000; step++) {
                const size_t at = (size_t)rng_below(&rng, CHARGES);
                const enum quota_kind kind = (enum quota_kind)rng_below(&rng, QUOTA_KIND_MAX);
                const uid_t uid = (uid_t)rng_below(&rng, USERS);
                const uint64_t amount = rng_between(&rng, 1, 15);
                uint64_t of_uid = amount, of_all = amount;
                int expected;

                quota_discharge(&charges[at]);
                for (size_t i = 0; i < CHARGES; i++) {
                        if (!charges[i].user || charges[i].kind != kind)
                                continue;
                        of_all += charges[i].amount;
                        of_uid += uids[i] == uid ? charges[i].amount : 0;
                }
                expected = of_uid > PER_UID ? QUOTA_E_UID : of_all > TOTAL ? QUOTA_E_TOTAL : 0;
                if (expected != 0) {
                        expect_refused(uid, kind, amount, expected);
                        n_refused[expected]++;
                        continue;
                }
                charges[at] = expect_charged(uid, kind, amount);
                uids[at] = uid;
                n_charged++;
                ck_assert_uint_eq(quota.used[kind], of_all);
        }
        ck_assert(n_charged > 100 && n_refused[QUOTA_E_UID] > 100 && n_refused[QUOTA_E_TOTAL] > 100);
        for (size_t i = 0; i < CHARGES; i++)
                quota_discharge(&charges[i]);
        quota_deinit(&quota);
}
END_TEST

/* ---- in words ---- */

static void expect_words(int r, enum quota_kind kind, const char *words)
{
        struct fault fault = {0};

        ck_assert(!quota_fault(&quota, 7, kind, r, &fault));
        ck_assert_int_eq(fault.status, STATUS_BUSY);
        ck_assert_msg(strstr(fault.text, words), "\"%s\" lacks \"%s\"", fault.text, words);
        ck_assert_ptr_null(strchr(fault.text, '\n'));
}

START_TEST(test_words_name_the_limit)
{
        limits_set(123, 456);
        expect_words(QUOTA_E_UID, QUOTA_CONNECTIONS, "uid 7 is at its limit connections-per-uid = 123");
        expect_words(QUOTA_E_UID, QUOTA_BYTES, "bytes-per-uid = 123");
        expect_words(QUOTA_E_UID, QUOTA_JOBS, "jobs-per-uid = 123");
        expect_words(QUOTA_E_UID, QUOTA_WEIGHTS, "weights-per-uid = 123");
        expect_words(QUOTA_E_TOTAL, QUOTA_CONNECTIONS, "the limit connections = 456");
        expect_words(QUOTA_E_TOTAL, QUOTA_BYTES, "the limit bytes = 456");
        expect_words(-ENOMEM, QUOTA_BYTES, strerror(ENOMEM));
        quota_deinit(&quota);
}
END_TEST

/* ---- room ---- */

/* Somebody who keeps `n_kept` things of one unit each for user 1, and gives them up as quota.h asks. */
struct keeper {
        struct quota_charge kept[8];
        size_t n_kept, n_calls;
        uint64_t of_uid, of_all; /* as last asked for */
};

static void give_up(void *userdata, uid_t uid, enum quota_kind kind, uint64_t of_uid, uint64_t of_all)
{
        struct keeper *keeper = userdata;

        ck_assert_int_eq(kind, QUOTA_BYTES);
        keeper->n_calls++;
        keeper->of_uid = of_uid;
        keeper->of_all = of_all;
        if ((uid != 1 && of_uid > 0) || MAX(of_uid, of_all) > keeper->n_kept)
                return;
        for (uint64_t i = 0; i < MAX(of_uid, of_all); i++)
                quota_discharge(&keeper->kept[--keeper->n_kept]);
}

static struct keeper keeper;

static void keeper_start(size_t n_kept)
{
        keeper = (struct keeper){0};
        while (keeper.n_kept < n_kept)
                keeper.kept[keeper.n_kept++] = expect_charged(1, QUOTA_BYTES, 1);
        quota.room_fn = give_up;
        quota.room_userdata = &keeper;
}

/* As much as is missing is asked for, once, and only when something is. */
START_TEST(test_room_is_made)
{
        struct quota_charge charge = {0}, other;

        limits_set(10, 12);
        keeper_start(4);
        other = expect_charged(1, QUOTA_BYTES, 6); /* fits */
        ck_assert_uint_eq(keeper.n_calls, 0);
        ck_assert_int_eq(quota_charge(&quota, 1, QUOTA_BYTES, 3, &charge), 0);
        ck_assert_uint_eq(keeper.n_calls, 1);
        ck_assert_uint_eq(keeper.of_uid, 3);
        ck_assert_uint_eq(keeper.of_all, 1);
        ck_assert_uint_eq(keeper.n_kept, 1);
        ck_assert_uint_eq(quota.used[QUOTA_BYTES], 10);
        expect_refused(1, QUOTA_BYTES, 2, QUOTA_E_UID); /* there is but one */
        ck_assert_uint_eq(keeper.n_kept, 1);
        expect_refused(1, QUOTA_BYTES, UINT64_MAX, QUOTA_E_UID);
        ck_assert_uint_eq(keeper.of_uid, UINT64_MAX);
        quota_discharge(&charge);
        quota_discharge(&other);
        quota_discharge(&keeper.kept[0]);
        quota_deinit(&quota);
}
END_TEST

/* Room that one user's things make for another; those were all that the first one had. */
START_TEST(test_room_of_all)
{
        struct quota_charge charge = {0};

        limits_set(10, 12);
        keeper_start(4);
        ck_assert_int_eq(quota_charge(&quota, 2, QUOTA_BYTES, 10, &charge), 0);
        ck_assert_uint_eq(keeper.of_uid, 0);
        ck_assert_uint_eq(keeper.of_all, 2);
        quota_discharge(&charge);
        ck_assert_int_eq(quota_charge(&quota, 2, QUOTA_BYTES, 10, &charge), 0);
        ck_assert_uint_eq(keeper.n_calls, 1);
        expect_refused(2, QUOTA_BYTES, 1, QUOTA_E_UID);
        expect_refused(3, QUOTA_BYTES, 3, QUOTA_E_TOTAL);
        quota_discharge(&keeper.kept[1]);
        quota_discharge(&keeper.kept[0]);
        quota_discharge(&charge);
        quota_deinit(&quota);
}
END_TEST

/* What is given up was all that the user was charged for: its record goes and comes again within one charge. */
START_TEST(test_room_ends_the_user)
{
        struct quota_charge charge = {0};

        limits_set(4, 100);
        keeper_start(4);
        ck_assert_int_eq(quota_charge(&quota, 1, QUOTA_BYTES, 4, &charge), 0);
        ck_assert_uint_eq(keeper.n_kept, 0);
        ck_assert_uint_eq(users(), 1);
        quota_discharge(&charge);
        quota_deinit(&quota);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("quota");
        TCase *tcase = tcase_create("quota");

        rng_start(&rng, "quota");
        tcase_add_test(tcase, test_limit_of_one_user);
        tcase_add_test(tcase, test_limit_of_all);
        tcase_add_test(tcase, test_limits_of_1);
        tcase_add_test(tcase, test_limits_of_0);
        tcase_add_test(tcase, test_kinds_are_apart);
        tcase_add_test(tcase, test_amounts_cannot_overflow);
        tcase_add_test(tcase, test_discharge_twice_or_nothing);
        tcase_add_test(tcase, test_random_charges);
        tcase_add_test(tcase, test_words_name_the_limit);
        tcase_add_test(tcase, test_room_is_made);
        tcase_add_test(tcase, test_room_of_all);
        tcase_add_test(tcase, test_room_ends_the_user);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
