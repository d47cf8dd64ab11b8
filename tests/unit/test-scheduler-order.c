/* SPDX-License-Identifier: MIT */
/*
 * test-scheduler-order.c - the order that users, connections and classes are served in: fair in device time, whatever
 * anybody does; interactive first within bounds, bulk last, nobody never.
 */
#include "tests/unit/scheduler-desk.h"
#include "tests/unit/suite.h"

static struct rng rng;

#define LARGEST UINT64_C(100) /* charge of one job, in the tests that choose by chance */

static uint64_t served_ns[CLIENTS]; /* since begin() */

static void begin(void)
{
        memset(served_ns, 0, sizeof served_ns);
}

static size_t client_of(const struct job *job)
{
        return (size_t)(job->flow->client - clients);
}

/* Serves the next job whole; returns whose it was. */
static size_t serve(void)
{
        struct job *job = scheduler_next(&scheduler, now_ns);
        size_t client;

        ck_assert_ptr_nonnull(job);
        client = client_of(job);
        served_ns[client] += job_rows_left(job);
        take_all(job);
        return client;
}

static enum job_class serve_class(void)
{
        const enum job_class class = scheduler_next(&scheduler, now_ns)->flow->class;

        (void)serve();
        return class;
}

/* Each of these clients has at least two jobs of the class waiting, each of a size by chance. */
static void keep_busy(const size_t these[], size_t n, enum job_class class)
{
        for (size_t i = 0; i < n; i++) {
                const struct scheduler_flow *flow = &clients[these[i]].flows[class];

                while (TAILQ_EMPTY(&flow->jobs) || !TAILQ_NEXT(TAILQ_FIRST(&flow->jobs), queue_link))
                        (void)push(these[i], class, rng_between(&rng, 1, LARGEST));
        }
}

static uint64_t difference(uint64_t a, uint64_t b)
{
        return a > b ? a - b : b - a;
}

/* ---- fairness ---- */

/* Users of the same size alternate, and so do their connections. */
START_TEST(test_users_take_turns)
{
        static const size_t expected[] = {0, 2, 1, 2, 0, 2, 1, 2};

        for (int i = 0; i < 4; i++)
                for (size_t client = 0; client < 3; client++)
                        (void)push(client, CLASS_NORMAL, 10);
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
                ck_assert_uint_eq(serve(), expected[i]);
        ck_assert_uint_eq(serve(), 0); /* user 2 has nothing left */
        ck_assert_uint_eq(serve(), 1);
        drop_all();
}
END_TEST

/* It is time that is shared, not jobs: one long one against many short ones. */
START_TEST(test_time_is_shared)
{
        begin();
        for (int i = 0; i < 6; i++)
                (void)push(2, CLASS_NORMAL, 100);
        for (int i = 0; i < 50; i++)
                (void)push(3, CLASS_NORMAL, 10);
        for (int i = 0; i < 44; i++) {
                (void)serve();
                ck_assert_uint_le(difference(served_ns[2], served_ns[3]), 100);
        }
        ck_assert_uint_ge(served_ns[2], 300);
        drop_all();
}
END_TEST

/* Users, always with work: never further apart than the largest charge. */
START_TEST(test_users_stay_together)
{
        static const size_t users[] = {0, 2, 3};

        begin();
        for (int step = 0; step < 10000; step++) {
                keep_busy(users, 3, CLASS_NORMAL);
                (void)serve();
                ck_assert_uint_le(difference(served_ns[0], served_ns[2]), LARGEST);
                ck_assert_uint_le(difference(served_ns[0], served_ns[3]), LARGEST);
                ck_assert_uint_le(difference(served_ns[2], served_ns[3]), LARGEST);
        }
        drop_all();
}
END_TEST

START_TEST(test_connections_of_a_user_stay_together)
{
        static const size_t all[] = {0, 1, 2};

        begin();
        for (int step = 0; step < 10000; step++) {
                keep_busy(all, 3, CLASS_NORMAL);
                (void)serve();
                ck_assert_uint_le(difference(served_ns[0], served_ns[1]), LARGEST);
                ck_assert_uint_le(difference(served_ns[0] + served_ns[1], served_ns[2]), LARGEST);
        }
        drop_all();
}
END_TEST

