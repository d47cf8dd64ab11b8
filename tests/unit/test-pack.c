/* SPDX-License-Identifier: MIT */
/*
 * test-pack.c - A, B and C in the NPU's layouts, against section 3 of xclbin/README.md: written here once more, an
 * element at a time and with its numbers.
 *
 * Operands and slots lie against a page that nobody may touch, at their end or at their beginning; slots and C are
 * compared as a whole, so that what is left undefined is found as well as what is written beside them.
 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "daemon/npu/pack.h"
#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define PAGE         4096
#define FENCED_BYTES (8 << 20)
#define SLICES_MAX   4
#define ELEMS_MAX    700 /* rows or columns of anything here */

static const uint64_t edges[] = {1, 3, 4, 5, 63, 64, 65, 255, 256, 257, 500};
#define N_EDGES ((int)ARRAY_SIZE(edges))

static struct rng rng;
static uint8_t *fenced[SLICES_MAX], *fenced_slot; /* FENCED_BYTES each, between two guards */
static uint8_t *expected;                         /* what `window` must be in the end */

/* What is compared: destination of the case at hand. */
static struct {
        uint8_t *at;
        size_t bytes;
} window;

static uint8_t *fence_new(void)
{
        uint8_t *map = mmap(NULL, FENCED_BYTES + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        ck_assert_ptr_ne(map, MAP_FAILED);
        ck_assert_int_eq(mprotect(map + PAGE, FENCED_BYTES, PROT_READ | PROT_WRITE), 0);
        return map + PAGE;
}

static void setup(void)
{
        for (size_t i = 0; i < ARRAY_SIZE(fenced); i++)
                fenced[i] = fence_new();
        fenced_slot = fence_new();
        expected = malloc(FENCED_BYTES);
        ck_assert_ptr_nonnull(expected);
}

/* `bytes` of it, against one of its guards. */
static void *fence_place(uint8_t *fence, size_t bytes)
{
        ck_assert_uint_le(bytes, FENCED_BYTES);
        return rng_once_in(&rng, 2) ? fence : fence + FENCED_BYTES - bytes;
}

/* A destination, and what is expected of it: until told otherwise, what it is now. */
static void *window_open(uint8_t *fence, size_t bytes)
{
        const int poison = (int)rng_between(&rng, 1, 255); /* 0 would look like padding */

        window.at = fence_place(fence, bytes);
        window.bytes = bytes;
        memset(window.at, poison, bytes);
        memset(expected, poison, bytes);
        return window.at;
}

static void window_check(const char *what, uint64_t height, uint64_t width)
{
        size_t at = 0;

        if (memcmp(window.at, expected, window.bytes) == 0)
                return;
        while (window.at[at] == expected[at])
                at++;
        ck_abort_msg("%s %" PRIu64 " x %" PRIu64 ": byte %zu is %02x, must be %02x", what, height, width, at,
                     window.at[at], expected[at]);
}

/* A few more than needed, or none. */
static uint64_t some(uint64_t most)
{
        return rng_once_in(&rng, 2) ? 0 : rng_between(&rng, 1, most);
}

static uint64_t divide_up(uint64_t n, uint64_t by)
{
        return (n + by - 1) / by;
}

/* Lanes that have `bytes` each, not always close together. */
static struct stream64_lanes lanes_of(enum stream64_arg arg, uint64_t bytes)
{
        return (struct stream64_lanes){
                .arg = arg, .offset = 64 * some(5), .lane_stride = bytes + 64 * some(5)};
}

/* The buffer that they end with. */
static uint64_t buffer_bytes(const struct stream64_lanes *lanes, uint64_t lane_bytes)
{
        return lanes->offset + 3 * lanes->lane_stride + lane_bytes;
}

/* A matrix of random elements, in a fence from the first byte to the last. */
static const int8_t *operand_new(uint8_t *fence, uint64_t rows, uint64_t cols, uint64_t ld)
{
        const size_t bytes = (rows - 1) * ld + cols;
        int8_t *operand = fence_place(fence, bytes);

        rng_fill(&rng, operand, bytes);
        return operand;
}

/* ---- A ---- */

static const int8_t *lines[ELEMS_MAX]; /* rows of the job */

static void expect_a(const struct stream64_job *job, uint64_t m_elems, uint64_t k_elems)
{
        const uint64_t mt = divide_up(m_elems, 256), kt = divide_up(k_elems, 64);

        for (uint64_t m = 0; m < mt; m++)
                for (uint64_t i = 0; i < 4; i++)
                        for (uint64_t k = 0; k < kt; k++) {
                                uint8_t *object = expected + job->a.offset + i * job->a.lane_stride +
                                                  (m * kt + k) * 4160;

                                memset(object, 0, 64);
                                object[0] = (uint8_t)kt; /* below 256 here */
                                memcpy(object + 4, "ST64", 4);
                                for (uint64_t r = 0; r < 64; r++)
                                        for (uint64_t c = 0; c < 64; c++) {
                                                const uint64_t row = 256 * m + 64 * i + r, col = 64 * k + c;
                                                const bool has = row < m_elems && col < k_elems;

                                                object[64 + (r / 4) * 256 + (c / 8) * 32 + (r % 4) * 8 +
                                                       c % 8] = has ? (uint8_t)lines[row][col] : 0;
                                        }
                        }
}

/* Cuts `m` rows into slices of as many products, each with rows before and behind. */
static size_t slices_new(struct product *products, struct pack_part *parts, uint64_t m, uint64_t k)
{
        const size_t n_max = 1 + rng_below(&rng, SLICES_MAX);
        size_t n = 0;

        for (uint64_t row = 0; row < m; n++) {
                const uint64_t rows = n + 1 == n_max ? m - row : rng_between(&rng, 1, m - row);
                struct product *p = &products[n];

                parts[n] =
                        (struct pack_part){.product = p, .first_row = some(5), .rows = rows, .job_row = row};
                *p = (struct product){.m = parts[n].first_row + rows + some(3), .k = k, .n = 1};
                p->lda = k + some(40);
                p->a = operand_new(fenced[n], p->m, k, p->lda);
                for (uint64_t r = 0; r < rows; r++)
                        lines[row + r] = p->a + (parts[n].first_row + r) * p->lda;
                row += rows;
        }
        return n;
}

static void check_a(uint64_t m, uint64_t k)
{
        const uint64_t mt = divide_up(m, 256), kt = divide_up(k, 64), lane_bytes = mt * kt * 4160;
        const struct stream64_job job = {.size = {.m = mt, .n = 1, .k = kt},
                                         .a = lanes_of(STREAM64_ARG_A, lane_bytes)};
        const bool frame_first = rng_once_in(&rng, 2);
        struct product products[SLICES_MAX];
        struct pack_part parts[SLICES_MAX];
        const size_t n = slices_new(products, parts, m, k);
        struct pack_count count = {.a_bytes = 1, .b_bytes = 2, .c_bytes = 3};
        uint8_t *slot = window_open(fenced_slot, buffer_bytes(&job.a, lane_bytes));

        expect_a(&job, m, k);
        if (frame_first)
                pack_a_frame(slot, &job, m);
        for (size_t i = n; i-- > 0;) /* in any order: the last first */
                pack_a(slot, &job, &parts[i], &count);
        if (!frame_first)
                pack_a_frame(slot, &job, m);
        window_check("A", m, k);
        ck_assert_uint_eq(count.a_bytes, 1 + m * k);
        ck_assert_uint_eq(count.b_bytes, 2);
        ck_assert_uint_eq(count.c_bytes, 3);
}

START_TEST(test_a_edges)
{
        for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
                check_a(edges[i], edges[_i]);
}
END_TEST

/* Kt beyond a byte; words of a header are little-endian. */
START_TEST(test_a_deep_header)
{
        const uint8_t words[8] = {0xb0, 0x07, 0, 0, 'S', 'T', '6', '4'};
        const struct stream64_job job = {.size = {.m = 1, .n = 1, .k = 0x7b0},
                                         .a.lane_stride = 0x7b0 * UINT64_C(4160)};
        uint8_t *slot = calloc(4, job.a.lane_stride);

        ck_assert_ptr_nonnull(slot);
        pack_a_frame(slot, &job, 256);
        for (uint64_t object = 0; object < 4 * job.size.k; object++)
                ck_assert_mem_eq(slot + object * 4160, words, sizeof words);
        free(slot);
}
END_TEST

/* ---- B ---- */

/* `product` has B; its columns from first_col on are the lanes' first. */
static void expect_b(const struct stream64_lanes *lanes, const struct product *p, uint64_t first_col,
                     uint64_t cols)
{
        const uint64_t nt = divide_up(cols, 256), kt = divide_up(p->k, 64);

        for (uint64_t n = 0; n < nt; n++)
                for (uint64_t j = 0; j < 4; j++)
                        for (uint64_t k = 0; k < kt; k++)
                                for (uint64_t r = 0; r < 64; r++)
                                        for (uint64_t c = 0; c < 64; c++) {
                                                const uint64_t row = 64 * k + r, col = 256 * n + 64 * j + c;
                                                const uint64_t b_col = first_col + col;
                                                int8_t value = 0;

                                                if (row < p->k && col < cols)
                                                        value = p->b_transposed ? p->b[b_col * p->ldb + row]
                                                                                : p->b[row * p->ldb + b_col];
                                                expected[lanes->offset + j * lanes->lane_stride +
                                                         (n * kt + k) * 4096 + (r / 8) * 512 + (c / 8) * 64 +
                                                         (r % 8) * 8 + c % 8] = (uint8_t)value;
                                        }
}

/* `cols` columns of a B that may have more, at once or some macro-columns at a time. */
static void check_b(uint64_t k, uint64_t cols, bool transposed)
{
        const uint64_t kt = divide_up(k, 64), lane_bytes = divide_up(cols, 256) * kt * 4096;
        const struct stream64_lanes lanes = lanes_of(STREAM64_ARG_WEIGHTS, lane_bytes);
        const uint64_t first_col = some(300), width = first_col + cols + some(300);
        const bool in_pieces = rng_once_in(&rng, 2);
        struct product p = {.m = 1, .k = k, .n = width, .b_transposed = transposed};
        struct pack_count count = {.a_bytes = 1, .b_bytes = 2, .c_bytes = 3};
        uint8_t *slot;
        uint64_t piece;

        p.ldb = (transposed ? k : width) + some(40);
        p.b = transposed ? operand_new(fenced[0], width, k, p.ldb) : operand_new(fenced[0], k, width, p.ldb);
        slot = window_open(fenced_slot, buffer_bytes(&lanes, lane_bytes));
        expect_b(&lanes, &p, first_col, cols);
        for (uint64_t col = 0; col < cols; col += piece) {
                struct pack_part part = {.product = &p, .first_col = first_col + col};
                struct stream64_lanes at = lanes;

                piece = in_pieces ? 256 * rng_between(&rng, 1, 2) : cols;
                part.cols = MIN(piece, cols - col);
                at.offset += col / 256 * kt * 4096;
                pack_b(slot, &at, &part, &count);
        }
        window_check(transposed ? "B transposed" : "B", k, cols);
        ck_assert_uint_eq(count.a_bytes, 1);
        ck_assert_uint_eq(count.b_bytes, 2 + k * cols);
        ck_assert_uint_eq(count.c_bytes, 3);
}

START_TEST(test_b_edges)
{
        for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
                check_b(edges[_i], edges[i], false);
                check_b(edges[_i], edges[i], true);
        }
}
END_TEST

