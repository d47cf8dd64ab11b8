/* SPDX-License-Identifier: MIT */
/*
 * test-message.c - requests and replies there and back, and those that lack something or make no sense.
 *
 * Role: what our writer wrote, our reader reads; what no writer of ours would write is put together by hand
 *       (wire.h). The numbers of a matmul have a file of their own, test-message-matmul.c, and control parts
 *       that are no messages another, test-message-hostile.c.
 */
#include <check.h>

#include "wire.h"
#include "tests/unit/suite.h"

static struct wire wire;

static void setup(void)
{
        wire.n = 0;
}

/* ---- there and back ---- */

static void request_there_and_back(const struct request *request, uint64_t payload_bytes,
                                   struct request *ret_request)
{
        struct frame_header header = {.version_major = 1,
                                      .type = request->type,
                                      .payload_bytes = payload_bytes,
                                      .request_id = request->id};
        uint8_t control[MESSAGE_WRITE_MAX + 1];
        struct fault fault = {.text = ""};

        control[MESSAGE_WRITE_MAX] = 0xa5;
        header.control_bytes = (uint32_t)message_write_request(request, control);
        ck_assert_uint_le(header.control_bytes, MESSAGE_WRITE_MAX);
        ck_assert_uint_eq(control[MESSAGE_WRITE_MAX], 0xa5);
        ck_assert_msg(message_read_request(&header, control, ret_request, &fault), "refused: %s", fault.text);
        ck_assert_int_eq(ret_request->type, request->type);
        ck_assert_uint_eq(ret_request->id, request->id);
}

START_TEST(test_hello_there_and_back)
{
        struct request request = {.type = FRAME_HELLO, .id = 1}, got;

        request.hello = (struct request_hello){.version_minor = UINT32_MAX, .features = UINT64_MAX};
        memset(request.hello.client_name, 'n', MESSAGE_CLIENT_NAME_MAX);
        request_there_and_back(&request, 0, &got);
        ck_assert_uint_eq(got.hello.version_minor, UINT32_MAX);
        ck_assert_uint_eq(got.hello.features, UINT64_MAX);
        ck_assert_str_eq(got.hello.client_name, request.hello.client_name);
}
END_TEST

START_TEST(test_arena_requests_there_and_back)
{
        struct request create = {
                .type = FRAME_ARENA_CREATE, .id = 2, .arena_create = {.size_bytes = UINT64_MAX}};
        struct request release = {.type = FRAME_ARENA_RELEASE, .id = UINT64_MAX};
        struct request got;

        request_there_and_back(&create, 0, &got);
        ck_assert_uint_eq(got.arena_create.size_bytes, UINT64_MAX);
        release.arena_release.arena = UINT32_MAX;
        request_there_and_back(&release, 0, &got);
        ck_assert_uint_eq(got.arena_release.arena, UINT32_MAX);
        release.arena_release.arena = 0; /* the session's affair */
        request_there_and_back(&release, 0, &got);
        ck_assert_uint_eq(got.arena_release.arena, 0);
}
END_TEST

static void assert_place(const struct place *got, const struct place *expected)
{
        ck_assert_uint_eq(got->arena, expected->arena);
        ck_assert_uint_eq(got->offset_bytes, expected->offset_bytes);
        ck_assert_uint_eq(got->ld_elems, expected->ld_elems);
        ck_assert_uint_eq(got->extent_bytes, expected->extent_bytes);
}