/* Ten connections are worth no more than one. */
START_TEST(test_ten_connections_of_one_user)
{
        struct scheduler_client ten[10];
        uint64_t ten_ns[10] = {0}, all_ten_ns = 0, one_ns = 0;

        for (size_t i = 0; i < 10; i++)
                ck_assert_int_eq(scheduler_client_init(&scheduler, &ten[i], 77), 0);
        for (int step = 0; step < 5000; step++) {
                struct job *job;
                uint64_t rows;

                for (size_t i = 0; i < 10; i++)
                        if (TAILQ_EMPTY(&ten[i].flows[CLASS_NORMAL].jobs))
                                (void)push_to(&ten[i], rng_between(&rng, 1, LARGEST), &(struct wish){0});
                if (TAILQ_EMPTY(&clients[2].flows[CLASS_NORMAL].jobs))
                        (void)push(2, CLASS_NORMAL, rng_between(&rng, 1, LARGEST));
                job = scheduler_next(&scheduler, now_ns);
                rows = job_rows_left(job);
                if (job->flow->client == &clients[2]) {
                        one_ns += rows;
                } else {
                        ten_ns[job->flow->client - ten] += rows;
                        all_ten_ns += rows;
                }
                take_all(job);
                ck_assert_uint_le(difference(all_ten_ns, one_ns), LARGEST);
        }
        for (size_t i = 1; i < 10; i++)
                ck_assert_uint_le(difference(ten_ns[i], ten_ns[0]), LARGEST);
        drop_all();
        for (size_t i = 0; i < 10; i++)
                scheduler_client_deinit(&scheduler, &ten[i]);
}
END_TEST

/* _i: who returns: another user, or another connection of the same one. */
START_TEST(test_who_returns_is_served_at_once_and_saves_nothing)
{
        static const size_t busy[] = {0}, returning[] = {2, 1};
        const size_t who = returning[_i], both[] = {0, who};

        begin();
        for (int i = 0; i < 500; i++) { /* the other one has the device to itself for long */
                keep_busy(busy, 1, CLASS_NORMAL);
                (void)serve();
        }
        (void)push(who, CLASS_NORMAL, 10);
        ck_assert_uint_eq(serve(), who); /* at once */
        begin();
        for (int i = 0; i < 1000; i++) { /* and from then on they share: nothing was saved up */
                keep_busy(both, 2, CLASS_NORMAL);
                (void)serve();
                ck_assert_uint_le(difference(served_ns[0], served_ns[who]), 2 * LARGEST);
        }
        drop_all();
}
END_TEST

/* Nor does it help to come and go: whoever empties its queue again and again gets no more than its share. */
START_TEST(test_coming_and_going_gains_nothing)
{
        static const size_t busy[] = {0};

        begin();
        for (int i = 0; i < 5000; i++) {
                keep_busy(busy, 1, CLASS_NORMAL);
                if (TAILQ_EMPTY(&clients[2].flows[CLASS_NORMAL].jobs))
                        (void)push(2, CLASS_NORMAL,
                                   LARGEST); /* one at a time: away whenever it has been served */
                (void)serve();
        }
        ck_assert_uint_le(served_ns[2], served_ns[0] + 2 * LARGEST);
        drop_all();
}
END_TEST

/* _i: whether they are users, or connections of the user that they mean to displace. */
START_TEST(test_leaving_and_coming_back_gains_nothing)
{
        static const size_t stays[] = {0};

        for (size_t i = 1; i < CLIENTS && _i == 1; i++) {
                scheduler_client_deinit(&scheduler, &clients[i]);
                ck_assert_int_eq(scheduler_client_init(&scheduler, &clients[i], 1000), 0);
        }
        begin();
        for (int i = 0; i < 5000; i++) {
                keep_busy(stays, 1, CLASS_NORMAL);
                for (size_t client = 2 - (size_t)_i; client < CLIENTS; client++) {
                        if (!TAILQ_EMPTY(&clients[client].flows[CLASS_NORMAL].jobs))
                                continue;
                        if (served_ns[client] > 0) {
                                const uid_t uid = user_of(client)->uid;

                                scheduler_client_deinit(&scheduler, &clients[client]);
                                ck_assert_int_eq(scheduler_client_init(&scheduler, &clients[client], uid), 0);
                        }
                        (void)push(client, CLASS_NORMAL, LARGEST);
                }
                (void)serve();
                for (size_t client = 2 - (size_t)_i; client < CLIENTS; client++)
                        ck_assert_uint_le(served_ns[client], served_ns[0] + 3 * LARGEST);
        }
        drop_all();
}
END_TEST

