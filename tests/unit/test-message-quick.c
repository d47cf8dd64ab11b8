/* SPDX-License-Identifier: MIT */
/*
 * test-message-quick.c - what is read and written without protobuf-c is what protobuf-c reads and writes.
 *
 * Role: the library is the oracle, called here by itself. Messages are made at random, then damaged: whatever is
 *       accepted means to the library what it means to us, and what any encoder writes is accepted.
 */
#include <check.h>

#include "npumm.pb-c.h"
#include "proto/message-quick.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define ROUNDS 20000

static struct rng rng;

static void setup(void)
{
        rng_start(&rng, "test-message-quick");
}

/* Of any size, often 0. */
static uint64_t any(unsigned bits)
{
        const unsigned width = (unsigned)rng_below(&rng, bits + 1);

        return width == 0 ? 0 : rng_next(&rng) >> (64 - width);
}

static struct place any_place(bool has_ld)
{
        return (struct place){.arena = (uint32_t)any(32),
                              .offset_bytes = any(64),
                              .ld_elems = has_ld ? any(64) : 0,
                              .extent_bytes = 1};
}

static struct place any_vector(void)
{
        return rng_below(&rng, 2) ? any_place(false) : (struct place){0};
}

static struct request_matmul any_matmul(void)
{
        struct request_matmul matmul = {
                .m = any(64),
                .k = any(64),
                .n = any(64),
                .a = any_place(true),
                .b_is_weights = rng_below(&rng, 2),
                .b_transposed = rng_below(&rng, 2),
                .c = any_place(true),
                .form = (enum output_form)any(31),
                .shift = (uint32_t)any(32),
                .rounding = (enum rounding)any(31),
                .row_scale = any_vector(),
                .col_scale = any_vector(),
                .bias = any_vector(),
                .class = (enum job_class)any(31),
                .deadline_us = any(64),
                .more = rng_below(&rng, 2),
        };

        if (matmul.b_is_weights)
                matmul.weights = any(64);
        else
                matmul.b = any_place(true);
        return matmul;
}

/* ---- the oracle ---- */

static Npumm__V1__Operand *operand(const struct place *place, Npumm__V1__Operand *storage)
{
        npumm__v1__operand__init(storage);
        storage->arena = place->arena;
        storage->offset_bytes = place->offset_bytes;
        storage->ld_elems = place->ld_elems;
        return place->extent_bytes != 0 ? storage : NULL;
}

static size_t library_write(const struct request_matmul *from, uint8_t *ret_bytes)
{
        Npumm__V1__Matmul to = NPUMM__V1__MATMUL__INIT;
        Npumm__V1__Operand storage[6];

        to.m = from->m;
        to.k = from->k;
        to.n = from->n;
        to.a = operand(&from->a, &storage[0]);
        to.b_from_case = from->b_is_weights ? NPUMM__V1__MATMUL__B_FROM_WEIGHTS : NPUMM__V1__MATMUL__B_FROM_B;
        if (from->b_is_weights)
                to.weights = from->weights;
        else
                to.b = operand(&from->b, &storage[1]);
        to.b_transposed = from->b_transposed;
        to.c = operand(&from->c, &storage[2]);
        to.output = (Npumm__V1__Output)from->form;
        to.shift = from->shift;
        to.rounding = (Npumm__V1__Rounding)from->rounding;
        to.row_scale = operand(&from->row_scale, &storage[3]);
        to.col_scale = operand(&from->col_scale, &storage[4]);
        to.bias = operand(&from->bias, &storage[5]);
        to.class_ = (Npumm__V1__Class)from->class;
        to.deadline_us = from->deadline_us;
        to.more = from->more;
        return npumm__v1__matmul__pack(&to, ret_bytes);
}

static void check_place(const struct place *place, const Npumm__V1__Operand *from)
{
        ck_assert_int_eq(place->extent_bytes != 0, from != NULL);
        if (!from)
                return;
        ck_assert_uint_eq(place->arena, from->arena);
        ck_assert_uint_eq(place->offset_bytes, from->offset_bytes);
        ck_assert_uint_eq(place->ld_elems, from->ld_elems);
}

