/* SPDX-License-Identifier: MIT */
/*
 * test-scheduler.c - whose job is next: what waits is accounted for to the last nanosecond, groups form, and what is
 * ahead of a job is as computed by hand. Fairness and classes are in test-scheduler-order.c.
 */
#include "tests/lib/rng.h"
#include "tests/unit/scheduler-desk.h"
#include "tests/unit/suite.h"

static struct rng rng;

/* ---- coming and going ---- */

START_TEST(test_empty)
{
        struct job *job = job_new(0, NULL, NULL, NULL);

        ck_assert_ptr_null(scheduler_next(&scheduler, now_ns));
        scheduler_remove(&scheduler, job); /* not there: nothing happens */
        ck_assert_uint_eq(scheduler.depth, 0);
        ck_assert_uint_eq(scheduler_oldest_ns(&scheduler), 0);
        ck_assert(!scheduler_is_starving(&scheduler, CLASS_BULK, UINT64_MAX));
        (void)job_free(job);
}
END_TEST

START_TEST(test_first_come_first_served)
{
        struct job *jobs[10];

        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
                jobs[i] = push(0, CLASS_NORMAL, 1 + i);
                ck_assert_uint_eq(scheduler.depth, i + 1);
                ck_assert_ptr_nonnull(jobs[i]->flow);
        }
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
                ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns), jobs[i]);
                ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns), jobs[i]); /* looking does not take it */
                scheduler_remove(&scheduler, jobs[i]);
                ck_assert_ptr_null(jobs[i]->flow);
                scheduler_remove(&scheduler, jobs[i]); /* twice is once */
                ck_assert_uint_eq(scheduler.depth, ARRAY_SIZE(jobs) - 1 - i);
                forget(jobs[i]);
        }
}
END_TEST

/* Jobs leave from anywhere in the queue; those that stay keep their order. */
START_TEST(test_random_removal)
{
        enum { JOBS = 40 };
        struct job *waiting[JOBS];
        size_t n = 0;

        for (int step = 0; step < 5000; step++) {
                if (n < JOBS && rng_once_in(&rng, 2)) {
                        waiting[n++] = push(0, CLASS_NORMAL, 1);
                } else if (n > 0) {
                        const size_t at = (size_t)rng_below(&rng, n);

                        drop(waiting[at]);
                        n--;
                        memmove(&waiting[at], &waiting[at + 1], (n - at) * sizeof waiting[0]);
                }
                ck_assert_uint_eq(scheduler.depth, n);
                ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns), n > 0 ? waiting[0] : NULL);
        }
        drop_all();
}
END_TEST

/* Rows go in parts; what is still queued of a job goes down with them, and the job with its last row. */
START_TEST(test_taken_in_parts)
{
        struct job *job = push(0, CLASS_NORMAL, 100), *behind = push(0, CLASS_NORMAL, 50);

        ck_assert_double_eq(scheduler.queued_ns, 150);
        scheduler_take(&scheduler, job, 25, 7, now_ns);
        ck_assert_uint_eq(job->next_row, 25);
        ck_assert_double_eq_tol(job->queued_ns, 75, 1e-9);
        ck_assert_double_eq_tol(scheduler.queued_ns, 125, 1e-9);
        ck_assert_double_eq_tol(user_of(0)->classes[CLASS_NORMAL].queued_ns, 125, 1e-9);
        ck_assert_double_eq(user_of(0)->lanes[LANE_FRONT].served_ns,
                            7); /* what it was charged, not what it takes */
        ck_assert_double_eq(clients[0].flows[CLASS_NORMAL].served_ns, 7);
        ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns), job);
        scheduler_take(&scheduler, job, 75, 0, now_ns);
        ck_assert_ptr_null(job->flow);
        ck_assert_uint_eq(scheduler.depth, 1);
        ck_assert_double_eq_tol(scheduler.queued_ns, 50, 1e-9);
        ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns), behind);
        drop(job);
        drop(behind);
        ck_assert_double_eq(scheduler.queued_ns, 0);
}
END_TEST

