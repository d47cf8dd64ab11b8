/* SPDX-License-Identifier: MIT */
/*
 * test-weights.c - the store of weights: who shares with whom, who pays and until when, what is kept and in which order
 * it goes, and that what somebody holds never does.
 */
#include <check.h>

#include "tests/unit/suite.h"
#include "tests/unit/weights-scene.h"

#define KEPT_MAX (4 * PAGE)

static struct scene scene;
static struct rng rng;

static void setup(void)
{
        scene_open(&scene, KEPT_MAX);
}

static void teardown(void)
{
        scene_close(&scene); /* checks that nothing is left */
}

/* Loads it and lets go of it at once. */
static void keep(uid_t uid, uint64_t pages, uint8_t number)
{
        struct loaded loaded = scene_load_number(&scene, uid, pages, number);

        (void)weights_unref(loaded.weights);
        scene_settle(&scene);
}

static void limit_bytes(uint64_t pages_per_uid, uint64_t pages)
{
        scene.quota.limits.per_uid[QUOTA_BYTES] = pages_per_uid * PAGE;
        scene.quota.limits.total[QUOTA_BYTES] = pages * PAGE;
}

static void expect_refused(uid_t uid, uint64_t pages, int expected)
{
        struct weights_load *load = NULL;

        ck_assert_int_eq(weights_load_new(&scene.set, uid, pages, PAGE, NULL, &load), expected);
}

/* ---- sharing ---- */

START_TEST(test_shared_within_a_user)
{
        struct loaded first = scene_load_number(&scene, UID, 3, 7);
        struct loaded second = scene_load_number(&scene, UID, 3, 7);

        ck_assert(!first.is_shared);
        ck_assert(second.is_shared);
        ck_assert_ptr_eq(first.weights, second.weights);
        ck_assert_uint_eq(first.weights->refs, 2);
        ck_assert_uint_eq(scene.set.n_weights, 1);
        scene_expect_charged(&scene, 3);
        ck_assert_uint_eq(scene.quota.used[QUOTA_WEIGHTS], 1);
        ck_assert_uint_eq(scene.stats.loads, 2);
        ck_assert_uint_eq(scene.stats.loads_shared, 1);
        (void)weights_unref(first.weights);
        ck_assert_uint_eq(scene.set.kept.n, 0); /* the other holds it */
        (void)weights_unref(second.weights);
        ck_assert_uint_eq(scene.set.kept.n, 1);
}
END_TEST

/* Not even a copy that nobody uses: whether a load is quick or cheap must not tell what others have. */
START_TEST(test_not_shared_across_users)
{
        struct loaded mine = scene_load_number(&scene, UID, 1, 7), theirs;

        keep(OTHER, 1, 7);
        theirs = scene_load_number(&scene, OTHER, 1, 7);
        ck_assert(theirs.is_shared); /* with its own */
        ck_assert_ptr_ne(mine.weights, theirs.weights);
        ck_assert_uint_eq(scene.set.n_weights, 2);
        scene_expect_charged(&scene, 2);
        (void)weights_unref(mine.weights);
        (void)weights_unref(theirs.weights);
}
END_TEST

/* All on the way at the same time: each is charged until it is known to be equal. */
START_TEST(test_equal_loads_at_once)
{
        uint8_t bytes[PAGE] = {1};
        struct loaded loaded[10];
        size_t n_shared = 0;

        scene_block(&scene);
        for (size_t i = 0; i < ARRAY_SIZE(loaded); i++)
                (void)scene_begin(&scene, UID, 1, PAGE, bytes, &loaded[i]);
        scene_expect_charged(&scene, ARRAY_SIZE(loaded));
        scene_unblock(&scene);
        scene_settle(&scene);
        scene_expect_charged(&scene, 1);
        for (size_t i = 0; i < ARRAY_SIZE(loaded); i++) {
                ck_assert_ptr_eq(loaded[i].weights, loaded[0].weights);
                n_shared += loaded[i].is_shared;
        }
        ck_assert_uint_eq(n_shared, ARRAY_SIZE(loaded) - 1);
        for (size_t i = 0; i < ARRAY_SIZE(loaded); i++)
                (void)weights_unref(loaded[i].weights);
}
END_TEST

