/* SPDX-License-Identifier: MIT */
/*
 * test-message-weights.c - loading and releasing weights, and SET: there and back, and all that is refused.
 *
 * Role: for the numbers of WEIGHTS_LOAD two tables, as in test-message-matmul.c: each line starts from weights
 *       that are right and changes one thing. What no writer of ours would write is put together by hand
 *       (wire.h).
 */
#include <check.h>

#include "wire.h"
#include "tests/unit/suite.h"

static struct wire wire;

/* B[6 x 5], in arena 1 at bytes 64..94. */
static struct request_weights_load load;
static uint64_t payload_bytes;

static void setup(void)
{
        wire.n = 0;
        load = (struct request_weights_load){.k = 6, .n = 5, .b = {.arena = 1, .offset_bytes = 64}};
        payload_bytes = 0;
}

static void make_inline(void)
{
        load.b = (struct place){.arena = 0};
        payload_bytes = 30;
}

/* Through the writer and the reader. */
static bool send(const struct request *request, struct request *ret_request, struct fault *ret_fault)
{
        struct frame_header header = {.version_major = 1,
                                      .type = request->type,
                                      .payload_bytes = payload_bytes,
                                      .request_id = request->id};
        uint8_t control[MESSAGE_WRITE_MAX];

        header.control_bytes = (uint32_t)message_write_request(request, control);
        return message_read_request(&header, control, ret_request, ret_fault);
}

static bool send_load(struct request *ret_request, struct fault *ret_fault)
{
        const struct request request = {.type = FRAME_WEIGHTS_LOAD, .id = 1, .weights_load = load};

        return send(&request, ret_request, ret_fault);
}

static void there_and_back(const struct request *request, struct request *ret_request)
{
        struct fault fault = {.text = ""};

        ck_assert_msg(send(request, ret_request, &fault), "refused: %s", fault.text);
        ck_assert_int_eq(ret_request->type, request->type);
        ck_assert_uint_eq(ret_request->id, request->id);
}

/* ---- the numbers of WEIGHTS_LOAD ---- */

static void expect_refused(const char *words)
{
        struct fault fault = {.status = STATUS_MAX};
        struct request request;

        ck_assert_msg(!send_load(&request, &fault), "accepted; expected: %s", words);
        ck_assert_int_eq(fault.status, STATUS_INVALID);
        ck_assert_msg(strncmp(fault.text, words, strlen(words)) == 0, "\"%s\" does not begin with \"%s\"",
                      fault.text, words);
        ck_assert_ptr_null(strchr(fault.text, '\n'));
}

static void expect_accepted(void)
{
        const uint64_t rows = load.b_transposed ? load.n : load.k, cols = load.b_transposed ? load.k : load.n;
        const uint64_t ld_elems = load.b.ld_elems ? load.b.ld_elems : cols;
        struct fault fault = {.text = ""};
        struct request request;
        const struct request_weights_load *got = &request.weights_load;

        ck_assert_msg(send_load(&request, &fault), "refused: %s", fault.text);
        ck_assert_uint_eq(got->k, load.k);
        ck_assert_uint_eq(got->n, load.n);
        ck_assert_int_eq(got->b_transposed, load.b_transposed);
        ck_assert_uint_eq(got->b.arena, load.b.arena);
        ck_assert_uint_eq(got->b.offset_bytes, load.b.offset_bytes);
        ck_assert_uint_eq(got->b.ld_elems, ld_elems);
        ck_assert((unsigned __int128)got->b.extent_bytes == (unsigned __int128)(rows - 1) * ld_elems + cols);
}

/* clang-format off */

/* name, how the fault's text begins, what is changed */
#define REFUSALS(X) \
        X(k_0,                   "K is 0;",                     load.k = 0) \
        X(k_131072,              "K is 131072;",                load.k = 131072) \
        X(k_2_to_64,             "K is 18446744073709551615;",  load.k = UINT64_MAX) \
        X(n_0,                   "N is 0;",                     load.n = 0) \
        X(n_over_max,            "N is 2147483648;",            load.n = 0x80000000u) \
        X(n_2_to_64,             "N is 18446744073709551615;",  load.n = UINT64_MAX) \
        X(ld_below_n,            "B: leading dimension 4 is",   load.b.ld_elems = 4) \
        X(transposed_ld_below_k, "B: leading dimension 5 is",   load.b_transposed = true, load.b.ld_elems = 5) \
        X(rows_times_ld,         "B: 6 rows at",                load.b.ld_elems = UINT64_MAX / 4) \
        X(transposed_rows_times_ld, "B: 5 rows at",             load.b_transposed = true, \
                                                                load.b.ld_elems = UINT64_MAX / 3) \
        X(plus_cols,             "B: 2 rows at",                load.k = 2, load.b.ld_elems = UINT64_MAX - 3) \
        X(plus_offset,           "B: 6 rows at",                load.b.offset_bytes = UINT64_MAX - 28) \
        X(payload_short,         "B: bytes 0..30 lie outside",  make_inline(), payload_bytes = 29) \
        X(payload_short_for_offset, "B: bytes 1..31 lie",       make_inline(), load.b.offset_bytes = 1) \
        X(payload_short_for_ld,  "B: bytes 0..35 lie",          make_inline(), load.b.ld_elems = 6) \
        X(inline_without_payload, "B: bytes 0..30 lie",         make_inline(), payload_bytes = 0) \
        X(payload_without_inline, "a payload of 1 bytes",       payload_bytes = 1)

