/* SPDX-License-Identifier: MIT */
/* test-region.c - which region an address is in, and when one may go. */
#include "daemon/region.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#include <sys/mman.h>

#define REGIONS 200
#define SPACE   (UINT64_C(1) << 20)

static struct rng rng;
static struct region_set set;
static uint64_t n_ended;
static unsigned n_freed;

static void on_ended(void *userdata, struct region *region)
{
        ck_assert_ptr_eq(userdata, &set);
        ck_assert_uint_ne(region->id, 0);
        n_ended++;
}

static void on_free(struct region *region)
{
        ck_assert_uint_eq(region->holds, 0);
        n_freed++;
}

/* Addresses are never read, so any will do. */
static const uint8_t *at(uint64_t offset)
{
        return (const uint8_t *)(uintptr_t)(SPACE + offset);
}

/* Regions come and go; every address is asked for and compared with a list. */
START_TEST(test_random)
{
        static struct region regions[REGIONS];

        set = (struct region_set){.ended_fn = on_ended, .userdata = &set};
        n_ended = 0;
        for (int round = 0; round < 5000; round++) {
                const size_t i = (size_t)rng_below(&rng, REGIONS);
                const uint64_t offset = i * 4096 + rng_below(&rng, 4096);
                const struct region *found = region_find(&set, at(offset));
                struct region *region = &regions[i];

                if (region->id == 0)
                        ck_assert_ptr_null(found);
                else
                        ck_assert_ptr_eq(found, offset < i * 4096 + region->size_bytes ? region : NULL);
                if (region->id == 0)
                        ck_assert(
                                region_add(&set, region, at(i * 4096), rng_between(&rng, 1, 4096), 7, true));
                else
                        region_end(&set, region, NULL);
        }
        for (size_t i = 0; i < REGIONS; i++)
                region_end(&set, &regions[i], NULL);
        ck_assert_uint_eq(n_ended, set.last_id); /* each got a number of its own, and a word at its end */
        region_set_deinit(&set);
}
END_TEST

START_TEST(test_held)
{
        struct region region;

        set = (struct region_set){0};
        n_freed = 0;
        ck_assert(region_add(&set, &region, at(0), 10, -1, false));
        region_hold(&region);
        region_hold(&region);
        region_end(&set, &region, on_free);
        ck_assert_ptr_null(region_find(&set, at(0)));
        region_release(&region);
        ck_assert_uint_eq(n_freed, 0);
        region_release(&region);
        ck_assert_uint_eq(n_freed, 1);
        ck_assert(region_add(NULL, &region, at(0), 10, -1, false)); /* nobody asks */
        ck_assert_uint_eq(region.id, 0);
        region_end(NULL, &region, on_free);
        ck_assert_uint_eq(n_freed, 2);
        region_set_deinit(&set);
}
END_TEST

START_TEST(test_shared_memory)
{
        uint8_t *memory, *again;
        int fd;

        ck_assert_int_eq(shared_memory_open("test", 8192, &fd, &memory), 0);
        for (size_t i = 0; i < 8192; i++)
                ck_assert_uint_eq(memory[i], 0);
        again = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
        ck_assert_ptr_ne(again, MAP_FAILED);
        memory[8191] = 7;
        ck_assert_uint_eq(again[8191], 7);
        ck_assert_int_ne(ftruncate(fd, 4096), 0); /* nobody can take it away under the other */
        (void)munmap(memory, 8192);
        (void)munmap(again, 8192);
        (void)close(fd);
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("region");

        rng_start(&rng, "region");
        tcase_add_test(tcase, test_random);
        tcase_add_test(tcase, test_held);
        tcase_add_test(tcase, test_shared_memory);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("region");

        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
