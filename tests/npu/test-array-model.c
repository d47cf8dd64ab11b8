/* SPDX-License-Identifier: MIT */
/* test-array-model.c - the model of the array: products, FIFOs, queues. */
#include "tests/npu/array-desk.h"
#include "tests/unit/suite.h"

/* ---- what is right ---- */

static const struct {
        const char *what;
        size_t n;
        struct size sizes[PRODUCTS_MAX];
} batches[] = {
        {"one macro-tile, one step", 1, {{1, 1, 1}}},
        {"one macro-tile, three steps", 1, {{1, 1, 3}}},
        {"two jobs", 2, {{1, 1, 3}, {1, 1, 1}}},
        {"repeats", 1, {{2, 2, 2}}},
        {"longer than all FIFOs", 2, {{1, 1, 11}, {3, 1, 2}}},
        {"more tasks than a queue takes", 2, {{2, 6, 1}, {1, 3, 2}}},
};

START_TEST(test_numbers)
{
        static const enum flow flows[] = {FLOW_POLL, FLOW_TOKEN};

        world_begin(batches[_i].sizes, batches[_i].n, ARRAY_NUMBERS, ARRAY_EAGER);
        for (size_t i = 0; i < 6; i++) {
                array_set_schedule(world.array, (enum array_schedule)(i % 3), rng_next(&rng));
                put_all(flows[i / 3]);
                clear_c();
                expect_completed();
                ck_assert_msg(is_right(), "%s: wrong", batches[_i].what);
        }
        world_end();
}
END_TEST

START_TEST(test_tags)
{
        static const enum flow flows[] = {FLOW_POLL, FLOW_TOKEN};

        world_begin(batches[_i].sizes, batches[_i].n, ARRAY_TAGS, ARRAY_EAGER);
        for (size_t i = 0; i < 40; i++) {
                array_set_schedule(world.array,
                                   i < 2   ? ARRAY_EAGER
                                   : i < 4 ? ARRAY_LAZY
                                           : ARRAY_RANDOM,
                                   rng_next(&rng));
                put_all(flows[i % 2]);
                clear_c();
                expect_completed();
                ck_assert_msg(is_tagged(), "%s: wrong", batches[_i].what);
        }
        world_end();
}
END_TEST

START_TEST(test_tag_mix)
{
        ck_assert_uint_eq(array_tag_mix(1, 2, 3), mix(1, 2, 3));
        ck_assert_uint_ne(array_tag_mix(0, 0, 0), 0); /* zero tags count as steps */
        ck_assert_uint_ne(array_tag_mix(0, 1, 2), array_tag_mix(0, 2, 1));
        ck_assert_uint_ne(array_tag_mix(array_tag_mix(0, 1, 2), 3, 4),
                          array_tag_mix(array_tag_mix(0, 3, 4), 1, 2));
}
END_TEST

START_TEST(test_stats)
{
        const struct array_stats *stats = &world.result.stats;

        world_begin(&(struct size){2, 6, 1}, 1, ARRAY_TAGS, ARRAY_LAZY);
        put_all(FLOW_POLL);
        expect_completed();
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                ck_assert_uint_eq(stats->tasks[j][ARRAY_S2MM0], 1);
                ck_assert_uint_eq(stats->tasks[j][ARRAY_S2MM1], 0);
                ck_assert_uint_eq(stats->tasks[j][ARRAY_MM2S0], 1);
                ck_assert_uint_eq(stats->tasks[j][ARRAY_MM2S1], 6);
                ck_assert_uint_eq(stats->bytes[j][ARRAY_S2MM0], 12 * C_OBJECT);
                ck_assert_uint_eq(stats->bytes[j][ARRAY_MM2S0], 12 * A_OBJECT);
                ck_assert_uint_eq(stats->bytes[j][ARRAY_MM2S1], 12 * B_OBJECT);
        }
        world_end();
}
END_TEST