START_TEST(test_references)
{
        struct loaded loaded = scene_load_number(&scene, UID, 5, 1); /* more than is kept */

        ck_assert_ptr_null(weights_unref(NULL));
        ck_assert_ptr_eq(weights_ref(loaded.weights), loaded.weights);
        ck_assert_ptr_null(weights_unref(loaded.weights));
        scene_settle(&scene);
        ck_assert_uint_eq(loaded.weights->memory[0], 1); /* still there */
        scene_expect_charged(&scene, 5);
        ck_assert_ptr_null(weights_unref(loaded.weights));
        scene_settle(&scene);
        scene_expect_charged(&scene, 0);
        ck_assert_uint_eq(scene.set.n_weights, 0);
}
END_TEST

/* ---- what is kept ---- */

/* Kept copies are charged, and the next load takes them up again. */
START_TEST(test_kept_for_the_next_load)
{
        struct loaded loaded;

        keep(UID, 2, 1);
        ck_assert_uint_eq(scene.set.kept.n, 1);
        ck_assert_uint_eq(scene.set.kept.n_bytes, 2 * PAGE);
        scene_expect_charged(&scene, 2);
        loaded = scene_load_number(&scene, UID, 2, 1);
        ck_assert(loaded.is_shared);
        ck_assert_uint_eq(scene.set.kept.n, 0);
        ck_assert_uint_eq(scene.set.kept.n_bytes, 0);
        scene_expect_charged(&scene, 2);
        (void)weights_unref(loaded.weights);
}
END_TEST

/* Over the bound those go that were let go of first; being taken up again counts as use. */
START_TEST(test_least_recently_used_goes)
{
        for (uint8_t number = 1; number <= 4; number++)
                keep(UID, 1, number);
        scene_expect_charged(&scene, 4);
        ck_assert(scene_has(&scene, UID, 1, 1)); /* now 2 is the oldest */
        keep(UID, 1, 5);
        scene_expect_charged(&scene, 4);
        for (uint8_t number = 3; number <= 5; number++)
                ck_assert(scene_has(&scene, UID, 1, number));
        ck_assert(scene_has(&scene, UID, 1, 1));
        ck_assert(!scene_has(&scene, UID, 1, 2)); /* which has cost 3 its place */
        ck_assert(!scene_has(&scene, UID, 1, 3));
}
END_TEST

/* Several go for a large one; what is larger than all that is kept goes itself and costs nobody anything. */
START_TEST(test_sizes_of_what_is_kept)
{
        for (uint8_t number = 1; number <= 4; number++)
                keep(UID, 1, number);
        keep(UID, 5, 9);
        ck_assert_uint_eq(scene.set.kept.n, 4);
        keep(UID, 3, 10);
        ck_assert_uint_eq(scene.set.kept.n, 2);
        ck_assert_uint_eq(scene.set.kept.n_bytes, 4 * PAGE);
        ck_assert(scene_has(&scene, UID, 1, 4));
        keep(UID, 4, 11); /* exactly all */
        ck_assert_uint_eq(scene.set.kept.n, 1);
        scene_expect_charged(&scene, 4);
}
END_TEST

/* The bound is each user's: nobody's copies go for what another lets go of. */
START_TEST(test_kept_for_each_user)
{
        for (uint8_t number = 1; number <= 4; number++)
                keep(OTHER, 1, number);
        for (uint8_t number = 1; number <= 8; number++)
                keep(UID, 1, number);
        ck_assert_uint_eq(scene.set.kept.n, 8);
        for (uint8_t number = 1; number <= 4; number++)
                ck_assert(scene_has(&scene, OTHER, 1, number));
}
END_TEST