/* As long as two users both have work, whatever happens besides, they get the same to within two charges. */
START_TEST(test_fair_whatever_happens)
{
        uint64_t begun_ns[CLIENTS][CLIENTS] = {{0}}; /* a's lead over b when both last began to wait */
        bool together[CLIENTS][CLIENTS] = {{false}};
        uint64_t n_checked = 0;

        begin();
        for (int step = 0; step < 40000; step++) {
                const size_t client = 1 + (size_t)rng_below(&rng, 3); /* users of one connection each */

                if (n_jobs < JOBS_MAX && rng_below(&rng, 100) < (uint64_t)(step / 2000 % 2 ? 60 : 45))
                        (void)push(client, CLASS_NORMAL, rng_between(&rng, 1, LARGEST));
                else if (scheduler.depth > 0)
                        (void)serve();
                for (size_t a = 1; a < CLIENTS; a++) {
                        for (size_t b = 1; b < CLIENTS; b++) {
                                const bool both = user_of(a)->lanes[LANE_FRONT].n_jobs > 0 &&
                                                  user_of(b)->lanes[LANE_FRONT].n_jobs > 0;
                                const uint64_t lead_ns = served_ns[a] - served_ns[b]; /* modulo 2^64 */

                                if (both && !together[a][b])
                                        begun_ns[a][b] = lead_ns;
                                together[a][b] = both;
                                if (!both)
                                        continue;
                                ck_assert_int_le((int64_t)(lead_ns - begun_ns[a][b]), 2 * (int64_t)LARGEST);
                                n_checked += a != b;
                        }
                }
        }
        ck_assert_uint_gt(n_checked, 10000);
        drop_all();
}
END_TEST

/* ---- classes ---- */

START_TEST(test_classes_of_one_user)
{
        static const enum job_class expected[] = {CLASS_INTERACTIVE, CLASS_INTERACTIVE, CLASS_NORMAL,
                                                  CLASS_NORMAL,      CLASS_BULK,        CLASS_BULK};

        (void)push(0, CLASS_BULK, 5);
        (void)push(0, CLASS_NORMAL, 5);
        (void)push(1, CLASS_BULK, 5);
        (void)push(1, CLASS_INTERACTIVE, 5000); /* whatever it costs its user */
        (void)push(1, CLASS_NORMAL, 5);
        (void)push(0, CLASS_INTERACTIVE, 5);
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
                ck_assert_int_eq(serve_class(), expected[i]);
}
END_TEST

/* A user that is ahead of the others comes first with its interactive jobs, but only up to the slack. */
static const struct {
        double lead_ns;
        bool comes_first;
} leads[] = {{0, true}, {999, true}, {1000, true}, {1001, false}, {5000, false}};

START_TEST(test_interactive_within_slack)
{
        (void)push(0, CLASS_NORMAL, 10); /* it has had nothing */
        user_of(2)->lanes[LANE_FRONT].served_ns = leads[_i].lead_ns;
        (void)push(2, CLASS_INTERACTIVE, 10);
        ck_assert_uint_eq(serve(), leads[_i].comes_first ? 2 : 0);
        drop_all();
}
END_TEST

/* A user that calls everything interactive gets its share, a little earlier, and no more. */
START_TEST(test_flood_of_interactive)
{
        static const size_t flooding[] = {2}, modest[] = {0};

        begin();
        for (int step = 0; step < 10000; step++) {
                keep_busy(flooding, 1, CLASS_INTERACTIVE);
                keep_busy(modest, 1, CLASS_NORMAL);
                (void)serve();
                ck_assert_uint_le(difference(served_ns[0], served_ns[2]), (uint64_t)SLACK_NS + LARGEST);
        }
        ck_assert_uint_ge(served_ns[0], served_ns[2] / 2);
        drop_all();
}
END_TEST