/* name, what is changed */
#define ACCEPTANCES(X) \
        X(arena,                   (void)0) \
        X(inline,                  make_inline()) \
        X(transposed,              load.b_transposed = true, load.b.ld_elems = 6) \
        X(inline_transposed,       make_inline(), load.b_transposed = true) \
        X(gaps_between_rows,       load.b.ld_elems = 4096) \
        X(odd_offset,              load.b.offset_bytes = 63) \
        X(one_by_one,              load.k = 1, load.n = 1) \
        X(k_131071,                load.k = 131071) \
        X(largest,                 load.k = 131071, load.n = 0x7fffffff) \
        X(ld_of_one_row_is_unused, load.k = 1, load.b.ld_elems = UINT64_MAX) \
        X(up_to_the_last_byte,     load.b.offset_bytes = UINT64_MAX - 30) \
        X(payload_longer_than_used, make_inline(), payload_bytes = 64u << 20) \
        X(inline_at_an_offset,     make_inline(), load.b.offset_bytes = 7, payload_bytes = 37)

#define X(name, words, ...) START_TEST(test_##name) { __VA_ARGS__; expect_refused(words); } END_TEST
REFUSALS(X)
#undef X
#define X(name, ...) START_TEST(test_accept_##name) { __VA_ARGS__; expect_accepted(); } END_TEST
ACCEPTANCES(X)
#undef X

/* clang-format on */

/* The client checks before it sends, and the reader checks again: that changes nothing. */
START_TEST(test_check_twice)
{
        struct request_weights_load once;
        struct fault fault;

        ck_assert(message_check_weights_load(&load, payload_bytes, &fault));
        ck_assert_uint_eq(load.b.ld_elems, 5);
        ck_assert_uint_eq(load.b.extent_bytes, 30);
        once = load;
        ck_assert(message_check_weights_load(&load, payload_bytes, &fault));
        ck_assert_uint_eq(load.b.offset_bytes, once.b.offset_bytes);
        ck_assert_uint_eq(load.b.ld_elems, once.b.ld_elems);
        ck_assert_uint_eq(load.b.extent_bytes, once.b.extent_bytes);
}
END_TEST

START_TEST(test_load_without_b)
{
        wire_number(&wire, 1, 6);
        wire_number(&wire, 2, 5);
        wire_expect_refused(&wire, FRAME_WEIGHTS_LOAD, STATUS_INVALID, "operand B is missing");
}
END_TEST

START_TEST(test_load_empty)
{
        wire_expect_refused(&wire, FRAME_WEIGHTS_LOAD, STATUS_INVALID, "operand B is missing");
}
END_TEST

/* ---- WEIGHTS_RELEASE and SET ---- */

START_TEST(test_release_there_and_back)
{
        struct request request = {.type = FRAME_WEIGHTS_RELEASE, .id = UINT64_MAX}, got;

        request.weights_release.weights = UINT64_MAX;
        there_and_back(&request, &got);
        ck_assert_uint_eq(got.weights_release.weights, UINT64_MAX);
        request.weights_release.weights = 1;
        there_and_back(&request, &got);
        ck_assert_uint_eq(got.weights_release.weights, 1);
}
END_TEST

START_TEST(test_release_of_0)
{
        wire_expect_refused(&wire, FRAME_WEIGHTS_RELEASE, STATUS_INVALID, "weights is 0");
        wire_number(&wire, 1, 0);
        wire_expect_refused(&wire, FRAME_WEIGHTS_RELEASE, STATUS_INVALID, "weights is 0");
}
END_TEST

/* The longest strings there are. */
START_TEST(test_set_there_and_back)
{
        struct request request = {.type = FRAME_SET, .id = 2}, got;

        memset(request.set.key, 'k', MESSAGE_KEY_MAX);
        memset(request.set.value, 'v', MESSAGE_VALUE_MAX);
        there_and_back(&request, &got);
        ck_assert_str_eq(got.set.key, request.set.key);
        ck_assert_str_eq(got.set.value, request.set.value);
}
END_TEST

/* Which keys there are the session knows. */
START_TEST(test_set_empty)
{
        struct request request;
        struct fault fault;

        ck_assert(wire_read(&wire, FRAME_SET, &request, &fault));
        ck_assert_str_eq(request.set.key, "");
        ck_assert_str_eq(request.set.value, "");
}
END_TEST

