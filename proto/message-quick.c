/* SPDX-License-Identifier: MIT */
/*
 * message-quick.c - see message-quick.h.
 *
 * The wire of protobuf: a field is its key, number * 8 + type, and a value: a varint (type 0), or a length and so many
 * bytes (type 2). Numbers up to 15 make keys of one byte, up to 2047 of two; what is 0 is left out.
 */
#include "message-quick.h"

enum { TYPE_VARINT = 0, TYPE_BYTES = 2 };

#define KEY(number, type) ((number) << 3 | (unsigned)(type))

/* What is left of a message; `at` is NULL once it was not of the form. */
struct scan {
        const uint8_t *at, *end;
};

static uint64_t varint_read(struct scan *scan)
{
        uint64_t value = 0;

        for (unsigned shift = 0; shift < 64 && scan->at && scan->at < scan->end; shift += 7) {
                const uint8_t byte = *scan->at++;

                if (shift == 63 && byte > 1) /* more than 64 bits */
                        break;
                value |= (uint64_t)(byte & 0x7f) << shift;
                if (byte < 0x80)
                        return value;
        }
        scan->at = NULL;
        return 0;
}

/* A varint of at most `most`. */
static uint64_t number_read(struct scan *scan, uint64_t most)
{
        const uint64_t value = varint_read(scan);

        if (value > most)
                scan->at = NULL;
        return value;
}

/* The key of the next field, which must be above the last one; 0: there is none. */
static unsigned key_read(struct scan *scan, unsigned last)
{
        unsigned key;

        if (!scan->at || scan->at == scan->end)
                return 0;
        key = (unsigned)number_read(scan, UINT16_MAX);
        if (key <= last)
                scan->at = NULL;
        return scan->at ? key : 0;
}

/* A message within. */
static struct scan bytes_read(struct scan *scan)
{
        const uint64_t n = varint_read(scan);
        struct scan within = {NULL, NULL};

        if (!scan->at || n > (uint64_t)(scan->end - scan->at)) {
                scan->at = NULL;
                return within;
        }
        within = (struct scan){scan->at, scan->at + n};
        scan->at += n;
        return within;
}

static void place_read(struct scan *scan, struct place *place)
{
        struct scan operand = bytes_read(scan);
        unsigned key = 0;

        place->extent_bytes = 1; /* given; the check derives the number */
        while ((key = key_read(&operand, key)) != 0) {
                switch (key) {
                case KEY(1, TYPE_VARINT):
                        place->arena = (uint32_t)number_read(&operand, UINT32_MAX);
                        break;
                case KEY(2, TYPE_VARINT):
                        place->offset_bytes = varint_read(&operand);
                        break;
                case KEY(3, TYPE_VARINT):
                        place->ld_elems = varint_read(&operand);
                        break;
                default:
                        operand.at = NULL;
                        break;
                }
        }
        if (!operand.at)
                scan->at = NULL;
}

static void vector_read(struct scan *scan, struct place *place)
{
        place_read(scan, place);
        if (place->ld_elems != 0)
                scan->at = NULL;
}

/* One field. Enumerations are checked later, as those of the library are. */
static void field_read(struct scan *scan, unsigned key, struct request_matmul *matmul)
{
        switch (key) {
        case KEY(1, TYPE_VARINT):
                matmul->m = varint_read(scan);
                break;
        case KEY(2, TYPE_VARINT):
                matmul->k = varint_read(scan);
                break;
        case KEY(3, TYPE_VARINT):
                matmul->n = varint_read(scan);
                break;
        case KEY(4, TYPE_BYTES):
                place_read(scan, &matmul->a);
                break;
        case KEY(5, TYPE_BYTES):
                place_read(scan, &matmul->b);
                break;
        case KEY(6, TYPE_VARINT):
                matmul->b_is_weights = true;
                matmul->weights = varint_read(scan);
                break;
        case KEY(7, TYPE_VARINT):
                matmul->b_transposed = number_read(scan, 1);
                break;
        case KEY(8, TYPE_BYTES):
                place_read(scan, &matmul->c);
                break;
        case KEY(9, TYPE_VARINT):
                matmul->form = (enum output_form)number_read(scan, INT32_MAX);
                break;
        case KEY(10, TYPE_VARINT):
                matmul->shift = (uint32_t)number_read(scan, UINT32_MAX);
                break;
        case KEY(11, TYPE_VARINT):
                matmul->rounding = (enum rounding)number_read(scan, INT32_MAX);
                break;
        case KEY(12, TYPE_BYTES):
                vector_read(scan, &matmul->row_scale);
                break;
        case KEY(13, TYPE_BYTES):
                vector_read(scan, &matmul->col_scale);
                break;
        case KEY(14, TYPE_BYTES):
                vector_read(scan, &matmul->bias);
                break;
        case KEY(15, TYPE_VARINT):
                matmul->class = (enum job_class)number_read(scan, INT32_MAX);
                break;
        case KEY(16, TYPE_VARINT):
                matmul->deadline_us = varint_read(scan);
                break;
        case KEY(17, TYPE_VARINT):
                matmul->more = number_read(scan, 1);
                break;
        default:
                scan->at = NULL;
                break;
        }
}

