/* SPDX-License-Identifier: MIT */
/* test-bench-evidence.c - rows that were put aside come back as they were, and no more than there is room for. */
#include "client/cli-bench-evidence.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define ROOM 4096u

static struct bench_evidence evidence;

static void setup(void)
{
        ck_assert_int_eq(bench_evidence_init(&evidence, ROOM), 0);
}

static void teardown(void)
{
        bench_evidence_deinit(&evidence);
}

/* Row `number` of some shape, whose elements tell it from others. */
static bool push(const struct bench_shape *shape, uint64_t number)
{
        int8_t a[64];
        int32_t c[64];
        bool has_room;

        memset(a, (int)number, sizeof a);
        for (size_t i = 0; i < ARRAY_SIZE(c); i++)
                c[i] = (int32_t)(number * 1000 + i);
        has_room = bench_evidence_push(
                &evidence, &(struct bench_exhibit){.shape = shape, .row = number, .a = a, .c = c}, sizeof *c);
        memset(a, 0x55, sizeof a); /* the next job's */
        memset(c, 0x55, sizeof c);
        return has_room;
}

static void expect(const struct bench_shape *shape, uint64_t number)
{
        const struct bench_exhibit *exhibit = bench_evidence_pop(&evidence);

        ck_assert_ptr_nonnull(exhibit);
        ck_assert_ptr_eq(exhibit->shape, shape);
        ck_assert_uint_eq(exhibit->row, number);
        ck_assert_uint_eq((uintptr_t)exhibit->c % sizeof(int32_t), 0);
        for (uint64_t i = 0; i < shape->k; i++)
                ck_assert_int_eq(exhibit->a[i], (int8_t)number);
        for (uint64_t i = 0; i < shape->n; i++)
                ck_assert_int_eq(((const int32_t *)exhibit->c)[i], (int32_t)(number * 1000 + i));
}

START_TEST(test_all_come_back)
{
        struct bench_shape shapes[8];
        struct rng rng;

        rng_start(&rng, "test-bench-evidence");
        for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
                shapes[i] = (struct bench_shape){
                        .m = 100, .k = rng_between(&rng, 1, 64), .n = rng_between(&rng, 1, 64)};
        for (unsigned round = 0; round < 3; round++) { /* what is empty has all its room again */
                uint64_t n = 0;

                while (push(&shapes[n % ARRAY_SIZE(shapes)], n))
                        n++;
                ck_assert_uint_gt(n, 8);
                for (uint64_t i = 0; i < n; i++)
                        expect(&shapes[i % ARRAY_SIZE(shapes)], i);
                ck_assert_ptr_null(bench_evidence_pop(&evidence));
        }
}
END_TEST

START_TEST(test_no_room)
{
        const struct bench_shape wide = {.m = 1, .k = 1, .n = ROOM};
        struct bench_evidence none = {0};

        ck_assert(!push(&wide, 0));
        ck_assert_ptr_null(bench_evidence_pop(&evidence));
        ck_assert(!bench_evidence_push(&none, &(struct bench_exhibit){.shape = &wide}, 1));
        ck_assert_ptr_null(bench_evidence_pop(&none));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("bench-evidence");
        TCase *tcase = tcase_create("evidence");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_all_come_back);
        tcase_add_test(tcase, test_no_room);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
