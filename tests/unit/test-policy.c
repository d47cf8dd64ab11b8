/* SPDX-License-Identifier: MIT */
/* test-policy.c - when a batch is composed: at once, after a window, after a hold; and what is known of clients. */
#include <check.h>

#include "daemon/policy.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define US       UINT64_C(1000)
#define NOW_NS   (1000 * 1000 * US)
#define FIXED_NS (100 * US) /* what a submission costs by itself: gaps up to 70 us are swift */

static struct rng rng;
static struct policy policy;
static struct policy_client clients[4];
static uint64_t now_ns; /* of the stories below */

static void setup(void)
{
        policy_init(&policy, POLICY_HOLD, 200 * US);
        for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
                policy_client_init(&clients[i]);
        now_ns = NOW_NS;
}

/* A job that waits, an idle device, nothing that presses. */
static struct policy_view view_idle(void)
{
        return (struct policy_view){.now_ns = now_ns, .oldest_ns = now_ns, .latest_start_ns = TIMELINE_NEVER};
}

static void submitted(struct policy_client *client)
{
        policy_submitted(&policy, client, now_ns);
}

static void answered(struct policy_client *client)
{
        policy_answered(&policy, client, FIXED_NS, now_ns);
}

/* A round of a client that comes back after such a time, in a batch of its own. */
static void round_of(struct policy_client *client, uint64_t gap_ns)
{
        answered(client);
        now_ns += gap_ns;
        submitted(client);
        policy_composed(&policy);
        now_ns += 300 * US;
}

/* A client whose gaps have all been the same, and that works now. */
static void get_to_know(struct policy_client *client, uint64_t gap_ns)
{
        submitted(client);
        policy_composed(&policy);
        for (int i = 0; i < 6; i++)
                round_of(client, gap_ns);
}

/* Its batch has just been done: it is expected back, and the device is held. */
static void hold_begins_for(struct policy_client *const these[], size_t n)
{
        for (size_t i = 0; i < n; i++)
                answered(these[i]);
        policy_idle(&policy, FIXED_NS, now_ns);
}

/* ---- what is known of a client ---- */

START_TEST(test_stranger_is_not_swift)
{
        ck_assert(!policy_is_swift(&clients[0], FIXED_NS));
        ck_assert(!policy_is_swift(&clients[0], UINT64_MAX / 2));
        submitted(&clients[0]); /* the first job follows on no answer: it is no gap */
        ck_assert_uint_eq(clients[0].n_gaps, 0);
}
END_TEST

START_TEST(test_four_gaps_at_least)
{
        submitted(&clients[0]);
        for (size_t i = 1; i <= 4; i++) {
                ck_assert(!policy_is_swift(&clients[0], FIXED_NS));
                answered(&clients[0]);
                now_ns += 1;
                submitted(&clients[0]);
                ck_assert_uint_eq(clients[0].n_gaps, i);
        }
        ck_assert(policy_is_swift(&clients[0], FIXED_NS));
        ck_assert_uint_eq(clients[0].q75_ns, 1);
}
END_TEST

/* Holding pays as long as the gap is below the fixed cost; the rest is margin. */
START_TEST(test_gate)
{
        static const struct {
                uint64_t gap_ns;
                bool is_swift;
        } cases[] = {{0, true},         {69 * US, true},
                     {70 * US, true},   {70 * US + 1, false},
                     {100 * US, false}, {UINT64_C(3600000000000), false}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                policy_client_init(&clients[0]);
                get_to_know(&clients[0], cases[i].gap_ns);
                ck_assert_uint_eq(clients[0].q75_ns, cases[i].gap_ns);
                ck_assert_int_eq(policy_is_swift(&clients[0], FIXED_NS), cases[i].is_swift);
        }
        policy_client_init(&clients[0]);
        get_to_know(&clients[0], 1);
        ck_assert(!policy_is_swift(&clients[0], 1)); /* where a submission costs nothing nobody is swift */
        ck_assert(!policy_is_swift(&clients[0], 0));
}
END_TEST

