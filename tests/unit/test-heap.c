/* SPDX-License-Identifier: MIT */
/*
 * test-heap.c - the sub-allocator of an arena against a slow model.
 *
 * Role: random allocations and frees, each checked against a map that has one owner for every 64 bytes: a
 *       block must be aligned, inside the heap and on free ground only, and may be refused only where no
 *       free run is wide enough. The model knows nothing of gaps, order or searching.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "client/heap.h"
#include "tests/unit/suite.h"

#define UNIT_BYTES 64u
#define UNITS      512
#define OPERATIONS 30000

/* Who owns each unit: 0 nobody, else the number of the allocation. */
struct model {
        uint32_t owner[UNITS];
        uint64_t size_bytes[UNITS]; /* as asked for, by the unit that the block begins at */
};

static uint64_t random_next(uint64_t *state)
{
        *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
        uint64_t z = *state;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
}

static size_t units_of(uint64_t size_bytes)
{
        return (size_t)((size_bytes + UNIT_BYTES - 1) / UNIT_BYTES);
}

static size_t model_widest_run(const struct model *model)
{
        size_t run = 0, widest = 0;

        for (size_t i = 0; i < UNITS; i++) {
                run = model->owner[i] == 0 ? run + 1 : 0;
                widest = MAX(widest, run);
        }
        return widest;
}

/* Where the block that owns unit `i` begins. */
static size_t model_begin(const struct model *model, size_t i)
{
        const uint32_t owner = model->owner[i];

        while (i > 0 && model->owner[i - 1] == owner)
                i--;
        return i;
}

static void model_fill(struct model *model, size_t begin, uint32_t from, uint32_t to)
{
        for (size_t i = begin; i < UNITS && model->owner[i] == from; i++)
                model->owner[i] = to;
}

/* Returns whether there was room. */
static bool check_alloc(struct heap *heap, struct model *model, uint32_t owner, uint64_t size_bytes)
{
        const size_t widest = model_widest_run(model);
        uint64_t offset = UINT64_MAX;
        int r = heap_alloc(heap, size_bytes, &offset);

        if (units_of(size_bytes) > widest) {
                ck_assert_int_eq(r, HEAP_E_FULL);
                ck_assert_uint_eq(offset, UINT64_MAX); /* outputs are untouched on failure */
                return false;
        }
        ck_assert_msg(r == 0, "%" PRIu64 " bytes refused with %d, though %zu units lie free in a row",
                      size_bytes, r, widest);
        ck_assert_uint_eq(offset % UNIT_BYTES, 0);
        ck_assert_uint_le(offset / UNIT_BYTES + units_of(size_bytes), UNITS);
        model->size_bytes[offset / UNIT_BYTES] = size_bytes;
        for (size_t i = 0; i < units_of(size_bytes); i++) {
                uint32_t *unit = &model->owner[offset / UNIT_BYTES + i];

                ck_assert_msg(*unit == 0, "unit %" PRIu64 " was given out twice", offset / UNIT_BYTES + i);
                *unit = owner;
        }
        return true;
}

/* Asks about, then frees, whatever lies at a random byte. */
static void check_free(struct heap *heap, struct model *model, uint64_t byte)
{
        const size_t unit = (size_t)(byte / UNIT_BYTES);
        const struct heap_block *block = heap_find(heap, byte);
        size_t begin;

        if (model->owner[unit] == 0) {
                ck_assert_ptr_null(block);
                ck_assert(!heap_free(heap, byte));
                return;
        }
        begin = model_begin(model, unit);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq(block->offset_bytes, begin * UNIT_BYTES);
        ck_assert_uint_eq(block->size_bytes, units_of(model->size_bytes[begin]) * UNIT_BYTES);
        if (byte != begin * UNIT_BYTES)
                ck_assert(!heap_free(heap, byte)); /* only the beginning of a block stands for it */
        ck_assert(heap_free(heap, begin * UNIT_BYTES));
        ck_assert(!heap_free(heap, begin * UNIT_BYTES));
        model_fill(model, begin, model->owner[begin], 0);
}

