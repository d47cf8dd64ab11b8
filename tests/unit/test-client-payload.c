/* SPDX-License-Identifier: MIT */
/*
 * test-client-payload.c - inline operands and products: their way between rows in memory and one stream of
 * bytes, and what becomes of a payload whose job is over before it is out.
 */
#include <sys/mman.h>

#include "tests/unit/visit.h"
#include "tests/unit/suite.h"

/* ---- rows with gaps between them ---- */

#define GAP 0xee

static uint8_t a_element(uint64_t row, uint64_t col)
{
        return (uint8_t)(row * 7 + col);
}

static uint8_t b_element(uint64_t row, uint64_t col)
{
        return (uint8_t)(row * 11 + col);
}

/* The product of the stub: of the right size and easy to tell apart. */
static int32_t c_element(uint64_t row, uint64_t col)
{
        return (int32_t)(row * 1000 + col);
}

static void check_received(const struct stub_frame *frame)
{
        const struct request_matmul *matmul = &frame->request.matmul;
        const uint64_t b_rows = matmul->b_transposed ? matmul->n : matmul->k;
        const uint64_t b_cols = matmul->b_transposed ? matmul->k : matmul->n;

        assert(matmul->a.offset_bytes % 64 == 0 && matmul->b.offset_bytes % 64 == 0);
        assert(matmul->bias.offset_bytes % 64 == 0 && matmul->bias.extent_bytes != 0);
        for (uint64_t i = 0; i < matmul->m; i++)
                for (uint64_t j = 0; j < matmul->k; j++)
                        assert(frame->payload[matmul->a.offset_bytes + i * matmul->a.ld_elems + j] ==
                               a_element(i, j));
        for (uint64_t i = 0; i < b_rows; i++)
                for (uint64_t j = 0; j < b_cols; j++)
                        assert(frame->payload[matmul->b.offset_bytes + i * matmul->b.ld_elems + j] ==
                               b_element(i, j));
        for (uint64_t j = 0; j < matmul->n; j++) {
                float bias;

                memcpy(&bias, frame->payload + matmul->bias.offset_bytes + j * sizeof bias, sizeof bias);
                assert(bias == (float)j);
        }
}

static void say_range(struct stub_daemon *stub, const int32_t *c, uint64_t first_row, uint64_t end_row)
{
        const uint64_t n = stub->frame.request.matmul.n;

        if (end_row > first_row)
                stub_say_rows(stub, stub->frame.header.request_id, first_row, end_row - first_row,
                              c + first_row * n, (end_row - first_row) * n * sizeof *c);
}

/* Answers with the rows in three ranges, out of order. */
static bool check_and_answer(struct stub_daemon *stub)
{
        const struct request_matmul *matmul = &stub->frame.request.matmul;
        int32_t *c = malloc(matmul->m * matmul->n * sizeof *c);

        assert(stub->frame.header.type == FRAME_MATMUL && c);
        check_received(&stub->frame);
        for (uint64_t i = 0; i < matmul->m * matmul->n; i++)
                c[i] = c_element(i / matmul->n, i % matmul->n);
        say_range(stub, c, matmul->m / 2, matmul->m);
        say_range(stub, c, 0, matmul->m / 3);
        say_range(stub, c, matmul->m / 3, matmul->m / 2);
        free(c);
        stub_say_outcome(stub, FRAME_DONE, stub->frame.header.request_id, STATUS_OK, "");
        return true;
}

static const struct shape {
        size_t m, k, n;
        size_t gap; /* elements between rows, in all three matrices */
        size_t drip_bytes;
} shapes[] = {
        {5, 3, 2, 1, 1},      {7, 1, 1, 3, 1},         {300, 1, 1, 5, 17}, {300, 40, 50, 7, 0},
        {1000, 3, 200, 0, 0}, {1, 1000, 300, 64, 100}, {2000, 2, 3, 1, 5},
};

/* The matrices of a shape, with gaps. */
struct matrices {
        size_t lda, b_rows, b_cols, ldb, ldc;
        uint8_t *a, *b; /* owned */
        int32_t *c;     /* owned */
        float *bias;    /* owned */
};

static void matrices_init(struct matrices *matrices, const struct shape *shape, bool b_transposed)
{
        const size_t b_rows = b_transposed ? shape->n : shape->k, b_cols = b_transposed ? shape->k : shape->n;

        *matrices = (struct matrices){
                .lda = shape->k + shape->gap,
                .b_rows = b_rows,
                .b_cols = b_cols,
                .ldb = b_cols + shape->gap,
                .ldc = shape->n + shape->gap,
        };
        matrices->a = malloc(shape->m * matrices->lda);
        matrices->b = malloc(b_rows * matrices->ldb);
        matrices->c = malloc(shape->m * matrices->ldc * sizeof *matrices->c);
        matrices->bias = malloc(shape->n * sizeof *matrices->bias);
        ck_assert(matrices->a && matrices->b && matrices->c && matrices->bias);
        for (size_t i = 0; i < shape->m; i++)
                for (size_t j = 0; j < matrices->lda; j++)
                        matrices->a[i * matrices->lda + j] = j < shape->k ? a_element(i, j) : GAP;
        for (size_t i = 0; i < b_rows; i++)
                for (size_t j = 0; j < matrices->ldb; j++)
                        matrices->b[i * matrices->ldb + j] = j < b_cols ? b_element(i, j) : GAP;
        for (size_t i = 0; i < shape->m * matrices->ldc; i++)
                matrices->c[i] = UNTOUCHED;
        for (size_t j = 0; j < shape->n; j++)
                matrices->bias[j] = (float)j;
}

