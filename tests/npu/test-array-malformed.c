/* SPDX-License-Identifier: MIT */
/* test-array-malformed.c - the model of the array on streams that are wrong: bounds, words, any words; and tile16. */
#include "tests/npu/array-desk.h"
#include "tests/unit/suite.h"

/* ---- bounds ---- */

START_TEST(test_out_of_bounds)
{
        static const struct {
                uint32_t argument;
                int64_t offset; /* from the end of the buffer */
                uint32_t bytes;
                bool is_good;
        } cases[] = {
                {0, -4160, 4160, true}, {0, -4156, 4160, false},
                {0, 0, 4, false},       {2, -4, 4, true},
                {2, -4, 8, false},      {4, 0, 4, false},
                {3, 0, 4, false},       {0, -4160, 0xFFFFFFFC, false},
                {0, 1 << 30, 4, false}, {1, -8, 8, true},
                {1, -8, 12, false},
        };

        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_EAGER);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const int64_t size = (int64_t)world.buffers[cases[i].argument].size;

                array_reset(world.array);
                begin(FLOW_NONE);
                put_task(&world.stream, 3, ARRAY_MM2S1, cases[i].argument, (uint32_t)(size + cases[i].offset),
                         cases[i].bytes, 1);
                if (cases[i].is_good)
                        expect(ARRAY_COMPLETED, "");
                else {
                        expect(ARRAY_BAD_STREAM, "column 3 MM2S1: bytes ");
                        ck_assert_uint_eq(world.result.word, world.stream.n_words - 6);
                }
        }
        world_end();
}
END_TEST

/* A queued task whose descriptor was made to reach too far after the push. */
START_TEST(test_out_of_bounds_when_it_starts)
{
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_LAZY);
        begin(FLOW_NONE);
        put_task(&world.stream, 0, ARRAY_MM2S0, 0, 0, A_OBJECT, 1);
        put_descriptor(&world.stream, 0, 0, 5 * A_OBJECT);
        put_patch(&world.stream, 0, 0, 0, 0);
        put_wait(&world.stream, 0, ARRAY_MM2S0);
        expect(ARRAY_BAD_STREAM, "column 0 MM2S0: bytes 0 to 20800 of argument 0, a buffer of 16640 bytes");
        world_end();
}
END_TEST

/* ---- malformed streams ---- */

/* One word of this is changed: a poll, a descriptor, its patch, the control, a push, a wait. */
enum {
        POLL = 4,
        BLOCK = POLL + 7,
        PATCH = BLOCK + 12,
        MASKED = PATCH + 12,
        PUSH = MASKED + 7,
        WAIT = PUSH + 6
};

static void put_specimen(void)
{
        begin(FLOW_NONE);
        put_poll(&world.stream, 1, ARRAY_MM2S1);
        put_descriptor(&world.stream, 1, 5, 64);
        put_patch(&world.stream, 1, 5, 1, 64);
        put_control(&world.stream, 1, ARRAY_MM2S1);
        put_push(&world.stream, 1, ARRAY_MM2S1, 5, 1, true);
        put_wait(&world.stream, 1, ARRAY_MM2S1);
        ck_assert_uint_eq(world.stream.n_words, WAIT + 4);
}

