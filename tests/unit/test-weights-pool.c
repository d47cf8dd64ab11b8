/* SPDX-License-Identifier: MIT */
/*
 * test-weights-pool.c - packed weights find places that do not overlap; who is needed stays, who was not used for
 * longest goes first, and only when somebody gains by it.
 */
#include "daemon/xrt/weights-pool.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define PAGE  WEIGHTS_ALIGN
#define ITEMS 64

static struct weights_pool pool;
static struct weights_item items[ITEMS];

static void setup(void)
{
        memset(items, 0, sizeof items);
        weights_pool_init(&pool, 16 * PAGE, 16 * PAGE);
}

static void place(size_t i, uint64_t pages)
{
        ck_assert_int_eq(weights_pool_place(&pool, &items[i], pages * PAGE), 0);
}

static void expect_places(void)
{
        const struct weights_item *item;
        bool is_right = true;
        uint64_t end = 0;

        TAILQ_FOREACH(item, &pool.by_place, by_place) {
                is_right = is_right && item->is_placed && item->offset >= end && item->offset % PAGE == 0;
                end = item->offset + item->bytes;
        }
        for (size_t i = 0; i < ITEMS; i++)
                is_right = is_right && (items[i].n_users == 0 || items[i].is_placed);
        ck_assert(is_right && end <= pool.size_bytes);
}

START_TEST(test_the_idlest_goes)
{
        for (size_t i = 0; i < 4; i++)
                place(i, 4);
        weights_pool_use(&pool, &items[0]);
        weights_pool_leave(&items[0]); /* used last */
        place(4, 4);
        ck_assert(items[0].is_placed && !items[1].is_placed && items[2].is_placed && items[3].is_placed);
        ck_assert_uint_eq(items[4].offset, 4 * PAGE);
        expect_places();
}
END_TEST

START_TEST(test_whoever_is_needed_stays)
{
        for (size_t i = 0; i < 4; i++) {
                place(i, 4);
                weights_pool_use(&pool, &items[i]);
        }
        ck_assert_int_eq(weights_pool_place(&pool, &items[4], PAGE), WEIGHTS_POOL_E_FULL);
        weights_pool_leave(&items[2]);
        place(4, 1);
        ck_assert(items[0].is_placed && items[1].is_placed && !items[2].is_placed && items[3].is_placed);
        ck_assert_uint_eq(items[4].offset, 8 * PAGE);
}
END_TEST

/* Two needed ones with two pages on either side: nobody has to go in vain. */
START_TEST(test_nobody_goes_in_vain)
{
        for (size_t i = 0; i < 8; i++)
                place(i, 2);
        for (size_t i = 1; i < 8; i += 2)
                weights_pool_use(&pool, &items[i]);
        ck_assert_int_eq(weights_pool_place(&pool, &items[8], 3 * PAGE), WEIGHTS_POOL_E_FULL);
        for (size_t i = 0; i < 8; i++)
                ck_assert(items[i].is_placed);
        place(8, 2);
}
END_TEST

START_TEST(test_a_quarter_at_most)
{
        ck_assert_int_eq(weights_pool_place(&pool, &items[0], 5 * PAGE), WEIGHTS_POOL_E_FULL);
        place(0, 4);
}
END_TEST

START_TEST(test_grows_before_anybody_goes)
{
        weights_pool_init(&pool, 4 * PAGE, 12 * PAGE);
        place(0, 3);
        ck_assert_int_eq(weights_pool_place(&pool, &items[1], 2 * PAGE), WEIGHTS_POOL_E_SMALL);
        ck_assert_uint_eq(weights_pool_next_bytes(&pool), 8 * PAGE);
        pool.size_bytes = 8 * PAGE;
        place(1, 2);
        ck_assert_uint_eq(items[1].offset, 3 * PAGE);
        ck_assert_uint_eq(weights_pool_next_bytes(&pool), 12 * PAGE);
        ck_assert(items[0].is_placed);
        expect_places();
}
END_TEST

START_TEST(test_gaps_are_filled)
{
        for (size_t i = 0; i < 4; i++)
                place(i, 3);
        weights_pool_remove(&pool, &items[1]);
        weights_pool_remove(&pool, &items[1]); /* nothing any more */
        place(4, 2);
        place(5, 1);
        place(6, 4);
        ck_assert_uint_eq(items[4].offset, 3 * PAGE);
        ck_assert_uint_eq(items[5].offset, 5 * PAGE);
        ck_assert_uint_eq(items[6].offset, 12 * PAGE);
        expect_places();
}
END_TEST

START_TEST(test_random)
{
        struct rng rng;
        size_t n_full = 0, n_placed = 0;

        rng_start(&rng, "weights-pool");
        for (size_t round = 0; round < 20000; round++) {
                struct weights_item *item = &items[rng_below(&rng, ITEMS)];
                int r;

                if (item->n_users > 0 && rng_once_in(&rng, 2)) {
                        weights_pool_leave(item);
                } else if (item->is_placed && item->n_users == 0 && rng_once_in(&rng, 8)) {
                        weights_pool_remove(&pool, item);
                } else if (item->is_placed) {
                        weights_pool_use(&pool, item);
                } else {
                        r = weights_pool_place(&pool, item, rng_between(&rng, 1, 4) * PAGE);
                        n_full += r == WEIGHTS_POOL_E_FULL;
                        n_placed += r == 0;
                        ck_assert(item->is_placed == (r == 0));
                }
                expect_places();
        }
        ck_assert_uint_gt(n_full, 100);
        ck_assert_uint_gt(n_placed, 1000);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("weights-pool");
        TCase *tcase = tcase_create("all");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_the_idlest_goes);
        tcase_add_test(tcase, test_whoever_is_needed_stays);
        tcase_add_test(tcase, test_nobody_goes_in_vain);
        tcase_add_test(tcase, test_a_quarter_at_most);
        tcase_add_test(tcase, test_grows_before_anybody_goes);
        tcase_add_test(tcase, test_gaps_are_filled);
        tcase_add_test(tcase, test_random);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
