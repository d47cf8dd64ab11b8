/* SPDX-License-Identifier: MIT */
/*
 * test-message-matmul.c - the stateless check of a matmul: every number that it refuses, and the last that it
 *                         takes.
 *
 * Role: two tables, a line for each hazard. Each starts from a job that is right, changes what the line says,
 *       sends it through the writer and the reader, and looks at the verdict.
 */
#include <check.h>

#include "proto/message.h"
#include "tests/unit/suite.h"

/* C[4 x 5] = A[4 x 6] . B[6 x 5], all in arena 1: A at bytes 0..24, B at 64..94, C at 128..208. */
static struct request_matmul job;
static uint64_t payload_bytes;

static void setup(void)
{
        job = (struct request_matmul){
                .m = 4,
                .k = 6,
                .n = 5,
                .a = {.arena = 1, .offset_bytes = 0},
                .b = {.arena = 1, .offset_bytes = 64},
                .c = {.arena = 1, .offset_bytes = 128},
        };
        payload_bytes = 0;
}

/* A and B as payload, C as the payload of ROWS. */
static void make_inline(void)
{
        job.a = (struct place){.offset_bytes = 0};
        job.b = (struct place){.offset_bytes = 24};
        job.c = (struct place){.offset_bytes = 0};
        payload_bytes = 24 + 30;
}

/* float32 with all three vectors: row_scale at 256..272, col_scale at 320..340, bias at 384..404. */
static void make_float32(void)
{
        job.form = OUTPUT_FLOAT32;
        job.row_scale = (struct place){.arena = 1, .offset_bytes = 256, .extent_bytes = 1};
        job.col_scale = (struct place){.arena = 1, .offset_bytes = 320, .extent_bytes = 1};
        job.bias = (struct place){.arena = 1, .offset_bytes = 384, .extent_bytes = 1};
}

/* The same, all in the payload: A, B, 2 bytes of nothing, row_scale, col_scale, bias. */
static void make_inline_float32(void)
{
        make_inline();
        job.form = OUTPUT_FLOAT32;
        job.row_scale = (struct place){.offset_bytes = 56, .extent_bytes = 1};
        job.col_scale = (struct place){.offset_bytes = 72, .extent_bytes = 1};
        job.bias = (struct place){.offset_bytes = 92, .extent_bytes = 1};
        payload_bytes = 112;
}

static void make_int8(void)
{
        job.form = OUTPUT_INT8;
}

static void make_weights(void)
{
        job.b = (struct place){.arena = 0};
        job.b_is_weights = true;
        job.weights = 1;
}

static bool send(struct request *ret_request, struct fault *ret_fault)
{
        struct request request = {.type = FRAME_MATMUL, .id = 1, .matmul = job};
        struct frame_header header = {
                .version_major = 1, .type = FRAME_MATMUL, .payload_bytes = payload_bytes, .request_id = 1};
        uint8_t control[MESSAGE_WRITE_MAX];

        header.control_bytes = (uint32_t)message_write_request(&request, control);
        return message_read_request(&header, control, ret_request, ret_fault);
}

static void expect_refused(const char *words)
{
        struct fault fault = {.status = STATUS_MAX};
        struct request request;

        ck_assert_msg(!send(&request, &fault), "accepted; expected: %s", words);
        ck_assert_int_eq(fault.status, STATUS_INVALID);
        ck_assert_msg(strncmp(fault.text, words, strlen(words)) == 0, "\"%s\" does not begin with \"%s\"",
                      fault.text, words);
        ck_assert_ptr_null(strchr(fault.text, '\n'));
}

/* The extents are worked out anew here, in 128 bits. */
static void expect_extent(const struct place *place, uint64_t rows, uint64_t cols, uint64_t elem_bytes)
{
        const unsigned __int128 extent =
                ((unsigned __int128)(rows - 1) * place->ld_elems + cols) * elem_bytes;

        ck_assert_uint_ge(place->ld_elems, cols);
        ck_assert((unsigned __int128)place->extent_bytes == extent);
}