bool message_quick_read_matmul(const uint8_t *control, size_t n_bytes, struct request_matmul *ret_matmul)
{
        struct scan scan = {control, control + n_bytes};
        struct request_matmul matmul = {0};
        unsigned key = 0;

        while ((key = key_read(&scan, key)) != 0)
                field_read(&scan, key, &matmul);
        if (!scan.at || !place_is_given(&matmul.a) || !place_is_given(&matmul.c) ||
            place_is_given(&matmul.b) == matmul.b_is_weights)
                return false;
        *ret_matmul = matmul;
        return true;
}

bool message_quick_read_rows(const uint8_t *control, size_t n_bytes, struct reply_rows *ret_rows)
{
        struct scan scan = {control, control + n_bytes};
        struct reply_rows rows = {0};
        unsigned key = 0;

        while ((key = key_read(&scan, key)) != 0) {
                if (key == KEY(1, TYPE_VARINT))
                        rows.first_row = varint_read(&scan);
                else if (key == KEY(2, TYPE_VARINT))
                        rows.rows = varint_read(&scan);
                else
                        scan.at = NULL;
        }
        if (!scan.at)
                return false;
        *ret_rows = rows;
        return true;
}

static uint8_t *varint_write(uint8_t *to, uint64_t value)
{
        for (; value >= 0x80; value >>= 7)
                *to++ = (uint8_t)(value | 0x80);
        *to++ = (uint8_t)value;
        return to;
}

static uint8_t *number_write(uint8_t *to, unsigned number, uint64_t value)
{
        if (value == 0)
                return to;
        to = varint_write(to, KEY(number, TYPE_VARINT));
        return varint_write(to, value);
}

/* At most 28 bytes: their number takes one. */
static uint8_t *place_write(uint8_t *to, unsigned number, const struct place *place, uint64_t ld_elems)
{
        uint8_t *length, *begin;

        to = varint_write(to, KEY(number, TYPE_BYTES));
        length = to++;
        begin = to;
        to = number_write(to, 1, place->arena);
        to = number_write(to, 2, place->offset_bytes);
        to = number_write(to, 3, ld_elems);
        *length = (uint8_t)(to - begin);
        return to;
}

/* Vectors have no leading dimension on the wire. */
static uint8_t *vector_write(uint8_t *to, unsigned number, const struct place *place)
{
        return place_is_given(place) ? place_write(to, number, place, 0) : to;
}

size_t message_quick_write_matmul(const struct request_matmul *matmul, uint8_t *ret_control)
{
        uint8_t *to = ret_control;

        to = number_write(to, 1, matmul->m);
        to = number_write(to, 2, matmul->k);
        to = number_write(to, 3, matmul->n);
        to = place_write(to, 4, &matmul->a, matmul->a.ld_elems);
        if (matmul->b_is_weights) { /* of a choice, what is chosen stands there also if it is 0 */
                to = varint_write(to, KEY(6, TYPE_VARINT));
                to = varint_write(to, matmul->weights);
        } else {
                to = place_write(to, 5, &matmul->b, matmul->b.ld_elems);
        }
        to = number_write(to, 7, matmul->b_transposed);
        to = place_write(to, 8, &matmul->c, matmul->c.ld_elems);
        to = number_write(to, 9, matmul->form);
        to = number_write(to, 10, matmul->shift);
        to = number_write(to, 11, matmul->rounding);
        to = vector_write(to, 12, &matmul->row_scale);
        to = vector_write(to, 13, &matmul->col_scale);
        to = vector_write(to, 14, &matmul->bias);
        to = number_write(to, 15, matmul->class);
        to = number_write(to, 16, matmul->deadline_us);
        to = number_write(to, 17, matmul->more);
        return (size_t)(to - ret_control);
}

size_t message_quick_write_rows(const struct reply_rows *rows, uint8_t *ret_control)
{
        uint8_t *to = number_write(ret_control, 1, rows->first_row);

        to = number_write(to, 2, rows->rows);
        return (size_t)(to - ret_control);
}