START_TEST(test_nothing_is_kept)
{
        scene.set.kept_bytes_max = 0;
        keep(UID, 1, 1);
        ck_assert_uint_eq(scene.set.n_weights, 0);
        scene_expect_charged(&scene, 0);
}
END_TEST

START_TEST(test_close_drops_what_is_kept)
{
        struct loaded held = scene_load_number(&scene, UID, 1, 1);

        keep(UID, 1, 2);
        keep(OTHER, 1, 3);
        weights_set_close(&scene.set);
        scene_settle(&scene);
        scene_expect_charged(&scene, 1);
        ck_assert_uint_eq(held.weights->memory[0], 1);
        (void)weights_unref(held.weights);
        scene_expect_charged(&scene, 0); /* a page goes at once */
}
END_TEST

/* ---- room ---- */

/* Over the user's limit its kept copies go, oldest first and no more than needed, but nothing that is held. */
START_TEST(test_room_for_a_load)
{
        struct loaded held = scene_load_number(&scene, UID, 2, 100), loaded;

        for (uint8_t number = 1; number <= 3; number++)
                keep(UID, 1, number);
        keep(OTHER, 1, 1);
        limit_bytes(6, 100);
        loaded = scene_load_number(&scene, UID, 3, 101);
        ck_assert_uint_eq(scene.set.kept.n, 2);
        scene_expect_charged(&scene, 2 + 1 + 3 + 1);
        ck_assert_uint_eq(held.weights->memory[0], 100);
        ck_assert(scene_has(&scene, OTHER, 1, 1)); /* theirs would be no help */
        (void)weights_unref(loaded.weights);
        limit_bytes(100, 100);
        ck_assert(scene_has(&scene, UID, 1, 3)); /* the youngest is what was left */
        (void)weights_unref(held.weights);
}
END_TEST

/* Over the limit of all together anybody's go. */
START_TEST(test_room_of_all)
{
        struct loaded loaded;

        keep(OTHER, 1, 1);
        keep(UID, 1, 2);
        keep(OTHER, 1, 3);
        limit_bytes(100, 4);
        loaded = scene_load_number(&scene, UID, 3, 100);
        scene_expect_charged(&scene, 4);
        limit_bytes(100, 100);
        ck_assert(scene_has(&scene, OTHER, 1, 3));
        (void)weights_unref(loaded.weights);
}
END_TEST

/* A load that cannot be had even so costs nobody anything. */
START_TEST(test_refusals_lose_nothing)
{
        struct loaded held = scene_load_number(&scene, UID, 2, 100);

        keep(UID, 1, 1);
        keep(OTHER, 1, 2);
        limit_bytes(5, 100);
        expect_refused(UID, 4, QUOTA_E_UID);
        limit_bytes(100, 6);
        expect_refused(UID, 5, QUOTA_E_TOTAL);
        limit_bytes(4, 3); /* the user's own could make room for the one limit, but not for the other */
        expect_refused(UID, 2, QUOTA_E_UID);
        limit_bytes(100, 100);
        scene.quota.limits.per_uid[QUOTA_WEIGHTS] = 1;
        expect_refused(UID, 1, WEIGHTS_E_COUNT + QUOTA_E_UID);
        ck_assert_uint_eq(scene.set.kept.n, 2);
        scene_expect_charged(&scene, 4);
        (void)weights_unref(held.weights);
}
END_TEST

/* By number as well as by bytes. */
START_TEST(test_room_by_number)
{
        struct loaded loaded;

        for (uint8_t number = 1; number <= 3; number++)
                keep(UID, 1, number);
        scene.quota.limits.per_uid[QUOTA_WEIGHTS] = 3;
        loaded = scene_load_number(&scene, UID, 1, 4);
        ck_assert_uint_eq(scene.set.kept.n, 2);
        (void)weights_unref(loaded.weights);
}
END_TEST

