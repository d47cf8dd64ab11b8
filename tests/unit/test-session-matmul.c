/* SPDX-License-Identifier: MIT */
/*
 * test-session-matmul.c - a MATMUL's way into a job and its rows' way out: operands in arenas and inline,
 * every refusal, cancelling, and what remains of it all (nothing).
 */
#include <check.h>
#include <stdio.h>

#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"
#include "tests/unit/session-replies.h"
#include "tests/unit/suite.h"

#define PAGE UINT64_C(4096)

/* Of the job that most tests submit: form float32, so that it has all six operands. */
#define M UINT64_C(5)
#define K UINT64_C(7)
#define N UINT64_C(3)

static struct stage stage;
static struct rng rng;

static void setup(void)
{
        stage_open(&stage, &stage_quota_limits, &stage_limits);
}

static void teardown(void)
{
        stage_close(&stage); /* checks that nothing is left */
}

static void arena_release(uint64_t id, uint32_t arena)
{
        stage_request(
                &stage,
                &(struct request){.type = FRAME_ARENA_RELEASE, .id = id, .arena_release = {.arena = arena}});
}

static void cancel(uint64_t id)
{
        stage_request(&stage, &(struct request){.type = FRAME_CANCEL, .id = id});
}

/* ---- one job with six operands, each of them anywhere ---- */

enum { A = 0, B, C, ROW_SCALE, COL_SCALE, BIAS, OPERANDS };

static const uint64_t operand_bytes[OPERANDS] = {M * K, K *N, M *N * 4, M * 4, N * 4, N * 4};
static const char *const operand_names[OPERANDS] = {"A", "B", "C", "row_scale", "col_scale", "bias"};

static struct place *place_of(struct request_matmul *matmul, int operand)
{
        struct place *const places[OPERANDS] = {&matmul->a,         &matmul->b,         &matmul->c,
                                                &matmul->row_scale, &matmul->col_scale, &matmul->bias};

        return places[operand];
}

/* All operands inline, C too; inputs lie in the payload as operand_offset says. */
static uint64_t operand_offset(int operand)
{
        return operand == C ? 0 : 64 * (uint64_t)operand;
}

#define PAYLOAD_BYTES (64 * BIAS + 4 * N)

static struct request_matmul matmul_inline(void)
{
        struct request_matmul matmul = {.m = M, .k = K, .n = N, .form = OUTPUT_FLOAT32};

        for (int operand = 0; operand < OPERANDS; operand++)
                *place_of(&matmul, operand) =
                        (struct place){.offset_bytes = operand_offset(operand), .extent_bytes = 1};
        return matmul;
}

/* The same in one arena: offsets as in the payload, C behind. */
static struct request_matmul matmul_in(uint32_t arena)
{
        struct request_matmul matmul = matmul_inline();

        for (int operand = 0; operand < OPERANDS; operand++)
                place_of(&matmul, operand)->arena = arena;
        matmul.c.offset_bytes = 512;
        return matmul;
}

static void payload_fill(uint8_t payload[PAYLOAD_BYTES])
{
        rng_fill(&rng, payload, PAYLOAD_BYTES);
        rng_floats(&rng, (float *)(void *)(payload + operand_offset(ROW_SCALE)), M);
        rng_floats(&rng, (float *)(void *)(payload + operand_offset(COL_SCALE)), N);
        rng_floats(&rng, (float *)(void *)(payload + operand_offset(BIAS)), N);
}

/* Judges C by the client's own idea of where its operands are. */
static void check_product(const uint8_t *const inputs[OPERANDS], const void *c)
{
        const struct oracle_product product = {
                .m = M,
                .k = K,
                .n = N,
                .a = (const int8_t *)inputs[A],
                .lda = K,
                .b = (const int8_t *)inputs[B],
                .ldb = N,
                .form = ORACLE_FLOAT32,
                .row_scale = (const float *)(const void *)inputs[ROW_SCALE],
                .col_scale = (const float *)(const void *)inputs[COL_SCALE],
                .bias = (const float *)(const void *)inputs[BIAS],
        };

        ck_assert(oracle_check(&product, 0, M, c, N));
}

