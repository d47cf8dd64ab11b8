/* SPDX-License-Identifier: MIT */
/*
 * wire.h - control parts put together by hand, for tests, and given to the readers under test.
 *
 * Role:  appends protobuf fields to a buffer, right or wrong ones. Nothing of proto/ takes part in the
 *        writing, so that what is written is evidence against the code that reads it.
 */
#ifndef TESTS_UNIT_WIRE_H
#define TESTS_UNIT_WIRE_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/message.h"

#define WIRE_BYTES_MAX 65536u

struct wire {
        uint8_t bytes[WIRE_BYTES_MAX];
        size_t n;
};

static inline void wire_byte(struct wire *wire, unsigned byte)
{
        ck_assert_uint_lt(wire->n, sizeof wire->bytes);
        wire->bytes[wire->n++] = (uint8_t)byte;
}

static inline void wire_varint(struct wire *wire, uint64_t value)
{
        for (; value > 0x7f; value >>= 7)
                wire_byte(wire, 0x80 | (value & 0x7f));
        wire_byte(wire, (unsigned)value);
}

static inline void wire_number(struct wire *wire, unsigned field, uint64_t value)
{
        wire_varint(wire, field << 3 | 0);
        wire_varint(wire, value);
}

static inline void wire_bytes(struct wire *wire, unsigned field, const void *bytes, size_t n_bytes)
{
        wire_varint(wire, field << 3 | 2);
        wire_varint(wire, n_bytes);
        ck_assert_uint_le(n_bytes, sizeof wire->bytes - wire->n);
        memcpy(wire->bytes + wire->n, bytes, n_bytes);
        wire->n += n_bytes;
}

static inline void wire_string(struct wire *wire, unsigned field, const char *string)
{
        wire_bytes(wire, field, string, strlen(string));
}

/* m, k and n of a matmul of one by one by one. */
static inline void wire_ones(struct wire *wire)
{
        wire_number(wire, 1, 1);
        wire_number(wire, 2, 1);
        wire_number(wire, 3, 1);
}

/* An operand in arena 1. */
static inline void wire_operand(struct wire *wire, unsigned field, uint8_t offset)
{
        wire_bytes(wire, field, (const uint8_t[]){1 << 3, 1, 2 << 3, offset}, 4);
}

/* Reads what was written as a request with id 5. */
static inline bool wire_read(const struct wire *wire, enum frame_type type, struct request *ret_request,
                             struct fault *ret_fault)
{
        const struct frame_header header = {
                .version_major = 1, .type = type, .control_bytes = (uint32_t)wire->n, .request_id = 5};
        uint8_t *exact = malloc(wire->n > 0 ? wire->n : 1); /* so that sanitizers see a read past the end */
        bool ok;

        ck_assert_ptr_nonnull(exact);
        memcpy(exact, wire->bytes, wire->n);
        ok = message_read_request(&header, exact, ret_request, ret_fault);
        free(exact);
        ck_assert_int_eq(ret_request->type, type);
        ck_assert_uint_eq(ret_request->id, 5);
        return ok;
}

static inline void wire_expect_refused(const struct wire *wire, enum frame_type type, enum status status,
                                       const char *words)
{
        struct fault fault = {.status = STATUS_MAX};
        struct request request;

        ck_assert(!wire_read(wire, type, &request, &fault));
        ck_assert_str_eq(status_name(fault.status), status_name(status));
        ck_assert_msg(strstr(fault.text, words) != NULL, "\"%s\" does not say \"%s\"", fault.text, words);
}

static inline bool wire_read_reply(const struct wire *wire, enum frame_type type, struct message_text *text,
                                   struct reply *ret_reply)
{
        const struct frame_header header = {
                .version_major = 1, .type = type, .control_bytes = (uint32_t)wire->n, .request_id = 5};

        return message_read_reply(&header, wire->bytes, text, ret_reply);
}

#endif