/* Kept copies are never the reason why somebody does not get an arena. */
START_TEST(test_room_for_an_arena)
{
        struct arena *arena = NULL;

        for (uint8_t number = 1; number <= 4; number++)
                keep(UID, 1, number);
        limit_bytes(5, 100);
        ck_assert_int_eq(arena_new(&scene.arenas, UID, 3 * PAGE, &arena), 0);
        ck_assert_uint_eq(scene.set.kept.n, 2);
        ck_assert_uint_eq(scene.quota.used[QUOTA_BYTES], 5 * PAGE);
        (void)arena_unref(arena);
}
END_TEST

/* What is large is unmapped on the pool. It makes room at once, up to a bound; beyond that when it is gone. */
START_TEST(test_room_is_bounded_by_what_leaves)
{
        const uint64_t pages = WEIGHTS_LEAVING_BYTES_MAX / PAGE / 2;
        struct loaded loaded[3];

        for (uint8_t i = 0; i < 3; i++)
                loaded[i] = scene_load_number(&scene, UID, pages, i);
        scene_expect_charged(&scene, 3 * pages);
        scene_block(&scene);
        (void)weights_unref(loaded[0].weights);
        (void)weights_unref(loaded[1].weights);
        scene_expect_charged(&scene, pages);
        ck_assert_uint_eq(scene.set.leaving_bytes, WEIGHTS_LEAVING_BYTES_MAX);
        (void)weights_unref(loaded[2].weights);
        scene_expect_charged(&scene, pages);
        scene_unblock(&scene);
        scene_settle(&scene);
        scene_expect_charged(&scene, 0);
        ck_assert_uint_eq(scene.set.leaving_bytes, 0);
}
END_TEST

/* A copy too large to be discharged at once would be lost for nothing: a later one goes, or none. */
START_TEST(test_room_that_would_come_too_late)
{
        const uint64_t pages = WEIGHTS_LEAVING_BYTES_MAX / PAGE / 2;
        struct loaded leaving;
        struct weights_load *load = NULL;

        scene.set.kept_bytes_max = WEIGHTS_LEAVING_BYTES_MAX;
        keep(UID, pages, 1);
        keep(UID, 1, 2);
        leaving = scene_load_number(&scene, UID, pages + 1, 3);
        scene_block(&scene);
        scene.set.kept_bytes_max = 0;
        (void)weights_unref(leaving.weights);
        scene.set.kept_bytes_max = WEIGHTS_LEAVING_BYTES_MAX;
        scene_expect_charged(&scene, pages + 1);
        limit_bytes(pages + 1, 3 * pages);
        ck_assert_int_eq(weights_load_new(&scene.set, UID, 1, PAGE, NULL, &load), 0);
        ck_assert_uint_eq(scene.set.kept.n, 1);
        expect_refused(UID, 1, QUOTA_E_UID);
        limit_bytes(3 * pages, pages + 1);
        expect_refused(OTHER, 1, QUOTA_E_TOTAL);
        scene.quota.limits.total[QUOTA_WEIGHTS] = scene.quota.used[QUOTA_WEIGHTS];
        limit_bytes(3 * pages, 3 * pages);
        expect_refused(OTHER, 1, WEIGHTS_E_COUNT + QUOTA_E_TOTAL);
        ck_assert_uint_eq(scene.set.kept.n, 1);
        scene_unblock(&scene);
        scene_settle(&scene);
        (void)weights_load_free(load);
        limit_bytes(pages, 3 * pages);
        (void)weights_unref(scene_load_number(&scene, UID, 1, 4).weights); /* now it helps */
        ck_assert_uint_eq(scene.set.kept.n, 1);
}
END_TEST

/* ---- many ---- */

enum { MANY = 1000 };