/* What was charged turns out to be more: in the accounts, and in the order of connections, whether they wait or not. */
START_TEST(test_correction)
{
        (void)push(0, CLASS_NORMAL, 10);
        (void)push(1, CLASS_NORMAL, 10);
        scheduler_correct(user_of(0), &clients[0], CLASS_NORMAL, 5);
        ck_assert_double_eq(user_of(0)->lanes[LANE_FRONT].served_ns, 5);
        ck_assert_double_eq(user_of(0)->lanes[LANE_BULK].served_ns, 0);
        ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns)->flow->client, &clients[1]); /* less served now */
        scheduler_correct(user_of(0), &clients[0], CLASS_NORMAL, -6);
        ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns)->flow->client, &clients[0]);
        scheduler_correct(user_of(0), NULL, CLASS_BULK, 7);
        ck_assert_double_eq(user_of(0)->lanes[LANE_BULK].served_ns, 7);
        scheduler_correct(user_of(2), &clients[2], CLASS_INTERACTIVE, 9); /* nothing of it waits */
        ck_assert_double_eq(clients[2].flows[CLASS_INTERACTIVE].served_ns, 9);
        ck_assert_double_eq(user_of(2)->lanes[LANE_FRONT].served_ns, 9);
        drop_all();
}
END_TEST

START_TEST(test_deadlines_earliest_first)
{
        static const uint64_t deadlines[] = {50, 0, 20, 50, 70, 10}, expected[] = {10, 20, 50, 50, 70};
        struct job *jobs[ARRAY_SIZE(deadlines)];
        const struct job *job;
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++)
                jobs[i] = push_wish(i % 2, 10, &(struct wish){.deadline_ns = deadlines[i], .more = i == 4});
        TAILQ_FOREACH(job, &scheduler.deadlines, deadline_link)
                ck_assert_uint_eq(job->deadline_ns, expected[n++]);
        ck_assert_uint_eq(n, ARRAY_SIZE(expected));
        job = TAILQ_NEXT(TAILQ_NEXT(TAILQ_FIRST(&scheduler.deadlines), deadline_link), deadline_link);
        ck_assert_ptr_eq(job, jobs[0]); /* of equal ones the first to come */
        drop(jobs[5]);
        ck_assert_ptr_eq(TAILQ_FIRST(&scheduler.deadlines), jobs[2]);
        take_all(jobs[2]);
        ck_assert_ptr_eq(TAILQ_FIRST(&scheduler.deadlines), jobs[0]);
        drop_all();
        ck_assert(TAILQ_EMPTY(&scheduler.deadlines));
}
END_TEST

START_TEST(test_oldest)
{
        struct job *first, *second;

        now_ns = 5;
        (void)push_wish(0, 10, &(struct wish){.more = true}); /* forms: it does not wait for the device */
        ck_assert_uint_eq(scheduler_oldest_ns(&scheduler), 0);
        now_ns = 6;
        first = push(1, CLASS_BULK, 10);
        now_ns = 7;
        second = push(2, CLASS_INTERACTIVE, 10);
        ck_assert_uint_eq(scheduler_oldest_ns(&scheduler), 6);
        drop(first);
        ck_assert_uint_eq(scheduler_oldest_ns(&scheduler), 7);
        scheduler_complete_group(&scheduler, &clients[0], now_ns);
        ck_assert_uint_eq(scheduler_oldest_ns(&scheduler), 5); /* that is when it came */
        drop(second);
        drop_all();
}
END_TEST

/* Who waits for the same weights, whatever class, user or connection: oldest first, and none that forms. */
START_TEST(test_waiting_lists)
{
        struct resident resident;
        struct job *jobs[4];
        const struct job *job;
        size_t n = 0;

        resident_init(&resident, (const int8_t *)"", 1, 1);
        jobs[0] = push_wish(0, 10, &(struct wish){.class = CLASS_BULK, .resident = &resident});
        jobs[1] = push_wish(1, 10, &(struct wish){.resident = &resident, .more = true});
        (void)push_wish(0, 10, &(struct wish){.resident = NULL});
        jobs[2] = push_wish(2, 10, &(struct wish){.class = CLASS_INTERACTIVE, .resident = &resident});
        jobs[3] = push_wish(1, 10, &(struct wish){.resident = &resident, .more = true});
        TAILQ_FOREACH(job, &resident.waiting, waiting_link)
                ck_assert_ptr_eq(job, jobs[n++ == 0 ? 0 : 2]);
        ck_assert_uint_eq(n, 2);
        drop(jobs[1]); /* while it forms */
        take_all(jobs[0]);
        scheduler_complete_group(&scheduler, &clients[1], now_ns);
        ck_assert_ptr_eq(TAILQ_FIRST(&resident.waiting), jobs[2]);
        ck_assert_ptr_eq(TAILQ_LAST(&resident.waiting, job_list), jobs[3]);
        drop(jobs[2]);
        drop(jobs[3]);
        ck_assert(TAILQ_EMPTY(&resident.waiting));
        drop_all();
}
END_TEST