/* Gaps of one client, and the upper quartile of the last 31. */
static const struct {
        const char *what;
        uint64_t gaps_us[8];
        size_t n_listed;
        size_t n_gaps; /* the last one listed again and again, until there are so many */
        uint64_t q75_us;
} quartiles[] = {
        {"four: the largest", {1, 2, 3, 4}, 4, 4, 4},
        {"in any order", {4, 1, 3, 2}, 4, 4, 4},
        {"of five the second largest", {5, 1, 9, 2, 3}, 5, 5, 5},
        {"of eight the second largest", {8, 7, 6, 5, 4, 3, 2, 1}, 8, 8, 7},
        {"one pause among five", {10, 10, 9000000, 10, 10}, 5, 5, 10},
        {"one pause among 31", {9000000, 10}, 2, 31, 10},
        {"seven pauses among 31",
         {9000000, 9000000, 9000000, 9000000, 9000000, 9000000, 9000000, 10},
         8,
         31,
         10},
        {"forgotten with time",
         {9000000, 9000000, 9000000, 9000000, 9000000, 9000000, 9000000, 10},
         8,
         200,
         10},
};

START_TEST(test_upper_quartile)
{
        submitted(&clients[0]);
        for (size_t i = 0; i < quartiles[_i].n_gaps; i++) {
                answered(&clients[0]);
                now_ns += quartiles[_i].gaps_us[MIN(i, quartiles[_i].n_listed - 1)] * US;
                submitted(&clients[0]);
        }
        ck_assert_msg(clients[0].q75_ns == quartiles[_i].q75_us * US, "%s: %d us", quartiles[_i].what,
                      (int)(clients[0].q75_ns / US));
}
END_TEST

/* A client that has become slow is known to be slow after a quarter of its memory, and the other way round. */
START_TEST(test_follows_a_change)
{
        int n = 0;

        for (int i = 0; i < 31; i++)
                round_of(&clients[0], 10 * US);
        for (n = 0; policy_is_swift(&clients[0], FIXED_NS) && n < 31; n++)
                round_of(&clients[0], 500 * US);
        ck_assert_int_le(n, 9);
        for (n = 0; n < 31; n++)
                round_of(&clients[0], 500 * US);
        for (n = 0; !policy_is_swift(&clients[0], FIXED_NS) && n < 31; n++)
                round_of(&clients[0], 10 * US);
        ck_assert_int_le(n, 25);
        ck_assert_int_ge(n, 20); /* and not by a short spell */
}
END_TEST

/* Any gaps: an element that at least three quarters of the last 31 are not above, and a quarter not below. */
START_TEST(test_any_gaps)
{
        for (int round = 0; round < 200; round++) {
                const size_t n = (size_t)rng_between(&rng, 4, 80), n_kept = MIN(n, (size_t)31);
                uint64_t gaps[80];
                size_t n_not_above = 0, n_not_below = 0;

                policy_client_init(&clients[0]);
                submitted(&clients[0]);
                for (size_t i = 0; i < n; i++) {
                        gaps[i] = rng_below(&rng, 50);
                        answered(&clients[0]);
                        now_ns += gaps[i];
                        submitted(&clients[0]);
                }
                for (size_t i = n - n_kept; i < n; i++) {
                        n_not_above += gaps[i] <= clients[0].q75_ns;
                        n_not_below += gaps[i] >= clients[0].q75_ns;
                }
                ck_assert_uint_ge(4 * n_not_above, 3 * n_kept);
                ck_assert_uint_ge(4 * n_not_below, n_kept - 3);
        }
}
END_TEST

/* Several answers before the next job: the gap counts from the last of them. Several jobs: only the first closes it. */
START_TEST(test_gap_from_last_answer_to_first_job)
{
        submitted(&clients[0]);
        answered(&clients[0]);
        now_ns += 40 * US;
        answered(&clients[0]);
        now_ns += 3 * US;
        submitted(&clients[0]);
        now_ns += 50 * US;
        submitted(&clients[0]);
        ck_assert_uint_eq(clients[0].n_gaps, 1);
        ck_assert_uint_eq(clients[0].gaps_ns[0], 3 * US);
}
END_TEST

/* ---- an idle device ---- */

START_TEST(test_natural_never_waits)
{
        struct policy_client *const both[] = {&clients[0], &clients[1]};

        policy.kind = POLICY_NATURAL;
        get_to_know(both[0], 10 * US);
        get_to_know(both[1], 10 * US);
        hold_begins_for(both, 2);
        submitted(both[0]);
        ck_assert_uint_le(policy_when_ns(&policy,
                                         &(struct policy_view){
                                                 .now_ns = now_ns,
                                                 .oldest_ns = now_ns,
                                                 .latest_start_ns = TIMELINE_NEVER,
                                         }),
                          now_ns);
}
END_TEST

START_TEST(test_hold_for_nobody_in_particular)
{
        const struct policy_view view = view_idle();

        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns); /* nobody is known yet */
        get_to_know(&clients[0], 10 * US);
        submitted(&clients[0]); /* it comes by itself, after no completion */
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
}
END_TEST