START_TEST(test_set_key_of_33_bytes)
{
        wire_string(&wire, 1, "123456789012345678901234567890123");
        wire_expect_refused(&wire, FRAME_SET, STATUS_INVALID, "key is 33 bytes long; it may have 32");
}
END_TEST

START_TEST(test_set_value_of_65_bytes)
{
        char value[65];

        memset(value, 'v', sizeof value);
        wire_string(&wire, 1, "policy");
        wire_bytes(&wire, 2, value, sizeof value);
        wire_expect_refused(&wire, FRAME_SET, STATUS_INVALID, "value is 65 bytes long; it may have 64");
}
END_TEST

/* Both come back in error texts and log lines. */
START_TEST(test_set_control_characters)
{
        struct request request;
        struct fault fault;

        wire_string(&wire, 1, "pol\nicy");
        wire_string(&wire, 2, "\x1b[31mhold\x7f\xc3\xa9");
        ck_assert(wire_read(&wire, FRAME_SET, &request, &fault));
        ck_assert_str_eq(request.set.key, "pol?icy");
        ck_assert_str_eq(request.set.value, "?[31mhold???");
}
END_TEST

/* ---- replies ---- */

START_TEST(test_loaded_there_and_back)
{
        static const struct reply_weights_loaded replies[] = {
                {.weights = UINT64_MAX, .charged_bytes = UINT64_MAX - 1, .shared = false},
                {.weights = 1, .charged_bytes = 0, .shared = true},
        };

        for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
                const struct reply reply = {
                        .type = FRAME_WEIGHTS_LOADED, .id = 3 + i, .weights_loaded = replies[i]};
                struct frame_header header = {
                        .version_major = 1, .type = FRAME_WEIGHTS_LOADED, .request_id = 3 + i};
                uint8_t control[MESSAGE_WRITE_MAX];
                struct message_text text;
                struct reply got;

                header.control_bytes = (uint32_t)message_write_reply(&reply, control);
                ck_assert(message_read_reply(&header, control, &text, &got));
                ck_assert_int_eq(got.type, FRAME_WEIGHTS_LOADED);
                ck_assert_uint_eq(got.id, 3 + i);
                ck_assert_uint_eq(got.weights_loaded.weights, replies[i].weights);
                ck_assert_uint_eq(got.weights_loaded.charged_bytes, replies[i].charged_bytes);
                ck_assert_int_eq(got.weights_loaded.shared, replies[i].shared);
        }
}
END_TEST

START_TEST(test_loaded_with_handle_0)
{
        struct message_text text;
        struct reply reply;

        ck_assert(!wire_read_reply(&wire, FRAME_WEIGHTS_LOADED, &text, &reply));
        wire_number(&wire, 2, 4096);
        wire_number(&wire, 1, 0);
        ck_assert(!wire_read_reply(&wire, FRAME_WEIGHTS_LOADED, &text, &reply));
        wire_number(&wire, 1, 9);
        ck_assert(wire_read_reply(&wire, FRAME_WEIGHTS_LOADED, &text, &reply));
        ck_assert_uint_eq(reply.weights_loaded.weights, 9);
}
END_TEST

START_TEST(test_bare_replies)
{
        static const enum frame_type types[] = {FRAME_WEIGHTS_RELEASED, FRAME_SET_DONE};

        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                const struct reply reply = {.type = types[i], .id = 5};
                uint8_t control[MESSAGE_WRITE_MAX];
                struct message_text text;
                struct reply got;

                ck_assert_uint_eq(message_write_reply(&reply, control), 0);
                ck_assert(wire_read_reply(&wire, types[i], &text, &got));
                ck_assert_int_eq(got.type, types[i]);
        }
}
END_TEST

static TCase *load_tests(void)
{
        TCase *tcase = tcase_create("load");

        tcase_add_checked_fixture(tcase, setup, NULL);
#define X(name, words, ...) tcase_add_test(tcase, test_##name);
        REFUSALS(X)
#undef X
#define X(name, ...) tcase_add_test(tcase, test_accept_##name);
        ACCEPTANCES(X)
#undef X
        tcase_add_test(tcase, test_check_twice);
        tcase_add_test(tcase, test_load_without_b);
        tcase_add_test(tcase, test_load_empty);
        return tcase;
}

static TCase *other_tests(void)
{
        TCase *tcase = tcase_create("release, SET and replies");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_release_there_and_back);
        tcase_add_test(tcase, test_release_of_0);
        tcase_add_test(tcase, test_set_there_and_back);
        tcase_add_test(tcase, test_set_empty);
        tcase_add_test(tcase, test_set_key_of_33_bytes);
        tcase_add_test(tcase, test_set_value_of_65_bytes);
        tcase_add_test(tcase, test_set_control_characters);
        tcase_add_test(tcase, test_loaded_there_and_back);
        tcase_add_test(tcase, test_loaded_with_handle_0);
        tcase_add_test(tcase, test_bare_replies);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("message-weights");

        suite_add_tcase(suite, load_tests());
        suite_add_tcase(suite, other_tests());
        return suite_run(suite);
}
