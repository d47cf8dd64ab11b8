/* SPDX-License-Identifier: MIT */
/* conformance.c - see conformance.h. */
#include "tests/device/conformance.h"

#include <check.h>
#include <stdio.h>

#include "tests/device/bench.h"
#include "tests/device/conformance-stacks.h"

#define EXIT_SKIPPED 77

/* One batch of all rows, from beginning to end, judged. */
static void run_whole(const struct operands_shape *shape)
{
        struct operands operands;
        struct flight flight;

        operands_init(&operands, shape, &bench.rng);
        flight_init(&flight);
        flight_add(&flight, &operands, 0, shape->m);
        flight_submit(&flight);
        flight_await(&flight);
        operands_check(&operands);
        operands_deinit(&operands);
}

/* ---- products ---- */

/* M is granules * the device's granule + rows. */
static const struct {
        uint64_t granules;
        int64_t rows;
        uint64_t k, n;
} shapes[] = {
        {0, 1, 1, 1},      {0, 17, 33, 5},   {0, 4, 16, 256},   {0, 5, 17, 257},  {0, 3, 131071, 2},
        {0, 1, 512, 1000}, {1, 0, 64, 64},   {1, 1, 65, 63},    {1, -1, 15, 255}, {2, 1, 128, 31},
        {2, -1, 31, 513},  {3, 0, 100, 100}, {0, 1, 1, 2049},   {0, 131, 1, 1},   {0, 1, 4097, 1},
        {0, 2, 48, 512},   {0, 64, 64, 64},  {0, 33, 1000, 33},
};

START_TEST(test_shapes)
{
        const uint64_t granule = bench.device->granule_rows;
        const uint64_t m = shapes[_i].granules * granule + (uint64_t)shapes[_i].rows;

        if (m == 0) /* a granule of one row has none less */
                return;
        for (enum output_form form = 0; form < OUTPUT_MAX; form++) {
                struct operands_shape shape = shape_any(m, shapes[_i].k, shapes[_i].n, form);

                run_whole(&shape);
                shape.b_transposed = !shape.b_transposed;
                run_whole(&shape);
        }
}
END_TEST

START_TEST(test_adjacent_and_gaps)
{
        for (unsigned gaps = 0; gaps < 8; gaps++) {
                for (enum output_form form = 0; form < OUTPUT_MAX; form++) {
                        struct operands_shape shape = shape_any(9, 37, 41, form);

                        shape.gap_a = gaps & 1 ? 5 : 0;
                        shape.gap_b = gaps & 2 ? 3 : 0;
                        shape.gap_c = gaps & 4 ? 7 : 0;
                        run_whole(&shape);
                }
        }
}
END_TEST

/* The largest sum there is: an int32 that a wrong bias or a signed 16-bit step would break. */
START_TEST(test_largest_sum)
{
        for (int b_transposed = 0; b_transposed < 2; b_transposed++) {
                const struct operands_shape shape = {.m = 2,
                                                     .k = MESSAGE_K_MAX,
                                                     .n = 3,
                                                     .b_transposed = b_transposed,
                                                     .fill = FILL_LOWEST};
                struct operands operands;
                struct flight flight;

                operands_init(&operands, &shape, &bench.rng);
                flight_init(&flight);
                flight_add(&flight, &operands, 0, shape.m);
                flight_submit(&flight);
                flight_await(&flight);
                for (size_t i = 0; i < shape.m * shape.n; i++)
                        ck_assert_int_eq(((const int32_t *)operands.product.c)[i], 2147467264);
                operands_check(&operands);
                operands_deinit(&operands);
        }
}
END_TEST

START_TEST(test_all_lowest)
{
        for (enum output_form form = 0; form < OUTPUT_MAX; form++) {
                struct operands_shape shape = shape_any(7, 300, 20, form);

                shape.fill = FILL_LOWEST;
                run_whole(&shape);
                shape.b_transposed = !shape.b_transposed;
                run_whole(&shape);
        }
}
END_TEST

/* _i: the shift. */
START_TEST(test_int8)
{
        for (enum rounding rounding = 0; rounding < ROUNDING_MAX; rounding++) {
                struct operands_shape shape = shape_any(5, 2000, 70, OUTPUT_INT8);

                shape.shift = (uint32_t)_i;
                shape.rounding = rounding;
                shape.fill = FILL_EXTREMES;
                run_whole(&shape);
                shape.k = 3; /* small sums: where ties are frequent */
                shape.fill = FILL_RANDOM;
                run_whole(&shape);
        }
}
END_TEST