/* How long: three of the longest gaps, but half of the fixed cost at least and all of it at most. */
START_TEST(test_hold_length)
{
        static const struct {
                uint64_t gaps_us[2], until_us;
        } cases[] = {{{10, 10}, 50}, {{16, 16}, 50},  {{10, 17}, 51},  {{10, 20}, 60}, {{33, 1}, 99},
                     {{34, 1}, 100}, {{70, 70}, 100}, {{70, 71}, 100}, {{1, 300}, 50}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct policy_client *const both[] = {&clients[0], &clients[1]};
                struct policy_view view;

                setup();
                get_to_know(both[0], cases[i].gaps_us[0] * US);
                get_to_know(both[1], cases[i].gaps_us[1] * US);
                hold_begins_for(both, 2);
                submitted(&clients[2]); /* somebody else's job waits */
                view = view_idle();
                ck_assert_msg(policy_when_ns(&policy, &view) == now_ns + cases[i].until_us * US, "case %zu",
                              i);
                view.now_ns = now_ns + cases[i].until_us * US;
                ck_assert_uint_le(policy_when_ns(&policy, &view), view.now_ns);
        }
}
END_TEST

START_TEST(test_hold_ends_when_all_are_back)
{
        struct policy_client *const these[] = {&clients[0], &clients[1], &clients[2]};
        struct policy_view view;

        for (size_t i = 0; i < 3; i++)
                get_to_know(these[i], 10 * US);
        hold_begins_for(these, 3);
        ck_assert_uint_eq(policy.n_expected, 3);
        for (size_t i = 0; i < 3; i++) {
                view = view_idle();
                ck_assert_uint_gt(policy_when_ns(&policy, &view), now_ns);
                now_ns += 1 * US;
                submitted(these[i]);
        }
        view = view_idle();
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
}
END_TEST

/* How long one hold lasted has nothing to do with the next. */
START_TEST(test_hold_length_anew)
{
        struct policy_client *const both[] = {&clients[0], &clients[1]};
        const struct policy_view view = view_idle();

        get_to_know(both[0], 20 * US);
        get_to_know(both[1], 30 * US);
        hold_begins_for(both, 2);
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 90 * US);
        policy_composed(&policy);
        hold_begins_for(both, 1);
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 60 * US);
}
END_TEST

/* Twice the same client is one client; a second job of one that is back changes nothing. */
START_TEST(test_clients_count_once)
{
        struct policy_client *const twice[] = {&clients[0], &clients[0], &clients[1]};
        const struct policy_view view = view_idle();

        get_to_know(&clients[0], 10 * US);
        get_to_know(&clients[1], 10 * US);
        hold_begins_for(twice, 3);
        ck_assert_uint_eq(policy.n_expected, 2);
        submitted(&clients[0]);
        submitted(&clients[0]);
        ck_assert_uint_eq(policy.n_expected, 1);
        ck_assert_uint_gt(policy_when_ns(&policy, &view), view.now_ns);
        submitted(&clients[1]);
        ck_assert_uint_eq(policy.n_expected, 0);
}
END_TEST

START_TEST(test_hold_ends_on_full)
{
        struct policy_client *const one[] = {&clients[0]};
        struct policy_view view;

        get_to_know(one[0], 10 * US);
        hold_begins_for(one, 1);
        view = view_idle();
        ck_assert_uint_gt(policy_when_ns(&policy, &view), now_ns);
        view.is_full = true;
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
}
END_TEST

START_TEST(test_hold_ends_on_deadline)
{
        struct policy_client *const one[] = {&clients[0]};
        struct policy_view view;

        get_to_know(one[0], 10 * US);
        hold_begins_for(one, 1);
        view = view_idle();
        view.latest_start_ns = now_ns + 7 * US;
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 7 * US);
        view.latest_start_ns = now_ns + 51 * US; /* later than the hold lasts */
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 50 * US);
        view.latest_start_ns = 0; /* missed already: no reason to wait */
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
}
END_TEST

/* One that is expected closes instead: nobody waits for the dead. */
START_TEST(test_expected_client_closes)
{
        struct policy_client *const both[] = {&clients[0], &clients[1]};
        struct policy_view view;

        get_to_know(both[0], 10 * US);
        get_to_know(both[1], 10 * US);
        hold_begins_for(both, 2);
        policy_client_deinit(&policy, both[0]);
        ck_assert_uint_eq(policy.n_expected, 1);
        submitted(both[1]);
        ck_assert_uint_eq(policy.n_expected, 0);
        view = view_idle();
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
        policy_client_deinit(&policy, both[1]);     /* it is back, and is not counted out twice */
        policy_client_deinit(&policy, &clients[2]); /* never was expected */
        ck_assert_uint_eq(policy.n_expected, 0);
}
END_TEST

