/* SPDX-License-Identifier: MIT */
/*
 * test-message-hostile.c - control parts that are no messages, or that want more memory than they are worth.
 *
 * Role: puts them together by hand (wire.h) and expects a refusal that costs nothing.
 */
#include <check.h>
#include <malloc.h>

#include "wire.h"
#include "tests/unit/suite.h"

static struct wire wire;

static void setup(void)
{
        wire.n = 0;
}

static void expect_accepted(enum frame_type type)
{
        struct fault fault = {.text = ""};
        struct request request;

        ck_assert_msg(wire_read(&wire, type, &request, &fault), "refused: %s", fault.text);
}

/* ---- control parts that are no messages ---- */

static const enum frame_type described_requests[] = {FRAME_HELLO,  FRAME_ARENA_CREATE, FRAME_ARENA_RELEASE,
                                                     FRAME_MATMUL, FRAME_WEIGHTS_LOAD, FRAME_WEIGHTS_RELEASE,
                                                     FRAME_SET,    FRAME_RING_START};
static const enum frame_type bare_requests[] = {FRAME_CANCEL, FRAME_STATUS, FRAME_PING};
static const enum frame_type described_replies[] = {FRAME_WELCOME,       FRAME_ARENA_CREATED, FRAME_ROWS,
                                                    FRAME_DONE,          FRAME_ERROR,         FRAME_BYE,
                                                    FRAME_WEIGHTS_LOADED};
static const enum frame_type bare_replies[] = {FRAME_ARENA_RELEASED, FRAME_STATUS_REPORT,
                                               FRAME_PONG,           FRAME_WEIGHTS_RELEASED,
                                               FRAME_SET_DONE,       FRAME_RING_STARTED};

START_TEST(test_control_on_bare_requests)
{
        wire_number(&wire, 1, 1);
        for (size_t i = 0; i < ARRAY_SIZE(bare_requests); i++)
                wire_expect_refused(&wire, bare_requests[i], STATUS_PROTOCOL, "takes no control part");
}
END_TEST

START_TEST(test_control_on_bare_replies)
{
        struct message_text text;
        struct reply reply;

        wire_number(&wire, 1, 1);
        for (size_t i = 0; i < ARRAY_SIZE(bare_replies); i++)
                ck_assert(!wire_read_reply(&wire, bare_replies[i], &text, &reply));
}
END_TEST

/* A field that no message has, and the tag of it with each wire type. */
#define UNKNOWN_FIELD      30
#define UNKNOWN(wire_type) 0x80 | ((UNKNOWN_FIELD << 3 | (wire_type)) & 0x7f), UNKNOWN_FIELD >> 4

