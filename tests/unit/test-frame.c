/* SPDX-License-Identifier: MIT */
/* test-frame.c - the frame header and its decoder: layout, limits, cuts, and every stream that is refused. */
#include <check.h>
#include <malloc.h>

#include "proto/frame.h"
#include "tests/unit/suite.h"

#define PAYLOAD_BYTES_MAX 1000u

static const struct frame_header matmul_header = {
        .version_major = 1, .type = FRAME_MATMUL, .control_bytes = 3, .payload_bytes = 5, .request_id = 9};

static struct frame_decoder decoder;

static void setup(void)
{
        frame_decoder_init(&decoder, true, PAYLOAD_BYTES_MAX);
}

static void teardown(void)
{
        frame_decoder_deinit(&decoder);
}

/* Feeds and expects one event and how many bytes it took. */
static void expect(const void *bytes, size_t n_bytes, enum frame_event event, size_t consumed)
{
        enum frame_event got_event;
        size_t got_consumed;

        ck_assert_int_eq(frame_decoder_feed(&decoder, bytes, n_bytes, &got_consumed, &got_event), 0);
        ck_assert_int_eq(got_event, event);
        ck_assert_uint_eq(got_consumed, consumed);
}

/* Feeds a header by itself and expects the decoder's answer to it; outputs stay untouched when it refuses. */
static void expect_header(const struct frame_header *header, int expected)
{
        uint8_t bytes[FRAME_HEADER_BYTES];
        enum frame_event event = FRAME_EVENT_PAYLOAD;
        size_t consumed = 12345;
        int r;

        frame_header_encode(header, bytes);
        r = frame_decoder_feed(&decoder, bytes, sizeof bytes, &consumed, &event);
        ck_assert_int_eq(r, expected);
        if (expected != 0) {
                ck_assert_uint_eq(consumed, 12345);
                ck_assert_int_eq(event, FRAME_EVENT_PAYLOAD);
        }
}

/* ---- the header ---- */

START_TEST(test_header_layout)
{
        const struct frame_header header = {
                .version_major = 0x0102,
                .type = 0x0304,
                .flags = 0x05060708,
                .control_bytes = 0x090a0b0c,
                .payload_bytes = 0x0d0e0f1011121314,
                .request_id = 0x15161718191a1b1c,
        };
        static const uint8_t expected[FRAME_HEADER_BYTES] = {
                'N',  'P',  'M',  'M',  0x02, 0x01, 0x04, 0x03, 0x08, 0x07, 0x06,
                0x05, 0x0c, 0x0b, 0x0a, 0x09, 0x14, 0x13, 0x12, 0x11, 0x10, 0x0f,
                0x0e, 0x0d, 0x1c, 0x1b, 0x1a, 0x19, 0x18, 0x17, 0x16, 0x15,
        };
        uint8_t bytes[FRAME_HEADER_BYTES];

        frame_header_encode(&header, bytes);
        ck_assert_mem_eq(bytes, expected, sizeof expected);
}
END_TEST

START_TEST(test_type_names)
{
        ck_assert_str_eq(frame_type_name(FRAME_HELLO), "HELLO");
        ck_assert_str_eq(frame_type_name(FRAME_BYE), "BYE");
        ck_assert_str_eq(frame_type_name(73), "BYE");
        ck_assert_str_eq(frame_type_name(FRAME_NONE), "unknown");
        ck_assert_str_eq(frame_type_name(65535), "unknown");
}
END_TEST

/* ---- streams that decode ---- */

