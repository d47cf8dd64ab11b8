/* SPDX-License-Identifier: MIT */
/*
 * test-work.c - a batch as the daemon sends it: right ones become products at the right addresses, in the right stacks;
 * of anything that does not add up no address is made.
 */
#include <sys/mman.h>

#include "daemon/xrt/work.h"
#include "tests/unit/suite.h"

enum { M = 10, K = 20, N = 30, A = 1, B, C, VECTORS, SMALL, C_BYTES = M * N * 4 };

static struct mappings mappings;
static struct work work;
static struct wire_batch batch;
static struct wire_slice *slice = &batch.slices[0];
static struct xrt_fault fault;

static void region_add_bytes(uint64_t id, uint64_t bytes, bool is_writable)
{
        const struct wire_region message = {
                .kind = WIRE_REGION, .is_writable = is_writable, .id = id, .size_bytes = bytes};
        const int fd = memfd_create("region", MFD_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
        ck_assert_int_eq(mappings_add(&mappings, &message, fd, &fault), 0);
        ck_assert_int_eq(close(fd), 0);
}

/* Every region ends where its matrix does. */
static void setup(void)
{
        region_add_bytes(C, C_BYTES, true); /* numbers need not come in order */
        region_add_bytes(A, M * K, false);
        region_add_bytes(VECTORS, (M + N) * sizeof(float), false);
        region_add_bytes(B, K * N, false);
        region_add_bytes(SMALL, 16, true);
        memset(&batch, 0, sizeof batch);
        batch = (struct wire_batch){.kind = WIRE_BATCH, .n_slices = 1, .number = 5};
        *slice = (struct wire_slice){.m = M,
                                     .k = K,
                                     .n = N,
                                     .lda = K,
                                     .ldb = N,
                                     .ldc = N,
                                     .a = {A, 0},
                                     .b = {B, 0},
                                     .c = {C, 0},
                                     .b_stays = true,
                                     .rows = M};
}

static void teardown(void)
{
        mappings_deinit(&mappings);
}

static int read_it(void)
{
        return work_read(&work, &batch, WIRE_BATCH_BYTES(batch.n_slices), &mappings, &fault);
}

static void expect_refused(void)
{
        ck_assert_int_eq(read_it(), XRT_E_FAULT);
        ck_assert_int_eq(fault.cause, WIRE_CAUSE_WORKER);
}

START_TEST(test_right)
{
        slice->form = OUTPUT_FLOAT32;
        slice->row_scale = (struct wire_place){VECTORS, 0};
        slice->bias = (struct wire_place){VECTORS, M * sizeof(float)};
        ck_assert_int_eq(read_it(), 0);
        ck_assert_uint_eq(work.number, 5);
        ck_assert_uint_eq(work.n_stacks, 1);
        ck_assert_ptr_eq(work.stacks[0].resident, mappings_find(&mappings, B));
        ck_assert_ptr_eq(work.products[0].a, mappings_find(&mappings, A)->bytes);
        ck_assert_ptr_eq(work.products[0].c, mappings_find(&mappings, C)->bytes);
        ck_assert_ptr_eq(work.products[0].bias, mappings_find(&mappings, VECTORS)->bytes + M * sizeof(float));
        ck_assert_ptr_null(work.products[0].col_scale);
        ck_assert(work_names_region(&work, A) && work_names_region(&work, VECTORS));
        ck_assert(!work_names_region(&work, 99));
}
END_TEST

/* A field of the slice, and what it becomes. */
#define WRONG(field, value)                                                                                  \
        {                                                                                                    \
                offsetof(struct wire_slice, field), sizeof slice->field, value                               \
        }

static const struct {
        size_t offset, size;
        uint64_t value;
} wrongs[] = {
        WRONG(m, 0),
        WRONG(m, MESSAGE_DIM_MAX + UINT64_C(1)),
        WRONG(k, 0),
        WRONG(k, MESSAGE_K_MAX + UINT64_C(1)),
        WRONG(k, K + 1),
        WRONG(n, 0),
        WRONG(n, N + 1),
        WRONG(lda, K - 1),
        WRONG(lda, K + 1),
        WRONG(lda, UINT64_MAX),
        WRONG(lda, UINT64_MAX / 9),
        WRONG(ldb, N - 1),
        WRONG(ldb, N + 1),
        WRONG(ldc, N - 1),
        WRONG(ldc, N + 1),
        WRONG(ldc, UINT64_C(1) << 62),
        WRONG(a.region, 0),
        WRONG(a.region, 99),
        WRONG(a.offset_bytes, 1),
        WRONG(a.offset_bytes, UINT64_MAX),
        WRONG(b.offset_bytes, 1),
        WRONG(c.offset_bytes, 4),
        WRONG(c.region, A), /* not to be written */
        WRONG(row_scale.region, 99),
        WRONG(row_scale.region, SMALL),
        WRONG(form, OUTPUT_MAX),
        WRONG(rounding, ROUNDING_MAX),
        WRONG(shift, MESSAGE_SHIFT_MAX + 1),
        WRONG(rows, 0),
        WRONG(rows, M + 1),
        WRONG(first_row, 1),
        WRONG(first_row, UINT64_MAX),
        WRONG(b_transposed, true), /* it could not stay; and ldb is that of rows of N */
};

#define WRONGS 33
static_assert(ARRAY_SIZE(wrongs) == WRONGS, "how many loops");

START_TEST(test_wrong)
{
        memcpy((uint8_t *)slice + wrongs[_i].offset, &wrongs[_i].value, wrongs[_i].size);
        expect_refused();
}
END_TEST

START_TEST(test_unaligned)
{
        slice->m = slice->rows = 1;
        slice->c.offset_bytes = 2;
        expect_refused();
        slice->c.offset_bytes = 4;
        ck_assert_int_eq(read_it(), 0);
}
END_TEST

START_TEST(test_size)
{
        ck_assert_int_eq(work_read(&work, &batch, WIRE_BATCH_BYTES(1) - 1, &mappings, &fault), XRT_E_FAULT);
        ck_assert_int_eq(work_read(&work, &batch, 8, &mappings, &fault), XRT_E_FAULT);
        batch.n_slices = 0;
        expect_refused();
        batch.n_slices = WIRE_SLICES_MAX + 1;
        expect_refused();
}
END_TEST

START_TEST(test_stacks)
{
        batch.n_slices = 4;
        for (size_t i = 1; i < batch.n_slices; i++)
                batch.slices[i] = *slice;
        batch.slices[3].k = K - 1;
        batch.slices[3].b_stays = false;
        expect_refused();
        batch.slices[3].stack = 1;
        ck_assert_int_eq(read_it(), 0);
        ck_assert_uint_eq(work.n_stacks, 2);
        ck_assert_uint_eq(work.stacks[0].n_slices, 3);
        ck_assert_uint_eq(work.stacks[0].rows, 3 * M);
        /* Whoever composes it need not stack what could be. */
        batch.slices[2].stack = 1;
        batch.slices[3].stack = 2;
        ck_assert_int_eq(read_it(), 0);
        ck_assert_uint_eq(work.n_stacks, 3);
        ck_assert_uint_eq(work.stacks[0].n_slices, 2);
        ck_assert_uint_eq(work.stacks[1].n_slices, 1);
}
END_TEST

/* Rows 2 to 9 of one product, row 0 of the next, rows 4 and 5 of the last. */
START_TEST(test_parts)
{
        static const uint64_t first[] = {2, 0, 4}, rows[] = {8, 1, 2};
        const struct stream64_part planned = {.first_row = 5, .rows = 5, .first_col = 7, .cols = 3};
        static struct pack_part parts[WIRE_SLICES_MAX];

        batch.n_slices = 3;
        for (size_t i = 0; i < batch.n_slices; i++) {
                batch.slices[i] = *slice;
                batch.slices[i].first_row = first[i];
                batch.slices[i].rows = rows[i];
        }
        ck_assert_int_eq(read_it(), 0);
        ck_assert_uint_eq(work_parts(&work, &work.stacks[0], &planned, parts), 3);
        for (size_t i = 0; i < 3; i++) {
                static const uint64_t part_first[] = {7, 0, 4}, part_rows[] = {3, 1, 1},
                                      job_row[] = {0, 3, 4};

                ck_assert_ptr_eq(parts[i].product, &work.products[i]);
                ck_assert_uint_eq(parts[i].first_row, part_first[i]);
                ck_assert_uint_eq(parts[i].rows, part_rows[i]);
                ck_assert_uint_eq(parts[i].job_row, job_row[i]);
                ck_assert_uint_eq(parts[i].first_col, 7);
                ck_assert_uint_eq(parts[i].cols, 3);
        }
}
END_TEST

START_TEST(test_regions)
{
        const struct wire_region again = {.kind = WIRE_REGION, .id = A, .size_bytes = 1};

        ck_assert_int_eq(mappings_add(&mappings, &again, 0, &fault), XRT_E_FAULT);
        mappings_remove(&mappings, mappings_find(&mappings, B));
        ck_assert_ptr_null(mappings_find(&mappings, B));
        ck_assert_ptr_nonnull(mappings_find(&mappings, A));
        ck_assert_ptr_nonnull(mappings_find(&mappings, C));
        expect_refused();
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("work");
        TCase *tcase = tcase_create("all");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_right);
        tcase_add_loop_test(tcase, test_wrong, 0, WRONGS);
        tcase_add_test(tcase, test_unaligned);
        tcase_add_test(tcase, test_size);
        tcase_add_test(tcase, test_stacks);
        tcase_add_test(tcase, test_parts);
        tcase_add_test(tcase, test_regions);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