static const struct {
        const char *what;
        uint8_t bytes[12];
        size_t n_bytes;
} garbage[] = {
        {"all ones", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 12},
        {"a tag and nothing behind it", {0x08}, 1},
        {"a number without its last byte", {0x08, 0x80, 0x80}, 3},
        {"a number of 11 bytes",
         {0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01},
         12},
        {"a length beyond the end", {UNKNOWN(2), 0x05, 'a', 'b'}, 5},
        {"a length of 2^32 - 1", {UNKNOWN(2), 0xff, 0xff, 0xff, 0xff, 0x0f}, 7},
        {"a length of 2^64 - 1",
         {UNKNOWN(2), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
         12},
        {"half of a 64-bit number", {UNKNOWN(1), 1, 2, 3, 4}, 6},
        {"half of a 32-bit number", {UNKNOWN(5), 1, 2}, 4},
        {"a group begins", {UNKNOWN(3), UNKNOWN(4)}, 4},
        {"a group ends", {UNKNOWN(4)}, 2},
        {"wire type 6", {UNKNOWN(6), 0}, 3},
        {"wire type 7", {UNKNOWN(7), 0}, 3},
        {"a tag of 6 bytes", {0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 6},
};

START_TEST(test_garbage)
{
        struct message_text text;
        struct reply reply;

        memcpy(wire.bytes, garbage[_i].bytes, garbage[_i].n_bytes);
        wire.n = garbage[_i].n_bytes;
        for (size_t i = 0; i < ARRAY_SIZE(described_requests); i++)
                wire_expect_refused(&wire, described_requests[i], STATUS_PROTOCOL, "is not a valid message");
        for (size_t i = 0; i < ARRAY_SIZE(described_replies); i++)
                ck_assert_msg(!wire_read_reply(&wire, described_replies[i], &text, &reply), "%s",
                              garbage[_i].what);
}
END_TEST

/*
 * A string where a number belongs, a number where a string or an operand belongs. Not the booleans: protobuf-c
 * takes them of any wire type.
 */
START_TEST(test_wrong_wire_type)
{
        static const struct {
                enum frame_type type;
                unsigned field;
                bool is_string; /* as the field is written here */
        } wrong[] = {
                {FRAME_HELLO, 1, true},   {FRAME_ARENA_CREATE, 1, true}, {FRAME_ARENA_RELEASE, 1, true},
                {FRAME_MATMUL, 1, true},  {FRAME_WEIGHTS_LOAD, 1, true}, {FRAME_WEIGHTS_RELEASE, 1, true},
                {FRAME_HELLO, 3, false},  {FRAME_MATMUL, 4, false},      {FRAME_WEIGHTS_LOAD, 3, false},
                {FRAME_SET, 1, false},    {FRAME_SET, 2, false},         {FRAME_MATMUL, 6, true},
                {FRAME_MATMUL, 15, true}, {FRAME_MATMUL, 16, true},      {FRAME_RING_START, 2, true},
        };

        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                wire.n = 0;
                if (wrong[i].is_string)
                        wire_string(&wire, wrong[i].field, "x");
                else
                        wire_number(&wire, wrong[i].field, 1);
                wire_expect_refused(&wire, wrong[i].type, STATUS_PROTOCOL, "is not a valid message");
        }
}
END_TEST

START_TEST(test_garbage_inside_an_operand)
{
        wire_ones(&wire);
        wire_bytes(&wire, 4, "\x08", 1);
        wire_expect_refused(&wire, FRAME_MATMUL, STATUS_PROTOCOL, "is not a valid message");
        wire.n = 0;
        wire_bytes(&wire, 3, "\x08", 1);
        wire_expect_refused(&wire, FRAME_WEIGHTS_LOAD, STATUS_PROTOCOL, "is not a valid message");
}
END_TEST

/* ---- control parts that want more memory than they are worth ---- */

static size_t heap_bytes(void)
{
        const struct mallinfo2 info = mallinfo2();

        return info.uordblks + info.hblkhd;
}

/* How much the heap has ever needed, as long as it is not told to shrink. */
static size_t heap_high_water(void)
{
        const struct mallinfo2 info = mallinfo2();

        return info.arena + info.hblkhd;
}

/* Reads wire as every type of message and expects each to be refused, without a byte from the heap. */
static void expect_refused_without_heap(void)
{
        struct message_text text;
        struct request request;
        struct reply reply;
        struct fault fault;
        size_t used, most;

        (void)mallopt(M_MMAP_THRESHOLD, 1 << 30); /* keep the top of the heap where it was highest */
        (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
        (void)malloc_trim(0);
        used = heap_bytes();
        most = heap_high_water();
        for (size_t i = 0; i < ARRAY_SIZE(described_requests); i++) {
                const struct frame_header header = {.type = described_requests[i],
                                                    .control_bytes = (uint32_t)wire.n};

                ck_assert(!message_read_request(&header, wire.bytes, &request, &fault));
                ck_assert_int_eq(fault.status, STATUS_PROTOCOL);
        }
        for (size_t i = 0; i < ARRAY_SIZE(described_replies); i++)
                ck_assert(!wire_read_reply(&wire, described_replies[i], &text, &reply));
        ck_assert_uint_eq(heap_bytes(), used);
        ck_assert_uint_eq(heap_high_water(), most);
}

START_TEST(test_64_kib_of_unknown_numbers)
{
        while (wire.n + 3 <= sizeof wire.bytes)
                wire_number(&wire, UNKNOWN_FIELD, 0);
        expect_refused_without_heap();
}
END_TEST

START_TEST(test_64_kib_of_empty_unknown_fields)
{
        while (wire.n + 3 <= sizeof wire.bytes)
                wire_string(&wire, UNKNOWN_FIELD, "");
        expect_refused_without_heap();
}
END_TEST

START_TEST(test_one_unknown_field_of_64_kib)
{
        static const uint8_t zeros[FRAME_CONTROL_BYTES_MAX - 5];

        wire_bytes(&wire, UNKNOWN_FIELD, zeros, sizeof zeros);
        expect_refused_without_heap();
}
END_TEST

/* Field 4 is an operand of a matmul and field 5 the limits of a welcome; to most others they are unknown. */
START_TEST(test_64_kib_of_repeated_submessages)
{
        while (wire.n + 4 <= sizeof wire.bytes) {
                wire_string(&wire, 4, "");
                wire_string(&wire, 5, "");
        }
        expect_refused_without_heap();
}
END_TEST

/* Field 3 is the name in a hello, fields 1 and 2 are a setting's key and value. */
START_TEST(test_64_kib_of_repeated_strings)
{
        struct request request;
        struct fault fault;

        while (wire.n + 3 <= sizeof wire.bytes)
                wire_string(&wire, 3, "x");
        ck_assert(!wire_read(&wire, FRAME_HELLO, &request, &fault));
        ck_assert_int_eq(fault.status, STATUS_PROTOCOL);
        wire.n = 0;
        while (wire.n + 6 <= sizeof wire.bytes) {
                wire_string(&wire, 1, "x");
                wire_string(&wire, 2, "y");
        }
        ck_assert(!wire_read(&wire, FRAME_SET, &request, &fault));
        ck_assert_int_eq(fault.status, STATUS_PROTOCOL);
}
END_TEST

START_TEST(test_64_kib_of_unknown_fields_inside_an_operand)
{
        static uint8_t inner[65000];

        for (size_t i = 0; i + 2 <= sizeof inner; i += 2) {
                inner[i] = 15 << 3;
                inner[i + 1] = 0;
        }
        wire_ones(&wire);
        wire_bytes(&wire, 4, inner, sizeof inner);
        wire_expect_refused(&wire, FRAME_MATMUL, STATUS_PROTOCOL, "is not a valid message");
}
END_TEST

/* No message is recursive: however deep the bytes nest, the reader goes down two levels. */
START_TEST(test_deep_nesting)
{
        struct request request;
        struct fault fault;

        while (wire.n < 6000) {
                wire_byte(&wire, 4 << 3 | 2);
                wire_varint(&wire, 6000 - wire.n - 2);
        }
        (void)wire_read(&wire, FRAME_MATMUL, &request, &fault);
        (void)wire_read(&wire, FRAME_HELLO, &request, &fault);
        ck_assert_int_eq(fault.status, STATUS_PROTOCOL);
}
END_TEST

/* What a newer peer may add without being refused (README.md, versions): 64 fields, 4 KiB. */
START_TEST(test_room_for_newer_fields)
{
        uint8_t value[61] = {0};
        struct message_text text;
        struct reply reply;
        size_t n_fields = 0;

        wire_ones(&wire);
        wire_operand(&wire, 4, 0);
        wire_operand(&wire, 5, 1);
        wire_operand(&wire, 8, 4);
        for (; n_fields < 64; n_fields++)
                wire_bytes(&wire, 100, value, sizeof value);
        ck_assert_uint_ge(wire.n, 4096);
        expect_accepted(FRAME_MATMUL);
        wire.n = 0;
        wire_string(&wire, 3, "v");
        wire_string(&wire, 4, "b");
        wire_string(&wire, 5, "");
        for (n_fields = 0; n_fields < 64; n_fields++)
                wire_bytes(&wire, 100, value, sizeof value);
        ck_assert(wire_read_reply(&wire, FRAME_WELCOME, &text, &reply));
        ck_assert_str_eq(reply.welcome.backend, "b");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("message-hostile");
        TCase *invalid = tcase_create("no message");
        TCase *hungry = tcase_create("hungry");

        tcase_add_checked_fixture(invalid, setup, NULL);
        tcase_add_test(invalid, test_control_on_bare_requests);
        tcase_add_test(invalid, test_control_on_bare_replies);
        tcase_add_loop_test(invalid, test_garbage, 0, (int)ARRAY_SIZE(garbage));
        tcase_add_test(invalid, test_wrong_wire_type);
        tcase_add_test(invalid, test_garbage_inside_an_operand);
        tcase_add_checked_fixture(hungry, setup, NULL);
        tcase_add_test(hungry, test_64_kib_of_unknown_numbers);
        tcase_add_test(hungry, test_64_kib_of_empty_unknown_fields);
        tcase_add_test(hungry, test_one_unknown_field_of_64_kib);
        tcase_add_test(hungry, test_64_kib_of_repeated_submessages);
        tcase_add_test(hungry, test_64_kib_of_repeated_strings);
        tcase_add_test(hungry, test_64_kib_of_unknown_fields_inside_an_operand);
        tcase_add_test(hungry, test_deep_nesting);
        tcase_add_test(hungry, test_room_for_newer_fields);
        suite_add_tcase(suite, invalid);
        suite_add_tcase(suite, hungry);
        return suite_run(suite);
}