/* A user is one record however many connections it has, and lives as long as a connection or a job knows it. */
START_TEST(test_users)
{
        struct scheduler_user *user;
        struct scheduler_client more[2];

        ck_assert_ptr_eq(user_of(0), user_of(1));
        ck_assert_ptr_ne(user_of(0), user_of(2));
        ck_assert_int_eq(scheduler_client_init(&scheduler, &more[0], 77), 0);
        ck_assert_int_eq(scheduler_client_init(&scheduler, &more[1], 77), 0);
        user = scheduler_user_ref(more[0].user);
        ck_assert_ptr_eq(more[1].user, user);
        user->device_ns = 5;
        scheduler_client_deinit(&scheduler, &more[0]);
        scheduler_client_deinit(&scheduler, &more[1]);
        ck_assert_int_eq(scheduler_client_init(&scheduler, &more[0], 77), 0);
        ck_assert_ptr_eq(more[0].user, user); /* it comes back to what a job still holds */
        scheduler_client_deinit(&scheduler, &more[0]);
        ck_assert_ptr_null(scheduler_user_unref(&scheduler, user));
        ck_assert_int_eq(scheduler_client_init(&scheduler, &more[0], 77), 0);
        ck_assert_uint_eq(more[0].user->device_ns, 0); /* a new one */
        scheduler_client_deinit(&scheduler, &more[0]);
        ck_assert_ptr_null(scheduler_user_unref(&scheduler, NULL));
}
END_TEST

/* ---- groups ---- */

START_TEST(test_group_forms)
{
        struct job *jobs[3], *other;

        jobs[0] = push_wish(0, 10, &(struct wish){.more = true});
        jobs[1] = push_wish(0, 10, &(struct wish){.more = true});
        ck_assert(jobs[0]->is_forming && jobs[1]->is_forming);
        ck_assert_uint_eq(scheduler.depth, 0);
        ck_assert_double_eq(scheduler.queued_ns, 0);
        ck_assert_ptr_null(scheduler_next(&scheduler, now_ns));
        other = push(1, CLASS_NORMAL, 10); /* another connection is not part of it */
        ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns), other);
        jobs[2] = push(0, CLASS_NORMAL, 10);
        ck_assert_uint_eq(scheduler.depth, 4);
        ck_assert_double_eq(scheduler.queued_ns, 40);
        take_all(other);
        for (size_t i = 0; i < 3; i++) {
                ck_assert(!jobs[i]->is_forming);
                ck_assert_uint_ne(jobs[i]->group, 0);
                ck_assert_uint_eq(jobs[i]->group, jobs[0]->group);
                ck_assert_ptr_eq(scheduler_next_of_group(jobs[i]), i < 2 ? jobs[i + 1] : NULL);
                ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns), jobs[0]);
        }
        drop_all();
}
END_TEST

/* One group behind another, and lone jobs between them: each knows its own. */
START_TEST(test_groups_side_by_side)
{
        struct job *jobs[6];

        for (size_t i = 0; i < 6; i++)
                jobs[i] = push_wish(0, 10, &(struct wish){.more = i == 1 || i == 4});
        ck_assert_uint_eq(jobs[0]->group, 0);
        ck_assert_ptr_null(scheduler_next_of_group(jobs[0]));
        ck_assert_ptr_eq(scheduler_next_of_group(jobs[1]), jobs[2]);
        ck_assert_ptr_null(scheduler_next_of_group(jobs[2]));
        ck_assert_uint_eq(jobs[3]->group, 0);
        ck_assert_ptr_null(scheduler_next_of_group(jobs[3])); /* two lone ones are no group */
        ck_assert_ptr_eq(scheduler_next_of_group(jobs[4]), jobs[5]);
        ck_assert_uint_ne(jobs[1]->group, jobs[4]->group);
        for (size_t i = 0; i < 6; i++) {
                ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns), jobs[i]);
                take_all(jobs[i]);
        }
        drop_all();
}
END_TEST

