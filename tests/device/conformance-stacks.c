/* SPDX-License-Identifier: MIT */
/* conformance-stacks.c - see conformance-stacks.h. */
#include "tests/device/conformance-stacks.h"

#include "tests/device/bench.h"

#define MEMBERS_MAX 24

/* Products of one B, which is that of the first. */
struct family {
        struct operands owner; /* computes nothing: B outlives all others */
        struct operands members[MEMBERS_MAX];
        size_t n_members;
};

/* A form that may stand in one stack with others of its kind: tile16 is summed in another way than all others. */
static enum output_form form_of(bool is_tile16)
{
        return is_tile16 ? OUTPUT_TILE16_SHIFT7
                         : (enum output_form)rng_below(&bench.rng, OUTPUT_TILE16_SHIFT7);
}

/* Members of so many rows, each with its own form, gaps and A. */
static void family_init(struct family *family, size_t n_members, uint64_t rows_least, uint64_t rows_most,
                        uint64_t k, uint64_t n)
{
        const bool is_tile16 = rng_once_in(&bench.rng, 4);
        const struct operands_shape owner = shape_any(1, k, n, form_of(is_tile16));

        operands_init(&family->owner, &owner, &bench.rng);
        family->n_members = n_members;
        for (size_t i = 0; i < n_members; i++) {
                struct operands_shape shape =
                        shape_any(rng_between(&bench.rng, rows_least, rows_most), k, n, form_of(is_tile16));

                shape.b_transposed = owner.b_transposed;
                operands_init_sharing(&family->members[i], &shape, &family->owner, &bench.rng);
        }
}

static void family_check(const struct family *family)
{
        for (size_t i = 0; i < family->n_members; i++)
                operands_check(&family->members[i]);
        operands_check(&family->owner);
}

static void family_deinit(struct family *family)
{
        for (size_t i = 0; i < family->n_members; i++)
                operands_deinit(&family->members[i]);
        operands_deinit(&family->owner);
}

static void family_add(struct family *family, struct flight *flight)
{
        for (size_t i = 0; i < family->n_members; i++)
                flight_add(flight, &family->members[i], 0, family->members[i].product.m);
}

/* ---- stacks ---- */

static const struct {
        size_t members;
        uint64_t rows_max, k, n;
} stacks[] = {
        {2, 1, 1, 1},                     /* two single rows: one block of a kernel that takes several */
        {4, 1, 33, 257},  {7, 3, 64, 64}, /* blocks of rows span slices in every way */
        {24, 1, 512, 40}, {24, 9, 17, 300},
        {3, 70, 100, 31}, {2, 300, 65, 20}, /* more rows than any granule in one of them */
        {5, 5, 4097, 2},
};

START_TEST(test_one_stack)
{
        for (int round = 0; round < 8; round++) {
                struct family family;
                struct flight flight;

                family_init(&family, stacks[_i].members, 1, stacks[_i].rows_max, stacks[_i].k, stacks[_i].n);
                flight_init(&flight);
                flight.looks = true;
                family_add(&family, &flight);
                ck_assert_uint_eq(flight.batch.n_stacks, 1);
                flight_submit(&flight);
                flight_await(&flight);
                family_check(&family);
                family_deinit(&family);
        }
}
END_TEST

/* Slices of a product in the middle of it, in any order, alternate with another one's in the same stack. */
START_TEST(test_alternating_slices)
{
        enum { ROWS = 24 };

        for (int round = 0; round < 8; round++) {
                struct family family;
                struct flight flight;

                family_init(&family, 2, ROWS, ROWS, 50, 37);
                flight_init(&flight);
                flight.looks = true;
                for (uint64_t row = 0; row < ROWS;
                     row += 3) { /* 3 rows of one, 2 from the end of the other */
                        flight_add(&flight, &family.members[0], row, 3);
                        flight_add(&flight, &family.members[1], ROWS - 3 - row, 2);
                }
                flight_submit(&flight);
                flight_await(&flight);
                family_check(&family);
                family_deinit(&family);
        }
}
END_TEST