static void matrices_deinit(struct matrices *matrices)
{
        free(matrices->a);
        free(matrices->b);
        free(matrices->c);
        free(matrices->bias);
}

static void check_job_with_gaps(const struct visit *visit, const struct shape *shape, bool b_transposed)
{
        struct matrices matrices;
        struct npumm_matmul matmul = {.size = sizeof matmul, .m = shape->m, .k = shape->k, .n = shape->n};
        struct tally tally = {0};
        uint64_t job;

        matrices_init(&matrices, shape, b_transposed);
        matmul.a = (const int8_t *)matrices.a;
        matmul.lda = matrices.lda;
        matmul.b = (const int8_t *)matrices.b;
        matmul.ldb = matrices.ldb;
        matmul.c = matrices.c;
        matmul.ldc = matrices.ldc;
        matmul.bias = matrices.bias;
        matmul.output = NPUMM_OUTPUT_FLOAT32;
        matmul.flags = NPUMM_MATMUL_INLINE | (b_transposed ? NPUMM_MATMUL_B_TRANSPOSED : 0u);
        ck_assert_int_eq(npumm_submit(visit->client, &matmul, tally_rows, tally_done, &tally, &job), 0);
        tally_await(&tally, visit->client);
        ck_assert_msg(tally.result == 0, "%d: %s", tally.result, tally.text);
        ck_assert_uint_eq(tally.rows, shape->m);
        ck_assert_uint_eq(tally.job, job);
        for (size_t i = 0; i < shape->m; i++)
                for (size_t j = 0; j < matrices.ldc; j++)
                        ck_assert_int_eq(matrices.c[i * matrices.ldc + j],
                                         j < shape->n ? c_element(i, j) : UNTOUCHED);
        matrices_deinit(&matrices);
}

START_TEST(test_rows_with_gaps)
{
        const struct shape *shape = &shapes[_i];
        struct visit visit = visit_begin(
                &(struct stub_options){.frame_fn = check_and_answer, .drip_bytes = shape->drip_bytes});

        check_job_with_gaps(&visit, shape, false);
        check_job_with_gaps(&visit, shape, true);
        visit_end(&visit);
}
END_TEST

/* ---- refused in mid-upload ---- */

#define REFUSED_M 1024u
#define REFUSED_K 4096u
#define REFUSED_N 1024u

/*
 * Refuses a job after a bit of its payload, and then, on the test's word, looks at the rest: it may be zeros.
 */
static void refuse_early(struct stub_daemon *stub)
{
        uint8_t bytes[65536];
        uint64_t left, n_zeros = 0;

        if (!stub_welcome(stub) || !stub_take_head(stub) || !stub_take_payload(stub, bytes, 1000))
                return;
        assert(stub->frame.header.type == FRAME_MATMUL);
        stub_say_outcome(stub, FRAME_DONE, stub->frame.header.request_id, STATUS_BUSY, "refused early");
        stub_await_go(stub);
        for (left = stub->frame.header.payload_bytes - 1000; left > 0; left -= MIN(left, sizeof bytes)) {
                const uint64_t n = MIN(left, sizeof bytes);

                if (!stub_take_payload(stub, bytes, n))
                        return;
                for (uint64_t i = 0; i < n; i++) {
                        assert(bytes[i] == 1 || bytes[i] == 0);
                        n_zeros += bytes[i] == 0;
                }
        }
        assert(n_zeros > 0); /* or all of it was out before the job was over, and this has shown nothing */
        stub_serve(stub);    /* the next frame begins where it should */
}

static void *memory_of_ones(size_t size_bytes)
{
        void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        ck_assert(memory != MAP_FAILED);
        return memset(memory, 1, size_bytes);
}

/* Once done is done, the operands may be unmapped, though their frame is not out. With gaps and without. */
START_TEST(test_refused_in_mid_upload)
{
        struct visit visit = visit_begin(&(struct stub_options){.script = refuse_early});
        const size_t lda = _i == 0 ? REFUSED_K : REFUSED_K + 64;
        int8_t *a = memory_of_ones(REFUSED_M * lda), *b = memory_of_ones(REFUSED_K * REFUSED_N);
        int32_t *c = malloc(REFUSED_M * REFUSED_N * sizeof *c);
        const struct npumm_matmul matmul = {
                .size = sizeof matmul,
                .m = REFUSED_M,
                .k = REFUSED_K,
                .n = REFUSED_N,
                .a = a,
                .lda = lda,
                .b = b,
                .c = c,
                .flags = NPUMM_MATMUL_INLINE,
        };
        struct tally tally = {0};

        ck_assert_int_eq(npumm_submit(visit.client, &matmul, NULL, tally_done, &tally, NULL), 0);
        tally_await(&tally, visit.client);
        ck_assert_int_eq(tally.result, NPUMM_STATUS_BUSY);
        ck_assert_str_eq(tally.text, "refused early");
        ck_assert_int_eq(munmap(a, REFUSED_M * lda), 0);
        ck_assert_int_eq(munmap(b, REFUSED_K * REFUSED_N), 0);
        free(c);
        stub_go(visit.stub);
        ck_assert_msg(npumm_ping(visit.client, NULL) == 0, "%s", npumm_text(visit.client));
        visit_end(&visit);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-payload");
        TCase *tcase = tcase_create("payload");

        tcase_add_loop_test(tcase, test_rows_with_gaps, 0, ARRAY_SIZE(shapes));
        tcase_add_loop_test(tcase, test_refused_in_mid_upload, 0, 2);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
