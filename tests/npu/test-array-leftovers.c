/* SPDX-License-Identifier: MIT */
/* test-array-leftovers.c - what a command leaves in the model of the array to the next, and what a core takes. */
#include "tests/npu/array-desk.h"
#include "tests/unit/suite.h"

/* ---- what one command leaves to the next ---- */

/* One A object too many in row 1. The command completes; the next one's rows 64 to 127 are of the wrong tiles. */
START_TEST(test_surplus_object)
{
        world_begin(&(struct size){1, 1, 2}, 1, ARRAY_NUMBERS, (enum array_schedule)_i);
        put_all(FLOW_NONE);
        begin(FLOW_NONE);
        put_c();
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                put_a(&world.products[0], j);
                put_b(&world.products[0], j, 0);
        }
        put_task(&world.stream, 1, ARRAY_MM2S0, 0, 3 * A_OBJECT, A_OBJECT, 1);
        put_waits(&world.stream);
        expect(ARRAY_COMPLETED, "");
        ck_assert(is_right());
        ck_assert(!world.result.is_clean);

        put_all(FLOW_NONE);
        expect(ARRAY_COMPLETED, "");
        ck_assert(!is_right());
        ck_assert(!world.result.is_clean);

        array_reset(world.array);
        expect_completed();
        ck_assert(is_right());
        world_end();
}
END_TEST

/* 100 bytes too many: the next object begins with them, and is short of them when its task has ended. */
START_TEST(test_surplus_bytes)
{
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, (enum array_schedule)_i);
        begin(FLOW_NONE);
        put_c();
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                put_a(&world.products[0], j);
                put_b(&world.products[0], j, 0);
        }
        put_task(&world.stream, 2, ARRAY_MM2S1, 1, 0, 100, 1);
        put_control(&world.stream, 2, ARRAY_MM2S1);
        put_push(&world.stream, 2, ARRAY_MM2S1, 6, 1, true);
        put_waits(&world.stream);
        put_wait(&world.stream, 2, ARRAY_MM2S1);
        expect(ARRAY_COMPLETED, "");
        ck_assert(is_tagged());
        ck_assert(!world.result.is_clean);

        put_all(FLOW_NONE);
        clear_c();
        expect(ARRAY_COMPLETED, "");
        ck_assert(!is_tagged());
        ck_assert(!world.result.is_clean);

        array_reset(world.array);
        expect_completed();
        ck_assert(is_tagged());
        world_end();
}
END_TEST

/* 4 bytes too few: the object never becomes whole, and its tile of C never comes. */
START_TEST(test_missing_bytes)
{
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, (enum array_schedule)_i);
        begin(FLOW_NONE);
        put_c();
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                put_a(&world.products[0], j);
                if (j != 1)
                        put_b(&world.products[0], j, 0);
        }
        put_task(&world.stream, 1, ARRAY_MM2S1, 1, B_OBJECT, B_OBJECT - 4, 1);
        put_waits(&world.stream);
        expect(ARRAY_NO_PROGRESS, "B1 gives nothing (4092 bytes of a next object): no task");
        ck_assert_ptr_nonnull(
                strstr(world.result.text, "C1 gets nothing (65536 bytes are to come): 1 task runs"));
        world_end();
}
END_TEST

static void put_token_task(void)
{
        begin(FLOW_NONE);
        put_task(&world.stream, 0, ARRAY_MM2S1, 1, 0, 8, 2);
        put_push(&world.stream, 0, ARRAY_MM2S1, 5, 1, true);
}

/* A token is of its channel, stays until somebody waits for it, and is there once. */
START_TEST(test_tokens)
{
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_EAGER);
        put_token_task(); /* without the control register there is none */
        put_wait(&world.stream, 0, ARRAY_MM2S1);
        expect(ARRAY_NO_PROGRESS, "a token of column 0 MM2S1");

        array_reset(world.array);
        begin(FLOW_NONE);
        put_control(&world.stream, 0, ARRAY_MM2S1);
        expect(ARRAY_COMPLETED, "");
        ck_assert(world.result.is_clean);
        put_token_task(); /* written by the command before */
        expect(ARRAY_COMPLETED, "");
        ck_assert_uint_eq(world.result.stats.bytes[0][ARRAY_MM2S1], 24);

        begin(FLOW_NONE);
        put_wait(&world.stream, 0, ARRAY_MM2S1);
        expect(ARRAY_COMPLETED, "");
        expect(ARRAY_NO_PROGRESS, "a token of column 0 MM2S1");
        begin(FLOW_NONE);
        put_wait(&world.stream, 0, ARRAY_MM2S0);
        expect(ARRAY_NO_PROGRESS, "a token of column 0 MM2S0");
        world_end();
}
END_TEST

START_TEST(test_left_tokens_are_not_clean)
{
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_EAGER);
        put_all(FLOW_NONE);
        world.stream.words[2]--;
        world.stream.words[3] -= 16;
        world.stream.n_words -= 4; /* the wait for column 3 */
        expect(ARRAY_COMPLETED, "");
        ck_assert(is_tagged());
        ck_assert(!world.result.is_clean);
        begin(FLOW_NONE);
        put_wait(&world.stream, 3, ARRAY_S2MM0);
        expect(ARRAY_COMPLETED, "");
        ck_assert(world.result.is_clean);
        world_end();
}
END_TEST