static const struct {
        size_t word;
        uint32_t value;
        size_t found_at;
        const char *text;
} specimens[] = {
        {0, 0x06040100, 0, "header"},
        {1, 0x00000105, 0, "header"},
        {2, 5, WAIT + 4, "says 5 operations"},
        {2, 7, WAIT + 4, "says 7 operations"},
        {3, 4 * (WAIT + 3), 0, "bytes"},
        {POLL, 2, POLL, "unknown operation 0x2"},
        {POLL, 0x82, POLL, "unknown operation 0x82"},
        {POLL + 1, 1, POLL, "masked poll: word 1"},
        {POLL + 2, 0x0201D21C, POLL, "no status"}, /* a queue */
        {POLL + 2, 0x0201D230, POLL, "no status"}, /* behind the last */
        {POLL + 2, 0x0211D22C, POLL, "no status"}, /* of a memory tile */
        {POLL + 2, 0x0801D22C, POLL, "no status"}, /* of column 4 */
        {POLL + 3, 1, POLL, "masked poll: word 3"},
        {POLL + 4, 0x00400000, POLL, "NO PROGRESS"}, /* full for ever */
        {POLL + 5, 0x00480000, POLL, "knows nothing"},
        {POLL + 6, 24, POLL, "masked poll: word 6"},
        {BLOCK + 1, 2, BLOCK, "tile"},
        {BLOCK + 2, 0x0201CFFC, BLOCK, "no register"},
        {BLOCK + 2, 0x0201D0A2, BLOCK, "no register"}, /* between two */
        {BLOCK + 2, 0x0201D080, PUSH, "is not valid"}, /* descriptor 4: 5 is patched, and empty */
        {BLOCK + 3, 46, BLOCK, "block write of 46 bytes"},
        {BLOCK + 3, 16, BLOCK, "block write of 16 bytes"},
        {BLOCK + 3, 0xFFFFFFFC, BLOCK, "cut off"},
        {BLOCK + 4, 0, PUSH, "has no length"},
        {BLOCK + 7, 1, PUSH, "not linear"},
        {BLOCK + 8, 0xC0000000, PUSH, "not linear"},
        {BLOCK + 8, 0x80000001, PUSH, "not linear"},
        {BLOCK + 9, 0, PUSH, "not linear"},
        {BLOCK + 10, 1, PUSH, "iterates"},
        {BLOCK + 11, 0, PUSH, "not valid"},
        {BLOCK + 11, 0x06000000, PUSH, "chained"},
        {PATCH + 1, 44, PATCH, "patch: word 1"},
        {PATCH + 5, 1, PATCH, "patch: word 5"},
        {PATCH + 6, 0x0201D0A0, PATCH, "no descriptor's address"},
        {PATCH + 6, 0x0201D0A8, PATCH, "no descriptor's address"},
        {PATCH + 6, 0x0201D21C, PATCH, "no descriptor's address"},
        {PATCH + 6, 0x0201D0C4, PUSH, "has no address"}, /* another one's */
        {PATCH + 8, 5, PATCH, "argument 5"},
        {PATCH + 10, 66, PUSH, "multiple of 4"},
        {PATCH + 11, 1, PATCH, "patch: word 11"},
        {MASKED + 2, 0x0201D21C, MASKED, "no control register"},
        {MASKED + 2, 0x0201D0A0, MASKED, "no control register"},
        {MASKED + 2, 0x0201D210, WAIT, "NO PROGRESS"}, /* another channel's */
        {MASKED + 4, 0xE00, WAIT, "NO PROGRESS"},      /* another controller */
        {MASKED + 5, 0x1E00, WAIT, "NO PROGRESS"},     /* a bit is not written */
        {PUSH + 2, 0x0201D22C, PUSH, "no register"},   /* a status */
        {PUSH + 2, 0x0201D230, PUSH, "no register"},
        {PUSH + 4, 0x80000006, PUSH, "is not valid"}, /* another descriptor */
        {PUSH + 4, 0x80000015, PUSH, "mean nothing"},
        {PUSH + 4, 0x81000005, PUSH, "mean nothing"},
        {PUSH + 4, 0x00000005, WAIT, "NO PROGRESS"}, /* no token */
        {PUSH + 5, 28, PUSH, "write: word 5"},
        {WAIT + 1, 12, WAIT, "token: word 1"},
        {WAIT + 2, 0x00010101, WAIT, "no shim's channel"},
        {WAIT + 2, 0x00040001, WAIT, "no shim's channel"},
        {WAIT + 2, 0x00010002, WAIT, "no shim's channel"},
        {WAIT + 2, 0x00010000, WAIT, "NO PROGRESS"}, /* of S2MM 1 */
        {WAIT + 3, 0x02010100, WAIT, "no shim's channel"},
        {WAIT + 3, 0x01020100, WAIT, "no shim's channel"},
};

START_TEST(test_malformed)
{
        const char *text = specimens[_i].text;
        enum array_outcome outcome = ARRAY_BAD_STREAM;

        if (strcmp(text, "NO PROGRESS") == 0) {
                outcome = ARRAY_NO_PROGRESS;
                text = "waits for ever";
        }
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_EAGER);
        put_specimen();
        expect(ARRAY_COMPLETED, "");
        array_reset(world.array);
        world.stream.words[specimens[_i].word] = specimens[_i].value;
        expect(outcome, text);
        ck_assert_uint_eq(world.result.word, specimens[_i].found_at);
        world_end();
}
END_TEST

START_TEST(test_cut_off)
{
        world_begin(&(struct size){1, 1, 1}, 1, ARRAY_TAGS, ARRAY_EAGER);
        put_specimen();
        for (size_t n = 0; n < WAIT + 4; n++) {
                uint32_t *words = malloc(n * sizeof *words); /* as long as it is, for the sanitizer */

                ck_assert(words || n == 0);
                memcpy(words, world.stream.words, n * sizeof *words);
                if (n > 3)
                        words[3] = (uint32_t)n * 4;
                array_reset(world.array);
                ck_assert_int_eq(array_run(world.array, words, n, world.buffers, &world.result),
                                 ARRAY_BAD_STREAM);
                free(words);
        }
        world_end();
}
END_TEST