static void assert_matmul(const struct request_matmul *got, const struct request_matmul *expected)
{
        ck_assert_uint_eq(got->m, expected->m);
        ck_assert_uint_eq(got->k, expected->k);
        ck_assert_uint_eq(got->n, expected->n);
        assert_place(&got->a, &expected->a);
        ck_assert_int_eq(got->b_is_weights, expected->b_is_weights);
        ck_assert_uint_eq(got->weights, expected->weights);
        assert_place(&got->b, &expected->b);
        ck_assert_int_eq(got->b_transposed, expected->b_transposed);
        assert_place(&got->c, &expected->c);
        ck_assert_int_eq(got->form, expected->form);
        ck_assert_uint_eq(got->shift, expected->shift);
        ck_assert_int_eq(got->rounding, expected->rounding);
        assert_place(&got->row_scale, &expected->row_scale);
        assert_place(&got->col_scale, &expected->col_scale);
        assert_place(&got->bias, &expected->bias);
        ck_assert_int_eq(got->class, expected->class);
        ck_assert_uint_eq(got->deadline_us, expected->deadline_us);
        ck_assert_int_eq(got->more, expected->more);
}

/* The largest numbers everywhere, all of them different: no field may end up in another's place. */
START_TEST(test_matmul_there_and_back)
{
        struct request request = {.type = FRAME_MATMUL, .id = 3}, got;
        struct request_matmul *m = &request.matmul;

        *m = (struct request_matmul){
                .m = 0x7fffffff,
                .k = 131071,
                .n = 0x7ffffffe,
                .a = {.arena = UINT32_MAX,
                      .offset_bytes = 1ull << 62,
                      .ld_elems = 1ull << 30,
                      .extent_bytes = 1},
                .b = {.arena = UINT32_MAX - 1,
                      .offset_bytes = 1ull << 61,
                      .ld_elems = 1ull << 29,
                      .extent_bytes = 1},
                .b_transposed = true,
                .c = {.arena = UINT32_MAX - 2,
                      .offset_bytes = 1ull << 33,
                      .ld_elems = 0x7fffffff,
                      .extent_bytes = 1},
                .form = OUTPUT_FLOAT32,
                .row_scale = {.arena = UINT32_MAX - 3, .offset_bytes = 1ull << 59, .extent_bytes = 1},
                .col_scale = {.arena = UINT32_MAX - 4, .offset_bytes = 1ull << 58, .extent_bytes = 1},
                .bias = {.arena = UINT32_MAX - 5, .offset_bytes = 1ull << 57, .extent_bytes = 1},
                .class = CLASS_BULK,
                .deadline_us = MESSAGE_DEADLINE_US_MAX,
                .more = true,
        };
        request_there_and_back(&request, 0, &got);
        m->row_scale.ld_elems = m->m;
        m->col_scale.ld_elems = m->bias.ld_elems = m->n;
        m->a.extent_bytes = (m->m - 1) * m->a.ld_elems + m->k;
        m->b.extent_bytes = (m->n - 1) * m->b.ld_elems + m->k;
        m->c.extent_bytes = ((m->m - 1) * m->c.ld_elems + m->n) * 4;
        m->row_scale.extent_bytes = m->m * 4;
        m->col_scale.extent_bytes = m->bias.extent_bytes = m->n * 4;
        assert_matmul(&got.matmul, m);
}
END_TEST

START_TEST(test_matmul_int8_with_weights_there_and_back)
{
        struct request request = {.type = FRAME_MATMUL, .id = 4}, got;

        request.matmul = (struct request_matmul){
                .m = 2,
                .k = 3,
                .n = 4,
                .a = {.ld_elems = 3},
                .b_is_weights = true,
                .weights = UINT64_MAX,
                .c = {.ld_elems = 4},
                .form = OUTPUT_INT8,
                .shift = 31,
                .rounding = ROUNDING_NEAREST_EVEN,
                .class = CLASS_INTERACTIVE,
        };
        request_there_and_back(&request, 6, &got);
        request.matmul.a.extent_bytes = 6;
        request.matmul.c.extent_bytes = 8;
        assert_matmul(&got.matmul, &request.matmul);
}
END_TEST

START_TEST(test_bare_requests_there_and_back)
{
        static const enum frame_type types[] = {FRAME_CANCEL, FRAME_STATUS, FRAME_PING};
        uint8_t control[MESSAGE_WRITE_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                struct request request = {.type = types[i], .id = 100 + i}, got;

                ck_assert_uint_eq(message_write_request(&request, control), 0);
                request_there_and_back(&request, 0, &got);
        }
}
END_TEST