/* Each alone is something left: a task that waits for what comes, steps of a macro-tile, a tile that nobody fetches. */
START_TEST(test_what_is_not_clean)
{
        world_begin(&(struct size){1, 1, 2}, 1, ARRAY_TAGS, ARRAY_EAGER);
        for (uint32_t i = 0; i < 4; i++) {
                array_reset(world.array);
                begin(FLOW_NONE);
                if (i == 1)
                        put_c_task(&world.stream, 0, 0, C_OBJECT);
                for (uint32_t j = 0; j < ARRAY_COLUMNS && i >= 2; j++) {
                        put_task(&world.stream, j, ARRAY_MM2S0, 0, j * 2 * A_OBJECT, (i - 1) * A_OBJECT, 1);
                        put_task(&world.stream, j, ARRAY_MM2S1, 1, j * 2 * B_OBJECT, (i - 1) * B_OBJECT, 1);
                }
                expect(ARRAY_COMPLETED, "");
                ck_assert_uint_eq(world.result.stats.steps, i >= 2 ? 16 * (i - 1) : 0);
                ck_assert(world.result.is_clean == (i == 0));
        }
        world_end();
}
END_TEST

/* A stream that does not wait for C has completed when C has not: the lazy array shows it. */
START_TEST(test_completed_without_waiting)
{
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_LAZY);
        put_all(FLOW_NONE);
        world.stream.words[2] -= 4;
        world.stream.words[3] -= 64;
        world.stream.n_words -= 16;
        expect(ARRAY_COMPLETED, "");
        ck_assert_uint_eq(world.result.stats.c_tiles, 0);
        ck_assert(!world.result.is_clean);
        world_end();
}
END_TEST

/* A task that is left over meets the next run's buffers, which are smaller. */
START_TEST(test_leftover_task_in_other_buffers)
{
        struct array_buffer buffers[ARRAY_ARGUMENTS];

        world_begin(&(struct size){1, 1, 30}, 1, ARRAY_TAGS, ARRAY_EAGER);
        begin(FLOW_NONE);
        put_c();
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++)
                put_a(&world.products[0], j);
        expect(ARRAY_COMPLETED, "");
        memcpy(buffers, world.buffers, sizeof buffers);
        world.buffers[0] = (struct array_buffer){.bytes = NULL, .size = 0};
        begin(FLOW_NONE);
        put_b(&world.products[0], 0, 0);
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++)
                put_b(&world.products[0], j, 0);
        expect(ARRAY_BAD_STREAM, "of argument 0, a buffer of 0 bytes");
        memcpy(world.buffers, buffers, sizeof buffers);
        world_end();
}
END_TEST

/* ---- cores ---- */

START_TEST(test_trip_counts)
{
        static const uint32_t counts[] = {0, 2049, UINT32_MAX, 0x80000001};

        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_RANDOM);
        put_all(FLOW_NONE);
        for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
                char text[64];

                array_reset(world.array);
                put_le(a_object(&world.products[0], 2, 0, 0), counts[i], 4);
                (void)snprintf(text, sizeof text, "would run %u steps: word 0 of object 0 of A2", counts[i]);
                ck_assert_int_eq(run(), ARRAY_CORE_FAULT);
                ck_assert_ptr_nonnull(strstr(world.result.text, "core (2, "));
                expect(ARRAY_CORE_FAULT, text);
                expect(ARRAY_CORE_FAULT, text); /* still there */
        }
        array_reset(world.array);
        put_le(a_object(&world.products[0], 2, 0, 0), 2048, 4); /* as good as any, and never gets them */
        expect(ARRAY_NO_PROGRESS, "A2 gives nothing");
        world_end();
}
END_TEST

/* Only a macro-tile's first header is read. */
START_TEST(test_later_headers_are_not_read)
{
        world_begin(&(struct size){1, 1, 3}, 1, ARRAY_NUMBERS, ARRAY_EAGER);
        put_all(FLOW_NONE);
        put_le(a_object(&world.products[0], 2, 0, 1), 77, 4);
        put_le(a_object(&world.products[0], 2, 0, 2), 0, 4);
        expect_completed();
        ck_assert(is_right());
        world_end();
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("array-leftovers");
        TCase *tcase = tcase_create("array-leftovers");

        rng_start(&rng, "array-leftovers");
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, test_surplus_object, 0, 3);
        tcase_add_loop_test(tcase, test_surplus_bytes, 0, 3);
        tcase_add_loop_test(tcase, test_missing_bytes, 0, 3);
        tcase_add_test(tcase, test_tokens);
        tcase_add_test(tcase, test_left_tokens_are_not_clean);
        tcase_add_test(tcase, test_what_is_not_clean);
        tcase_add_test(tcase, test_completed_without_waiting);
        tcase_add_test(tcase, test_leftover_task_in_other_buffers);
        tcase_add_test(tcase, test_trip_counts);
        tcase_add_test(tcase, test_later_headers_are_not_read);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