START_TEST(test_one_frame)
{
        uint8_t bytes[FRAME_HEADER_BYTES + 8] = {0};

        frame_header_encode(&matmul_header, bytes);
        memcpy(bytes + FRAME_HEADER_BYTES, "abcdefgh", 8);
        ck_assert(!frame_decoder_in_frame(&decoder));
        expect(bytes, sizeof bytes, FRAME_EVENT_HEAD, FRAME_HEADER_BYTES + 3);
        ck_assert(frame_decoder_in_frame(&decoder));
        ck_assert_uint_eq(decoder.header.type, FRAME_MATMUL);
        ck_assert_uint_eq(decoder.header.request_id, 9);
        ck_assert_uint_eq(decoder.header.payload_bytes, 5);
        ck_assert_mem_eq(decoder.control, "abc", 3);
        ck_assert_uint_eq(decoder.payload_left, 5);
        expect(bytes + FRAME_HEADER_BYTES + 3, 5, FRAME_EVENT_PAYLOAD, 5);
        expect(NULL, 0, FRAME_EVENT_END, 0);
        ck_assert(!frame_decoder_in_frame(&decoder));
        expect(NULL, 0, FRAME_EVENT_MORE, 0);
}
END_TEST

START_TEST(test_byte_by_byte)
{
        uint8_t bytes[FRAME_HEADER_BYTES + 8] = {0};

        frame_header_encode(&matmul_header, bytes);
        memcpy(bytes + FRAME_HEADER_BYTES, "abcdefgh", 8);
        for (size_t i = 0; i < FRAME_HEADER_BYTES + 2; i++) {
                expect(bytes + i, 1, FRAME_EVENT_MORE, 1);
                ck_assert(frame_decoder_in_frame(&decoder));
                expect(NULL, 0, FRAME_EVENT_MORE, 0);
        }
        expect(bytes + FRAME_HEADER_BYTES + 2, 1, FRAME_EVENT_HEAD, 1);
        ck_assert_mem_eq(decoder.control, "abc", 3);
        for (size_t i = 3; i < 8; i++) {
                expect(NULL, 0, FRAME_EVENT_MORE, 0);
                expect(bytes + FRAME_HEADER_BYTES + i, 1, FRAME_EVENT_PAYLOAD, 1);
        }
        expect(NULL, 0, FRAME_EVENT_END, 0);
        ck_assert(!frame_decoder_in_frame(&decoder));
}
END_TEST

/* Neither control part nor payload: the header is the frame. */
START_TEST(test_empty_frame)
{
        const struct frame_header header = {.version_major = 1, .type = FRAME_PING, .request_id = 1};
        uint8_t bytes[FRAME_HEADER_BYTES];

        frame_header_encode(&header, bytes);
        expect(bytes, sizeof bytes, FRAME_EVENT_HEAD, sizeof bytes);
        ck_assert_ptr_nonnull(decoder.control);
        expect(NULL, 0, FRAME_EVENT_END, 0);
        expect(NULL, 0, FRAME_EVENT_MORE, 0);
}
END_TEST

/* The end of one frame takes nothing of the next. */
START_TEST(test_frames_back_to_back)
{
        const struct frame_header ping = {.version_major = 1, .type = FRAME_PING, .request_id = 77};
        uint8_t bytes[2 * FRAME_HEADER_BYTES + 8] = {0};

        frame_header_encode(&matmul_header, bytes);
        frame_header_encode(&ping, bytes + FRAME_HEADER_BYTES + 8);
        expect(bytes, sizeof bytes, FRAME_EVENT_HEAD, FRAME_HEADER_BYTES + 3);
        expect(bytes + FRAME_HEADER_BYTES + 3, sizeof bytes - FRAME_HEADER_BYTES - 3, FRAME_EVENT_PAYLOAD, 5);
        expect(bytes + FRAME_HEADER_BYTES + 8, FRAME_HEADER_BYTES, FRAME_EVENT_END, 0);
        ck_assert(!frame_decoder_in_frame(&decoder));
        expect(bytes + FRAME_HEADER_BYTES + 8, FRAME_HEADER_BYTES, FRAME_EVENT_HEAD, FRAME_HEADER_BYTES);
        ck_assert_uint_eq(decoder.header.request_id, 77);
        expect(NULL, 0, FRAME_EVENT_END, 0);
}
END_TEST