/* ---- C ---- */

/* The job under test, among others. */
struct c_case {
        struct stream64_batch batch;
        size_t job;
        uint64_t first; /* macro-tiles of the jobs before */
        uint8_t *slot;
};

static void c_case_new(struct c_case *c, uint64_t m, uint64_t n)
{
        uint64_t macro_tiles = 0, lane_bytes;
        size_t bytes;

        *c = (struct c_case){.batch.n_jobs = 1 + rng_below(&rng, 4)};
        c->job = rng_below(&rng, c->batch.n_jobs);
        for (size_t i = 0; i < c->batch.n_jobs; i++) {
                struct stream64_size *size = &c->batch.jobs[i].size;

                size->m = i == c->job ? divide_up(m, 256) : rng_between(&rng, 1, 2);
                size->n = i == c->job ? divide_up(n, 256) : rng_between(&rng, 1, 2);
                size->k = 1;
                if (i == c->job)
                        c->first = macro_tiles;
                macro_tiles += size->m * size->n;
        }
        lane_bytes = macro_tiles * 65536;
        c->batch.c = lanes_of(STREAM64_ARG_C, lane_bytes);
        bytes = buffer_bytes(&c->batch.c, lane_bytes);
        c->slot = fence_place(fenced_slot, bytes);
        rng_fill(&rng, c->slot, bytes);
}