/* Forms in one stack, each with every other. */
START_TEST(test_forms_in_one_stack)
{
        for (enum output_form one = 0; one < OUTPUT_TILE16_SHIFT7; one++) {
                for (enum output_form other = 0; other < OUTPUT_TILE16_SHIFT7; other++) {
                        struct operands_shape shape = shape_any(3, 40, 30, one);
                        struct operands_shape sharing = shape_any(3, 40, 30, other);
                        struct operands operands[2];
                        struct flight flight;

                        sharing.b_transposed = shape.b_transposed;
                        operands_init(&operands[0], &shape, &bench.rng);
                        operands_init_sharing(&operands[1], &sharing, &operands[0], &bench.rng);
                        flight_init(&flight);
                        flight_add(&flight, &operands[0], 0, 3);
                        flight_add(&flight, &operands[1], 0, 3);
                        ck_assert_uint_eq(flight.batch.n_stacks, 1);
                        flight_submit(&flight);
                        flight_await(&flight);
                        operands_check(&operands[0]);
                        operands_check(&operands[1]);
                        operands_deinit(&operands[1]);
                        operands_deinit(&operands[0]);
                }
        }
}
END_TEST

/* The same B as tile16 and as int32: two stacks, for their sums differ. */
START_TEST(test_tile16_stands_apart)
{
        struct operands_shape shape = shape_any(5, 40, 30, OUTPUT_TILE16_SHIFT7);
        struct operands operands[2];
        struct flight flight;

        operands_init(&operands[0], &shape, &bench.rng);
        shape.form = OUTPUT_INT32;
        operands_init_sharing(&operands[1], &shape, &operands[0], &bench.rng);
        if (bench.device->stacks_max >= 2) {
                flight_init(&flight);
                flight_add(&flight, &operands[0], 0, 5);
                flight_add(&flight, &operands[1], 0, 5);
                ck_assert_uint_eq(flight.batch.n_stacks, 2);
                flight_submit(&flight);
                flight_await(&flight);
        }
        operands_check(&operands[0]);
        operands_check(&operands[1]);
        operands_deinit(&operands[1]);
        operands_deinit(&operands[0]);
}
END_TEST

/* As many stacks as the device takes, and as many slices as a batch holds. */
START_TEST(test_full_batch)
{
        const size_t n_families = bench.device->stacks_max,
                     n_members = MIN(BATCH_SLICES_MAX / n_families, (size_t)24);
        struct family *families = calloc(n_families, sizeof *families);
        struct flight flight;

        ck_assert_ptr_nonnull(families);
        flight_init(&flight);
        flight.looks = true;
        for (size_t i = 0; i < n_families; i++) {
                family_init(&families[i], n_members, 1, 3, 20 + i, 30 + i);
                family_add(&families[i], &flight);
        }
        ck_assert(flight_is_full(&flight));
        flight_submit(&flight);
        flight_await(&flight);
        for (size_t i = 0; i < n_families; i++) {
                family_check(&families[i]);
                family_deinit(&families[i]);
        }
        free(families);
}
END_TEST

/* ---- let go ---- */

/* What has been reported is gone at once: sanitizers, or garbage in what comes later, show whoever still looks. */
static void let_go(struct flight *flight, size_t index)
{
        operands_check(flight->operands[index]);
        operands_deinit(flight->operands[index]);
}

START_TEST(test_slices_are_let_go)
{
        static const struct flight_ops ops = {.slice_done = let_go};

        for (int round = 0; round < 10; round++) {
                struct family family;
                struct flight flight;

                family_init(&family, MEMBERS_MAX, 1, 40, 100, 90);
                flight_init(&flight);
                flight.ops = &ops;
                family_add(&family, &flight);
                flight_submit(&flight);
                flight_await(&flight);
                operands_check(&family.owner);
                operands_deinit(&family.owner);
        }
}
END_TEST

/* The last one takes B with it. */
static void let_go_of_b(struct flight *flight, size_t index)
{
        let_go(flight, index);
        if (index + 1 == flight->batch.n_slices)
                operands_deinit(flight->operands[0] - 1); /* family::owner stands before its first member */
}

static_assert(offsetof(struct family, members) == sizeof(struct operands),
              "owner stands before the first member");

START_TEST(test_last_slice_takes_b)
{
        static const struct flight_ops ops = {.slice_done = let_go_of_b};

        for (int round = 0; round < 10; round++) {
                struct family family;
                struct flight flight;

                family_init(&family, 6, 1, 10, 100, 90);
                flight_init(&flight);
                flight.ops = &ops;
                family_add(&family, &flight);
                flight_submit(&flight);
                flight_await(&flight);
        }
}
END_TEST

/* ---- drop ---- */

/* Some at once, some from within reports of others: each is whole or untouched, and its neighbours are right. */
static void drop_another(struct flight *flight, size_t index)
{
        const size_t left = flight->batch.n_slices - index - 1;

        if (left > 0 && rng_once_in(&bench.rng, 3))
                flight_drop(flight, index + 1 + (size_t)rng_below(&bench.rng, left));
}