/* _i: which operands lie in arenas, each in one of its own; the others travel inline. */
START_TEST(test_operands_anywhere)
{
        _Alignas(float) uint8_t payload[PAYLOAD_BYTES];
        struct request_matmul matmul = matmul_inline();
        struct client_arena arenas[OPERANDS] = {{0}};
        const uint8_t *inputs[OPERANDS] = {NULL};
        struct fake_reply *reply;
        bool any_inline = false;

        payload_fill(payload);
        for (int operand = 0; operand < OPERANDS; operand++) {
                struct place *place = place_of(&matmul, operand);

                inputs[operand] = payload + operand_offset(operand);
                if (!(_i & 1 << operand)) {
                        any_inline = any_inline || operand != C;
                        continue;
                }
                arenas[operand] = stage_arena(&stage, 1 + (uint64_t)operand, PAGE);
                place->arena = arenas[operand].number;
                place->offset_bytes =
                        PAGE - operand_bytes[operand] / 4 * 4; /* to the arena's end, or nearly */
                place->offset_bytes -= operand_bytes[operand] % 4 != 0 ? 4 : 0;
                memcpy(arenas[operand].memory + place->offset_bytes, inputs[operand], operand_bytes[operand]);
                inputs[operand] = arenas[operand].memory + place->offset_bytes;
        }
        ck_assert(stage_matmul(&stage, 10, &matmul, payload, any_inline ? PAYLOAD_BYTES : 0) == any_inline);
        expect_nothing(&stage);
        fake_device_run(&stage.device);
        reply = expect_reply(&stage, FRAME_ROWS, 10);
        ck_assert_uint_eq(reply->reply.rows.first_row, 0);
        ck_assert_uint_eq(reply->reply.rows.rows, M);
        ck_assert(reply->has_payload == !(_i & 1 << C));
        if (reply->has_payload)
                ck_assert_uint_eq(reply->payload.n_bytes, operand_bytes[C]);
        check_product(inputs, reply->has_payload ? reply->payload.bytes : inputs[C]);
        (void)fake_reply_free(reply);
        expect_outcome(&stage, FRAME_DONE, 10, STATUS_OK, "");
        expect_nothing(&stage);
        for (int operand = 0; operand < OPERANDS; operand++)
                if (arenas[operand].memory)
                        client_arena_unmap(&arenas[operand]);
}
END_TEST

/* Leading dimensions, a transposed B and an offset arrive at the device as they were meant. */
START_TEST(test_strides_and_orientation)
{
        struct client_arena arena = stage_arena(&stage, 1, 4 * PAGE);
        const struct request_matmul matmul = {
                .m = M,
                .k = K,
                .n = N,
                .a = {.arena = arena.number, .offset_bytes = 3, .ld_elems = K + 5},
                .b = {.arena = arena.number, .offset_bytes = PAGE + 1, .ld_elems = K + 2},
                .b_transposed = true,
                .c = {.arena = arena.number, .offset_bytes = 2 * PAGE + 1, .ld_elems = N + 4},
                .form = OUTPUT_INT8,
                .shift = 5,
                .rounding = ROUNDING_NEAREST_EVEN,
        };
        const struct oracle_product product = {
                .m = M,
                .k = K,
                .n = N,
                .a = (const int8_t *)arena.memory + 3,
                .lda = K + 5,
                .b = (const int8_t *)arena.memory + PAGE + 1,
                .ldb = K + 2,
                .b_transposed = true,
                .form = ORACLE_INT8,
                .shift = 5,
                .nearest_even = true,
        };

        rng_fill(&rng, arena.memory, 2 * PAGE);
        ck_assert(!stage_matmul(&stage, 2, &matmul, NULL, 0));
        fake_device_run(&stage.device);
        ck_assert(oracle_check(&product, 0, M, arena.memory + 2 * PAGE + 1, N + 4));
        expect_rows(&stage, 2, 0, M);
        expect_outcome(&stage, FRAME_DONE, 2, STATUS_OK, "");
        client_arena_unmap(&arena);
}
END_TEST

/* ---- inline rows ---- */

static const struct {
        uint64_t m, n, rows_a_piece; /* int32 */
} pieces[] = {
        {3000, 256, 1024},                                    /* 1 KiB a row */
        {1024, 256, 1024},                                    /* exactly 1 MiB in all */
        {1025, 256, 1024}, {2048, 256, 1024}, {5, 262144, 1}, /* exactly 1 MiB a row */
        {3, 300000, 1},                                       /* more than that */
        {5, 131073, 1},                                       /* a bit more than half */
        {5, 131072, 2},    {1, 1, 1},
};