static void expect_accepted(void)
{
        struct fault fault = {.text = ""};
        struct request request;
        const struct request_matmul *got = &request.matmul;

        ck_assert_msg(send(&request, &fault), "refused: %s", fault.text);
        ck_assert_uint_eq(got->m, job.m);
        ck_assert_uint_eq(got->k, job.k);
        ck_assert_uint_eq(got->n, job.n);
        expect_extent(&got->a, job.m, job.k, 1);
        if (!got->b_is_weights)
                expect_extent(&got->b, job.b_transposed ? job.n : job.k, job.b_transposed ? job.k : job.n, 1);
        expect_extent(&got->c, job.m, job.n, job.form == OUTPUT_INT32 || job.form == OUTPUT_FLOAT32 ? 4 : 1);
        if (job.row_scale.extent_bytes > 0)
                expect_extent(&got->row_scale, 1, job.m, 4);
        if (job.col_scale.extent_bytes > 0)
                expect_extent(&got->col_scale, 1, job.n, 4);
        if (job.bias.extent_bytes > 0)
                expect_extent(&got->bias, 1, job.n, 4);
}

/* clang-format off */

/* name, how the fault's text begins, what is changed */
#define REFUSALS(X) \
        X(m_0,                     "M is 0;",                    job.m = 0) \
        X(m_over_max,              "M is 2147483648;",           job.m = 0x80000000u) \
        X(m_2_to_64,               "M is 18446744073709551615;", job.m = UINT64_MAX) \
        X(k_0,                     "K is 0;",                    job.k = 0) \
        X(k_131072,                "K is 131072;",               job.k = 131072) \
        X(k_2_to_64,               "K is 18446744073709551615;", job.k = UINT64_MAX) \
        X(n_0,                     "N is 0;",                    job.n = 0) \
        X(n_over_max,              "N is 2147483648;",           job.n = 0x80000000u) \
        X(n_2_to_64,               "N is 18446744073709551615;", job.n = UINT64_MAX) \
        \
        X(form_4,                  "output form 4 is unknown",   job.form = OUTPUT_MAX) \
        X(form_negative,           "output form 4294967295 is",  job.form = (enum output_form)-1) \
        X(rounding_2,              "rounding 2 is unknown",      make_int8(), job.rounding = ROUNDING_MAX) \
        X(shift_32,                "shift is 32;",               make_int8(), job.shift = 32) \
        X(shift_2_to_32,           "shift is 4294967295;",       make_int8(), job.shift = UINT32_MAX) \
        X(shift_with_int32,        "shift and rounding belong",  job.shift = 1) \
        X(rounding_with_int32,     "shift and rounding belong",  job.rounding = ROUNDING_NEAREST_EVEN) \
        X(shift_with_float32,      "shift and rounding belong",  make_float32(), job.shift = 1) \
        X(shift_with_tile16,       "shift and rounding belong", \
                                        job.form = OUTPUT_TILE16_SHIFT7, job.shift = 7) \
        X(row_scale_with_int32,    "scales and bias belong",     make_float32(), job.form = OUTPUT_INT32) \
        X(row_scale_with_int8,     "scales and bias belong", \
                                        job.row_scale.extent_bytes = 1, make_int8()) \
        X(col_scale_with_int32,    "scales and bias belong",     job.col_scale.extent_bytes = 1) \
        X(bias_with_tile16,        "scales and bias belong",     job.bias.extent_bytes = 1, \
                                                                 job.form = OUTPUT_TILE16_SHIFT7) \
        \
        X(weights_0,               "weights is 0",               make_weights(), job.weights = 0) \
        X(weights_transposed,      "b_transposed belongs to",    make_weights(), job.b_transposed = true) \
        X(class_3,                 "class 3 is unknown",         job.class = CLASS_MAX) \
        X(class_negative,          "class 4294967295 is",        job.class = (enum job_class)-1) \
        X(deadline_over_an_hour,   "deadline_us is 3600000001;", job.deadline_us = 3600000001) \
        X(deadline_2_to_64,        "deadline_us is 18446744073709551615;", job.deadline_us = UINT64_MAX) \
        \
        X(a_ld_below_k,            "A: leading dimension 5 is",  job.a.ld_elems = 5) \
        X(b_ld_below_n,            "B: leading dimension 4 is",  job.b.ld_elems = 4) \
        X(b_transposed_ld_below_k, "B: leading dimension 5 is", \
                                        job.b.ld_elems = 5, job.b_transposed = true) \
        X(c_ld_below_n,            "C: leading dimension 4 is",  job.c.ld_elems = 4) \
        X(a_ld_1,                  "A: leading dimension 1 is",  job.a.ld_elems = 1) \
        \
        X(a_rows_times_ld,         "A: 4 rows at",               job.a.ld_elems = UINT64_MAX) \
        X(a_plus_cols,             "A: 2 rows at",               job.m = 2, job.a.ld_elems = UINT64_MAX) \
        X(a_plus_offset,           "A: 4 rows at",               job.a.offset_bytes = UINT64_MAX - 22) \
        X(b_rows_times_ld,         "B: 6 rows at",               job.b.ld_elems = UINT64_MAX / 4) \
        X(b_plus_cols,             "B: 2 rows at",               job.k = 2, job.b.ld_elems = UINT64_MAX - 3) \
        X(b_plus_offset,           "B: 6 rows at",               job.b.offset_bytes = UINT64_MAX) \
        X(c_rows_times_ld,         "C: 4 rows at",               job.c.ld_elems = UINT64_MAX) \
        X(c_plus_cols,             "C: 2 rows at",               job.m = 2, job.c.ld_elems = UINT64_MAX) \
        X(c_times_elem,            "C: 2 rows at",               job.m = 2, job.c.ld_elems = 1ull << 62) \
        X(c_plus_offset,           "C: 4 rows at",               job.c.offset_bytes = UINT64_MAX - 3) \
        X(row_scale_plus_offset,   "row_scale: 1 rows at",       make_float32(), \
                                        job.row_scale.offset_bytes = UINT64_MAX - 3) \
        X(col_scale_plus_offset,   "col_scale: 1 rows at",       make_float32(), \
                                        job.col_scale.offset_bytes = UINT64_MAX - 3) \
        X(bias_plus_offset,        "bias: 1 rows at",            make_float32(), \
                                        job.bias.offset_bytes = UINT64_MAX - 3) \
        \
        X(c_int32_misaligned,      "C: offset 130 is not",       job.c.offset_bytes = 130) \
        X(c_float32_misaligned,    "C: offset 129 is not",       make_float32(), job.c.offset_bytes = 129) \
        X(row_scale_misaligned,    "row_scale: offset 257 is", \
                                        make_float32(), job.row_scale.offset_bytes = 257) \
        X(col_scale_misaligned,    "col_scale: offset 322 is", \
                                        make_float32(), job.col_scale.offset_bytes = 322) \
        X(bias_misaligned,         "bias: offset 387 is", \
                                        make_float32(), job.bias.offset_bytes = 387) \
        \
        X(c_is_a,                  "C overlaps A in arena 1",    job.a.offset_bytes = 128) \
        X(c_first_byte_in_a,       "C overlaps A",               job.a.offset_bytes = 105) \
        X(c_last_byte_in_a,        "C overlaps A",               job.a.offset_bytes = 207) \
        X(c_first_byte_in_b,       "C overlaps B",               job.b.offset_bytes = 99) \
        X(c_last_byte_in_b,        "C overlaps B",               job.b.offset_bytes = 207) \
        X(c_inside_b,              "C overlaps B",               job.b.ld_elems = 1000) \
        X(b_inside_c,              "C overlaps B",               job.b.offset_bytes = 140) \
        X(c_first_byte_in_row_scale, "C overlaps row_scale", \
                                        make_float32(), job.row_scale.offset_bytes = 116) \
        X(c_last_byte_in_row_scale,  "C overlaps row_scale", \
                                        make_float32(), job.row_scale.offset_bytes = 204) \
        X(c_first_byte_in_col_scale, "C overlaps col_scale", \
                                        make_float32(), job.col_scale.offset_bytes = 112) \
        X(c_last_byte_in_col_scale,  "C overlaps col_scale", \
                                        make_float32(), job.col_scale.offset_bytes = 204) \
        X(c_first_byte_in_bias,    "C overlaps bias", \
                                        make_float32(), job.bias.offset_bytes = 112) \
        X(c_last_byte_in_bias,     "C overlaps bias", \
                                        make_float32(), job.bias.offset_bytes = 204) \
        X(a_between_rows_of_c,     "C overlaps A",               job.m = 2, job.c.ld_elems = 100, \
                                                                 job.a.offset_bytes = 200) \
        \
        X(inline_c_with_offset,    "C: inline rows travel",      make_inline(), job.c.offset_bytes = 4) \
        X(inline_c_with_ld,        "C: inline rows travel",      make_inline(), job.c.ld_elems = 6) \
        X(payload_short_for_a,     "A: bytes 31..55 lie",        make_inline(), job.a.offset_bytes = 31) \
        X(payload_short_for_b,     "B: bytes 24..54 lie",        make_inline(), payload_bytes = 53) \
        X(payload_short_for_ld,    "B: bytes 24..55 lie", \
                                        make_inline(), job.k = 2, job.b.ld_elems = 26) \
        X(payload_short_for_row_scale, "row_scale: bytes 100..116 lie", make_inline_float32(), \
                                                                 job.row_scale.offset_bytes = 100) \
        X(payload_short_for_col_scale, "col_scale: bytes 96..116 lie", make_inline_float32(), \
                                                                 job.col_scale.offset_bytes = 96) \
        X(payload_short_for_bias,  "bias: bytes 92..112 lie",    make_inline_float32(), payload_bytes = 111) \
        X(inline_without_payload,  "A: bytes 0..24 lie",         make_inline(), payload_bytes = 0) \
        X(payload_without_inline,  "a payload of 1 bytes",       payload_bytes = 1) \
        X(payload_without_inline_but_c, "a payload of 9 bytes",  job.c = (struct place){.arena = 0}, \
                                                                 payload_bytes = 9) \
        X(payload_that_was_b,      "a payload of 30 bytes",      make_weights(), payload_bytes = 30)