static void reply_there_and_back(const struct reply *reply, struct message_text *text,
                                 struct reply *ret_reply)
{
        struct frame_header header = {.version_major = 1, .type = reply->type, .request_id = reply->id};
        uint8_t control[MESSAGE_WRITE_MAX + 1];

        control[MESSAGE_WRITE_MAX] = 0xa5;
        header.control_bytes = (uint32_t)message_write_reply(reply, control);
        ck_assert_uint_le(header.control_bytes, MESSAGE_WRITE_MAX);
        ck_assert_uint_eq(control[MESSAGE_WRITE_MAX], 0xa5);
        ck_assert(message_read_reply(&header, control, text, ret_reply));
        ck_assert_int_eq(ret_reply->type, reply->type);
        ck_assert_uint_eq(ret_reply->id, reply->id);
}

START_TEST(test_welcome_there_and_back)
{
        char version[1000], backend[1000];
        struct reply reply = {.type = FRAME_WELCOME, .id = 1}, got;
        struct message_text text;

        memset(version, 'v', sizeof version); /* far longer than what travels */
        memset(backend, 'b', sizeof backend);
        version[sizeof version - 1] = backend[sizeof backend - 1] = '\0';
        reply.welcome = (struct reply_welcome){
                .version_minor = UINT32_MAX,
                .features = UINT64_MAX,
                .daemon_version = version,
                .backend = backend,
                .limits = {.control_bytes = UINT32_MAX,
                           .payload_bytes = UINT64_MAX,
                           .arena_bytes = UINT64_MAX - 1,
                           .arenas = UINT32_MAX - 1,
                           .uid_bytes = UINT64_MAX - 2,
                           .jobs = UINT32_MAX - 2},
        };
        reply_there_and_back(&reply, &text, &got);
        ck_assert_uint_eq(got.welcome.version_minor, UINT32_MAX);
        ck_assert_uint_eq(got.welcome.features, UINT64_MAX);
        ck_assert_uint_eq(strlen(got.welcome.daemon_version), FAULT_TEXT_MAX - 1);
        ck_assert_uint_eq(strlen(got.welcome.backend), FAULT_TEXT_MAX - 1);
        ck_assert(got.welcome.daemon_version[0] == 'v' && got.welcome.backend[0] == 'b');
        ck_assert_uint_eq(got.welcome.limits.control_bytes, UINT32_MAX);
        ck_assert_uint_eq(got.welcome.limits.payload_bytes, UINT64_MAX);
        ck_assert_uint_eq(got.welcome.limits.arena_bytes, UINT64_MAX - 1);
        ck_assert_uint_eq(got.welcome.limits.arenas, UINT32_MAX - 1);
        ck_assert_uint_eq(got.welcome.limits.uid_bytes, UINT64_MAX - 2);
        ck_assert_uint_eq(got.welcome.limits.jobs, UINT32_MAX - 2);
}
END_TEST

START_TEST(test_arena_created_and_rows_there_and_back)
{
        struct reply created = {.type = FRAME_ARENA_CREATED, .id = 2}, rows = {.type = FRAME_ROWS, .id = 3},
                     got;
        struct message_text text;

        created.arena_created = (struct reply_arena_created){.arena = UINT32_MAX, .size_bytes = UINT64_MAX};
        reply_there_and_back(&created, &text, &got);
        ck_assert_uint_eq(got.arena_created.arena, UINT32_MAX);
        ck_assert_uint_eq(got.arena_created.size_bytes, UINT64_MAX);
        rows.rows = (struct reply_rows){.first_row = UINT64_MAX, .rows = UINT64_MAX - 1};
        reply_there_and_back(&rows, &text, &got);
        ck_assert_uint_eq(got.rows.first_row, UINT64_MAX);
        ck_assert_uint_eq(got.rows.rows, UINT64_MAX - 1);
}
END_TEST