static int32_t c_case_sum(const struct c_case *c, uint64_t row, uint64_t col)
{
        const uint64_t mt = c->batch.jobs[c->job].size.m;
        const uint64_t m = row / 256, i = row % 256 / 64, r = row % 64;
        const uint64_t n = col / 256, j = col % 256 / 64, in_tile = col % 64;
        const uint8_t *bytes = c->slot + c->batch.c.offset + j * c->batch.c.lane_stride +
                               (c->first + n * mt + m) * 65536 + 16384 * i +
                               4 * ((r / 4) * 256 + (in_tile / 8) * 32 + (r % 4) * 8 + in_tile % 8);

        return (int32_t)(bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                         (uint32_t)bytes[3] << 24);
}

/* Expects the elements of a part, in the product's form. */
static void expect_c(const struct c_case *c, const struct pack_part *part)
{
        const struct product *p = part->product;
        const struct oracle_product oracle = {
                .row_scale = p->row_scale, .col_scale = p->col_scale, .bias = p->bias};

        for (uint64_t r = 0; r < part->rows; r++)
                for (uint64_t col = 0; col < part->cols; col++) {
                        const uint64_t c_row = part->first_row + r, c_col = part->first_col + col;
                        const uint64_t element = c_row * p->ldc + c_col;
                        const int32_t sum = c_case_sum(c, part->job_row + r, col);

                        if (p->form == OUTPUT_INT8) {
                                expected[element] = (uint8_t)oracle_int8(
                                        sum, p->shift, p->rounding == ROUNDING_NEAREST_EVEN);
                        } else if (p->form == OUTPUT_FLOAT32) {
                                const float value = oracle_float32(&oracle, c_row, c_col, sum);

                                memcpy(expected + 4 * element, &value, 4);
                        } else {
                                memcpy(expected + 4 * element, &sum, 4);
                        }
                }
}