/* An object that several tasks bring, cut where it hurts: in the header, in the tag. */
START_TEST(test_objects_in_pieces)
{
        static const uint32_t cuts[] = {0, 4, 68, 4156, 4164, 8320 + 72, 3 * 4160};

        world_begin(&(struct size){1, 1, 3}, 1, _i ? ARRAY_TAGS : ARRAY_NUMBERS, ARRAY_RANDOM);
        begin(FLOW_POLL);
        put_c();
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++)
                if (j != 2)
                        put_a(&world.products[0], j);
        for (size_t i = 0; i + 1 < ARRAY_SIZE(cuts); i++) {
                if (i == 4) /* whose poll takes cores that move */
                        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++)
                                put_b(&world.products[0], j, 0);
                put_task(&world.stream, 2, ARRAY_MM2S0, 0, 2 * 3 * A_OBJECT + cuts[i], cuts[i + 1] - cuts[i],
                         1);
        }
        put_waits(&world.stream);
        expect_completed();
        ck_assert(_i ? is_tagged() : is_right());
        world_end();
}
END_TEST

/* A C object that several tasks take away, across the borders of its tiles. */
START_TEST(test_c_in_pieces)
{
        static const uint32_t cuts[] = {0, 4, C_TILE + 4, 3 * C_TILE - 4, C_OBJECT};

        world_begin(&(struct size){1, 1, 1}, 1, _i ? ARRAY_TAGS : ARRAY_NUMBERS, ARRAY_RANDOM);
        begin(FLOW_NONE);
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                put_a(&world.products[0], j);
                put_b(&world.products[0], j, 0);
                if (j != 2)
                        put_c_task(&world.stream, j, j * C_OBJECT, C_OBJECT);
        }
        for (size_t i = 0; i + 1 < ARRAY_SIZE(cuts); i++) {
                put_c_task(&world.stream, 2, 2 * C_OBJECT + cuts[i], cuts[i + 1] - cuts[i]);
                if (i + 2 < ARRAY_SIZE(cuts)) /* the next one uses the same descriptor */
                        put_wait(&world.stream, 2, ARRAY_S2MM0);
        }
        put_waits(&world.stream);
        expect_completed();
        ck_assert(_i ? is_tagged() : is_right());
        world_end();
}
END_TEST

/* ---- finite FIFOs ---- */

/* Without tasks of C each core makes two tiles for itself and two for the memory tile, and holds up everything. */
START_TEST(test_c_holds_cores)
{
        world_begin(&(struct size){1, 12, 1}, 1, ARRAY_TAGS, ARRAY_LAZY);
        begin(FLOW_NONE);
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                put_a(&world.products[0], j);
                put_task(&world.stream, j, ARRAY_MM2S1, 1, j * 12 * B_OBJECT, 12 * B_OBJECT, 1);
        }
        put_waits(&world.stream);
        expect(ARRAY_NO_PROGRESS, "column 0 S2MM0; C0 has nowhere to go");
        ck_assert_ptr_nonnull(strstr(world.result.text, "A0 is full"));
        ck_assert_ptr_nonnull(
                strstr(world.result.text, "C3 has nowhere to go (131072 bytes are ready): no task"));
        ck_assert_uint_eq(world.result.word, world.stream.n_words - 16);
        ck_assert_uint_eq(world.result.stats.steps, 16 * 4);
        ck_assert_uint_eq(world.result.stats.bytes[1][ARRAY_MM2S0], (4 + 2 + 2) * A_OBJECT);
        ck_assert_uint_eq(world.result.stats.bytes[2][ARRAY_MM2S1], (4 + 2 + 2) * B_OBJECT);
        ck_assert(!world.result.is_clean);

        /* The next command brings them, on the same array. */
        begin(FLOW_NONE);
        put_c();
        put_waits(&world.stream);
        expect(ARRAY_COMPLETED, "");
        ck_assert(world.result.is_clean);
        ck_assert(is_tagged());
        world_end();
}
END_TEST

/* Column 3 has no B: A goes to all four columns or to none, so the others stop after the two of column 3's FIFOs. */
START_TEST(test_broadcast_waits_for_the_slowest)
{
        world_begin(&(struct size){1, 1, 9}, 1, ARRAY_TAGS, (enum array_schedule)_i);
        begin(FLOW_NONE);
        put_c();
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                put_a(&world.products[0], j);
                if (j != 3)
                        put_b(&world.products[0], j, 0);
        }
        put_waits(&world.stream);
        expect(ARRAY_NO_PROGRESS, "waits for ever for a token of column 0 S2MM0");
        ck_assert_ptr_nonnull(
                strstr(world.result.text, "B3 gives nothing (0 bytes of a next object): no task"));
        ck_assert_ptr_nonnull(strstr(world.result.text, "A0 is full"));
        ck_assert_ptr_null(strstr(world.result.text, "B2 gives"));
        ck_assert_uint_eq(world.result.stats.steps, 12 * 2);
        ck_assert_uint_eq(world.result.stats.bytes[0][ARRAY_MM2S0], 4 * A_OBJECT);
        ck_assert_uint_eq(world.result.stats.bytes[3][ARRAY_MM2S0], 4 * A_OBJECT);
        ck_assert_uint_eq(world.result.stats.bytes[0][ARRAY_MM2S1], 6 * B_OBJECT);
        world_end();
}
END_TEST