/* Interactive ones among themselves are fair, too. */
START_TEST(test_two_floods)
{
        static const size_t both[] = {2, 3};

        begin();
        for (int step = 0; step < 5000; step++) {
                keep_busy(both, 2, CLASS_INTERACTIVE);
                (void)serve();
                ck_assert_uint_le(difference(served_ns[2], served_ns[3]), LARGEST);
        }
        drop_all();
}
END_TEST

START_TEST(test_bulk_is_last)
{
        for (size_t client = 0; client < CLIENTS; client++)
                (void)push(client, CLASS_BULK, 10);
        for (int i = 0; i < 20; i++) {
                (void)push(2, CLASS_NORMAL, 1000);
                (void)push(2, CLASS_INTERACTIVE, 1000); /* one user alone, far ahead of the others */
                ck_assert_int_ne(serve_class(), CLASS_BULK);
                ck_assert_int_ne(serve_class(), CLASS_BULK);
        }
        for (size_t client = 0; client < CLIENTS; client++)
                ck_assert_int_eq(serve_class(), CLASS_BULK);
}
END_TEST

START_TEST(test_bulk_is_fair)
{
        static const size_t all[] = {0, 1, 2};

        begin();
        for (int step = 0; step < 5000; step++) {
                keep_busy(all, 3, CLASS_BULK);
                (void)serve();
                ck_assert_uint_le(difference(served_ns[0], served_ns[1]), LARGEST);
                ck_assert_uint_le(difference(served_ns[0] + served_ns[1], served_ns[2]), LARGEST);
        }
        drop_all();
}
END_TEST

/* Bulk takes only what is left: nobody is behind with its other jobs for it. */
START_TEST(test_bulk_costs_no_turn)
{
        (void)push(2, CLASS_BULK, 100000);
        ck_assert_uint_eq(serve(), 2);
        (void)push(0, CLASS_NORMAL, 10);
        ck_assert_uint_eq(serve(), 0);
        (void)push(2, CLASS_NORMAL, 10);
        (void)push(0, CLASS_NORMAL, 10);
        ck_assert_uint_eq(serve(), 2);
        drop_all();
}
END_TEST

/* ---- aging ---- */

/* Bulk that has waited for so long comes once, and then waits again. */
START_TEST(test_bulk_ages)
{
        (void)push(0, CLASS_BULK, 10);
        (void)push(0, CLASS_BULK, 10);
        for (int i = 0; i < 10; i++)
                (void)push(2, CLASS_NORMAL, 10);
        now_ns += AGING_NS - 1;
        ck_assert(!scheduler_is_starving(&scheduler, CLASS_BULK, now_ns));
        ck_assert_int_eq(serve_class(), CLASS_NORMAL);
        now_ns += 1;
        ck_assert(scheduler_is_starving(&scheduler, CLASS_BULK, now_ns));
        ck_assert_int_eq(serve_class(), CLASS_BULK);
        for (uint64_t i = 0; i < 3; i++) {
                ck_assert_int_eq(serve_class(), CLASS_NORMAL);
                now_ns += AGING_NS / 3;
        }
        ck_assert_int_eq(serve_class(), CLASS_NORMAL);
        now_ns += AGING_NS % 3;
        ck_assert_int_eq(serve_class(), CLASS_BULK);
        ck_assert(!scheduler_is_starving(&scheduler, CLASS_BULK, now_ns + 10 * AGING_NS)); /* none waits */
        drop_all();
}
END_TEST

/* A user's own flood of interactive jobs does not bury its normal ones for ever. */
START_TEST(test_normal_ages)
{
        static const size_t flooding[] = {2};
        int n_normal = 0;

        for (int i = 0; i < 10; i++)
                (void)push(2, CLASS_NORMAL, 10);
        for (int step = 0; step < 1000; step++) {
                keep_busy(flooding, 1, CLASS_INTERACTIVE);
                now_ns += AGING_NS / 100;
                n_normal += serve_class() == CLASS_NORMAL;
        }
        ck_assert_int_ge(n_normal, 9); /* once in 100 steps */
        ck_assert_int_le(n_normal, 10);
        drop_all();
}
END_TEST

