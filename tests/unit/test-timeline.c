/* SPDX-License-Identifier: MIT */
/* test-timeline.c - alarms: their order, moving and taking back, and ringing ones that set others. */
#include <check.h>

#include "daemon/timeline.h"
#include "tests/fake/timeline.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define ALARMS 8

static struct rng rng;
static struct fake_timeline fake;

/* Each alarm writes its name when it rings, and then does what the test wants. */
static struct bell {
        struct alarm alarm;
        char name;
        void (*then)(struct bell *bell);
} bells[ALARMS];
static char heard[256];
static uint64_t start_ns; /* times in these tests count from here */

static void on_alarm(void *userdata)
{
        struct bell *bell = userdata;
        const size_t n = strlen(heard);

        ck_assert_uint_lt(n + 1, sizeof heard);
        heard[n] = bell->name;
        ck_assert_uint_eq(bell->alarm.at_ns, TIMELINE_NEVER); /* it is over, and may be set again */
        if (bell->then)
                bell->then(bell);
}

static void setup(void)
{
        fake_timeline_init(&fake);
        start_ns = fake.now_ns;
        memset(heard, 0, sizeof heard);
        for (size_t i = 0; i < ALARMS; i++) {
                bells[i] = (struct bell){.name = (char)('a' + i)};
                alarm_init(&bells[i].alarm, on_alarm, &bells[i]);
        }
}

static void set(size_t bell, uint64_t after_ns)
{
        alarm_set(&fake.timeline, &bells[bell].alarm, start_ns + after_ns);
}

static void take_back(size_t bell)
{
        alarm_set(&fake.timeline, &bells[bell].alarm, TIMELINE_NEVER);
}

static void expect_heard(const char *names)
{
        ck_assert_str_eq(heard, names);
        heard[0] = '\0';
        memset(heard, 0, sizeof heard);
}

/* ---- one alarm ---- */

START_TEST(test_nothing_is_set)
{
        ck_assert_uint_eq(timeline_next_ns(&fake.timeline), TIMELINE_NEVER);
        ck_assert(!timeline_ring(&fake.timeline, UINT64_MAX - 1));
        ck_assert(!fake_timeline_step(&fake));
        take_back(0); /* it was not set */
        ck_assert_uint_eq(timeline_next_ns(&fake.timeline), TIMELINE_NEVER);
        expect_heard("");
}
END_TEST

START_TEST(test_rings_once_at_its_time)
{
        set(0, 10);
        ck_assert_uint_eq(timeline_next_ns(&fake.timeline), start_ns + 10);
        ck_assert(!timeline_ring(&fake.timeline, start_ns + 9));
        expect_heard("");
        ck_assert(timeline_ring(&fake.timeline, start_ns + 10));
        expect_heard("a");
        ck_assert(!timeline_ring(&fake.timeline, start_ns + 11));
        ck_assert_uint_eq(timeline_next_ns(&fake.timeline), TIMELINE_NEVER);
        expect_heard("");
}
END_TEST

/* Late is better than never; and a time that has passed already is a time. */
START_TEST(test_late)
{
        set(0, 10);
        ck_assert(timeline_ring(&fake.timeline, start_ns + 1000));
        alarm_set(&fake.timeline, &bells[1].alarm, 0);
        ck_assert_uint_eq(timeline_next_ns(&fake.timeline), 0);
        ck_assert(timeline_ring(&fake.timeline, start_ns));
        expect_heard("ab");
}
END_TEST

/* ---- several ---- */

START_TEST(test_earliest_first)
{
        set(0, 30);
        set(1, 10);
        set(2, 20);
        set(3, 40);
        fake_timeline_advance(&fake, 29);
        expect_heard("bc");
        fake_timeline_advance(&fake, 1);
        expect_heard("a");
        ck_assert(fake_timeline_step(&fake));
        ck_assert_uint_eq(fake.now_ns, start_ns + 40);
        expect_heard("d");
}
END_TEST

START_TEST(test_equal_times_in_the_order_of_setting)
{
        set(2, 10);
        set(0, 10);
        set(3, 5);
        set(1, 10);
        set(0, 10); /* says nothing new: it keeps its place */
        fake_timeline_advance(&fake, 10);
        expect_heard("dcab");
        set(0, 20);
        set(1, 20);
        set(0, 21);
        set(0, 20); /* has been away: behind */
        fake_timeline_advance(&fake, 10);
        expect_heard("ba");
}
END_TEST

START_TEST(test_move_and_take_back)
{
        set(0, 10);
        set(1, 20);
        set(2, 30);
        set(0, 25); /* back by one */
        set(2, 5);  /* to the front */
        ck_assert_uint_eq(timeline_next_ns(&fake.timeline), start_ns + 5);
        take_back(1);
        take_back(1);
        fake_timeline_advance(&fake, 100);
        expect_heard("ca");
        set(1, 110);
        take_back(1);
        ck_assert_uint_eq(timeline_next_ns(&fake.timeline), TIMELINE_NEVER);
        fake_timeline_advance(&fake, 100);
        expect_heard("");
}
END_TEST

/* ---- whoever keeps the time is told of the earliest alarm, and of nothing else ---- */