/* The class of a group is that of the job that completes it. */
START_TEST(test_class_of_a_group)
{
        struct job *jobs[3];

        jobs[0] = push_wish(0, 10, &(struct wish){.class = CLASS_BULK, .more = true});
        jobs[1] = push_wish(0, 10, &(struct wish){.class = CLASS_NORMAL, .more = true});
        jobs[2] = push_wish(0, 10, &(struct wish){.class = CLASS_INTERACTIVE});
        ck_assert_uint_eq(scheduler.class_depth[CLASS_INTERACTIVE], 3);
        for (size_t i = 0; i < 3; i++) {
                ck_assert_ptr_eq(jobs[i]->flow, &clients[0].flows[CLASS_INTERACTIVE]);
                ck_assert_int_eq(jobs[i]->class, CLASS_INTERACTIVE);
        }
        drop_all();
        jobs[0] = push_wish(0, 10, &(struct wish){.class = CLASS_INTERACTIVE, .more = true});
        jobs[1] = push_wish(0, 10, &(struct wish){.class = CLASS_BULK, .more = true});
        scheduler_complete_group(&scheduler, &clients[0], now_ns); /* as it is: by the last that is there */
        ck_assert_uint_eq(scheduler.class_depth[CLASS_BULK], 2);
        drop_all();
}
END_TEST

START_TEST(test_cancel_in_groups)
{
        struct job *jobs[4];

        for (size_t i = 0; i < 3; i++)
                jobs[i] = push_wish(0, 10, &(struct wish){.more = true});
        drop(jobs[1]); /* while it forms */
        jobs[3] = push(0, CLASS_NORMAL, 10);
        ck_assert_uint_eq(scheduler.depth, 3);
        ck_assert_ptr_eq(scheduler_next_of_group(jobs[0]), jobs[2]);
        drop(jobs[2]); /* once it is complete */
        ck_assert_ptr_eq(scheduler_next_of_group(jobs[0]), jobs[3]);
        drop(jobs[0]);
        ck_assert_ptr_eq(scheduler_next(&scheduler, now_ns), jobs[3]);
        drop(jobs[3]);
        jobs[0] = push_wish(0, 10, &(struct wish){.more = true});
        drop(jobs[0]); /* all of a group: the next job is by itself */
        scheduler_complete_group(&scheduler, &clients[0], now_ns);
        jobs[0] = push(0, CLASS_NORMAL, 10);
        ck_assert_uint_eq(jobs[0]->group, 0);
        drop_all();
}
END_TEST

/* ---- what is ahead ---- */

#define QUEUED_MAX 4

static const struct {
        const char *what;
        struct {
                size_t client;
                enum job_class class;
                uint64_t ns;
        } queued[QUEUED_MAX]; /* ns 0: no more of them */
        enum job_class class; /* of client 0's next job */
        uint64_t own_ns, ahead_ns;
} outlooks[] = {
        {"nothing", {{0}}, CLASS_NORMAL, 50, 0},
        {"its own", {{0, CLASS_NORMAL, 100}}, CLASS_NORMAL, 50, 100},
        {"the other connection has little", {{1, CLASS_NORMAL, 30}}, CLASS_NORMAL, 50, 30},
        {"the other connection has much: as much as this one",
         {{1, CLASS_NORMAL, 1000}},
         CLASS_NORMAL,
         50,
         50},
        {"and this one has 150 by then",
         {{0, CLASS_NORMAL, 100}, {1, CLASS_NORMAL, 1000}},
         CLASS_NORMAL,
         50,
         250},
        {"another user has little", {{2, CLASS_NORMAL, 30}}, CLASS_NORMAL, 50, 30},
        {"another user has much", {{2, CLASS_NORMAL, 1000}}, CLASS_NORMAL, 50, 50},
        {"two others", {{2, CLASS_NORMAL, 1000}, {3, CLASS_NORMAL, 20}}, CLASS_NORMAL, 50, 70},
        {"a user gets as much as this one with both its connections",
         {{1, CLASS_NORMAL, 1000}, {2, CLASS_NORMAL, 1000}},
         CLASS_NORMAL,
         50,
         150},
        {"its own interactive ones come first", {{0, CLASS_INTERACTIVE, 200}}, CLASS_NORMAL, 50, 200},
        {"and its user's", {{1, CLASS_INTERACTIVE, 200}}, CLASS_NORMAL, 50, 200},
        {"others' interactive ones, as far as they have a right to",
         {{2, CLASS_INTERACTIVE, 200}},
         CLASS_NORMAL,
         50,
         50},
        {"interactive: nothing else of its user's",
         {{0, CLASS_NORMAL, 900}, {1, CLASS_NORMAL, 900}, {0, CLASS_BULK, 900}},
         CLASS_INTERACTIVE,
         50,
         0},
        {"interactive: others' normal ones wait", {{2, CLASS_NORMAL, 900}}, CLASS_INTERACTIVE, 50, 0},
        {"interactive: others' interactive ones do not",
         {{2, CLASS_INTERACTIVE, 900}},
         CLASS_INTERACTIVE,
         50,
         50},
        {"normal: bulk waits",
         {{0, CLASS_BULK, 900}, {1, CLASS_BULK, 900}, {2, CLASS_BULK, 900}},
         CLASS_NORMAL,
         50,
         0},
        {"bulk: all of its user's others",
         {{0, CLASS_NORMAL, 100}, {1, CLASS_INTERACTIVE, 200}},
         CLASS_BULK,
         50,
         300},
        {"bulk: all of others' others, too",
         {{2, CLASS_NORMAL, 1000}, {3, CLASS_INTERACTIVE, 200}},
         CLASS_BULK,
         50,
         1200},
        {"bulk: as much of others' bulk as its own",
         {{2, CLASS_BULK, 1000}, {3, CLASS_BULK, 20}},
         CLASS_BULK,
         50,
         70},
        {"bulk: both",
         {{2, CLASS_BULK, 1000}, {2, CLASS_NORMAL, 300}, {0, CLASS_BULK, 10}},
         CLASS_BULK,
         50,
         370},
};