/* DONE, ERROR and BYE with every status. */
START_TEST(test_outcomes_there_and_back)
{
        static const enum frame_type types[] = {FRAME_DONE, FRAME_ERROR, FRAME_BYE};
        struct message_text text;

        for (unsigned i = 0; i < ARRAY_SIZE(types) * STATUS_MAX; i++) {
                struct reply reply = {.type = types[i / STATUS_MAX], .id = i}, got;

                reply.outcome.status = (enum status)(i % STATUS_MAX);
                reply.outcome.text = i % 2 ? "words" : NULL;
                reply_there_and_back(&reply, &text, &got);
                ck_assert_int_eq(got.outcome.status, reply.outcome.status);
                ck_assert_str_eq(got.outcome.text, i % 2 ? "words" : "");
        }
}
END_TEST

START_TEST(test_bare_replies_there_and_back)
{
        static const enum frame_type types[] = {FRAME_ARENA_RELEASED, FRAME_STATUS_REPORT, FRAME_PONG};
        struct message_text text;

        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                struct reply reply = {.type = types[i], .id = 100 + i}, got;

                reply_there_and_back(&reply, &text, &got);
        }
}
END_TEST

/* ---- names and texts ---- */

static const char *name_of(const void *bytes, size_t n_bytes)
{
        static struct request request;
        struct fault fault = {.text = ""};

        wire.n = 0;
        wire_bytes(&wire, 3, bytes, n_bytes);
        ck_assert_msg(wire_read(&wire, FRAME_HELLO, &request, &fault), "refused: %s", fault.text);
        return request.hello.client_name;
}

START_TEST(test_client_name_of_64_bytes)
{
        char name[64];

        memset(name, 'x', sizeof name);
        ck_assert_uint_eq(strlen(name_of(name, sizeof name)), 64);
}
END_TEST

START_TEST(test_client_name_of_65_bytes)
{
        char name[65];

        memset(name, 'x', sizeof name);
        wire_bytes(&wire, 3, name, sizeof name);
        wire_expect_refused(&wire, FRAME_HELLO, STATUS_INVALID, "client_name is 65 bytes");
}
END_TEST

START_TEST(test_client_name_control_characters)
{
        ck_assert_str_eq(name_of("a\nb\x1b[31m\x7f\r\t", 11), "a?b?[31m???");
        ck_assert_str_eq(name_of("caf\xc3\xa9", 5), "caf??");
        ck_assert_str_eq(name_of("\xff\xfe\x80", 3), "???");
        ck_assert_str_eq(name_of(" ~", 2), " ~");
}
END_TEST

START_TEST(test_client_name_with_nul)
{
        ck_assert_str_eq(name_of("ab\0cd", 5), "ab");
}
END_TEST

START_TEST(test_client_name_absent)
{
        struct request request;
        struct fault fault;

        ck_assert(wire_read(&wire, FRAME_HELLO, &request, &fault));
        ck_assert_str_eq(request.hello.client_name, "");
}
END_TEST

START_TEST(test_reply_text_is_made_printable)
{
        struct message_text text;
        struct reply reply;

        wire_number(&wire, 1, STATUS_BUSY);
        wire_string(&wire, 2, "two\nlines \x1b[2J");
        ck_assert(wire_read_reply(&wire, FRAME_DONE, &text, &reply));
        ck_assert_str_eq(reply.outcome.text, "two?lines ?[2J");
}
END_TEST

START_TEST(test_reply_text_is_cut)
{
        struct message_text text;
        struct reply reply;
        char words[4000];

        memset(words, 'w', sizeof words);
        wire_bytes(&wire, 2, words, sizeof words);
        ck_assert(wire_read_reply(&wire, FRAME_BYE, &text, &reply));
        ck_assert_uint_eq(strlen(reply.outcome.text), FAULT_TEXT_MAX - 1);
}
END_TEST

/* ---- requests that lack something or make no sense ---- */

START_TEST(test_arena_of_0_bytes)
{
        wire_expect_refused(&wire, FRAME_ARENA_CREATE, STATUS_INVALID, "size_bytes is 0");
}
END_TEST

