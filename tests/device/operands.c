/* SPDX-License-Identifier: MIT */
/* operands.c - see operands.h. */
#include "tests/device/operands.h"

#include <check.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "tests/lib/oracle.h"

#define POISON      0xa5
#define GUARD_BYTES 256

enum { A = 0, B, C, ROW_SCALE, COL_SCALE, BIAS };

struct region_set *operands_regions;

/* Whole pages, of which the last bytes are used: an access beyond the end is one beyond the region's. */
static uint8_t *shared_new(struct region *region, size_t n_bytes)
{
        uint64_t size_bytes = 0;
        uint8_t *memory;
        int fd;

        ck_assert(checked_align(n_bytes, 4096, &size_bytes));
        ck_assert_int_eq(shared_memory_open("operands", size_bytes, &fd, &memory), 0);
        ck_assert(region_add(operands_regions, region, memory, size_bytes, fd, true));
        return memory + (size_bytes - n_bytes) / 16 * 16;
}

static void shared_free(struct region *region)
{
        if (region->id != 0)
                region_end(operands_regions, region, NULL);
        (void)munmap((void *)(uintptr_t)region->memory, region->size_bytes);
        (void)close(region->fd);
}

/* Exactly `n_bytes` behind an offset of `skew`, so that sanitizers see an access beyond the end. */
static uint8_t *memory_new(struct operands *operands, int which, size_t skew, size_t n_bytes)
{
        operands->memory_bytes[which] = skew + n_bytes;
        operands->memory[which] = operands_regions ? shared_new(&operands->regions[which], skew + n_bytes)
                                                   : malloc(skew + n_bytes);
        ck_assert_ptr_nonnull(operands->memory[which]);
        return operands->memory[which] + skew;
}

/* int8 operands begin at any byte. */
static const int8_t *matrix_new(struct operands *operands, int which, uint64_t rows, uint64_t ld,
                                uint64_t cols, struct rng *rng)
{
        uint8_t *memory = memory_new(operands, which, 1 + (size_t)rng_below(rng, 16), (rows - 1) * ld + cols);

        rng_fill(rng, operands->memory[which], operands->memory_bytes[which]);
        for (uint64_t row = 0; row < rows && operands->shape.fill != FILL_RANDOM; row++)
                for (uint64_t col = 0; col < cols; col++)
                        memory[row * ld + col] =
                                operands->shape.fill == FILL_LOWEST || rng_once_in(rng, 2) ? 0x80 : 0x7f;
        return (const int8_t *)memory;
}

/* float32 operands begin at any multiple of 4. */
static const float *vector_new(struct operands *operands, int which, bool is_there, uint64_t n,
                               struct rng *rng)
{
        float *vector;

        if (!is_there)
                return NULL;
        vector = (float *)(void *)memory_new(operands, which, 4 + 4 * (size_t)rng_below(rng, 16),
                                             n * sizeof *vector);
        rng_floats(rng, vector, n);
        return vector;
}

static void c_new(struct operands *operands, struct rng *rng)
{
        struct product *product = &operands->product;
        const size_t elem_bytes = output_elem_bytes(product->form);
        const size_t skew = GUARD_BYTES + elem_bytes * (size_t)rng_below(rng, 16);
        const size_t n_bytes = ((product->m - 1) * product->ldc + product->n) * elem_bytes;

        product->c = memory_new(operands, C, skew, n_bytes + GUARD_BYTES);
        memset(operands->memory[C], POISON, operands->memory_bytes[C]);
}

static void inputs_keep(struct operands *operands)
{
        const size_t *bytes = operands->memory_bytes;

        operands->inputs_before = malloc(bytes[A] + bytes[B]);
        ck_assert_ptr_nonnull(operands->inputs_before);
        memcpy(operands->inputs_before, operands->memory[A], bytes[A]);
        if (operands->memory[B])
                memcpy(operands->inputs_before + bytes[A], operands->memory[B], bytes[B]);
}

static void init(struct operands *operands, const struct operands_shape *shape, const struct operands *other,
                 struct rng *rng)
{
        struct product *product = &operands->product;
        const uint64_t b_rows = shape->b_transposed ? shape->n : shape->k;
        const uint64_t b_cols = shape->b_transposed ? shape->k : shape->n;