/* However small: unmapping costs, and there may be thousands. */
START_TEST(test_many_are_unmapped_on_the_pool)
{
        struct loaded loaded[MANY];
        uint8_t bytes[PAGE] = {0};

        scene.set.kept_bytes_max = 0;
        scene.quota.limits.per_uid[QUOTA_WEIGHTS] = MANY;
        for (uint16_t i = 0; i < MANY; i++) {
                memcpy(bytes, &i, sizeof i);
                loaded[i] = scene_load(&scene, UID, 1, PAGE, bytes);
        }
        scene_block(&scene);
        for (size_t i = 0; i < MANY; i++)
                (void)weights_unref(loaded[i].weights);
        scene_expect_charged(&scene, 0);
        ck_assert_uint_eq(scene.quota.used[QUOTA_WEIGHTS], 0);
        ck_assert_uint_eq(scene.set.leaving_bytes, MANY * PAGE); /* all are still there */
        scene_unblock(&scene);
        scene_settle(&scene);
        ck_assert_uint_eq(scene.set.leaving_bytes, 0);
}
END_TEST

static unsigned n_ended;

static void end_holder(struct weights_holder *holder)
{
        (void)holder;
        n_ended++;
}

static void end_many(void)
{
        static struct weights_holder holders[MANY];
        struct weights_holder_list list = TAILQ_HEAD_INITIALIZER(list);

        for (size_t i = 0; i < MANY; i++) {
                holders[i].end_fn = end_holder;
                TAILQ_INSERT_TAIL(&list, &holders[i], link);
        }
        n_ended = 0;
        weights_end_holders(&scene.set, &list);
        ck_assert(TAILQ_EMPTY(&list));
}

/* A few at once; the rest as the loop goes on, or when it is to end. */
START_TEST(test_many_holders_end_in_pieces)
{
        unsigned n_before;

        end_many();
        ck_assert_uint_gt(n_ended, 0);
        while (n_ended < MANY) {
                n_before = n_ended;
                ck_assert(uv_run(&scene.loop, UV_RUN_ONCE) != 0 || n_ended == MANY);
                ck_assert_uint_le(n_ended - n_before, MANY / 4);
        }
        scene_settle(&scene);
        end_many();
        ck_assert_uint_le(n_ended, MANY / 4);
        weights_set_close(&scene.set);
        ck_assert_uint_eq(n_ended, MANY);
}
END_TEST

/* One that is kept takes the place of many: they go in pieces, too, and all of them. */
START_TEST(test_many_make_room_for_one)
{
        scene.set.kept_bytes_max = 200 * PAGE;
        for (uint8_t number = 0; number < 200; number++)
                keep(UID, 1, number);
        ck_assert_uint_eq(scene.set.kept.n, 200);
        keep(UID, 200, 1);
        ck_assert_uint_eq(scene.set.kept.n, 1);
        scene_expect_charged(&scene, 200);
}
END_TEST

/* ---- forgetting ---- */

struct memory_of_device {
        unsigned n_forgotten;
        const struct resident *last;
        int8_t first_byte;
};

static void forget(void *userdata, struct resident *resident)
{
        struct memory_of_device *memory = userdata;

        memory->n_forgotten++;
        memory->last = resident;
        memory->first_byte = resident->b[0];
}

/* Once for each copy that anybody could have used, while its memory is there. */
START_TEST(test_forget)
{
        struct memory_of_device memory = {0};
        struct loaded first, second;
        struct weights_load *load = NULL;

        scene.set.forget_fn = forget;
        scene.set.forget_userdata = &memory;
        first = scene_load_number(&scene, UID, 1, 33);
        second = scene_load_number(&scene, UID, 1, 33); /* its own copy was never used */
        ck_assert_int_eq(weights_load_new(&scene.set, UID, 1, 1, NULL, &load), 0);
        (void)weights_load_free(load); /* nor was this one */
        (void)weights_unref(first.weights);
        (void)weights_unref(second.weights);
        scene_settle(&scene);
        ck_assert_uint_eq(memory.n_forgotten, 0); /* it is kept */
        weights_set_close(&scene.set);
        ck_assert_uint_eq(memory.n_forgotten, 1);
        ck_assert_ptr_eq(memory.last, &first.weights->resident);
        ck_assert_int_eq(memory.first_byte, 33);
        scene_settle(&scene);
        ck_assert_uint_eq(memory.n_forgotten, 1);
}
END_TEST

/* ---- all together ---- */

enum { MATRICES = 12, USERS = 3, HELD_MAX = 40 };

