/* SPDX-License-Identifier: MIT */
/* test-packs.c - packed weights: who shares, who makes room for whom, and what goes while it is needed. */
#include <check.h>

#include "daemon/device/packs.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define MOST 4096

static uv_loop_t loop;
static struct packs packs;
static struct resident residents[8];

static void setup(void)
{
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        packs_init(&packs, &loop, MOST);
        for (size_t i = 0; i < ARRAY_SIZE(residents); i++)
                resident_init(&residents[i], NULL, 1, 1);
}

static void teardown(void)
{
        packs_deinit(&packs);
        for (size_t i = 0; i < ARRAY_SIZE(residents); i++)
                ck_assert_ptr_null(residents[i].pack);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static struct pack *use(size_t resident, uint64_t n_bytes)
{
        struct pack *pack = packs_take(&packs, &residents[resident], n_bytes);

        packs_give_back(&packs, pack);
        return pack;
}

START_TEST(test_shared)
{
        struct pack *first = packs_take(&packs, &residents[0], 100);
        struct pack *second = packs_take(&packs, &residents[0], 100);

        ck_assert_ptr_nonnull(first);
        ck_assert_ptr_eq(first, second);
        ck_assert(!first->is_filled);
        ck_assert_uint_eq((uintptr_t)first->bytes % 64, 0);
        memset(first->bytes, 1, 100);
        first->is_filled = true;
        packs_give_back(&packs, first);
        packs_give_back(&packs, second);
        ck_assert_ptr_eq(use(0, 100), first);
        ck_assert(first->is_filled);
        ck_assert_uint_eq(packs.used_bytes, 100);
}
END_TEST

START_TEST(test_large_ones_are_aligned_for_large_pages)
{
        struct pack *pack;

        packs_deinit(&packs);
        packs_init(&packs, &loop, UINT64_C(64) << 20);
        pack = packs_take(&packs, &residents[0], (UINT64_C(5) << 20) + 1);
        ck_assert_ptr_nonnull(pack);
        ck_assert_uint_eq((uintptr_t)pack->bytes % (2 << 20), 0);
        pack->bytes[5 << 20] = 1;
        packs_give_back(&packs, pack);
}
END_TEST

/* The one that was not used for longest. */
START_TEST(test_makes_room)
{
        struct pack *held;

        for (size_t i = 0; i < 4; i++)
                (void)use(i, MOST / 4);
        held = packs_take(&packs, &residents[0], MOST / 4);
        (void)use(1, MOST / 4);
        ck_assert_ptr_nonnull(use(4, MOST / 4)); /* in the place of 2 */
        ck_assert_ptr_nonnull(residents[0].pack);
        ck_assert_ptr_nonnull(residents[1].pack);
        ck_assert_ptr_null(residents[2].pack);
        ck_assert_ptr_nonnull(residents[3].pack);
        ck_assert_uint_eq(packs.used_bytes, MOST);
        packs_give_back(&packs, held);
}
END_TEST

START_TEST(test_no_room_where_all_are_needed)
{
        struct pack *held[4];

        for (size_t i = 0; i < 4; i++)
                held[i] = packs_take(&packs, &residents[i], MOST / 4);
        ck_assert_ptr_null(packs_take(&packs, &residents[4], 1));
        for (size_t i = 0; i < 4; i++)
                packs_give_back(&packs, held[i]);
        packs_give_back(&packs, NULL);
        ck_assert_ptr_nonnull(use(4, 1));
}
END_TEST

START_TEST(test_no_more_than_a_share)
{
        ck_assert_ptr_null(use(0, MOST / 4 + 1));
        ck_assert_ptr_null(use(0, UINT64_MAX)); /* of a size that cannot be told */
        ck_assert_uint_eq(packs.used_bytes, 0);
}
END_TEST

/* The last job of a resident may be done before its batch is. */
START_TEST(test_goes_while_it_is_used)
{
        struct pack *pack = packs_take(&packs, &residents[0], MOST / 4);

        packs_forget(&packs, &residents[0]);
        packs_forget(&packs, &residents[0]);
        ck_assert_ptr_null(residents[0].pack);
        memset(pack->bytes, 1, MOST / 4); /* still there */
        ck_assert_uint_eq(packs.used_bytes, MOST / 4);
        ck_assert_ptr_ne(use(0, 8), pack); /* the same address, loaded anew */
        packs_give_back(&packs, pack);
        ck_assert_uint_eq(packs.used_bytes, 8);
}
END_TEST

/* At random: never more than there may be, and what is taken stays as it was. */
START_TEST(test_any_order)
{
        struct pack *taken[ARRAY_SIZE(residents)] = {NULL};
        struct rng rng;

        rng_start(&rng, "test-packs");
        for (int i = 0; i < 20000; i++) {
                const size_t which = rng_below(&rng, ARRAY_SIZE(residents));

                if (rng_once_in(&rng, 5)) {
                        packs_forget(&packs, &residents[which]);
                } else if (taken[which]) {
                        for (uint64_t at = 0; at < taken[which]->n_bytes; at++)
                                ck_assert_uint_eq(taken[which]->bytes[at], which);
                        packs_give_back(&packs, steal(&taken[which]));
                } else {
                        taken[which] = packs_take(&packs, &residents[which], 1 + rng_below(&rng, MOST / 4));
                        if (taken[which])
                                memset(taken[which]->bytes, (int)which, taken[which]->n_bytes);
                }
                ck_assert_uint_le(packs.used_bytes, MOST);
        }
        for (size_t i = 0; i < ARRAY_SIZE(residents); i++)
                packs_give_back(&packs, taken[i]);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("packs");
        TCase *tcase = tcase_create("packs");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_shared);
        tcase_add_test(tcase, test_large_ones_are_aligned_for_large_pages);
        tcase_add_test(tcase, test_makes_room);
        tcase_add_test(tcase, test_no_room_where_all_are_needed);
        tcase_add_test(tcase, test_no_more_than_a_share);
        tcase_add_test(tcase, test_goes_while_it_is_used);
        tcase_add_test(tcase, test_any_order);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