/* Room is bytes: a part of an object takes what it takes, and no more. */
START_TEST(test_room_is_bytes)
{
        static const uint32_t firsts[] = {4, 2000, A_OBJECT - 4, A_OBJECT + 4};

        world_begin(&(struct size){1, 1, 9}, 1, ARRAY_TAGS, (enum array_schedule)_i);
        for (size_t i = 0; i < ARRAY_SIZE(firsts); i++) {
                array_reset(world.array);
                begin(FLOW_NONE);
                put_task(&world.stream, 0, ARRAY_MM2S0, 0, 0, firsts[i], 1);
                put_task(&world.stream, 0, ARRAY_MM2S0, 0, firsts[i], 9 * A_OBJECT - firsts[i], 1);
                put_wait(&world.stream, 0, ARRAY_S2MM0);
                expect(ARRAY_NO_PROGRESS, "A0 is full (0 bytes of a next object): 1 task runs, 0 wait");
                ck_assert_uint_eq(world.result.stats.bytes[0][ARRAY_MM2S0], 4 * A_OBJECT);
        }
        world_end();
}
END_TEST

/* ---- queues ---- */

/* A_0 in six tasks of five objects. Nothing moves before B is there: one runs and four wait, or four wait. */
static void put_a_in_six(enum flow flow, bool b_first)
{
        begin(flow);
        put_c();
        for (uint32_t j = 0; j < ARRAY_COLUMNS && b_first; j++)
                put_b(&world.products[0], j, 0);
        for (uint32_t j = 1; j < ARRAY_COLUMNS; j++)
                put_a(&world.products[0], j);
        for (uint32_t i = 0; i < 6; i++)
                put_task(&world.stream, 0, ARRAY_MM2S0, 0, i * 5 * A_OBJECT, 5 * A_OBJECT, 1);
        for (uint32_t j = 0; j < ARRAY_COLUMNS && !b_first; j++)
                put_b(&world.products[0], j, 0);
        put_waits(&world.stream);
}

START_TEST(test_full_queue_drops)
{
        static const struct {
                enum array_schedule schedule;
                uint64_t dropped;
        } cases[] = {{ARRAY_EAGER, 1}, {ARRAY_LAZY, 2}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                world_begin(&(struct size){1, 1, 30}, 1, ARRAY_TAGS, cases[i].schedule);
                put_a_in_six(FLOW_NONE, false);
                expect(ARRAY_NO_PROGRESS, "A0 gives nothing (0 bytes of a next object): no task");
                ck_assert_ptr_nonnull(strstr(world.result.text, "B0 is full"));
                ck_assert_uint_eq(world.result.stats.pushes_dropped, cases[i].dropped);
                ck_assert_uint_eq(world.result.stats.tasks[0][ARRAY_MM2S0], 6 - cases[i].dropped);
                ck_assert(!world.result.is_clean);
                world_end();
        }
}
END_TEST

START_TEST(test_flow_does_not_drop)
{
        static const enum flow flows[] = {FLOW_POLL, FLOW_TOKEN};

        for (size_t i = 0; i < 12; i++) {
                world_begin(&(struct size){1, 1, 30}, 1, ARRAY_TAGS, (enum array_schedule)(i / 2 % 3));
                put_a_in_six(flows[i % 2], true);
                expect_completed();
                ck_assert(is_tagged());
                world_end();
        }
}
END_TEST