/* name, what is changed */
#define ACCEPTANCES(X) \
        X(arenas,                   (void)0) \
        X(inline,                   make_inline()) \
        X(float32,                  make_float32()) \
        X(inline_float32,           make_inline_float32()) \
        X(int8,                     make_int8(), job.shift = 31, job.rounding = ROUNDING_NEAREST_EVEN) \
        X(tile16,                   job.form = OUTPUT_TILE16_SHIFT7) \
        X(transposed,               job.b_transposed = true, job.b.ld_elems = 6) \
        X(weights,                  make_weights()) \
        X(weights_2_to_64,          make_weights(), job.weights = UINT64_MAX) \
        X(weights_and_inline_a,     make_weights(), job.a = (struct place){.arena = 0}, payload_bytes = 24) \
        X(interactive,              job.class = CLASS_INTERACTIVE) \
        X(bulk,                     job.class = CLASS_BULK) \
        X(deadline_of_1_us,         job.deadline_us = 1) \
        X(deadline_of_an_hour,      job.deadline_us = 3600000000) \
        X(more,                     job.more = true) \
        X(one_by_one,               job.m = 1, job.k = 1, job.n = 1) \
        X(k_131071,                 job.k = 131071, job.a.arena = 2, job.b.arena = 3) \
        X(largest_m_and_n,          job.m = 0x7fffffff, job.n = 0x7fffffff, job.k = 1, job.a.arena = 2, \
                                    job.b.arena = 3, job.c.offset_bytes = 0) \
        X(ld_of_one_row_is_unused,  job.m = 1, job.a.ld_elems = UINT64_MAX) \
        X(a_up_to_the_last_byte,    job.a.arena = 2, job.a.offset_bytes = UINT64_MAX - 24) \
        X(a_touches_c_from_below,   job.a.offset_bytes = 104) \
        X(a_touches_c_from_above,   job.a.offset_bytes = 208) \
        X(b_touches_c_from_below,   job.b.offset_bytes = 98) \
        X(b_touches_c_from_above,   job.b.offset_bytes = 208) \
        X(row_scale_touches_below,  make_float32(), job.row_scale.offset_bytes = 112) \
        X(row_scale_touches_above,  make_float32(), job.row_scale.offset_bytes = 208) \
        X(col_scale_touches_below,  make_float32(), job.col_scale.offset_bytes = 108) \
        X(col_scale_touches_above,  make_float32(), job.col_scale.offset_bytes = 208) \
        X(bias_touches_below,       make_float32(), job.bias.offset_bytes = 108) \
        X(bias_touches_above,       make_float32(), job.bias.offset_bytes = 208) \
        X(same_bytes_other_arena,   job.a.arena = 2, job.a.offset_bytes = 128) \
        X(inputs_overlap,           job.a.offset_bytes = 64, job.b.offset_bytes = 60) \
        X(int8_at_odd_offsets,      make_int8(), job.a.offset_bytes = 1, job.b.offset_bytes = 67, \
                                    job.c.offset_bytes = 131) \
        X(inline_c_at_a,            make_inline(), job.a.offset_bytes = 0) \
        X(inline_c_with_ld_n,       make_inline(), job.c.ld_elems = 5) \
        X(inline_c_alone,           job.c = (struct place){.arena = 0}) \
        X(arena_c_alone,            make_inline(), job.c = (struct place){.arena = 9, .offset_bytes = 4}) \
        X(payload_longer_than_used, make_inline(), payload_bytes = 64u << 20) \
        X(inline_a_alone,           job.a = (struct place){.arena = 0}, payload_bytes = 24)