/* _i: which vectors are there. */
START_TEST(test_float32)
{
        struct operands_shape shape = shape_any(13, 50, 77, OUTPUT_FLOAT32);

        shape.row_scale = _i & 1;
        shape.col_scale = _i & 2;
        shape.bias = _i & 4;
        run_whole(&shape);
}
END_TEST

/* Each remainder of K by the depth of the tiles. */
START_TEST(test_tile16)
{
        for (uint64_t k = 1; k <= 49; k++) {
                struct operands_shape shape = shape_any(6, k, 19, OUTPUT_TILE16_SHIFT7);

                run_whole(&shape);
        }
}
END_TEST

/* ---- slices ---- */

/* Cuts m rows into at most `n_max` slices in any order; returns how many. */
static size_t partition(uint64_t m, struct slice *slices, size_t n_max)
{
        size_t n = 0;

        for (uint64_t row = 0; row < m;) {
                const uint64_t rows = n + 1 == n_max ? m - row : rng_between(&bench.rng, 1, MIN(m - row, 9));
                const size_t at = (size_t)rng_below(&bench.rng, n + 1);

                slices[n++] = slices[at]; /* the new one goes anywhere, what stood there to the end */
                slices[at] = (struct slice){.first_row = row, .rows = rows};
                row += rows;
        }
        return n;
}

/* However the rows are cut and ordered, and whichever batch they are in: the same bits. */
START_TEST(test_any_partition)
{
        for (int round = 0; round < 24; round++) {
                const struct operands_shape shape =
                        shape_any(rng_between(&bench.rng, 1, 120), 40, 21, form_any());
                struct slice slices[40] = {{0}};
                const size_t n = partition(shape.m, slices, ARRAY_SIZE(slices));
                struct operands operands;

                operands_init(&operands, &shape, &bench.rng);
                for (size_t i = 0; i < n;) {
                        const size_t end = i + (size_t)rng_between(&bench.rng, 1, n - i);
                        struct flight flight;

                        flight_init(&flight);
                        for (; i < end; i++)
                                flight_add(&flight, &operands, slices[i].first_row, slices[i].rows);
                        flight_submit(&flight);
                        flight_await(&flight);
                        operands_check(&operands); /* rows of later batches are still untouched */
                }
                operands_deinit(&operands);
        }
}
END_TEST

/* A single row anywhere leaves its neighbours alone. */
START_TEST(test_other_rows_untouched)
{
        for (enum output_form form = 0; form < OUTPUT_MAX; form++) {
                for (uint64_t row = 0; row < 6; row++) {
                        const struct operands_shape shape = shape_any(6, 20, 9, form);
                        struct operands operands;
                        struct flight flight;

                        operands_init(&operands, &shape, &bench.rng);
                        flight_init(&flight);
                        flight_add(&flight, &operands, row, 1);
                        flight_submit(&flight);
                        flight_await(&flight);
                        operands_check(&operands);
                        operands_deinit(&operands);
                }
        }
}
END_TEST

/* ---- batches ---- */

#define CHAIN 24
static struct {
        struct flight flights[CHAIN];
        struct operands operands[CHAIN];
        size_t n_submitted;
} chain;

static void chain_on(struct flight *flight)
{
        (void)flight;
        while (chain.n_submitted < CHAIN && bench.device->free_slots > 0)
                flight_submit(&chain.flights[chain.n_submitted++]);
}

/* As the pipeline does it: the next batch goes in from within batch_done, and every slot is always taken. */
START_TEST(test_back_to_back)
{
        static const struct flight_ops ops = {.batch_done = chain_on};

        chain.n_submitted = 0;
        for (size_t i = 0; i < CHAIN; i++) {
                const struct operands_shape shape =
                        shape_any(rng_between(&bench.rng, 1, 40), 30, 30, form_any());
                const uint64_t cut = rng_below(&bench.rng, shape.m);

                operands_init(&chain.operands[i], &shape, &bench.rng);
                flight_init(&chain.flights[i]);
                chain.flights[i].ops = &ops;
                if (cut > 0)
                        flight_add(&chain.flights[i], &chain.operands[i], 0, cut);
                flight_add(&chain.flights[i], &chain.operands[i], cut, shape.m - cut);
        }
        chain_on(NULL);
        ck_assert_uint_lt(chain.n_submitted, CHAIN); /* else nothing is shown */
        for (size_t i = 0; i < CHAIN; i++) {
                while (chain.n_submitted <= i || chain.flights[i].is_inside)
                        bench_turn();
                operands_check(&chain.operands[i]);
                operands_deinit(&chain.operands[i]);
        }
}
END_TEST

/* ---- opening and closing ---- */