START_TEST(test_matmul_empty)
{
        wire_expect_refused(&wire, FRAME_MATMUL, STATUS_INVALID, "operand A is missing");
}
END_TEST

/* Whether its group goes on is known of the poorest job. */
START_TEST(test_matmul_empty_but_more)
{
        struct request request;
        struct fault fault;

        wire_number(&wire, 17, 1);
        ck_assert(!wire_read(&wire, FRAME_MATMUL, &request, &fault));
        ck_assert(request.matmul.more);
}
END_TEST

START_TEST(test_matmul_without_a)
{
        wire_ones(&wire);
        wire_operand(&wire, 5, 1);
        wire_operand(&wire, 8, 4);
        wire_expect_refused(&wire, FRAME_MATMUL, STATUS_INVALID, "operand A is missing");
}
END_TEST

START_TEST(test_matmul_without_b)
{
        wire_ones(&wire);
        wire_operand(&wire, 4, 0);
        wire_operand(&wire, 8, 4);
        wire_expect_refused(&wire, FRAME_MATMUL, STATUS_INVALID, "B is missing");
}
END_TEST

START_TEST(test_matmul_without_c)
{
        wire_ones(&wire);
        wire_operand(&wire, 4, 0);
        wire_operand(&wire, 5, 1);
        wire_expect_refused(&wire, FRAME_MATMUL, STATUS_INVALID, "operand C is missing");
}
END_TEST

/* Of b and weights the last one counts. */
START_TEST(test_matmul_b_and_weights)
{
        struct request request;
        struct fault fault;

        wire_ones(&wire);
        wire_operand(&wire, 4, 0);
        wire_operand(&wire, 5, 1);
        wire_number(&wire, 6, 77);
        wire_operand(&wire, 8, 4);
        ck_assert(wire_read(&wire, FRAME_MATMUL, &request, &fault));
        ck_assert(request.matmul.b_is_weights);
        ck_assert_uint_eq(request.matmul.weights, 77);
        wire_operand(&wire, 5, 2);
        ck_assert(wire_read(&wire, FRAME_MATMUL, &request, &fault));
        ck_assert(!request.matmul.b_is_weights);
        ck_assert_uint_eq(request.matmul.b.offset_bytes, 2);
}
END_TEST

/* Weights with handle 0 are weights all the same, and not a B that is missing; but no handle is 0. */
START_TEST(test_matmul_weights_0)
{
        wire_ones(&wire);
        wire_operand(&wire, 4, 0);
        wire_number(&wire, 6, 0);
        wire_operand(&wire, 8, 4);
        wire_expect_refused(&wire, FRAME_MATMUL, STATUS_INVALID, "weights is 0");
}
END_TEST

static void vector_with_ld(unsigned field, const char *words)
{
        wire_ones(&wire);
        wire_operand(&wire, 4, 0);
        wire_operand(&wire, 5, 1);
        wire_operand(&wire, 8, 4);
        wire_number(&wire, 9, OUTPUT_FLOAT32);
        wire_bytes(&wire, field, (const uint8_t[]){1 << 3, 1, 2 << 3, 8, 3 << 3, 1}, 6);
        wire_expect_refused(&wire, FRAME_MATMUL, STATUS_INVALID, words);
}

START_TEST(test_row_scale_with_ld)
{
        vector_with_ld(12, "row_scale is a vector");
}
END_TEST

START_TEST(test_col_scale_with_ld)
{
        vector_with_ld(13, "col_scale is a vector");
}
END_TEST

START_TEST(test_bias_with_ld)
{
        vector_with_ld(14, "bias is a vector");
}
END_TEST

/* ---- replies that make no sense ---- */

START_TEST(test_welcome_without_limits)
{
        struct message_text text;
        struct reply reply;

        wire_number(&wire, 1, 1);
        ck_assert(!wire_read_reply(&wire, FRAME_WELCOME, &text, &reply));
        wire_string(&wire, 5, "");
        ck_assert(wire_read_reply(&wire, FRAME_WELCOME, &text, &reply));
        ck_assert_uint_eq(reply.welcome.limits.jobs, 0);
}
END_TEST