/* A class begins to wait when its first job comes, not when it was last served. */
START_TEST(test_age_begins_with_waiting)
{
        now_ns += 100 * AGING_NS;
        (void)push(0, CLASS_BULK, 10);
        (void)push(2, CLASS_NORMAL, 10);
        ck_assert_int_eq(serve_class(), CLASS_NORMAL);
        drop_all();
        (void)push(0, CLASS_BULK, 10);
        ck_assert_int_eq(serve_class(), CLASS_BULK);
        now_ns += 100 * AGING_NS;
        (void)push(0, CLASS_BULK, 10);
        ck_assert(!scheduler_is_starving(&scheduler, CLASS_BULK, now_ns));
        drop_all();
}
END_TEST

/* Of two that starve, the one that has waited longer; each once. */
START_TEST(test_two_classes_starve)
{
        (void)push(0, CLASS_BULK, 10);
        now_ns += 5;
        (void)push(0, CLASS_NORMAL, 10);
        (void)push(0, CLASS_INTERACTIVE, 10);
        now_ns += 2 * AGING_NS;
        (void)push(1, CLASS_BULK, 10);
        ck_assert_int_eq(serve_class(), CLASS_BULK);
        ck_assert_int_eq(serve_class(), CLASS_NORMAL); /* both since the same time: any of them */
        ck_assert_int_eq(serve_class(), CLASS_INTERACTIVE);
        ck_assert_int_eq(serve_class(), CLASS_BULK);
}
END_TEST

/* Each user's normal jobs age by themselves: others' being served is no help to them. */
START_TEST(test_normal_ages_for_each_user)
{
        static const size_t flooding[] = {0}, serving[] = {3};
        int n_normal = 0;

        for (int i = 0; i < 10; i++)
                (void)push(0, CLASS_NORMAL, 10);
        for (int step = 0; step < 2000; step++) {
                struct job *job;

                keep_busy(flooding, 1, CLASS_INTERACTIVE);
                keep_busy(serving, 1, CLASS_NORMAL);
                now_ns += AGING_NS / 100;
                job = scheduler_next(&scheduler, now_ns);
                n_normal += client_of(job) == 0 && job->class == CLASS_NORMAL;
                take_all(job);
        }
        ck_assert_int_ge(n_normal, 9);
        drop_all();
}
END_TEST

/* A user's interactive and normal jobs have both waited too long: the one that has waited longer, turn by turn. */
START_TEST(test_both_of_a_user_starve)
{
        static const enum job_class expected[] = {CLASS_INTERACTIVE, CLASS_NORMAL, CLASS_INTERACTIVE,
                                                  CLASS_NORMAL};

        for (size_t i = 0; i < 2; i++)
                (void)push(0, CLASS_INTERACTIVE, 1);
        now_ns += 5;
        for (size_t i = 0; i < 2; i++)
                (void)push(0, CLASS_NORMAL, 1);
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
                now_ns += 2 * AGING_NS;
                /* another user, far ahead, is served of both: the classes as such do not starve */
                take_all(push(2, CLASS_INTERACTIVE, 100));
                take_all(push(2, CLASS_NORMAL, 100));
                now_ns += i; /* so that none of two is served at the same time */
                ck_assert_int_eq(serve_class(), expected[i]);
        }
        drop_all();
}
END_TEST

/* What goes along in padding is no turn: the others of its class go on waiting for theirs. */
START_TEST(test_taking_along_is_no_turn)
{
        struct job *along;

        along = push(0, CLASS_BULK, 10);
        (void)push(2, CLASS_BULK, 10);
        now_ns += AGING_NS - 1;
        (void)push(2, CLASS_NORMAL, 10);
        scheduler_take_along(&scheduler, along, job_rows_left(along));
        now_ns += 1;
        ck_assert(scheduler_is_starving(&scheduler, CLASS_BULK, now_ns));
        ck_assert_int_eq(serve_class(), CLASS_BULK);
        drop_all();
}
END_TEST