        *operands = (struct operands){.shape = *shape};
        *product = (struct product){
                .m = shape->m,
                .k = shape->k,
                .n = shape->n,
                .lda = shape->k + shape->gap_a,
                .ldb = b_cols + shape->gap_b,
                .b_transposed = shape->b_transposed,
                .ldc = shape->n + shape->gap_c,
                .form = shape->form,
                .shift = shape->shift,
                .rounding = shape->rounding,
        };
        product->a = matrix_new(operands, A, shape->m, product->lda, shape->k, rng);
        product->b = other ? other->product.b : matrix_new(operands, B, b_rows, product->ldb, b_cols, rng);
        product->row_scale = vector_new(operands, ROW_SCALE, shape->row_scale, shape->m, rng);
        product->col_scale = vector_new(operands, COL_SCALE, shape->col_scale, shape->n, rng);
        product->bias = vector_new(operands, BIAS, shape->bias, shape->n, rng);
        c_new(operands, rng);
        inputs_keep(operands);
        operands->row_is_expected = calloc(shape->m, sizeof *operands->row_is_expected);
        ck_assert_ptr_nonnull(operands->row_is_expected);
}

void operands_init(struct operands *operands, const struct operands_shape *shape, struct rng *rng)
{
        init(operands, shape, NULL, rng);
}

void operands_init_sharing(struct operands *operands, const struct operands_shape *shape,
                           const struct operands *other, struct rng *rng)
{
        struct operands_shape same = *shape;

        ck_assert(shape->k == other->shape.k && shape->n == other->shape.n &&
                  shape->b_transposed == other->shape.b_transposed);
        same.gap_b = other->shape.gap_b;
        init(operands, &same, other, rng);
        operands->product.resident = other->product.resident;
}

void operands_deinit(struct operands *operands)
{
        for (size_t i = 0; i < ARRAY_SIZE(operands->memory); i++) {
                if (operands->regions[i].memory)
                        shared_free(&operands->regions[i]);
                else
                        free(operands->memory[i]);
        }
        free(operands->inputs_before);
        free(operands->row_is_expected);
        *operands = (struct operands){0};
}

static void rows_mark(struct operands *operands, uint64_t first_row, uint64_t rows, bool is_expected)
{
        ck_assert_uint_le(first_row + rows, operands->product.m);
        for (uint64_t row = first_row; row < first_row + rows; row++)
                operands->row_is_expected[row] = is_expected;
}

void operands_expect(struct operands *operands, uint64_t first_row, uint64_t rows)
{
        rows_mark(operands, first_row, rows, true);
}

void operands_forgo(struct operands *operands, uint64_t first_row, uint64_t rows)
{
        rows_mark(operands, first_row, rows, false);
}

void operands_check_rows(const struct operands *operands, uint64_t first_row, uint64_t rows)
{
        const struct product *product = &operands->product;
        const struct oracle_product oracle = {
                .m = product->m,
                .k = product->k,
                .n = product->n,
                .a = product->a,
                .lda = product->lda,
                .b = product->b,
                .ldb = product->ldb,
                .b_transposed = product->b_transposed,
                .form = (enum oracle_form)product->form,
                .shift = product->shift,
                .nearest_even = product->rounding == ROUNDING_NEAREST_EVEN,
                .row_scale = product->row_scale,
                .col_scale = product->col_scale,
                .bias = product->bias,
        };

        ck_assert_msg(oracle_check(&oracle, first_row, rows, product->c, product->ldc),
                      "rows %" PRIu64 "..%" PRIu64 ": B %stransposed, gaps %" PRIu64 " %" PRIu64 " %" PRIu64
                      ", shift %" PRIu32 ", rounding %d, vectors %d%d%d",
                      first_row, first_row + rows, product->b_transposed ? "" : "not ", operands->shape.gap_a,
                      operands->shape.gap_b, operands->shape.gap_c, product->shift, product->rounding,
                      operands->shape.row_scale, operands->shape.col_scale, operands->shape.bias);
}

static void check_poison(const struct operands *operands, size_t from, size_t to)
{
        for (size_t at = from; at < to; at++)
                ck_assert_msg(operands->memory[C][at] == POISON,
                              "byte %zd from the beginning of C was written: %zux%zux%zu, form %d",
                              (const char *)operands->memory[C] + at - (const char *)operands->product.c,
                              (size_t)operands->product.m, (size_t)operands->product.k,
                              (size_t)operands->product.n, operands->product.form);
}

void operands_check(const struct operands *operands)
{
        const struct product *product = &operands->product;
        const size_t elem_bytes = output_elem_bytes(product->form), *bytes = operands->memory_bytes;
        size_t at = (size_t)((const uint8_t *)product->c - operands->memory[C]);

        check_poison(operands, 0, at);
        for (uint64_t row = 0; row < product->m; row++) {
                const size_t end = at + product->n * elem_bytes;

                if (operands->row_is_expected[row])
                        operands_check_rows(operands, row, 1);
                else
                        check_poison(operands, at, end);
                at += product->ldc * elem_bytes;
                check_poison(operands, end, row + 1 < product->m ? at : bytes[C]);
        }
        ck_assert_mem_eq(operands->inputs_before, operands->memory[A], bytes[A]);
        if (operands->memory[B])
                ck_assert_mem_eq(operands->inputs_before + bytes[A], operands->memory[B], bytes[B]);
}