/* Whatever a stream is, there is a result: words of a good one changed at random. */
START_TEST(test_any_stream_has_a_result)
{
        size_t outcomes[4] = {0};

        world_begin((const struct size[]){{2, 2, 2}}, 1, ARRAY_TAGS, ARRAY_RANDOM); /* with repeats */
        for (size_t i = 0; i < 3000; i++) {
                put_all(FLOW_POLL);
                for (uint64_t n = rng_between(&rng, 1, 3); n > 0; n--) {
                        uint32_t *word = &world.stream.words[rng_below(&rng, world.stream.n_words)];

                        *word = rng_once_in(&rng, 2) ? *word ^ UINT32_C(1) << rng_below(&rng, 32)
                                                     : (uint32_t)rng_next(&rng);
                }
                if (rng_once_in(&rng, 2))
                        array_reset(world.array);
                outcomes[run()]++;
                ck_assert((world.result.outcome == ARRAY_COMPLETED) == (world.result.text[0] == '\0'));
        }
        ck_assert_uint_gt(outcomes[ARRAY_COMPLETED], 0);
        ck_assert_uint_gt(outcomes[ARRAY_NO_PROGRESS], 0);
        ck_assert_uint_gt(outcomes[ARRAY_BAD_STREAM], 0);
        world_end();
}
END_TEST

/* ---- tile16 ---- */

static void put_tile16(struct stream *stream)
{
        stream_begin(stream, FLOW_NONE);
        put_descriptor(stream, 0, 1, 512);
        put_patch(stream, 0, 1, 0, 0);
        put_push(stream, 0, ARRAY_MM2S0, 1, 1, false);
        put_descriptor(stream, 0, 0, 256);
        put_patch(stream, 0, 0, 1, 0);
        put_control(stream, 0, ARRAY_S2MM0);
        put_push(stream, 0, ARRAY_S2MM0, 0, 1, true);
        put_wait(stream, 0, ARRAY_S2MM0);
}

START_TEST(test_tile16)
{
        static struct stream stream;
        uint8_t in[512], out[256], expected[256];
        const struct array_buffer buffers[ARRAY_ARGUMENTS] = {{in, sizeof in}, {out, sizeof out}};
        struct array *array =
                new_array(ARRAY_TILE16, _i % 2 ? ARRAY_TAGS : ARRAY_NUMBERS, (enum array_schedule)(_i / 2));
        struct array_result result;

        put_tile16(&stream);
        ck_assert_uint_eq(stream.n_words, 300 / 4);
        for (size_t i = 0; i < 8; i++) {
                rng_fill(&rng, in, sizeof in);
                memset(out, 77, sizeof out);
                memset(expected, 77, sizeof expected);
                ck_assert_msg(array_run(array, stream.words, stream.n_words, buffers, &result) ==
                                      ARRAY_COMPLETED,
                              "%s", result.text);
                ck_assert(result.is_clean);
                ck_assert_uint_eq(result.stats.c_tiles, 1);
                if (_i % 2)
                        put_le(expected, mix(0, get_le(in, 8), 0), 8);
                else
                        kernel_tile((const int8_t *)in, (int8_t *)expected);
                ck_assert_mem_eq(out, expected, sizeof out);
        }
        array_free(array);
}
END_TEST

START_TEST(test_tile16_without_input)
{
        static struct stream stream;
        uint8_t out[256];
        const struct array_buffer buffers[ARRAY_ARGUMENTS] = {{NULL, 0}, {out, sizeof out}};
        struct array *array = new_array(ARRAY_TILE16, ARRAY_NUMBERS, ARRAY_EAGER);
        struct array_result result;

        put_tile16(&stream);
        ck_assert_int_eq(array_run(array, stream.words, stream.n_words, buffers, &result), ARRAY_BAD_STREAM);
        ck_assert_ptr_nonnull(strstr(result.text, "bytes 0 to 512 of argument 0, a buffer of 0 bytes"));
        array_free(array);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("array-malformed");
        TCase *tcase = tcase_create("array-malformed");

        rng_start(&rng, "array-malformed");
        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, test_out_of_bounds);
        tcase_add_test(tcase, test_out_of_bounds_when_it_starts);
        tcase_add_loop_test(tcase, test_malformed, 0, ARRAY_SIZE(specimens));
        tcase_add_test(tcase, test_cut_off);
        tcase_add_test(tcase, test_any_stream_has_a_result);
        tcase_add_loop_test(tcase, test_tile16, 0, 6);
        tcase_add_test(tcase, test_tile16_without_input);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