/* The aged job is that of the least served of those who have one. */
START_TEST(test_aged_order_is_fair)
{
        (void)push(2, CLASS_BULK, 100);
        (void)push(2, CLASS_BULK, 100);
        (void)serve();
        (void)push(3, CLASS_BULK, 100);
        (void)push(0, CLASS_NORMAL, 10);
        now_ns += AGING_NS;
        take_all(TAILQ_FIRST(
                &clients[0].flows[CLASS_NORMAL].jobs)); /* so that it is bulk alone that starves */
        (void)push(0, CLASS_NORMAL, 10);
        ck_assert_uint_eq(serve(), 3);
        drop_all();
}
END_TEST

/* ---- groups ---- */

/* Others are not served within a group that the device takes as one; and it is charged to its user as a whole. */
START_TEST(test_group_and_fairness)
{
        struct job *job;

        for (int i = 0; i < 4; i++)
                (void)push_wish(0, 100, &(struct wish){.more = i < 3});
        for (int i = 0; i < 8; i++)
                (void)push(2, CLASS_NORMAL, 100);
        job = scheduler_next(&scheduler, now_ns);
        ck_assert_uint_eq(client_of(job), 0);
        while (job) { /* as the batcher does it */
                struct job *next = scheduler_next_of_group(job);

                ck_assert_ptr_eq(TAILQ_FIRST(&clients[0].flows[CLASS_NORMAL].jobs), job);
                take_all(job);
                job = next;
        }
        for (int i = 0; i < 4; i++) {
                (void)push(0, CLASS_NORMAL, 100);
                ck_assert_uint_eq(serve(), 2);
        }
        drop_all();
}
END_TEST

static TCase *fairness_tests(void)
{
        TCase *tcase = tcase_create("fairness");

        tcase_add_checked_fixture(tcase, desk_open, desk_close);
        tcase_add_test(tcase, test_users_take_turns);
        tcase_add_test(tcase, test_time_is_shared);
        tcase_add_test(tcase, test_users_stay_together);
        tcase_add_test(tcase, test_connections_of_a_user_stay_together);
        tcase_add_test(tcase, test_ten_connections_of_one_user);
        tcase_add_loop_test(tcase, test_who_returns_is_served_at_once_and_saves_nothing, 0, 2);
        tcase_add_test(tcase, test_coming_and_going_gains_nothing);
        tcase_add_loop_test(tcase, test_leaving_and_coming_back_gains_nothing, 0, 2);
        tcase_add_test(tcase, test_fair_whatever_happens);
        tcase_add_test(tcase, test_group_and_fairness);
        return tcase;
}

static TCase *class_tests(void)
{
        TCase *tcase = tcase_create("classes");

        tcase_add_checked_fixture(tcase, desk_open, desk_close);
        tcase_add_test(tcase, test_classes_of_one_user);
        tcase_add_loop_test(tcase, test_interactive_within_slack, 0, ARRAY_SIZE(leads));
        tcase_add_test(tcase, test_flood_of_interactive);
        tcase_add_test(tcase, test_two_floods);
        tcase_add_test(tcase, test_bulk_is_last);
        tcase_add_test(tcase, test_bulk_is_fair);
        tcase_add_test(tcase, test_bulk_costs_no_turn);
        tcase_add_test(tcase, test_bulk_ages);
        tcase_add_test(tcase, test_normal_ages);
        tcase_add_test(tcase, test_age_begins_with_waiting);
        tcase_add_test(tcase, test_two_classes_starve);
        tcase_add_test(tcase, test_normal_ages_for_each_user);
        tcase_add_test(tcase, test_both_of_a_user_starve);
        tcase_add_test(tcase, test_taking_along_is_no_turn);
        tcase_add_test(tcase, test_aged_order_is_fair);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("scheduler, order");

        rng_start(&rng, "scheduler-order");
        suite_add_tcase(suite, fairness_tests());
        suite_add_tcase(suite, class_tests());
        return suite_run(suite);
}