/* Rows leave in pieces of about 1 MiB, at least one row each, and are charged until they are gone. */
START_TEST(test_inline_rows_in_pieces)
{
        const uint64_t m = pieces[_i].m, n = pieces[_i].n, payload_bytes = m + n;
        const struct request_matmul matmul = {.m = m, .k = 1, .n = n, .b = {.offset_bytes = m}};
        int8_t *payload = malloc(payload_bytes);
        const struct oracle_product product = {
                .m = m, .k = 1, .n = n, .a = payload, .lda = 1, .b = payload + m, .ldb = n};
        uint64_t row = 0;

        ck_assert_ptr_nonnull(payload);
        rng_fill(&rng, payload, payload_bytes);
        ck_assert(stage_matmul(&stage, 3, &matmul, payload, payload_bytes));
        ck_assert_uint_ge(stage_bytes(&stage), payload_bytes + 4 * m * n);
        fake_device_run(&stage.device);
        stage_settle(&stage);
        while (row < m) {
                const uint64_t rows = MIN(pieces[_i].rows_a_piece, m - row);
                struct fake_reply *reply = expect_reply(&stage, FRAME_ROWS, 3);

                ck_assert_uint_eq(reply->reply.rows.first_row, row);
                ck_assert_uint_eq(reply->reply.rows.rows, rows);
                ck_assert_uint_eq(reply->payload.n_bytes, rows * n * 4);
                ck_assert(oracle_check(&product, row, rows, reply->payload.bytes - 4 * row * n, n));
                ck_assert_uint_ge(stage_bytes(&stage), payload_bytes + 4 * m * n);
                (void)fake_reply_free(reply);
                row += rows;
        }
        expect_outcome(&stage, FRAME_DONE, 3, STATUS_OK, "");
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
        free(payload);
}
END_TEST

/* The client hears DONE before it has read its rows: they must still be there. */
START_TEST(test_rows_outlive_their_job)
{
        _Alignas(float) uint8_t payload[PAYLOAD_BYTES];
        const uint8_t *inputs[OPERANDS];
        const struct request_matmul matmul = matmul_inline();
        struct fake_reply *rows;

        for (int operand = 0; operand < OPERANDS; operand++)
                inputs[operand] = payload + operand_offset(operand);
        payload_fill(payload);
        ck_assert(stage_matmul(&stage, 3, &matmul, payload, sizeof payload));
        fake_device_run(&stage.device);
        rows = expect_reply(&stage, FRAME_ROWS, 3);
        expect_outcome(&stage, FRAME_DONE, 3, STATUS_OK, "");
        ck_assert_uint_eq(stage_jobs(&stage), 0);
        stage_session_deinit(&stage);
        stage_settle(&stage);
        ck_assert_uint_gt(stage_bytes(&stage), 0);
        check_product(inputs, rows->payload.bytes);
        (void)fake_reply_free(rows);
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
}
END_TEST

/* ---- refusals ---- */

static void expect_refused(uint64_t id, const struct request_matmul *matmul, uint64_t payload_bytes,
                           enum status status, const char *words)
{
        const uint64_t jobs = stage_jobs(&stage), refused = stage.stats.jobs_refused;
        _Alignas(float) uint8_t payload[PAYLOAD_BYTES] = {0};

        ck_assert(!stage_matmul(&stage, id, matmul, payload, payload_bytes)); /* its payload is not wanted */
        expect_outcome(&stage, FRAME_DONE, id, status, words);
        ck_assert_uint_eq(stage_jobs(&stage), jobs);
        ck_assert_uint_eq(stage.stats.jobs_refused, refused + 1);
        ck_assert_ptr_null(stage.session.arriving);
}