/* That the library reads the bytes as this. */
static void check_as_library(const struct request_matmul *matmul, const uint8_t *bytes, size_t n_bytes)
{
        Npumm__V1__Matmul *from = npumm__v1__matmul__unpack(NULL, n_bytes, bytes);

        ck_assert_ptr_nonnull(from);
        ck_assert_uint_eq(matmul->m, from->m);
        ck_assert_uint_eq(matmul->k, from->k);
        ck_assert_uint_eq(matmul->n, from->n);
        check_place(&matmul->a, from->a);
        if (matmul->b_is_weights) {
                ck_assert_int_eq(from->b_from_case, NPUMM__V1__MATMUL__B_FROM_WEIGHTS);
                ck_assert_uint_eq(matmul->weights, from->weights);
        } else {
                ck_assert_int_eq(from->b_from_case, NPUMM__V1__MATMUL__B_FROM_B);
                check_place(&matmul->b, from->b);
        }
        ck_assert_int_eq(matmul->b_transposed, from->b_transposed);
        check_place(&matmul->c, from->c);
        ck_assert_int_eq((int)matmul->form, (int)from->output);
        ck_assert_uint_eq(matmul->shift, from->shift);
        ck_assert_int_eq((int)matmul->rounding, (int)from->rounding);
        check_place(&matmul->row_scale, from->row_scale);
        check_place(&matmul->col_scale, from->col_scale);
        check_place(&matmul->bias, from->bias);
        ck_assert_int_eq((int)matmul->class, (int)from->class_);
        ck_assert_uint_eq(matmul->deadline_us, from->deadline_us);
        ck_assert_int_eq(matmul->more, from->more);
        ck_assert_uint_eq(from->base.n_unknown_fields, 0);
        npumm__v1__matmul__free_unpacked(from, NULL);
}

/* ---- tests ---- */

START_TEST(test_same_bytes)
{
        for (int i = 0; i < ROUNDS; i++) {
                const struct request_matmul matmul = any_matmul();
                uint8_t ours[MESSAGE_WRITE_MAX], theirs[MESSAGE_WRITE_MAX];
                const size_t n = message_quick_write_matmul(&matmul, ours);

                ck_assert_uint_eq(n, library_write(&matmul, theirs));
                ck_assert_mem_eq(ours, theirs, n);
        }
}
END_TEST

START_TEST(test_same_meaning)
{
        for (int i = 0; i < ROUNDS; i++) {
                const struct request_matmul matmul = any_matmul();
                struct request_matmul read;
                uint8_t bytes[MESSAGE_WRITE_MAX];
                const size_t n = library_write(&matmul, bytes);

                ck_assert(message_quick_read_matmul(bytes, n, &read));
                check_as_library(&read, bytes, n);
        }
}
END_TEST

/* Cut, lengthened, or with some bytes changed. In memory of just that size, so that sanitizers see a byte beyond. */
START_TEST(test_damaged)
{
        unsigned n_read = 0;

        for (int i = 0; i < ROUNDS * 5; i++) {
                const struct request_matmul matmul = any_matmul();
                struct request_matmul read;
                uint8_t bytes[MESSAGE_WRITE_MAX], *exact;
                size_t n = library_write(&matmul, bytes);

                if (rng_below(&rng, 4) == 0)
                        n = rng_below(&rng, n + 1);
                else
                        for (uint64_t changes = 1 + rng_below(&rng, 3); changes > 0 && n > 0; changes--)
                                bytes[rng_below(&rng, n)] = (uint8_t)rng_next(&rng);
                exact = malloc(MAX(n, (size_t)1));
                ck_assert_ptr_nonnull(exact);
                memcpy(exact, bytes, n);
                if (message_quick_read_matmul(exact, n, &read)) {
                        check_as_library(&read, exact, n);
                        n_read++;
                }
                free(exact);
        }
        ck_assert_uint_gt(n_read, ROUNDS / 10);
}
END_TEST