START_TEST(test_against_model)
{
        const char *given = getenv("NPUMM_TEST_SEED");
        const uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
        struct model model = {0};
        unsigned n_given = 0, n_refused = 0;
        uint64_t state = seed;
        struct heap heap;

        printf("test_against_model: NPUMM_TEST_SEED=%" PRIu64 "\n", seed);
        heap_init(&heap, (uint64_t)UNITS * UNIT_BYTES);
        for (uint32_t i = 1; i <= OPERATIONS; i++) {
                const uint64_t dice = random_next(&state);
                /* Phases that fill the heap and phases that drain it; mostly small blocks. */
                const bool fills = i / 2000 % 2 == 0;
                const uint64_t most_bytes = dice % 16 == 0 ? (uint64_t)UNITS * UNIT_BYTES : 16 * UNIT_BYTES;

                if (random_next(&state) % 8 < (fills ? 6 : 2)) {
                        if (check_alloc(&heap, &model, i, 1 + random_next(&state) % most_bytes))
                                n_given++;
                        else
                                n_refused++;
                } else {
                        check_free(&heap, &model, random_next(&state) % ((uint64_t)UNITS * UNIT_BYTES));
                }
                ck_assert(heap_is_empty(&heap) == (model_widest_run(&model) == UNITS));
        }
        ck_assert_uint_gt(n_given, OPERATIONS / 20); /* the run has seen a heap with room, and one without */
        ck_assert_uint_gt(n_refused, OPERATIONS / 20);
        for (uint64_t i = 0; i < UNITS; i++)
                if (model.owner[i] != 0)
                        check_free(&heap, &model, i * UNIT_BYTES);
        ck_assert(heap_is_empty(&heap));
        ck_assert(check_alloc(&heap, &model, 1,
                              (uint64_t)UNITS * UNIT_BYTES)); /* all of it is one piece again */
        heap_deinit(&heap);
}
END_TEST

START_TEST(test_sizes_are_rounded_up)
{
        struct heap heap;
        uint64_t first, second;

        heap_init(&heap, 128);
        ck_assert_int_eq(heap_alloc(&heap, 1, &first), 0);
        ck_assert_int_eq(heap_alloc(&heap, 64, &second), 0);
        ck_assert_uint_eq(first ^ second, 64);
        ck_assert_int_eq(heap_alloc(&heap, 1, &first), HEAP_E_FULL);
        heap_deinit(&heap);
}
END_TEST

START_TEST(test_freed_neighbours_are_one_gap)
{
        /* In which order three neighbours are freed must not matter. */
        static const unsigned orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                             {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

        for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
                uint64_t offsets[3], whole;
                struct heap heap;

                heap_init(&heap, 192);
                for (size_t j = 0; j < 3; j++)
                        ck_assert_int_eq(heap_alloc(&heap, 64, &offsets[j]), 0);
                for (size_t j = 0; j < 3; j++) {
                        ck_assert_int_eq(heap_alloc(&heap, 192, &whole), HEAP_E_FULL);
                        ck_assert(heap_free(&heap, offsets[orders[i][j]]));
                }
                ck_assert_int_eq(heap_alloc(&heap, 192, &whole), 0);
                ck_assert_uint_eq(whole, 0);
                heap_deinit(&heap);
        }
}
END_TEST

START_TEST(test_size_overflow)
{
        struct heap heap;
        uint64_t offset;

        heap_init(&heap, 4096);
        ck_assert_int_eq(heap_alloc(&heap, UINT64_MAX, &offset), HEAP_E_FULL);
        ck_assert_int_eq(heap_alloc(&heap, UINT64_MAX - 63, &offset), HEAP_E_FULL);
        ck_assert_int_eq(heap_alloc(&heap, UINT64_MAX - 64, &offset), HEAP_E_FULL);
        ck_assert_int_eq(heap_alloc(&heap, 4097, &offset), HEAP_E_FULL);
        ck_assert_int_eq(heap_alloc(&heap, 4096, &offset), 0);
        heap_deinit(&heap);
}
END_TEST

START_TEST(test_outside_of_the_heap)
{
        struct heap heap;
        uint64_t offset;

        heap_init(&heap, 128);
        ck_assert_ptr_null(heap_find(&heap, 0));
        ck_assert(!heap_free(&heap, 0));
        ck_assert_int_eq(heap_alloc(&heap, 128, &offset), 0);
        ck_assert_ptr_nonnull(heap_find(&heap, 127));
        ck_assert_ptr_null(heap_find(&heap, 128));
        ck_assert_ptr_null(heap_find(&heap, UINT64_MAX));
        ck_assert(!heap_free(&heap, UINT64_MAX));
        heap_deinit(&heap);
        heap_init(&heap, 0);
        ck_assert_int_eq(heap_alloc(&heap, 1, &offset), HEAP_E_FULL);
        heap_deinit(&heap);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("heap");
        TCase *tcase = tcase_create("heap");

        suite_add_tcase(suite, tcase);
        tcase_add_test(tcase, test_against_model);
        tcase_add_test(tcase, test_sizes_are_rounded_up);
        tcase_add_test(tcase, test_freed_neighbours_are_one_gap);
        tcase_add_test(tcase, test_size_overflow);
        tcase_add_test(tcase, test_outside_of_the_heap);
        return suite_run(suite);
}