START_TEST(test_arena_created_without_arena)
{
        struct message_text text;
        struct reply reply;

        wire_number(&wire, 2, 4096);
        ck_assert(!wire_read_reply(&wire, FRAME_ARENA_CREATED, &text, &reply));
        wire_number(&wire, 1, 1);
        ck_assert(wire_read_reply(&wire, FRAME_ARENA_CREATED, &text, &reply));
}
END_TEST

START_TEST(test_arena_created_without_size)
{
        struct message_text text;
        struct reply reply;

        wire_number(&wire, 1, 1);
        ck_assert(!wire_read_reply(&wire, FRAME_ARENA_CREATED, &text, &reply));
}
END_TEST

START_TEST(test_unknown_status)
{
        static const uint64_t values[] = {STATUS_MAX, 99, INT32_MAX, UINT32_MAX, UINT64_MAX};
        struct message_text text;
        struct reply reply;

        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                wire.n = 0;
                wire_number(&wire, 1, values[i]);
                wire_string(&wire, 2, "words");
                ck_assert(wire_read_reply(&wire, FRAME_DONE, &text, &reply));
                ck_assert_int_eq(reply.outcome.status, STATUS_MAX);
                ck_assert_str_eq(reply.outcome.text, "words");
        }
}
END_TEST

static TCase *there_and_back_tests(void)
{
        TCase *tcase = tcase_create("there and back");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_hello_there_and_back);
        tcase_add_test(tcase, test_arena_requests_there_and_back);
        tcase_add_test(tcase, test_matmul_there_and_back);
        tcase_add_test(tcase, test_matmul_int8_with_weights_there_and_back);
        tcase_add_test(tcase, test_bare_requests_there_and_back);
        tcase_add_test(tcase, test_welcome_there_and_back);
        tcase_add_test(tcase, test_arena_created_and_rows_there_and_back);
        tcase_add_test(tcase, test_outcomes_there_and_back);
        tcase_add_test(tcase, test_bare_replies_there_and_back);
        return tcase;
}

static TCase *text_tests(void)
{
        TCase *tcase = tcase_create("texts");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_client_name_of_64_bytes);
        tcase_add_test(tcase, test_client_name_of_65_bytes);
        tcase_add_test(tcase, test_client_name_control_characters);
        tcase_add_test(tcase, test_client_name_with_nul);
        tcase_add_test(tcase, test_client_name_absent);
        tcase_add_test(tcase, test_reply_text_is_made_printable);
        tcase_add_test(tcase, test_reply_text_is_cut);
        return tcase;
}

static TCase *refuse_tests(void)
{
        TCase *tcase = tcase_create("refuse");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_arena_of_0_bytes);
        tcase_add_test(tcase, test_matmul_empty);
        tcase_add_test(tcase, test_matmul_empty_but_more);
        tcase_add_test(tcase, test_matmul_without_a);
        tcase_add_test(tcase, test_matmul_without_b);
        tcase_add_test(tcase, test_matmul_without_c);
        tcase_add_test(tcase, test_matmul_b_and_weights);
        tcase_add_test(tcase, test_matmul_weights_0);
        tcase_add_test(tcase, test_row_scale_with_ld);
        tcase_add_test(tcase, test_col_scale_with_ld);
        tcase_add_test(tcase, test_bias_with_ld);
        tcase_add_test(tcase, test_welcome_without_limits);
        tcase_add_test(tcase, test_arena_created_without_arena);
        tcase_add_test(tcase, test_arena_created_without_size);
        tcase_add_test(tcase, test_unknown_status);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("message");

        suite_add_tcase(suite, there_and_back_tests());
        suite_add_tcase(suite, text_tests());
        suite_add_tcase(suite, refuse_tests());
        return suite_run(suite);
}