static uint64_t pages_of(uint8_t matrix)
{
        return 1 + matrix % 3;
}

/* What is charged is what there is, whatever happens; what is held holds what was loaded. */
static void check_books(const struct loaded held[HELD_MAX], const uint8_t matrices[HELD_MAX])
{
        uint64_t n_bytes = 0;

        for (size_t i = 0; i < HELD_MAX; i++)
                if (held[i].weights)
                        ck_assert_uint_eq(held[i].weights->memory[0], matrices[i]);
        for (size_t i = 0; i < HELD_MAX; i++) {
                bool is_first = held[i].weights != NULL;

                for (size_t j = 0; j < i; j++)
                        is_first = is_first && held[j].weights != held[i].weights;
                n_bytes += is_first ? held[i].weights->size_bytes : 0;
        }
        ck_assert_uint_eq(scene.set.charged_bytes, n_bytes + scene.set.kept.n_bytes);
        ck_assert_uint_eq(scene.quota.used[QUOTA_BYTES], scene.set.charged_bytes);
        ck_assert_uint_eq(scene.quota.used[QUOTA_WEIGHTS], scene.set.n_weights);
}

START_TEST(test_random)
{
        struct loaded held[HELD_MAX] = {{0}};
        uint8_t matrices[HELD_MAX] = {0};
        size_t n_refused = 0;

        limit_bytes(14, 30);
        for (int step = 0; step < 3000; step++) {
                const size_t at = (size_t)rng_below(&rng, HELD_MAX);
                const uint8_t matrix = (uint8_t)rng_below(&rng, MATRICES);
                const uid_t uid = UID + (uid_t)rng_below(&rng, USERS);
                struct weights_load *load = NULL;

                if (held[at].weights) {
                        (void)weights_unref(held[at].weights);
                        held[at].weights = NULL;
                } else if (weights_load_new(&scene.set, uid, pages_of(matrix), PAGE, NULL, &load) != 0) {
                        n_refused++;
                } else {
                        weights_load_memory(load)[0] = matrix;
                        weights_load_start(load, on_loaded, &held[at]);
                        matrices[at] = matrix;
                        scene_settle(&scene);
                        ck_assert_uint_eq(held[at].weights->user->uid, uid);
                }
                check_books(held, matrices);
        }
        ck_assert_uint_gt(n_refused, 10);
        ck_assert_uint_gt(scene.stats.loads_shared, 100);
        for (size_t i = 0; i < HELD_MAX; i++)
                (void)weights_unref(held[i].weights);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("weights");
        TCase *tcase = tcase_create("weights");

        rng_start(&rng, "weights");
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_shared_within_a_user);
        tcase_add_test(tcase, test_not_shared_across_users);
        tcase_add_test(tcase, test_equal_loads_at_once);
        tcase_add_test(tcase, test_references);
        tcase_add_test(tcase, test_kept_for_the_next_load);
        tcase_add_test(tcase, test_least_recently_used_goes);
        tcase_add_test(tcase, test_sizes_of_what_is_kept);
        tcase_add_test(tcase, test_kept_for_each_user);
        tcase_add_test(tcase, test_nothing_is_kept);
        tcase_add_test(tcase, test_close_drops_what_is_kept);
        tcase_add_test(tcase, test_room_for_a_load);
        tcase_add_test(tcase, test_room_of_all);
        tcase_add_test(tcase, test_refusals_lose_nothing);
        tcase_add_test(tcase, test_room_by_number);
        tcase_add_test(tcase, test_room_for_an_arena);
        tcase_add_test(tcase, test_room_is_bounded_by_what_leaves);
        tcase_add_test(tcase, test_room_that_would_come_too_late);
        tcase_add_test(tcase, test_many_are_unmapped_on_the_pool);
        tcase_add_test(tcase, test_many_holders_end_in_pieces);
        tcase_add_test(tcase, test_many_make_room_for_one);
        tcase_add_test(tcase, test_forget);
        tcase_add_test(tcase, test_random);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