/* A control part of any allowed length arrives whole: the inner buffer's size must not show. */
START_TEST(test_control_sizes)
{
        static const uint32_t sizes[] = {0, 1, 255, 256, 257, 4096, FRAME_CONTROL_BYTES_MAX};
        static uint8_t control[FRAME_CONTROL_BYTES_MAX];

        for (size_t i = 0; i < sizeof control; i++)
                control[i] = (uint8_t)(i * 7 + i / 256);
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                const struct frame_header header = {
                        .version_major = 1, .type = FRAME_HELLO, .control_bytes = sizes[i], .request_id = 1};
                uint8_t bytes[FRAME_HEADER_BYTES];

                frame_header_encode(&header, bytes);
                if (sizes[i] > 0) {
                        expect(bytes, sizeof bytes, FRAME_EVENT_MORE, sizeof bytes);
                        expect(control, sizes[i] / 2, FRAME_EVENT_MORE, sizes[i] / 2);
                        expect(control + sizes[i] / 2, sizes[i] - sizes[i] / 2, FRAME_EVENT_HEAD,
                               sizes[i] - sizes[i] / 2);
                } else {
                        expect(bytes, sizeof bytes, FRAME_EVENT_HEAD, sizeof bytes);
                }
                ck_assert_uint_eq(decoder.header.control_bytes, sizes[i]);
                ck_assert(memcmp(decoder.control, control, sizes[i]) == 0);
                expect(NULL, 0, FRAME_EVENT_END, 0);
        }
}
END_TEST

/* Payload that went past the decoder, mixed with payload that went through it. */
START_TEST(test_payload_passed_by)
{
        uint8_t bytes[FRAME_HEADER_BYTES + 3] = {0};

        frame_header_encode(&matmul_header, bytes);
        expect(bytes, sizeof bytes, FRAME_EVENT_HEAD, sizeof bytes);
        frame_decoder_skip_payload(&decoder, 2);
        ck_assert_uint_eq(decoder.payload_left, 3);
        expect("xy", 2, FRAME_EVENT_PAYLOAD, 2);
        frame_decoder_skip_payload(&decoder, 1);
        ck_assert(frame_decoder_in_frame(&decoder));
        expect(NULL, 0, FRAME_EVENT_END, 0);
        ck_assert(!frame_decoder_in_frame(&decoder));
}
END_TEST

/* What the client's side decodes: the daemon's types, with the largest numbers that a header holds. */
START_TEST(test_daemon_frame)
{
        const struct frame_header header = {.version_major = 1,
                                            .type = FRAME_ROWS,
                                            .payload_bytes = UINT64_MAX,
                                            .request_id = UINT64_MAX};
        uint8_t bytes[FRAME_HEADER_BYTES];

        frame_decoder_init(&decoder, false, UINT64_MAX);
        frame_header_encode(&header, bytes);
        expect(bytes, sizeof bytes, FRAME_EVENT_HEAD, sizeof bytes);
        ck_assert_uint_eq(decoder.header.request_id, UINT64_MAX);
        ck_assert_uint_eq(decoder.payload_left, UINT64_MAX);
        frame_decoder_skip_payload(&decoder, UINT64_MAX - 1);
        expect("zz", 2, FRAME_EVENT_PAYLOAD, 1);
        expect("z", 1, FRAME_EVENT_END, 0);
}
END_TEST

/* deinit in the middle of a frame whose control part is on the heap: sanitizers see a leak. */
START_TEST(test_deinit_mid_control)
{
        const struct frame_header header = {
                .version_major = 1, .type = FRAME_HELLO, .control_bytes = 60000, .request_id = 1};
        uint8_t bytes[FRAME_HEADER_BYTES];

        frame_header_encode(&header, bytes);
        expect(bytes, sizeof bytes, FRAME_EVENT_MORE, sizeof bytes);
        expect("abc", 3, FRAME_EVENT_MORE, 3);
        frame_decoder_deinit(&decoder);
}
END_TEST

/* ---- streams that are refused ---- */