/* Whoever missed a batch is not expected for the next one, unless it is answered again. */
START_TEST(test_missed_is_missed)
{
        struct policy_client *const both[] = {&clients[0], &clients[1]};
        struct policy_view view;

        get_to_know(both[0], 10 * US);
        get_to_know(both[1], 10 * US);
        hold_begins_for(both, 2);
        submitted(both[0]);
        policy_composed(&policy); /* without the second */
        answered(both[0]);
        policy_idle(&policy, FIXED_NS, now_ns);
        ck_assert_uint_eq(policy.n_expected, 1);
        submitted(both[1]); /* late, for the one before: nothing is counted down */
        ck_assert_uint_eq(policy.n_expected, 1);
        view = view_idle();
        ck_assert_uint_gt(policy_when_ns(&policy, &view), now_ns);
        submitted(both[0]);
        ck_assert_uint_eq(policy.n_expected, 0);
}
END_TEST

/* A slow client's answer begins no hold, nor lengthens another's. */
START_TEST(test_slow_clients_are_not_waited_for)
{
        struct policy_client *const slow[] = {&clients[0]};
        const struct policy_view view = view_idle();

        get_to_know(slow[0], 71 * US);
        hold_begins_for(slow, 1);
        ck_assert_uint_eq(policy.n_expected, 0);
        ck_assert_uint_le(policy_when_ns(&policy, &view), view.now_ns);
}
END_TEST

/* Where a submission costs next to nothing hold is natural. */
START_TEST(test_hold_where_nothing_is_gained)
{
        const struct policy_view view = view_idle();

        get_to_know(&clients[0], 10 * US);
        policy_answered(&policy, &clients[0], 1 * US, now_ns);
        policy_idle(&policy, 1 * US, now_ns);
        ck_assert_uint_le(policy_when_ns(&policy, &view), view.now_ns);
}
END_TEST

/* The policy may change at any time: what was begun under the old one has no effect. */
START_TEST(test_change_of_policy)
{
        struct policy_client *const one[] = {&clients[0]};
        struct policy_view view;

        get_to_know(one[0], 10 * US);
        hold_begins_for(one, 1);
        view = view_idle();
        policy.kind = POLICY_NATURAL;
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
        policy_composed(&policy);
        hold_begins_for(one, 1);
        policy.kind = POLICY_HOLD; /* the device was already idle then: no hold had begun */
        view = view_idle();
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
}
END_TEST

START_TEST(test_window)
{
        struct policy_view view;

        policy.kind = POLICY_WINDOW;
        view = view_idle();
        view.oldest_ns = now_ns - 50 * US;
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 150 * US);
        view.oldest_ns = now_ns - 200 * US;
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
        view.oldest_ns = now_ns;
        view.is_full = true;
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
        view.is_full = false;
        view.latest_start_ns = now_ns + 1;
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 1);
        policy.window_ns = 0;
        ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
}
END_TEST

/* ---- a second slot ---- */

/* The first is predicted to end in 500 us, and a batch takes 120 us to be packed. */
static struct policy_view view_busy(void)
{
        struct policy_view view = view_idle();

        view.n_inside = 1;
        view.idle_ns = now_ns + 500 * US;
        view.pack_ns = 120 * US;
        return view;
}

START_TEST(test_ahead_as_late_as_possible)
{
        static const enum policy_kind kinds[] = {POLICY_NATURAL, POLICY_HOLD};

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                struct policy_view view = view_busy();

                policy.kind = kinds[i];
                ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 380 * US);
                view.is_full = true; /* no reason to be early: it stays open for what is more urgent */
                ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 380 * US);
                view.now_ns = now_ns + 380 * US;
                ck_assert_uint_le(policy_when_ns(&policy, &view), view.now_ns);
                view.pack_ns = 0;
                ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 500 * US);
                view.pack_ns = TIMELINE_NEVER; /* longer than anything */
                ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
                view.pack_ns = 120 * US;
                view.idle_ns = now_ns - 3 * US; /* overdue */
                ck_assert_uint_le(policy_when_ns(&policy, &view), now_ns);
        }
}
END_TEST