/* NaNs are all equal: the protocol leaves their bits open. */
static void forgive_nans(void)
{
        for (size_t i = 0; i + 4 <= window.bytes; i += 4) {
                float is, must_be;

                memcpy(&is, window.at + i, 4);
                memcpy(&must_be, expected + i, 4);
                if (isnan(is) && isnan(must_be))
                        memcpy(window.at + i, expected + i, 4);
        }
}

/* A product with room for the part's rows and columns of C, and more around them. */
static void check_c_part(const struct c_case *c, enum output_form form, uint64_t job_row, uint64_t rows,
                         uint64_t cols)
{
        static const char *const names[] = {"int32 C", "int8 C", "float32 C"};
        static float row_scale[ELEMS_MAX], col_scale[2 * ELEMS_MAX], bias[2 * ELEMS_MAX];
        struct product p = {.k = 1, .form = form, .shift = (uint32_t)rng_below(&rng, 32)};
        const struct pack_part part = {.product = &p,
                                       .first_row = some(5),
                                       .rows = rows,
                                       .first_col = some(300),
                                       .cols = cols,
                                       .job_row = job_row};
        struct pack_count count = {.a_bytes = 1, .b_bytes = 2, .c_bytes = 3};
        const size_t elem_bytes = form == OUTPUT_INT8 ? 1 : 4;

        rng_floats(&rng, row_scale, ARRAY_SIZE(row_scale));
        rng_floats(&rng, col_scale, ARRAY_SIZE(col_scale));
        rng_floats(&rng, bias, ARRAY_SIZE(bias));
        p.m = part.first_row + rows + some(3);
        p.n = part.first_col + cols + some(300);
        p.ldc = p.n + some(40);
        p.rounding = (enum rounding)rng_below(&rng, ROUNDING_MAX);
        p.row_scale = rng_once_in(&rng, 4) ? NULL : row_scale;
        p.col_scale = rng_once_in(&rng, 4) ? NULL : col_scale;
        p.bias = rng_once_in(&rng, 4) ? NULL : bias;
        p.c = window_open(fenced[0], ((p.m - 1) * p.ldc + p.n) * elem_bytes);
        expect_c(c, &part);
        unpack_c(c->slot, &c->batch, c->job, &part, &count);
        if (form == OUTPUT_FLOAT32)
                forgive_nans();
        window_check(names[form], rows, cols);
        ck_assert_uint_eq(count.a_bytes, 1);
        ck_assert_uint_eq(count.b_bytes, 2);
        ck_assert_uint_eq(count.c_bytes, 3 + 4 * rows * cols);
}