START_TEST(test_drop)
{
        static const struct flight_ops ops = {.slice_done = drop_another};
        const size_t n_families = MIN(bench.device->stacks_max, (size_t)3);
        size_t n_cancelled = 0, n_slices = 0;

        for (int round = 0; round < 40; round++) {
                struct family families[3];
                struct flight flight;

                flight_init(&flight);
                flight.looks = true;
                flight.ops = &ops;
                for (size_t i = 0; i < n_families; i++) {
                        family_init(&families[i], (size_t)rng_between(&bench.rng, 1, MEMBERS_MAX), 1, 20, 150,
                                    140);
                        family_add(&families[i], &flight);
                }
                flight_submit(&flight);
                for (size_t i = rng_below(&bench.rng, 2); i < flight.batch.n_slices; i++)
                        if (rng_once_in(&bench.rng, 3))
                                flight_drop(&flight, i);
                flight_await(&flight);
                n_cancelled += flight.n_cancelled;
                n_slices += flight.batch.n_slices;
                for (size_t i = 0; i < n_families; i++) {
                        family_check(&families[i]);
                        family_deinit(&families[i]);
                }
        }
        ck_assert_uint_lt(n_cancelled, n_slices / 2);
        if (bench.device->ops->drop &&
            !bench.device->health) /* an NPU leaves nothing out, but its CPU does */
                ck_assert_uint_gt(n_cancelled, 0);
}
END_TEST

/* Nothing is left of a batch, and it ends all the same. */
START_TEST(test_drop_everything)
{
        struct family family;
        struct flight flight;

        for (int round = 0; round < 20; round++) {
                family_init(&family, MEMBERS_MAX, 1, 20, 100, 90);
                flight_init(&flight);
                family_add(&family, &flight);
                flight_submit(&flight);
                for (size_t i = 0; i < flight.batch.n_slices; i++)
                        flight_drop(&flight, i);
                flight_await(&flight);
                family_check(&family);
                family_deinit(&family);
        }
}
END_TEST

/* ---- B that stays ---- */

static void run(struct operands *operands)
{
        struct flight flight;

        flight_init(&flight);
        flight_add(&flight, operands, 0, operands->product.m);
        flight_submit(&flight);
        flight_await(&flight);
        operands_check(operands);
}

/* A resident serves many batches. When it is replaced in place, the device hears of it, and has the new one. */
START_TEST(test_residents)
{
        for (uint64_t round = 0; round < 6; round++) {
                struct operands_shape shape = shape_any(20, 60 + round, 70, OUTPUT_INT32);
                struct operands first, again, sharing;
                struct resident resident;
                int8_t *b;

                shape.b_transposed = false;
                shape.gap_b = 0;
                operands_init(&first, &shape, &bench.rng);
                resident_init(&resident, first.product.b, shape.k, shape.n);
                first.product.resident = &resident;
                operands_init_sharing(&sharing, &shape, &first, &bench.rng);
                run(&first);
                run(&sharing);
                if (bench.device->ops->forget)
                        bench.device->ops->forget(bench.device, &resident);
                b = (int8_t *)(uintptr_t)first.product.b;
                for (size_t i = 0; i < shape.k * shape.n; i++)
                        b[i] = (int8_t)~b[i];
                operands_init_sharing(&again, &shape, &first, &bench.rng);
                run(&again);
                if (bench.device->ops->forget)
                        bench.device->ops->forget(bench.device, &resident);
                operands_deinit(&again);
                operands_deinit(&sharing);
                operands_deinit(&first);
        }
}
END_TEST

TCase *conformance_stacks(void)
{
        TCase *tcase = tcase_create("stacks");

        tcase_add_checked_fixture(tcase, bench_open, bench_close);
        tcase_add_loop_test(tcase, test_one_stack, 0, ARRAY_SIZE(stacks));
        tcase_add_test(tcase, test_alternating_slices);
        tcase_add_test(tcase, test_forms_in_one_stack);
        tcase_add_test(tcase, test_tile16_stands_apart);
        tcase_add_test(tcase, test_full_batch);
        tcase_add_test(tcase, test_slices_are_let_go);
        tcase_add_test(tcase, test_last_slice_takes_b);
        tcase_add_test(tcase, test_drop);
        tcase_add_test(tcase, test_drop_everything);
        tcase_add_test(tcase, test_residents);
        return tcase;
}