/* Under hold a batch that would go without those who are just being served waits for them. */
START_TEST(test_not_ahead_of_swift_clients)
{
        struct policy_view view = view_busy();

        view.is_swift_inside = true;
        ck_assert_uint_eq(policy_when_ns(&policy, &view), TIMELINE_NEVER);
        view.now_ns = view.idle_ns + 1000 * US; /* however long the first one takes */
        ck_assert_uint_eq(policy_when_ns(&policy, &view), TIMELINE_NEVER);
        policy.kind = POLICY_NATURAL;
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 380 * US);
}
END_TEST

START_TEST(test_window_ahead)
{
        struct policy_view view = view_busy();

        policy.kind = POLICY_WINDOW;
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 380 * US);
        view.oldest_ns = now_ns + 300 * US; /* its window is not over by then */
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 500 * US);
        view.is_full = true;
        ck_assert_uint_eq(policy_when_ns(&policy, &view), now_ns + 380 * US);
}
END_TEST

/* ---- any course of things ---- */

/*
 * Clients come, are answered, are late, go: nobody is waited for longer than a submission costs, and the number of
 * those that are expected is right.
 */
START_TEST(test_random_course)
{
        uint64_t hold_began_ns = 0;
        uint64_t n_held = 0;

        for (int step = 0; step < 50000; step++) {
                struct policy_client *client = &clients[rng_below(&rng, ARRAY_SIZE(clients))];
                const struct policy_view view = view_idle();
                size_t n_expected = 0;

                switch (rng_below(&rng, 5)) {
                case 0:
                        answered(client);
                        break;
                case 1:
                        submitted(client);
                        break;
                case 2:
                        policy_composed(&policy);
                        break;
                case 3:
                        policy_idle(&policy, FIXED_NS, now_ns);
                        hold_began_ns = now_ns;
                        break;
                default:
                        if (rng_once_in(&rng, 20)) {
                                policy_client_deinit(&policy, client);
                                policy_client_init(client);
                        }
                        break;
                }
                for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
                        n_expected += clients[i].expected_for == policy.n_composed;
                ck_assert_uint_eq(policy.n_expected, n_expected);
                if (policy_when_ns(&policy, &view) > now_ns) {
                        n_held++;
                        ck_assert_uint_gt(n_expected, 0);
                        ck_assert_uint_le(policy_when_ns(&policy, &view), hold_began_ns + FIXED_NS);
                }
                now_ns += rng_below(&rng, 20) * US;
        }
        ck_assert_uint_gt(n_held, 100); /* else little has been tried */
}
END_TEST

static TCase *clients_tests(void)
{
        TCase *tcase = tcase_create("clients");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_stranger_is_not_swift);
        tcase_add_test(tcase, test_four_gaps_at_least);
        tcase_add_test(tcase, test_gate);
        tcase_add_loop_test(tcase, test_upper_quartile, 0, ARRAY_SIZE(quartiles));
        tcase_add_test(tcase, test_follows_a_change);
        tcase_add_test(tcase, test_any_gaps);
        tcase_add_test(tcase, test_gap_from_last_answer_to_first_job);
        return tcase;
}

static TCase *idle_tests(void)
{
        TCase *tcase = tcase_create("idle device");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_natural_never_waits);
        tcase_add_test(tcase, test_hold_for_nobody_in_particular);
        tcase_add_test(tcase, test_hold_length);
        tcase_add_test(tcase, test_hold_length_anew);
        tcase_add_test(tcase, test_hold_ends_when_all_are_back);
        tcase_add_test(tcase, test_clients_count_once);
        tcase_add_test(tcase, test_hold_ends_on_full);
        tcase_add_test(tcase, test_hold_ends_on_deadline);
        tcase_add_test(tcase, test_expected_client_closes);
        tcase_add_test(tcase, test_missed_is_missed);
        tcase_add_test(tcase, test_slow_clients_are_not_waited_for);
        tcase_add_test(tcase, test_hold_where_nothing_is_gained);
        tcase_add_test(tcase, test_change_of_policy);
        tcase_add_test(tcase, test_window);
        return tcase;
}

static TCase *ahead_tests(void)
{
        TCase *tcase = tcase_create("second slot");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_ahead_as_late_as_possible);
        tcase_add_test(tcase, test_not_ahead_of_swift_clients);
        tcase_add_test(tcase, test_window_ahead);
        tcase_add_test(tcase, test_random_course);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("policy");

        rng_start(&rng, "policy");
        suite_add_tcase(suite, clients_tests());
        suite_add_tcase(suite, idle_tests());
        suite_add_tcase(suite, ahead_tests());
        return suite_run(suite);
}