START_TEST(test_wrong_magic)
{
        static const uint8_t http[FRAME_HEADER_BYTES + 1] = "GET / HTTP/1.1\r\nHost: localhost\r\n";
        enum frame_event event;
        size_t consumed;

        ck_assert_int_eq(frame_decoder_feed(&decoder, http, FRAME_HEADER_BYTES, &consumed, &event),
                         FRAME_E_MAGIC);
}
END_TEST

START_TEST(test_wrong_magic_in_each_byte)
{
        uint8_t bytes[FRAME_HEADER_BYTES];
        enum frame_event event;
        size_t consumed;

        frame_header_encode(&matmul_header, bytes);
        bytes[_i] ^= 0x20; /* a lower case letter */
        ck_assert_int_eq(frame_decoder_feed(&decoder, bytes, sizeof bytes, &consumed, &event), FRAME_E_MAGIC);
}
END_TEST

/* Another major version is named even where nothing else of the header makes sense to version 1. */
START_TEST(test_other_major_version)
{
        const struct frame_header header = {.version_major = 2,
                                            .type = 999,
                                            .flags = 7,
                                            .control_bytes = UINT32_MAX,
                                            .payload_bytes = UINT64_MAX};

        expect_header(&header, FRAME_E_VERSION);
        ck_assert_uint_eq(decoder.header.version_major, 2);
}
END_TEST

START_TEST(test_major_version_0)
{
        struct frame_header header = matmul_header;

        header.version_major = 0;
        expect_header(&header, FRAME_E_VERSION);
}
END_TEST

START_TEST(test_each_flag_bit)
{
        struct frame_header header = matmul_header;

        header.flags = 1u << _i;
        expect_header(&header, FRAME_E_FLAGS);
}
END_TEST

START_TEST(test_unknown_types)
{
        static const unsigned types[] = {0, 12, 64, 78, 255, 260, 65535};
        struct frame_header header = matmul_header;

        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                header.type = types[i];
                setup();
                expect_header(&header, FRAME_E_TYPE);
        }
}
END_TEST

/* Each side refuses the types that only it sends. */
START_TEST(test_types_of_the_wrong_side)
{
        static const struct {
                unsigned type;
                bool from_client;
        } types[] = {
#define X(name, wire, from_client, payload) {wire, from_client},
                FRAME_TABLE(X)
#undef X
        };
        unsigned n_refused = 0;

        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                const struct frame_header header = {
                        .version_major = 1, .type = types[i].type, .request_id = 1};

                frame_decoder_init(&decoder, types[i].from_client, PAYLOAD_BYTES_MAX);
                expect_header(&header, 0);
                frame_decoder_deinit(&decoder);
                frame_decoder_init(&decoder, !types[i].from_client, PAYLOAD_BYTES_MAX);
                expect_header(&header, FRAME_E_TYPE);
                n_refused++;
        }
        ck_assert_uint_eq(n_refused, 24);
}
END_TEST

START_TEST(test_control_over_limit)
{
        struct frame_header header = matmul_header;

        header.control_bytes = FRAME_CONTROL_BYTES_MAX + 1;
        expect_header(&header, FRAME_E_CONTROL);
}
END_TEST

/* The length is refused before anything is allocated for it. */
START_TEST(test_control_of_4_gib)
{
        struct frame_header header = matmul_header;
        const struct mallinfo2 before = mallinfo2();
        struct mallinfo2 after;

        header.control_bytes = UINT32_MAX;
        expect_header(&header, FRAME_E_CONTROL);
        after = mallinfo2();
        ck_assert_uint_eq(after.uordblks, before.uordblks);
        ck_assert_uint_eq(after.hblkhd, before.hblkhd);
        ck_assert_ptr_null(decoder.control_owned);
}
END_TEST

START_TEST(test_payload_at_limit)
{
        struct frame_header header = matmul_header;

        header.payload_bytes = PAYLOAD_BYTES_MAX;
        expect_header(&header, 0);
}
END_TEST

START_TEST(test_payload_over_limit)
{
        struct frame_header header = matmul_header;

        header.payload_bytes = PAYLOAD_BYTES_MAX + 1;
        expect_header(&header, FRAME_E_PAYLOAD);
}
END_TEST