static uint64_t told_ns[16];
static size_t n_told;

static uint64_t zero_ns(const struct timeline *timeline)
{
        (void)timeline;
        return 0;
}

static void on_next_changed(struct timeline *timeline, uint64_t at_ns)
{
        (void)timeline;
        told_ns[n_told++] = at_ns;
}

START_TEST(test_tells_of_changes)
{
        static const struct timeline_ops ops = {.now_ns = zero_ns, .next_changed = on_next_changed};
        static const uint64_t expected[] = {20, 10, 15, 20, TIMELINE_NEVER};
        struct timeline timeline;

        n_told = 0;
        timeline_init(&timeline, &ops);
        alarm_set(&timeline, &bells[0].alarm, 20);
        alarm_set(&timeline, &bells[1].alarm, 30); /* not the earliest */
        alarm_set(&timeline, &bells[1].alarm, 25);
        alarm_set(&timeline, &bells[2].alarm, 10);
        alarm_set(&timeline, &bells[2].alarm, 10); /* nothing new */
        alarm_set(&timeline, &bells[2].alarm, 15); /* the same alarm, later */
        ck_assert(timeline_ring(&timeline, 15));
        alarm_set(&timeline, &bells[1].alarm, 20); /* as early as the earliest */
        alarm_set(&timeline, &bells[0].alarm, TIMELINE_NEVER);
        alarm_set(&timeline, &bells[1].alarm, TIMELINE_NEVER);
        ck_assert_uint_eq(n_told, ARRAY_SIZE(expected));
        ck_assert_mem_eq(told_ns, expected, sizeof expected);
}
END_TEST

/* ---- alarms that set others ---- */

static void again_in_10(struct bell *bell)
{
        alarm_set(&fake.timeline, &bell->alarm, fake.now_ns + 10);
}

START_TEST(test_sets_itself)
{
        bells[0].then = again_in_10;
        set(0, 10);
        fake_timeline_advance(&fake, 45);
        expect_heard("aaaa");
        ck_assert_uint_eq(timeline_next_ns(&fake.timeline), start_ns + 50);
}
END_TEST

static void sets_next_now(struct bell *bell)
{
        alarm_set(&fake.timeline, &bell[1].alarm, fake.now_ns);
}

/* What is set for now while others ring comes behind all that are due. */
START_TEST(test_sets_others_for_now)
{
        bells[0].then = sets_next_now;
        set(0, 10);
        set(2, 10);
        set(3, 11);
        fake_timeline_advance(&fake, 10);
        expect_heard("acb");
}
END_TEST

static void takes_next_back(struct bell *bell)
{
        alarm_set(&fake.timeline, &bell[1].alarm, TIMELINE_NEVER);
}

START_TEST(test_takes_others_back)
{
        bells[0].then = takes_next_back;
        set(0, 10);
        set(1, 10);
        set(2, 10);
        fake_timeline_advance(&fake, 10);
        expect_heard("ac");
}
END_TEST

/* ---- anything ---- */

/* Against a list of times: always the earliest, of equal ones the one that was set first. */
START_TEST(test_random)
{
        uint64_t at_ns[ALARMS], set_as[ALARMS], n_set = 0; /* at_ns 0: not set */

        for (int round = 0; round < 20000; round++) {
                const size_t which = (size_t)rng_below(&rng, ALARMS);
                size_t first = ALARMS;

                if (round == 0)
                        memset(at_ns, 0, sizeof at_ns);
                if (rng_once_in(&rng, 4)) {
                        take_back(which);
                        at_ns[which] = 0;
                } else {
                        const uint64_t ns = fake.now_ns - start_ns + rng_between(&rng, 1, 12);

                        set(which, ns);
                        if (at_ns[which] != ns)
                                set_as[which] = n_set++;
                        at_ns[which] = ns;
                }
                if (rng_once_in(&rng, 2))
                        continue;
                for (size_t i = 0; i < ALARMS; i++)
                        if (at_ns[i] != 0 && (first == ALARMS || at_ns[i] < at_ns[first] ||
                                              (at_ns[i] == at_ns[first] && set_as[i] < set_as[first])))
                                first = i;
                ck_assert_int_eq(fake_timeline_step(&fake), first < ALARMS);
                if (first == ALARMS)
                        continue;
                expect_heard((char[]){(char)('a' + first), '\0'});
                ck_assert_uint_eq(fake.now_ns, start_ns + at_ns[first]);
                at_ns[first] = 0;
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("timeline");
        TCase *tcase = tcase_create("timeline");

        rng_start(&rng, "timeline");
        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_nothing_is_set);
        tcase_add_test(tcase, test_rings_once_at_its_time);
        tcase_add_test(tcase, test_late);
        tcase_add_test(tcase, test_earliest_first);
        tcase_add_test(tcase, test_equal_times_in_the_order_of_setting);
        tcase_add_test(tcase, test_move_and_take_back);
        tcase_add_test(tcase, test_tells_of_changes);
        tcase_add_test(tcase, test_sets_itself);
        tcase_add_test(tcase, test_sets_others_for_now);
        tcase_add_test(tcase, test_takes_others_back);
        tcase_add_test(tcase, test_random);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