START_TEST(test_describes_itself)
{
        const struct device *device = bench.device;

        ck_assert_str_eq(device->ops->name, bench.name);
        ck_assert_ptr_nonnull(device->description);
        ck_assert_str_ne(device->description, "");
        ck_assert_uint_ge(device->free_slots, 1);
        ck_assert_uint_ge(device->padding.rows, 1);
        ck_assert_uint_ge(device->padding.depth, 1);
        ck_assert_uint_ge(device->padding.cols, 1);
        ck_assert_uint_ge(device->granule_rows, 1);
        ck_assert_uint_eq(device->granule_rows % device->padding.rows, 0); /* else it would waste something */
        ck_assert_uint_ge(device->stacks_max, 1);
        ck_assert_uint_le(device->stacks_max, BATCH_STACKS_MAX);
        ck_assert_double_gt(device->time_scale, 0);
        ck_assert_double_ge(device->seed_fixed_ns, 0);
        ck_assert_double_gt(device->seed_ns_per_mac, 0);
}
END_TEST

START_TEST(test_close_unused)
{
        bench_device_close(); /* and teardown sees that closed was called, once */
}
END_TEST

START_TEST(test_open_again_and_again)
{
        const struct operands_shape shape = shape_any(4, 10, 10, OUTPUT_INT32);
        const char *reason;

        for (int i = 0; i < 5; i++) {
                run_whole(&shape);
                bench_device_close();
                while (!bench.is_closed)
                        (void)uv_run(&bench.loop, UV_RUN_ONCE);
                ck_assert_int_eq(bench_try_open(&reason), 0);
        }
}
END_TEST

static void then_close(struct flight *flight)
{
        (void)flight;
        bench_device_close();
}

/* The last job's end may be what the daemon was waiting for to stop. */
START_TEST(test_close_from_within_batch_done)
{
        static const struct flight_ops ops = {.batch_done = then_close};
        const struct operands_shape shape = shape_any(4, 10, 10, OUTPUT_INT32);
        struct operands operands;
        struct flight flight;

        operands_init(&operands, &shape, &bench.rng);
        flight_init(&flight);
        flight.ops = &ops;
        flight_add(&flight, &operands, 0, shape.m);
        flight_submit(&flight);
        flight_await(&flight);
        ck_assert_ptr_null(bench.device);
        operands_check(&operands);
        operands_deinit(&operands);
}
END_TEST

/* ---- the suite ---- */

static TCase *tests(void)
{
        TCase *tcase = tcase_create("device");

        tcase_add_checked_fixture(tcase, bench_open, bench_close);
        tcase_add_test(tcase, test_describes_itself);
        tcase_add_loop_test(tcase, test_shapes, 0, ARRAY_SIZE(shapes));
        tcase_add_test(tcase, test_adjacent_and_gaps);
        tcase_add_test(tcase, test_largest_sum);
        tcase_add_test(tcase, test_all_lowest);
        tcase_add_loop_test(tcase, test_int8, 0, MESSAGE_SHIFT_MAX + 1);
        tcase_add_loop_test(tcase, test_float32, 0, 8);
        tcase_add_test(tcase, test_tile16);
        tcase_add_test(tcase, test_any_partition);
        tcase_add_test(tcase, test_other_rows_untouched);
        tcase_add_test(tcase, test_back_to_back);
        tcase_add_test(tcase, test_close_unused);
        tcase_add_test(tcase, test_open_again_and_again);
        tcase_add_test(tcase, test_close_from_within_batch_done);
        return tcase;
}

static void on_look_closed(void *userdata)
{
        (void)userdata;
}

/* 0: it is here. No test runs yet, so nothing of Check's may be used. */
static int look_for_device(void)
{
        const char *reason;
        int r;

        r = uv_loop_init(&bench.loop);
        assert(r == 0);
        r = timer_open(&bench.timer, &bench.loop);
        assert(r == 0);
        r = bench_try_open(&reason);
        if (r == 0)
                bench.device->ops->close(bench.device, on_look_closed, NULL);
        (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
        timer_close(&bench.timer);
        (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&bench.loop);
        if (r == DEVICE_E_ABSENT) {
                (void)printf("skipped: device %s: %s\n", bench.name, reason ? reason : "absent");
                return EXIT_SKIPPED;
        }
        if (r != 0)
                (void)fprintf(stderr, "device %s does not open: %d\n", bench.name, r);
        return r == 0 ? 0 : EXIT_FAILURE;
}

int device_conformance(const char *name)
{
        SRunner *runner;
        Suite *suite;
        int r;

        bench.name = name;
        r = look_for_device();
        if (r != 0)
                return r;
        rng_start(&bench.rng, name);
        suite = suite_create(name);
        suite_add_tcase(suite, tests());
        suite_add_tcase(suite, conformance_stacks());
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        r = srunner_ntests_failed(runner);
        srunner_free(runner);
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