/* All of a job as one product's, then as slices of several. */
static void check_c(uint64_t m, uint64_t n, enum output_form form)
{
        struct c_case c;
        uint64_t rows;

        c_case_new(&c, m, n);
        check_c_part(&c, form, 0, m, n);
        for (uint64_t row = 0; row < m; row += rows) {
                rows = rng_between(&rng, 1, m - row);
                check_c_part(&c, form, row, rows, n);
        }
}

START_TEST(test_c_edges)
{
        for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
                for (enum output_form form = 0; form < OUTPUT_TILE16_SHIFT7; form++)
                        check_c(edges[_i], edges[i], form);
}
END_TEST

/* A form that rounds within sums cannot come from whole ones: that must not pass in silence. */
START_TEST(test_c_tile16_is_refused)
{
        const pid_t child = fork();
        int status;

        ck_assert_int_ge(child, 0);
        if (child == 0) {
                const struct product p = {
                        .m = 1, .k = 1, .n = 1, .form = OUTPUT_TILE16_SHIFT7, .c = fenced[0], .ldc = 1};
                const struct pack_part part = {.product = &p, .rows = 1, .cols = 1};
                const struct stream64_batch batch = {.n_jobs = 1, .jobs[0].size = {1, 1, 1}};
                struct pack_count count = {0};

                (void)fclose(stderr);
                unpack_c(fenced_slot, &batch, 0, &part, &count);
                _exit(EXIT_SUCCESS);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

/* ---- all of them ---- */

START_TEST(test_random)
{
        for (size_t i = 0; i < 60; i++) {
                const uint64_t most = rng_once_in(&rng, 2) ? 80 : 560;

                check_a(rng_between(&rng, 1, most), rng_between(&rng, 1, most));
                check_b(rng_between(&rng, 1, most), rng_between(&rng, 1, most), i % 2 == 0);
                check_c(rng_between(&rng, 1, most), rng_between(&rng, 1, most),
                        (enum output_form)rng_below(&rng, OUTPUT_TILE16_SHIFT7));
        }
}
END_TEST

/* What is packed for one job whose B is resident. */
START_TEST(test_counts)
{
        enum { M = 500, K = 512, N = 512 };
        const struct stream64_size size = {.m = 2, .k = 8, .n = 2};
        const struct product p = {.m = M,
                                  .k = K,
                                  .n = N,
                                  .a = operand_new(fenced[0], M, K, K),
                                  .lda = K,
                                  .b = operand_new(fenced[1], K, N, N),
                                  .ldb = N,
                                  .c = fenced[2],
                                  .ldc = N};
        const struct pack_part part = {.product = &p, .rows = M, .cols = N};
        const struct stream64_batch batch = {
                .n_jobs = 1,
                .jobs[0] = {.size = size,
                            .a = {STREAM64_ARG_A, 0, size.m * size.k * 4160},
                            .b = {STREAM64_ARG_WEIGHTS, 0, size.n * size.k * 4096}},
                .c = {STREAM64_ARG_C, 0, size.m * size.n * 65536}};
        struct pack_count weights = {0}, job = {0};

        pack_b(fenced_slot, &batch.jobs[0].b, &part, &weights); /* when it is loaded */
        ck_assert_uint_eq(weights.b_bytes, K * N);
        pack_a_frame(fenced_slot, &batch.jobs[0], M);
        pack_a(fenced_slot, &batch.jobs[0], &part, &job);
        unpack_c(fenced_slot, &batch, 0, &part, &job);
        (void)printf("packed for a job (%d,%d,%d) with resident B: A once (%" PRIu64 " B), B %" PRIu64
                     ", C once (%" PRIu64 " B)\n",
                     M, K, N, job.a_bytes, job.b_bytes, job.c_bytes);
        ck_assert_uint_eq(job.a_bytes, 256000);
        ck_assert_uint_eq(job.b_bytes, 0);
        ck_assert_uint_eq(job.c_bytes, 1024000);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("pack");
        TCase *tcase = tcase_create("layouts");

        rng_start(&rng, "pack");
        tcase_add_unchecked_fixture(tcase, setup, NULL);
        tcase_add_loop_test(tcase, test_a_edges, 0, N_EDGES);
        tcase_add_test(tcase, test_a_deep_header);
        tcase_add_loop_test(tcase, test_b_edges, 0, N_EDGES);
        tcase_add_loop_test(tcase, test_c_edges, 0, N_EDGES);
        tcase_add_test(tcase, test_c_tile16_is_refused);
        tcase_add_test(tcase, test_random);
        tcase_add_test(tcase, test_counts);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