/* The same with the waits before the pushes that they need. */
START_TEST(test_wait_before_a_needed_push)
{
        static const struct {
                enum flow flow;
                const char *text;
        } cases[] = {{FLOW_POLL, "the polled status of column 0 MM2S0"},
                     {FLOW_TOKEN, "a token of column 0 MM2S0"}};

        for (size_t i = 0; i < 6; i++) {
                world_begin(&(struct size){1, 1, 30}, 1, ARRAY_TAGS, (enum array_schedule)(i / 2));
                put_a_in_six(cases[i % 2].flow, false);
                expect(ARRAY_NO_PROGRESS, cases[i % 2].text);
                ck_assert_ptr_nonnull(strstr(world.result.text, "A0 is full"));
                ck_assert_ptr_nonnull(strstr(world.result.text, "B0 gives nothing"));
                ck_assert_ptr_nonnull(strstr(world.result.text, "B3 gives nothing"));
                world_end();
        }
}
END_TEST

/* A task in the queue is a descriptor's number: written anew too early, the second one's bytes go twice. */
START_TEST(test_descriptor_written_while_queued)
{
        static const enum array_schedule schedules[] = {ARRAY_EAGER, ARRAY_LAZY};

        for (size_t i = 0; i < ARRAY_SIZE(schedules); i++) {
                world_begin(&(struct size){1, 1, 2}, 1, ARRAY_NUMBERS, schedules[i]);
                begin(FLOW_NONE);
                put_c();
                for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                        put_b(&world.products[0], j, 0);
                        if (j != 1)
                                put_a(&world.products[0], j);
                }
                for (uint32_t k = 0; k < 2; k++) {
                        put_descriptor(&world.stream, 1, 0, A_OBJECT);
                        put_patch(&world.stream, 1, 0, 0, (2 + k) * A_OBJECT);
                        put_push(&world.stream, 1, ARRAY_MM2S0, 0, 1, false);
                }
                put_waits(&world.stream);
                expect_completed();
                ck_assert(is_right() == (schedules[i] == ARRAY_EAGER));
                world_end();
        }
}
END_TEST

/* Written anew and not yet patched: whoever starts it then finds no address. */
START_TEST(test_descriptor_torn_while_queued)
{
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_LAZY);
        begin(FLOW_NONE);
        put_a(&world.products[0], 0);
        put_descriptor(&world.stream, 0, 0, A_OBJECT);
        put_wait(&world.stream, 0, ARRAY_S2MM0);
        expect(ARRAY_BAD_STREAM, "column 0 MM2S0: descriptor 0 has no address");
        ck_assert_uint_eq(world.result.word, world.stream.n_words - 4);
        world_end();
}
END_TEST

/* A channel that no lane is at, in either direction. */
START_TEST(test_channel_to_nowhere)
{
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_EAGER);
        begin(FLOW_NONE);
        put_descriptor(&world.stream, 2, 11, 64);
        put_patch(&world.stream, 2, 11, 2, 0);
        put_control(&world.stream, 2, ARRAY_S2MM1);
        put_push(&world.stream, 2, ARRAY_S2MM1, 11, 1, true);
        put_wait(&world.stream, 2, ARRAY_S2MM1);
        expect(ARRAY_NO_PROGRESS,
               "a token of column 2 S2MM1; column 2 S2MM1 leads nowhere: 1 task runs, 0 wait");
        world_end();
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("array-model");
        TCase *tcase = tcase_create("array-model");

        rng_start(&rng, "array-model");
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, test_numbers, 0, ARRAY_SIZE(batches));
        tcase_add_loop_test(tcase, test_tags, 0, ARRAY_SIZE(batches));
        tcase_add_test(tcase, test_tag_mix);
        tcase_add_test(tcase, test_stats);
        tcase_add_loop_test(tcase, test_objects_in_pieces, 0, 2);
        tcase_add_loop_test(tcase, test_c_in_pieces, 0, 2);
        tcase_add_test(tcase, test_c_holds_cores);
        tcase_add_loop_test(tcase, test_broadcast_waits_for_the_slowest, 0, 3);
        tcase_add_loop_test(tcase, test_room_is_bytes, 0, 3);
        tcase_add_test(tcase, test_full_queue_drops);
        tcase_add_test(tcase, test_flow_does_not_drop);
        tcase_add_test(tcase, test_wait_before_a_needed_push);
        tcase_add_test(tcase, test_descriptor_written_while_queued);
        tcase_add_test(tcase, test_descriptor_torn_while_queued);
        tcase_add_test(tcase, test_channel_to_nowhere);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