/* What is legal but not of the form is left to the library. */
static const struct {
        const char *what;
        uint8_t bytes[40];
        size_t n;
} others[] = {
        {"no C", {0x22, 0, 0x2a, 0}, 4},
        {"no A", {0x2a, 0, 0x42, 0}, 4},
        {"no B", {0x22, 0, 0x42, 0}, 4},
        {"B and weights", {0x22, 0, 0x2a, 0, 0x30, 1, 0x42, 0}, 8},
        {"M twice", {0x08, 1, 0x08, 2, 0x22, 0, 0x2a, 0, 0x42, 0}, 10},
        {"out of order", {0x10, 1, 0x08, 2, 0x22, 0, 0x2a, 0, 0x42, 0}, 10},
        {"an unknown field", {0x22, 0, 0x2a, 0, 0x42, 0, 0x90, 0x01, 5}, 9},
        {"another type", {0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x22, 0, 0x2a, 0, 0x42, 0}, 15},
        {"a bool of 2", {0x22, 0, 0x2a, 0, 0x38, 2, 0x42, 0}, 8},
        {"an arena of 2^32", {0x22, 6, 0x08, 0x80, 0x80, 0x80, 0x80, 0x10, 0x2a, 0, 0x42, 0}, 12},
        {"a vector's leading dimension", {0x22, 0, 0x2a, 0, 0x42, 0, 0x62, 2, 0x18, 1}, 10},
        {"an operand cut short", {0x22, 0, 0x2a, 0, 0x42, 5, 0x08, 1}, 8},
        {"an operand's unknown field", {0x22, 2, 0x20, 1, 0x2a, 0, 0x42, 0}, 8},
        {"a varint of 70 bits",
         {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x22, 0, 0x2a, 0, 0x42, 0},
         17},
        {"a varint of 11 bytes",
         {0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x22, 0, 0x2a, 0, 0x42, 0},
         18},
};

START_TEST(test_left_to_the_library)
{
        struct request_matmul read = {.m = 77};

        ck_assert_msg(!message_quick_read_matmul(others[_i].bytes, others[_i].n, &read), "%s",
                      others[_i].what);
        ck_assert_uint_eq(read.m, 77);
}
END_TEST

START_TEST(test_least)
{
        static const uint8_t bytes[] = {0x22, 0, 0x2a, 0, 0x42, 0};
        struct request_matmul read;

        ck_assert(message_quick_read_matmul(bytes, sizeof bytes, &read));
        check_as_library(&read, bytes, sizeof bytes);
}
END_TEST

START_TEST(test_rows)
{
        for (int i = 0; i < ROUNDS; i++) {
                const struct reply_rows rows = {any(64), any(64)};
                Npumm__V1__Rows to = NPUMM__V1__ROWS__INIT;
                struct reply_rows read = {1, 1};
                uint8_t ours[MESSAGE_WRITE_MAX], theirs[MESSAGE_WRITE_MAX];
                const size_t n = message_quick_write_rows(&rows, ours);

                to.first_row = rows.first_row;
                to.rows = rows.rows;
                ck_assert_uint_eq(n, npumm__v1__rows__pack(&to, theirs));
                ck_assert_mem_eq(ours, theirs, n);
                ck_assert(message_quick_read_rows(ours, n, &read));
                ck_assert_uint_eq(read.first_row, rows.first_row);
                ck_assert_uint_eq(read.rows, rows.rows);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("message-quick");
        TCase *tcase = tcase_create("as the library");

        tcase_add_unchecked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_same_bytes);
        tcase_add_test(tcase, test_same_meaning);
        tcase_add_test(tcase, test_damaged);
        tcase_add_loop_test(tcase, test_left_to_the_library, 0, (int)ARRAY_SIZE(others));
        tcase_add_test(tcase, test_least);
        tcase_add_test(tcase, test_rows);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