/* _i: which operand is in an arena that is not there. */
START_TEST(test_unknown_arenas)
{
        struct client_arena arena = stage_arena(&stage, 1, PAGE), gone = stage_arena(&stage, 2, PAGE);
        char words[64];

        arena_release(3, gone.number);
        stage_settle(&stage);
        expect_bare(&stage, FRAME_ARENA_RELEASED, 3);
        for (uint32_t number = gone.number; number < gone.number + 2; number++) { /* stale; never was */
                struct request_matmul matmul = matmul_in(arena.number);

                place_of(&matmul, _i)->arena = number;
                (void)snprintf(words, sizeof words, "%s: arena %u is not one of this connection's",
                               operand_names[_i], number);
                expect_refused(10 + number, &matmul, 0, STATUS_NOT_FOUND, words);
        }
        ck_assert_uint_eq(stage_bytes(&stage), PAGE);
        client_arena_unmap(&arena);
        client_arena_unmap(&gone);
}
END_TEST

/* _i: which operand reaches the last byte of its arena, and then one element beyond. */
START_TEST(test_ends_of_arenas)
{
        struct client_arena arena = stage_arena(&stage, 1, 2 * PAGE), edge = stage_arena(&stage, 2, PAGE);
        struct request_matmul matmul = matmul_in(arena.number);
        struct place *place = place_of(&matmul, _i);
        char words[64];

        place->arena = edge.number;
        place->offset_bytes = PAGE - operand_bytes[_i];
        ck_assert(!stage_matmul(&stage, 3, &matmul, NULL, 0));
        fake_device_run(&stage.device);
        expect_rows(&stage, 3, 0, M);
        expect_outcome(&stage, FRAME_DONE, 3, STATUS_OK, "");
        place->offset_bytes += _i <= B ? 1 : 4;
        (void)snprintf(words, sizeof words, "%s: bytes ", operand_names[_i]);
        expect_refused(4, &matmul, 0, STATUS_INVALID, words);
        place->offset_bytes = UINT64_C(1) << 62; /* far out, where sums could wrap */
        expect_refused(5, &matmul, 0, STATUS_INVALID, "lie outside arena 2 of 4096 bytes");
        client_arena_unmap(&arena);
        client_arena_unmap(&edge);
}
END_TEST

START_TEST(test_weights_are_not_found)
{
        struct request_matmul matmul = matmul_inline();

        matmul.b = (struct place){0};
        matmul.b_is_weights = true;
        matmul.weights = 77;
        expect_refused(3, &matmul, PAYLOAD_BYTES, STATUS_NOT_FOUND, "weights 77 are not among");
        expect_nothing(&stage);
}
END_TEST

START_TEST(test_stopping)
{
        const struct request_matmul matmul = matmul_inline();

        stage.context.stopping = true;
        expect_refused(3, &matmul, PAYLOAD_BYTES, STATUS_BUSY, "the daemon is stopping");
}
END_TEST

START_TEST(test_job_limits)
{
        const struct request_matmul matmul = matmul_inline();
        _Alignas(float) uint8_t payload[PAYLOAD_BYTES] = {0};

        stage.context.limits.jobs = 1;
        ck_assert(stage_matmul(&stage, 3, &matmul, payload, sizeof payload));
        expect_refused(4, &matmul, PAYLOAD_BYTES, STATUS_BUSY, "at its limit jobs-per-connection = 1");
        stage.context.limits.jobs = 2;
        stage.quota.limits.per_uid[QUOTA_JOBS] = 1;
        expect_refused(5, &matmul, PAYLOAD_BYTES, STATUS_BUSY, "uid 1000 is at its limit jobs-per-uid = 1");
        fake_device_run(&stage.device);
        (void)fake_reply_free(expect_reply(&stage, FRAME_ROWS, 3));
        expect_outcome(&stage, FRAME_DONE, 3, STATUS_OK, "");
        stage.context.limits.jobs = 1;
        ck_assert(stage_matmul(&stage, 6, &matmul, payload, sizeof payload)); /* there is room again */
}
END_TEST

/* What travels inline is charged like an arena. */
START_TEST(test_staging_limits)
{
        const struct request_matmul matmul = matmul_inline();
        const uint64_t jobs_before = stage_jobs(&stage);

        stage.quota.limits.per_uid[QUOTA_BYTES] = PAGE - 1;
        expect_refused(3, &matmul, PAYLOAD_BYTES, STATUS_BUSY, "bytes-per-uid = 4095");
        stage.quota.limits.per_uid[QUOTA_BYTES] = PAGE;
        stage.quota.limits.total[QUOTA_BYTES] = PAGE - 1;
        expect_refused(4, &matmul, PAYLOAD_BYTES, STATUS_BUSY, "the limit bytes = 4095");
        ck_assert_uint_eq(stage_bytes(&stage), 0);
        ck_assert_uint_eq(stage_jobs(&stage), jobs_before);
}
END_TEST