START_TEST(test_ahead)
{
        double ahead_ns;

        for (size_t i = 0; i < QUEUED_MAX && outlooks[_i].queued[i].ns > 0; i++)
                (void)push_wish(outlooks[_i].queued[i].client, outlooks[_i].queued[i].ns,
                                &(struct wish){.class = outlooks[_i].queued[i].class});
        ahead_ns =
                scheduler_ahead_ns(&scheduler, &clients[0], outlooks[_i].class, (double)outlooks[_i].own_ns);
        ck_assert_msg(ahead_ns == (double)outlooks[_i].ahead_ns, "%s: %g instead of %d", outlooks[_i].what,
                      ahead_ns, (int)outlooks[_i].ahead_ns);
        drop_all();
}
END_TEST

/* What forms is not ahead of anybody: nobody knows when it will be complete. */
START_TEST(test_ahead_of_what_forms)
{
        (void)push_wish(0, 1000, &(struct wish){.more = true});
        (void)push_wish(2, 1000, &(struct wish){.more = true});
        ck_assert_double_eq(scheduler_ahead_ns(&scheduler, &clients[0], CLASS_NORMAL, 50), 0);
        drop_all();
}
END_TEST

/* Ten connections of one user, all with much. */
START_TEST(test_ahead_of_ten_connections)
{
        struct scheduler_client ten[10];
        struct job *jobs[10];

        for (size_t i = 0; i < 10; i++) {
                ck_assert_int_eq(scheduler_client_init(&scheduler, &ten[i], 77), 0);
                jobs[i] = push_to(&ten[i], 1000, &(struct wish){0});
        }
        (void)push(0, CLASS_NORMAL, 5000);
        /* of one of the ten: its own, as much of the other nine, all of another user that has less than these */
        ck_assert_double_eq(scheduler_ahead_ns(&scheduler, &ten[3], CLASS_NORMAL, 50),
                            1000 + 9 * 1000 + 5000);
        /* of somebody else: as much of each of the two users, however many connections they have */
        ck_assert_double_eq(scheduler_ahead_ns(&scheduler, &clients[2], CLASS_NORMAL, 50), 50 + 50);
        for (size_t i = 0; i < 10; i++) {
                drop(jobs[i]);
                scheduler_client_deinit(&scheduler, &ten[i]);
        }
        drop_all();
}
END_TEST

/* ---- anything ---- */

/* Counted anew: all sums that the scheduler keeps. */
static void check_sums(size_t n_forming)
{
        size_t depth = 0, class_depth[CLASS_MAX] = {0}, n_arrivals = 0;
        double queued_ns = 0, class_ns[CLIENTS][CLASS_MAX] = {{0}};
        const struct job *job;
        uint64_t last_ns = 0;

        TAILQ_FOREACH(job, &scheduler.arrivals, arrival_link) {
                n_arrivals++;
                ck_assert_uint_ge(job->arrived_ns, last_ns);
                last_ns = job->arrived_ns;
                if (job->is_forming)
                        continue;
                depth++;
                class_depth[job->flow->class]++;
                queued_ns += job->queued_ns;
                class_ns[job->flow->client - clients][job->flow->class] += job->queued_ns;
        }
        ck_assert_uint_eq(n_arrivals, depth + n_forming);
        ck_assert_uint_eq(scheduler.depth, depth);
        ck_assert_double_eq_tol(scheduler.queued_ns, queued_ns, 1e-3);
        for (size_t class = 0; class < CLASS_MAX; class += 1) {
                ck_assert_uint_eq(scheduler.class_depth[class], class_depth[class]);
                for (size_t i = 0; i < CLIENTS; i++)
                        ck_assert_double_eq_tol(clients[i].flows[class].queued_ns, class_ns[i][class], 1e-3);
                ck_assert_double_eq_tol(user_of(0)->classes[class].queued_ns,
                                        class_ns[0][class] + class_ns[1][class], 1e-3);
                ck_assert_double_eq_tol(user_of(2)->classes[class].queued_ns, class_ns[2][class], 1e-3);
        }
        ck_assert_int_eq(scheduler_next(&scheduler, now_ns) == NULL, depth == 0);
}