#define X(name, words, ...) START_TEST(test_##name) { __VA_ARGS__; expect_refused(words); } END_TEST
REFUSALS(X)
#undef X
#define X(name, ...) START_TEST(test_accept_##name) { __VA_ARGS__; expect_accepted(); } END_TEST
ACCEPTANCES(X)
#undef X

/* clang-format on */

/* Whether more of its group follows is known of a job that is refused, too, for whatever reason. */
START_TEST(test_more_of_a_refused_job)
{
        struct request request;
        struct fault fault;

        job.m = 0;
        ck_assert(!send(&request, &fault));
        ck_assert(!request.matmul.more);
        job.more = true;
        ck_assert(!send(&request, &fault));
        ck_assert(request.matmul.more);
}
END_TEST

/* Checking what has been checked changes nothing: the client checks before it sends. */
START_TEST(test_check_twice)
{
        const struct place *const places[] = {&job.a,         &job.b,         &job.c,
                                              &job.row_scale, &job.col_scale, &job.bias};
        struct place once[ARRAY_SIZE(places)];
        struct fault fault;

        make_inline_float32();
        ck_assert(message_check_matmul(&job, payload_bytes, &fault));
        for (size_t i = 0; i < ARRAY_SIZE(places); i++)
                once[i] = *places[i];
        ck_assert(message_check_matmul(&job, payload_bytes, &fault));
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                ck_assert_uint_eq(places[i]->offset_bytes, once[i].offset_bytes);
                ck_assert_uint_eq(places[i]->ld_elems, once[i].ld_elems);
                ck_assert_uint_eq(places[i]->extent_bytes, once[i].extent_bytes);
        }
}
END_TEST

START_TEST(test_elem_bytes)
{
        ck_assert_uint_eq(output_elem_bytes(OUTPUT_INT32), 4);
        ck_assert_uint_eq(output_elem_bytes(OUTPUT_INT8), 1);
        ck_assert_uint_eq(output_elem_bytes(OUTPUT_FLOAT32), 4);
        ck_assert_uint_eq(output_elem_bytes(OUTPUT_TILE16_SHIFT7), 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("message-matmul");
        TCase *refused = tcase_create("refused");
        TCase *accepted = tcase_create("accepted");

        tcase_add_checked_fixture(refused, setup, NULL);
        tcase_add_checked_fixture(accepted, setup, NULL);
#define X(name, words, ...) tcase_add_test(refused, test_##name);
        REFUSALS(X)
#undef X
#define X(name, ...) tcase_add_test(accepted, test_accept_##name);
        ACCEPTANCES(X)
#undef X
        tcase_add_test(refused, test_more_of_a_refused_job);
        tcase_add_test(accepted, test_check_twice);
        tcase_add_test(accepted, test_elem_bytes);
        suite_add_tcase(suite, refused);
        suite_add_tcase(suite, accepted);
        return suite_run(suite);
}