/* An inline C of 2^62 bytes and more is asked for in good form: it is over a limit, not an overflow. */
START_TEST(test_inline_c_beyond_all_limits)
{
        struct client_arena arena = stage_arena(&stage, 1, PAGE);
        struct request_matmul matmul = {
                .m = MESSAGE_DIM_MAX, .k = 1, .n = MESSAGE_DIM_MAX, .a = {.arena = 1}, .b = {.arena = 1}};

        expect_refused(2, &matmul, 0, STATUS_BUSY, "bytes-per-uid");
        stage.quota.limits.per_uid[QUOTA_BYTES] = UINT64_MAX;
        stage.quota.limits.total[QUOTA_BYTES] = UINT64_MAX;
        expect_refused(3, &matmul, 0, STATUS_BUSY, "out of resources");
        ck_assert_uint_eq(stage_bytes(&stage), PAGE);
        client_arena_unmap(&arena);
}
END_TEST

/* ---- release and cancel ---- */

/* A job that is inside the device and one that waits both hold their arena. */
START_TEST(test_release_while_jobs_run)
{
        struct client_arena arena = stage_arena(&stage, 1, PAGE);
        const struct request_matmul matmul = matmul_in(arena.number);

        stage.context.limits.arenas = 1;
        ck_assert(!stage_matmul(&stage, 2, &matmul, NULL, 0));
        ck_assert(!stage_matmul(&stage, 3, &matmul, NULL, 0));
        arena_release(4, arena.number);
        stage_settle(&stage);
        expect_nothing(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), PAGE);
        expect_refused(5, &matmul, 0, STATUS_NOT_FOUND, "A: arena 1 is not one");
        client_arena_unmap(&arena);
        arena = stage_arena(&stage, 6, PAGE); /* it no longer counts among the connection's */
        client_arena_unmap(&arena);
        fake_device_run(&stage.device);
        expect_rows(&stage, 2, 0, M);
        expect_outcome(&stage, FRAME_DONE, 2, STATUS_OK, "");
        expect_rows(&stage, 3, 0, M);
        expect_outcome(&stage, FRAME_DONE, 3, STATUS_OK, "");
        expect_nothing(&stage);
        stage_settle(&stage);
        expect_bare(&stage, FRAME_ARENA_RELEASED, 4);
        ck_assert_uint_eq(stage_bytes(&stage), PAGE);
}
END_TEST

START_TEST(test_cancel)
{
        struct client_arena arena = stage_arena(&stage, 1, PAGE);
        const struct request_matmul matmul = matmul_in(arena.number);

        ck_assert(!stage_matmul(&stage, 2, &matmul, NULL, 0));
        ck_assert(!stage_matmul(&stage, 3, &matmul, NULL, 0));
        cancel(3); /* waits: ends at once */
        expect_outcome(&stage, FRAME_DONE, 3, STATUS_CANCELLED, "cancelled");
        cancel(2); /* inside: ends when the device lets go */
        cancel(2);
        expect_nothing(&stage);
        cancel(3); /* ended */
        cancel(1); /* was never a job */
        cancel(UINT64_MAX);
        expect_nothing(&stage);
        fake_device_run(&stage.device);
        expect_outcome(&stage, FRAME_DONE, 2, STATUS_CANCELLED, "cancelled");
        cancel(2);
        expect_nothing(&stage);
        ck_assert_uint_eq(stage.stats.jobs_cancelled, 2);
        client_arena_unmap(&arena);
}
END_TEST

START_TEST(test_device_error)
{
        const struct request_matmul matmul = matmul_inline();
        _Alignas(float) uint8_t payload[PAYLOAD_BYTES] = {0};

        ck_assert(stage_matmul(&stage, 2, &matmul, payload, sizeof payload));
        expect_nothing(&stage);
        fake_device_step(&stage.device, 0, STATUS_DEVICE_ERROR); /* with that it has let go of the job */
        expect_outcome(&stage, FRAME_DONE, 2, STATUS_DEVICE_ERROR, "the device failed");
        fake_device_step(&stage.device, 0, STATUS_OK);
        expect_nothing(&stage);
}
END_TEST