static void check_zero(void)
{
        ck_assert_double_eq(scheduler.queued_ns, 0);
        for (size_t i = 0; i < CLIENTS; i++) {
                for (size_t class = 0; class < CLASS_MAX; class += 1) {
                        ck_assert_double_eq(clients[i].flows[class].queued_ns, 0);
                        ck_assert_double_eq(user_of(i)->classes[class].queued_ns, 0);
                }
                for (size_t lane = 0; lane < LANE_MAX; lane++)
                        ck_assert_uint_eq(user_of(i)->lanes[lane].n_jobs, 0);
        }
}

/* Jobs come, form, are taken in parts, are cancelled: all sums are right between any two steps, and 0 in the end. */
START_TEST(test_random_sums)
{
        struct resident residents[2];

        ns_a_row = 0.1; /* sums of it are never quite what they should be */
        for (size_t i = 0; i < 2; i++)
                resident_init(&residents[i], (const int8_t *)"ab" + i, 1, 1);
        for (int step = 0; step < 30000; step++) {
                struct job *job = any_job(&rng);
                size_t n_forming = 0;

                now_ns += rng_below(&rng, 50);
                if (n_jobs < JOBS_MAX && rng_once_in(&rng, 2)) {
                        (void)push_wish((size_t)rng_below(&rng, CLIENTS), rng_between(&rng, 1, 300),
                                        &(struct wish){
                                                .class = (enum job_class)rng_below(&rng, CLASS_MAX),
                                                .deadline_ns = rng_below(&rng, 3),
                                                .more = rng_once_in(&rng, 5),
                                                .resident = rng_once_in(&rng, 2)
                                                                    ? &residents[rng_below(&rng, 2)]
                                                                    : NULL,
                                        });
                } else if (rng_once_in(&rng, 10)) {
                        scheduler_complete_group(&scheduler, &clients[rng_below(&rng, CLIENTS)], now_ns);
                } else if (job && (job->is_forming || rng_once_in(&rng, 4))) {
                        drop(job);
                } else if ((job = scheduler_next(&scheduler, now_ns)) != NULL) {
                        take(job, rng_between(&rng, 1, job_rows_left(job)));
                }
                for (size_t i = 0; i < n_jobs; i++)
                        n_forming += jobs_pushed[i]->is_forming;
                check_sums(n_forming);
        }
        drop_all();
        check_zero();
        for (size_t i = 0; i < 2; i++)
                ck_assert(TAILQ_EMPTY(&residents[i].waiting));
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("scheduler");

        tcase_add_checked_fixture(tcase, desk_open, desk_close);
        tcase_add_test(tcase, test_empty);
        tcase_add_test(tcase, test_first_come_first_served);
        tcase_add_test(tcase, test_random_removal);
        tcase_add_test(tcase, test_taken_in_parts);
        tcase_add_test(tcase, test_correction);
        tcase_add_test(tcase, test_deadlines_earliest_first);
        tcase_add_test(tcase, test_oldest);
        tcase_add_test(tcase, test_waiting_lists);
        tcase_add_test(tcase, test_users);
        tcase_add_test(tcase, test_group_forms);
        tcase_add_test(tcase, test_groups_side_by_side);
        tcase_add_test(tcase, test_class_of_a_group);
        tcase_add_test(tcase, test_cancel_in_groups);
        tcase_add_loop_test(tcase, test_ahead, 0, ARRAY_SIZE(outlooks));
        tcase_add_test(tcase, test_ahead_of_what_forms);
        tcase_add_test(tcase, test_ahead_of_ten_connections);
        tcase_add_test(tcase, test_random_sums);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("scheduler");

        rng_start(&rng, "scheduler");
        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