START_TEST(test_payload_of_2_to_64)
{
        struct frame_header header = matmul_header;

        header.payload_bytes = UINT64_MAX;
        expect_header(&header, FRAME_E_PAYLOAD);
}
END_TEST

START_TEST(test_payload_on_types_without)
{
        static const struct {
                unsigned type;
                bool from_client, has_payload;
        } types[] = {
#define X(name, wire, from_client, payload) {wire, from_client, payload},
                FRAME_TABLE(X)
#undef X
        };
        unsigned n_refused = 0;

        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                const struct frame_header header = {
                        .version_major = 1, .type = types[i].type, .payload_bytes = 1, .request_id = 1};

                frame_decoder_init(&decoder, types[i].from_client, PAYLOAD_BYTES_MAX);
                expect_header(&header, types[i].has_payload ? 0 : FRAME_E_NO_PAYLOAD);
                n_refused += !types[i].has_payload;
                frame_decoder_deinit(&decoder);
        }
        ck_assert_uint_eq(n_refused, 20); /* all but MATMUL, WEIGHTS_LOAD, ROWS and STATUS_REPORT */
}
END_TEST

/* A bad frame behind a good one is found where it is, and the good one is not lost. */
START_TEST(test_garbage_after_a_frame)
{
        const struct frame_header ping = {.version_major = 1, .type = FRAME_PING, .request_id = 1};
        uint8_t bytes[2 * FRAME_HEADER_BYTES];
        enum frame_event event;
        size_t consumed;

        memset(bytes, 0xff, sizeof bytes);
        frame_header_encode(&ping, bytes);
        expect(bytes, sizeof bytes, FRAME_EVENT_HEAD, FRAME_HEADER_BYTES);
        expect(bytes + FRAME_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_EVENT_END, 0);
        ck_assert_int_eq(frame_decoder_feed(&decoder, bytes + FRAME_HEADER_BYTES, FRAME_HEADER_BYTES,
                                            &consumed, &event),
                         FRAME_E_MAGIC);
}
END_TEST

static TCase *header_tests(void)
{
        TCase *tcase = tcase_create("header");

        tcase_add_test(tcase, test_header_layout);
        tcase_add_test(tcase, test_type_names);
        return tcase;
}

static TCase *decode_tests(void)
{
        TCase *tcase = tcase_create("decode");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_one_frame);
        tcase_add_test(tcase, test_byte_by_byte);
        tcase_add_test(tcase, test_empty_frame);
        tcase_add_test(tcase, test_frames_back_to_back);
        tcase_add_test(tcase, test_control_sizes);
        tcase_add_test(tcase, test_payload_passed_by);
        tcase_add_test(tcase, test_daemon_frame);
        tcase_add_test(tcase, test_deinit_mid_control);
        return tcase;
}

static TCase *refuse_tests(void)
{
        TCase *tcase = tcase_create("refuse");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_wrong_magic);
        tcase_add_loop_test(tcase, test_wrong_magic_in_each_byte, 0, 4);
        tcase_add_test(tcase, test_other_major_version);
        tcase_add_test(tcase, test_major_version_0);
        tcase_add_loop_test(tcase, test_each_flag_bit, 0, 32);
        tcase_add_test(tcase, test_unknown_types);
        tcase_add_test(tcase, test_types_of_the_wrong_side);
        tcase_add_test(tcase, test_control_over_limit);
        tcase_add_test(tcase, test_control_of_4_gib);
        tcase_add_test(tcase, test_payload_at_limit);
        tcase_add_test(tcase, test_payload_over_limit);
        tcase_add_test(tcase, test_payload_of_2_to_64);
        tcase_add_test(tcase, test_payload_on_types_without);
        tcase_add_test(tcase, test_garbage_after_a_frame);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("frame");

        suite_add_tcase(suite, header_tests());
        suite_add_tcase(suite, decode_tests());
        suite_add_tcase(suite, refuse_tests());
        return suite_run(suite);
}