/* ---- the end ---- */

/* The connection breaks in the middle of a payload: the job never was, its staging goes. */
START_TEST(test_end_mid_payload)
{
        struct request request = {.type = FRAME_MATMUL, .id = 2, .matmul = matmul_inline()};
        struct fault fault;
        uint8_t *payload = NULL;

        ck_assert(message_check_matmul(&request.matmul, PAYLOAD_BYTES, &fault));
        session_request(&stage.session, &request, PAYLOAD_BYTES, &payload);
        ck_assert_ptr_nonnull(payload);
        memset(payload, 1, PAYLOAD_BYTES / 2);
        ck_assert_uint_eq(stage_jobs(&stage), 1);
        stage_session_deinit(&stage);
        ck_assert_uint_eq(stage_jobs(&stage), 0);
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
        ck_assert_uint_eq(stage.device.n_submits, 0);
}
END_TEST

/* Everything at once: jobs inside, waiting and arriving, rows unsent, arenas with and without a handle. */
START_TEST(test_end_with_everything_outstanding)
{
        struct client_arena arenas[2] = {stage_arena(&stage, 1, PAGE), stage_arena(&stage, 2, PAGE)};
        struct request request = {.type = FRAME_MATMUL, .id = 20, .matmul = matmul_inline()};
        uint8_t bytes[PAYLOAD_BYTES] = {0}, *payload = NULL;
        struct request_matmul matmul = matmul_inline();
        struct fault fault;
        uint64_t n_sent;

        ck_assert(stage_matmul(&stage, 10, &matmul, bytes, sizeof bytes));
        fake_device_run(&stage.device); /* its rows and DONE stay in the sink */
        for (uint64_t id = 11; id < 17; id++) {
                matmul = id % 2 ? matmul_in(arenas[id % 3 == 0].number) : matmul_inline();
                ck_assert(stage_matmul(&stage, id, &matmul, bytes, id % 2 ? 0 : sizeof bytes) ==
                          (id % 2 == 0));
        }
        cancel(11); /* inside, marked, and still there */
        arena_release(18, arenas[0].number);
        ck_assert(message_check_matmul(&request.matmul, sizeof bytes, &fault));
        session_request(&stage.session, &request, sizeof bytes, &payload);
        ck_assert_ptr_nonnull(payload);
        ck_assert_uint_eq(stage_jobs(&stage), 7);
        n_sent = stage.sink.n_sent;
        stage_session_deinit(&stage);
        ck_assert_uint_eq(stage_jobs(&stage), 1); /* what the device has in its hands */
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), 2 * PAGE); /* that one's arena, and the unsent rows */
        fake_device_run(&stage.device);
        ck_assert_uint_eq(stage_jobs(&stage), 0);
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), PAGE);
        ck_assert_uint_eq(stage.sink.n_sent, n_sent);
        ck_assert_uint_eq(stage.device.n_submits, 2);
        client_arena_unmap(&arenas[0]);
        client_arena_unmap(&arenas[1]);
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("matmul");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_loop_test(tcase, test_operands_anywhere, 0, 1 << OPERANDS);
        tcase_add_test(tcase, test_strides_and_orientation);
        tcase_add_loop_test(tcase, test_inline_rows_in_pieces, 0, ARRAY_SIZE(pieces));
        tcase_add_test(tcase, test_rows_outlive_their_job);
        tcase_add_loop_test(tcase, test_unknown_arenas, 0, OPERANDS);
        tcase_add_loop_test(tcase, test_ends_of_arenas, 0, OPERANDS);
        tcase_add_test(tcase, test_weights_are_not_found);
        tcase_add_test(tcase, test_stopping);
        tcase_add_test(tcase, test_job_limits);
        tcase_add_test(tcase, test_staging_limits);
        tcase_add_test(tcase, test_inline_c_beyond_all_limits);
        tcase_add_test(tcase, test_release_while_jobs_run);
        tcase_add_test(tcase, test_cancel);
        tcase_add_test(tcase, test_device_error);
        tcase_add_test(tcase, test_end_mid_payload);
        tcase_add_test(tcase, test_end_with_everything_outstanding);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("session, matmul");

        rng_start(&rng, "session-matmul");
        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
