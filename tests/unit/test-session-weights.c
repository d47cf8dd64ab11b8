/* SPDX-License-Identifier: MIT */
/*
 * test-session-weights.c - a session's weights: from WEIGHTS_LOAD to a handle and to products by it, every refusal, and
 * what remains when handles are released or the client leaves in the middle (nothing).
 */
#include <check.h>

#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"
#include "tests/unit/session-replies.h"
#include "tests/unit/suite.h"

#define PAGE UINT64_C(4096)

/* Of the weights that most tests load, and of the job that names them. */
#define M UINT64_C(5)
#define K UINT64_C(70)
#define N UINT64_C(90)

#define B_BYTES    (K * N) /* two pages */
#define B_CHARGED  (2 * PAGE)
#define LD_STRIDED (N + 6)

static struct stage stage;
static struct rng rng;
static int8_t b[B_BYTES];

static void setup(void)
{
        stage_open(&stage, &stage_quota_limits, &stage_limits);
        rng_fill(&rng, b, sizeof b);
}

static void teardown(void)
{
        stage_close(&stage); /* checks that nothing is left */
}

static uint64_t weights_charged(void)
{
        return stage.quota.used[QUOTA_WEIGHTS];
}

/* ---- requests ---- */

/* B as payload, just as the daemon keeps it. */
static const struct request_weights_load inline_load = {.k = K, .n = N};

static struct reply_weights_loaded expect_loaded(uint64_t id)
{
        struct fake_reply *reply = expect_reply(&stage, FRAME_WEIGHTS_LOADED, id);
        const struct reply_weights_loaded loaded = reply->reply.weights_loaded;

        ck_assert(!reply->has_payload);
        ck_assert_int_eq(reply->fd, -1);
        ck_assert_uint_ne(loaded.weights, 0);
        ck_assert(loaded.shared == (loaded.charged_bytes == 0));
        (void)fake_reply_free(reply);
        return loaded;
}

/* Loads `b` inline, which must work. */
static struct reply_weights_loaded load(uint64_t id)
{
        ck_assert(stage_weights_load(&stage, id, &inline_load, b, sizeof b));
        expect_nothing(&stage);
        stage_settle(&stage);
        return expect_loaded(id);
}

static void release(uint64_t id, uint64_t weights)
{
        stage_request(&stage, &(struct request){.type = FRAME_WEIGHTS_RELEASE,
                                                .id = id,
                                                .weights_release = {.weights = weights}});
}

static void expect_released(uint64_t id, uint64_t weights)
{
        release(id, weights);
        expect_bare(&stage, FRAME_WEIGHTS_RELEASED, id);
}

static struct request_matmul matmul_by(uint64_t weights)
{
        return (struct request_matmul){.m = M, .k = K, .n = N, .b_is_weights = true, .weights = weights};
}

static void submit(uint64_t id, uint64_t weights, const int8_t a[M * K])
{
        const struct request_matmul matmul = matmul_by(weights);

        ck_assert(stage_matmul(&stage, id, &matmul, a, M * K));
}

static void expect_product(uint64_t id, const int8_t a[M * K])
{
        const struct oracle_product product = {.m = M, .k = K, .n = N, .a = a, .lda = K, .b = b, .ldb = N};
        struct fake_reply *rows = expect_reply(&stage, FRAME_ROWS, id);

        ck_assert_uint_eq(rows->reply.rows.rows, M);
        ck_assert(oracle_check(&product, 0, M, rows->payload.bytes, N));
        (void)fake_reply_free(rows);
        expect_outcome(&stage, FRAME_DONE, id, STATUS_OK, "");
}

static void expect_works(uint64_t id, uint64_t weights)
{
        int8_t a[M * K];

        rng_fill(&rng, a, sizeof a);
        submit(id, weights, a);
        fake_device_run(&stage.device);
        expect_product(id, a);
        stage_settle(&stage);
}

static void expect_unknown(uint64_t id, uint64_t weights)
{
        const struct request_matmul matmul = matmul_by(weights);
        const int8_t a[M * K] = {0};

        ck_assert(!stage_matmul(&stage, id, &matmul, a, sizeof a));
        expect_outcome(&stage, FRAME_DONE, id, STATUS_NOT_FOUND, "are not among this connection's");
        release(id + 1, weights);
        expect_outcome(&stage, FRAME_ERROR, id + 1, STATUS_NOT_FOUND, "are not among this connection's");
        stage_settle(&stage);
}

/* ---- forms ---- */

static const struct {
        bool is_inline, b_transposed;
        uint64_t offset_bytes, ld_elems;
} forms[] = {
        {true, false, 0, 0},     {true, false, 3, 0},  {true, false, 0, LD_STRIDED},  {true, true, 0, 0},
        {true, true, 9, K + 1},  {false, false, 0, 0}, {false, false, 1, LD_STRIDED}, {false, true, 0, 0},
        {false, true, 7, K + 5},
};

#define FORM_BYTES (4 * PAGE)

static struct request_weights_load load_in(int form, uint32_t arena)
{
        return (struct request_weights_load){
                .k = K,
                .n = N,
                .b = {.arena = arena,
                      .offset_bytes = forms[form].offset_bytes,
                      .ld_elems = forms[form].ld_elems},
                .b_transposed = forms[form].b_transposed,
        };
}

/* Writes B as the form says; returns where it ends. */
static uint64_t form_write(int form, uint8_t to[FORM_BYTES])
{
        const bool b_transposed = forms[form].b_transposed;
        const uint64_t cols = b_transposed ? K : N, rows = b_transposed ? N : K;
        const uint64_t ld = forms[form].ld_elems ? forms[form].ld_elems : cols;

        rng_fill(&rng, to, FORM_BYTES);
        for (uint64_t row = 0; row < rows; row++)
                for (uint64_t col = 0; col < cols; col++)
                        to[forms[form].offset_bytes + row * ld + col] =
                                (uint8_t)(b_transposed ? b[col * N + row] : b[row * N + col]);
        return forms[form].offset_bytes + (rows - 1) * ld + cols;
}

/* _i: the form. Whatever happens to the client's memory after the answer, the weights are what was loaded. */
START_TEST(test_forms)
{
        struct client_arena arena = stage_arena(&stage, 1, FORM_BYTES);
        const struct request_weights_load request = load_in(_i, forms[_i].is_inline ? 0 : arena.number);
        struct reply_weights_loaded loaded, again;
        uint8_t payload[FORM_BYTES];
        const uint64_t n_bytes = form_write(_i, payload);

        memcpy(arena.memory, payload, FORM_BYTES);
        ck_assert(stage_weights_load(&stage, 2, &request, payload, forms[_i].is_inline ? n_bytes : 0) ==
                  forms[_i].is_inline);
        expect_nothing(&stage);
        stage_settle(&stage);
        loaded = expect_loaded(2);
        ck_assert(!loaded.shared);
        ck_assert_uint_eq(loaded.charged_bytes, B_CHARGED);
        ck_assert_uint_eq(stage_bytes(&stage), FORM_BYTES + B_CHARGED);
        ck_assert_uint_eq(stage.arenas.n_arenas, 1);
        memset(arena.memory, 0x55, FORM_BYTES);
        expect_works(3, loaded.weights);
        again = load(4); /* it is known by what it was */
        ck_assert(again.shared);
        ck_assert_uint_ne(again.weights, loaded.weights);
        expect_works(5, again.weights);
        client_arena_unmap(&arena);
}
END_TEST

/* What comes as it is kept is received in the copy itself; any other form is charged besides, until it is copied. */
START_TEST(test_inline_charges)
{
        for (int form = 0; form < (int)ARRAY_SIZE(forms) && forms[form].is_inline; form++) {
                const struct request_weights_load request = load_in(form, 0);
                uint8_t payload[FORM_BYTES];
                const uint64_t n_bytes = form_write(form, payload);
                const uint64_t staged_bytes = form == 0 ? 0 : (n_bytes + PAGE - 1) / PAGE * PAGE;
                const uint64_t id = 10 + 2 * (uint64_t)form;

                ck_assert(stage_weights_load(&stage, id, &request, payload, n_bytes));
                ck_assert_uint_eq(stage_bytes(&stage), B_CHARGED + staged_bytes);
                ck_assert_uint_eq(weights_charged(), 2); /* the handle and the copy */
                stage_settle(&stage);
                ck_assert_uint_eq(stage_bytes(&stage), B_CHARGED);
                expect_released(id + 1, expect_loaded(id).weights);
                stage_settle(&stage);
                ck_assert_uint_eq(stage_bytes(&stage), 0);
                ck_assert_uint_eq(weights_charged(), 0);
        }
}
END_TEST

/* ---- handles ---- */

/* Handles tell nothing, not even that two are of the same copy; each has to be released by itself. */
START_TEST(test_handles_are_apart)
{
        const struct reply_weights_loaded first = load(1), second = load(2);

        ck_assert(!first.shared && second.shared && first.weights != second.weights);
        ck_assert_uint_eq(stage.weights.n_weights, 1);
        ck_assert_uint_eq(stage_bytes(&stage), B_CHARGED);
        expect_released(3, first.weights);
        expect_unknown(4, first.weights);
        expect_works(6, second.weights);
        expect_released(7, second.weights);
        expect_unknown(8, second.weights);
        stage_settle(&stage);
        ck_assert_uint_eq(stage.weights.n_weights, 0);
}
END_TEST

/* Another session has its own handles, also of the same user; leaving takes nothing from the others. */
START_TEST(test_handles_of_others)
{
        const uint64_t mine = load(1).weights;
        const struct request request = {
                .type = FRAME_WEIGHTS_RELEASE, .id = 1, .weights_release = {.weights = mine}};
        struct session other;
        struct fake_sink other_sink;
        const struct reply_sink sink = fake_sink_for(&other_sink);

        fake_sink_init(&other_sink);
        ck_assert_int_eq(session_init(&other, &stage.context, &sink, STAGE_UID), 0);
        other.greeted = true;
        session_request(&other, &request, 0, &(uint8_t *){NULL});
        ck_assert_uint_eq(other_sink.n_replies, 1);
        ck_assert_int_eq(TAILQ_FIRST(&other_sink.replies)->reply.type, FRAME_ERROR);
        ck_assert_int_eq(TAILQ_FIRST(&other_sink.replies)->reply.outcome.status, STATUS_NOT_FOUND);
        session_deinit(&other);
        fake_sink_deinit(&other_sink);
        expect_works(2, mine);
}
END_TEST

START_TEST(test_handles_that_never_were)
{
        expect_works(2, load(1).weights);
        expect_unknown(3, 1);
        expect_unknown(5, UINT64_MAX);
}
END_TEST

/* Several at once, answered each by its own id, in whatever order. */
START_TEST(test_many_loads_in_flight)
{
        enum { LOADS = 50 };
        uint64_t weights[LOADS] = {0};

        for (uint64_t i = 0; i < LOADS; i++) {
                b[0] = (int8_t)(i / 2); /* each twice */
                ck_assert(stage_weights_load(&stage, 100 + i, &inline_load, b, sizeof b));
        }
        expect_nothing(&stage);
        stage_settle(&stage);
        ck_assert_uint_eq(stage.sink.n_replies, LOADS);
        for (uint64_t i = 0; i < LOADS; i++) {
                struct fake_reply *reply = fake_sink_take(&stage.sink);

                ck_assert_int_eq(reply->reply.type, FRAME_WEIGHTS_LOADED);
                ck_assert_uint_eq(weights[reply->reply.id - 100], 0);
                weights[reply->reply.id - 100] = reply->reply.weights_loaded.weights;
                (void)fake_reply_free(reply);
        }
        ck_assert_uint_eq(stage.weights.n_weights, LOADS / 2);
        for (uint64_t i = 0; i < LOADS; i++) {
                b[0] = (int8_t)(i / 2);
                expect_works(200 + i, weights[i]);
        }
}
END_TEST

/* Ten thousand handles make no job slow: the time limit of this test is what watches over it. */
START_TEST(test_ten_thousand_handles)
{
        enum { HANDLES = 10000, JOBS = 10000 };
        uint64_t *weights = calloc(HANDLES, sizeof *weights);
        int8_t a[M * K] = {0};

        ck_assert_ptr_nonnull(weights);
        for (uint64_t i = 0; i < HANDLES; i++)
                weights[i] = load(1 + i).weights;
        ck_assert_uint_eq(weights_charged(), HANDLES + 1);
        for (uint64_t i = 0; i < JOBS; i++) {
                submit(1 + HANDLES + i, weights[rng_below(&rng, HANDLES)], a);
                stage_request(&stage, &(struct request){.type = FRAME_CANCEL, .id = 1 + HANDLES + i});
                while (i > 0 && stage.sink.n_replies > 0) /* the first is with the device */
                        (void)fake_reply_free(fake_sink_take(&stage.sink));
                stage_settle(&stage);
        }
        fake_device_run(&stage.device);
        (void)fake_reply_free(fake_sink_take(&stage.sink));
        for (uint64_t i = 0; i < HANDLES; i++)
                expect_released(1 + HANDLES + JOBS + i, weights[i]);
        ck_assert_uint_eq(weights_charged(), 0);
        free(weights);
}
END_TEST

/* ---- refusals of loads ---- */

static void expect_refused(uint64_t id, const struct request_weights_load *request, uint64_t payload_bytes,
                           enum status status, const char *words)
{
        const uint64_t bytes = stage_bytes(&stage), count = weights_charged();
        const uint8_t payload[FORM_BYTES] = {0};

        ck_assert_uint_le(payload_bytes, sizeof payload);
        ck_assert(!stage_weights_load(&stage, id, request, payload, payload_bytes)); /* it is not wanted */
        expect_outcome(&stage, FRAME_ERROR, id, status, words);
        stage_settle(&stage);
        expect_nothing(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), bytes);
        ck_assert_uint_eq(weights_charged(), count);
        ck_assert_ptr_null(stage.session.weights_arriving);
        ck_assert_uint_eq(stage.stats.jobs_refused, 0); /* it was no job */
}

START_TEST(test_refused_places)
{
        struct client_arena arena = stage_arena(&stage, 1, 2 * PAGE);
        struct request_weights_load request = {.k = K, .n = N, .b = {.arena = arena.number}};

        request.b.offset_bytes = 2 * PAGE - B_BYTES;
        ck_assert(!stage_weights_load(&stage, 2, &request, NULL, 0));
        stage_settle(&stage);
        (void)expect_loaded(2);
        request.b.offset_bytes++;
        expect_refused(3, &request, 0, STATUS_INVALID, "B: bytes ");
        request.b.offset_bytes = UINT64_C(1) << 62;
        expect_refused(4, &request, 0, STATUS_INVALID, "lie outside arena 1 of 8192 bytes");
        request.b = (struct place){.arena = arena.number + 1};
        expect_refused(5, &request, 0, STATUS_NOT_FOUND, "B: arena 2 is not one of this connection's");
        client_arena_unmap(&arena);
}
END_TEST

START_TEST(test_refused_while_stopping)
{
        stage.context.stopping = true;
        expect_refused(1, &inline_load, B_BYTES, STATUS_BUSY, "the daemon is stopping");
}
END_TEST

/* _i: the limit of one user, or that of all. */
START_TEST(test_refused_over_limits)
{
        struct quota_limits *limits = &stage.quota.limits;
        uint64_t *of_kind = _i == 0 ? limits->per_uid : limits->total;
        struct request_weights_load staged = inline_load;

        staged.b_transposed = true;
        of_kind[QUOTA_BYTES] = B_CHARGED - 1;
        expect_refused(1, &inline_load, B_BYTES, STATUS_BUSY,
                       _i == 0 ? "bytes-per-uid = 8191" : "bytes = 8191");
        of_kind[QUOTA_BYTES] = 2 * B_CHARGED - 1; /* for the payload, but not for the copy as well */
        expect_refused(2, &staged, B_BYTES, STATUS_BUSY, _i == 0 ? "bytes-per-uid = 16383" : "bytes = 16383");
        of_kind[QUOTA_BYTES] = 2 * B_CHARGED;
        of_kind[QUOTA_ARENAS] = 0;
        expect_refused(3, &staged, B_BYTES, STATUS_BUSY, _i == 0 ? "arenas-per-uid = 0" : "arenas = 0");
        of_kind[QUOTA_WEIGHTS] = 0; /* the handle is over it; and then the copy */
        expect_refused(4, &inline_load, B_BYTES, STATUS_BUSY,
                       _i == 0 ? "weights-per-uid = 0" : "weights = 0");
        of_kind[QUOTA_WEIGHTS] = 1;
        expect_refused(5, &inline_load, B_BYTES, STATUS_BUSY,
                       _i == 0 ? "weights-per-uid = 1" : "weights = 1");
        of_kind[QUOTA_WEIGHTS] = 2;
        (void)load(6); /* there is room for this one, and then no more */
        expect_refused(7, &inline_load, B_BYTES, STATUS_BUSY,
                       _i == 0 ? "weights-per-uid = 2" : "weights = 2");
}
END_TEST

/* ---- refusals of jobs ---- */

START_TEST(test_shape_must_be_that_of_the_weights)
{
        const uint64_t weights = load(1).weights;
        const struct {
                uint64_t k, n;
                const char *words;
        } cases[] = {
                {K + 1, N, "B is 71 x 90, but weights "},
                {K, N - 1, "B is 70 x 89, but weights "},
                {N, K, "are 70 x 90"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct request_matmul matmul = matmul_by(weights);
                const int8_t a[M * N] = {0};

                matmul.k = cases[i].k;
                matmul.n = cases[i].n;
                ck_assert(!stage_matmul(&stage, 2 + i, &matmul, a, M * matmul.k));
                expect_outcome(&stage, FRAME_DONE, 2 + i, STATUS_INVALID, cases[i].words);
                stage_settle(&stage);
        }
        ck_assert_uint_eq(stage_bytes(&stage), B_CHARGED);
        ck_assert_uint_eq(stage_jobs(&stage), 0);
}
END_TEST

/* ---- release ---- */

/* Jobs inside the device and waiting hold what they name. */
START_TEST(test_release_with_jobs)
{
        const uint64_t weights = load(1).weights;
        int8_t a[3][M * K];

        rng_fill(&rng, a, sizeof a);
        for (uint64_t i = 0; i < 3; i++)
                submit(2 + i, weights, a[i]);
        expect_released(5, weights);
        expect_unknown(6, weights);
        ck_assert_uint_eq(stage.weights.n_weights, 1);
        ck_assert_uint_eq(weights_charged(), 1);
        fake_device_run(&stage.device);
        for (uint64_t i = 0; i < 3; i++)
                expect_product(2 + i, a[i]);
        stage_settle(&stage);
        ck_assert_uint_eq(stage.weights.n_weights, 0);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
}
END_TEST

/* A copy that was let go of is kept as long as nobody needs the room, and a load finds it again. */
START_TEST(test_release_and_load_again)
{
        struct reply_weights_loaded loaded;
        struct client_arena arena;

        stage.weights.kept_bytes_max = B_CHARGED;
        expect_released(2, load(1).weights);
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), B_CHARGED);
        loaded = load(3);
        ck_assert(loaded.shared);
        expect_works(4, loaded.weights);
        expect_released(5, loaded.weights);
        stage.quota.limits.per_uid[QUOTA_BYTES] = B_CHARGED;
        arena = stage_arena(&stage, 6, B_CHARGED);
        ck_assert_uint_eq(stage.weights.n_weights, 0);
        client_arena_unmap(&arena);
}
END_TEST

/* The arena goes when the load has let go of it, and the client hears that then. */
START_TEST(test_arena_released_during_the_load)
{
        struct client_arena arena = stage_arena(&stage, 1, FORM_BYTES);
        const struct request_weights_load request = {.k = K, .n = N, .b = {.arena = arena.number}};
        uint64_t weights;

        memcpy(arena.memory, b, sizeof b);
        ck_assert(!stage_weights_load(&stage, 2, &request, NULL, 0));
        stage_request(&stage, &(struct request){.type = FRAME_ARENA_RELEASE,
                                                .id = 3,
                                                .arena_release = {.arena = arena.number}});
        expect_nothing(&stage);
        stage_settle(&stage);
        weights = expect_loaded(2).weights;
        expect_bare(&stage, FRAME_ARENA_RELEASED, 3);
        ck_assert_uint_eq(stage_bytes(&stage), B_CHARGED);
        expect_works(4, weights);
        client_arena_unmap(&arena);
}
END_TEST

/* ---- the end ---- */

/* _i: the form. The connection breaks in the middle of a payload: the load never was. */
START_TEST(test_end_mid_payload)
{
        struct request request = {.type = FRAME_WEIGHTS_LOAD, .id = 1, .weights_load = load_in(_i, 0)};
        uint8_t payload[FORM_BYTES], *to = NULL;
        const uint64_t n_bytes = form_write(_i, payload);
        struct fault fault;

        ck_assert(message_check_weights_load(&request.weights_load, n_bytes, &fault));
        session_request(&stage.session, &request, n_bytes, &to);
        ck_assert_ptr_nonnull(to);
        memcpy(to, payload, n_bytes / 2);
        stage_session_deinit(&stage);
        ck_assert_uint_eq(weights_charged(), 0); /* two pages go at once */
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
        ck_assert_uint_eq(stage.stats.loads, 0);
}
END_TEST

/* Loads on the pool, and such as wait for their turn, from an arena and inline. */
START_TEST(test_end_mid_load)
{
        struct client_arena arena = stage_arena(&stage, 1, FORM_BYTES);
        const struct request_weights_load in_arena = {.k = K, .n = N, .b = {.arena = arena.number}};

        for (uint64_t id = 2; id < 20; id += 2) {
                ck_assert(stage_weights_load(&stage, id, &inline_load, b, sizeof b));
                ck_assert(!stage_weights_load(&stage, id + 1, &in_arena, NULL, 0));
        }
        stage_session_deinit(&stage); /* the sink asserts that it stays silent */
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
        ck_assert_uint_eq(weights_charged(), 0);
        ck_assert_uint_eq(stage.stats.loads, 0);
        client_arena_unmap(&arena);
}
END_TEST

/* More of them than end at once: some are loaded by then, and nobody is there to hear it. */
START_TEST(test_end_with_many_loads)
{
        enum { LOADS = 1000 };

        for (uint16_t i = 0; i < LOADS; i++) {
                memcpy(b, &i, sizeof i);
                ck_assert(stage_weights_load(&stage, 1 + i, &inline_load, b, sizeof b));
                if (i == LOADS / 2) { /* half of them are loaded, half on their way */
                        stage_settle(&stage);
                        while (stage.sink.n_replies > 0)
                                (void)fake_reply_free(fake_sink_take(&stage.sink));
                }
        }
        stage_session_deinit(&stage); /* the sink asserts that it stays silent */
        ck_assert_uint_gt(weights_charged(), LOADS / 2);
        stage_settle(&stage);
        ck_assert_uint_eq(weights_charged(), 0);
        ck_assert_uint_eq(stage.weights.n_weights, 0);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
}
END_TEST

/* Handles, a load, a payload, a job inside the device and one that waits, all at once. */
START_TEST(test_end_with_everything_outstanding)
{
        struct request arriving = {.type = FRAME_WEIGHTS_LOAD, .id = 9, .weights_load = inline_load};
        const uint64_t first = load(1).weights, second = load(2).weights;
        int8_t a[M * K];
        struct fault fault;
        uint8_t *to = NULL;

        rng_fill(&rng, a, sizeof a);
        submit(3, first, a);
        submit(4, second, a);
        expect_released(5, second);
        b[0]++;
        ck_assert(stage_weights_load(&stage, 6, &inline_load, b, sizeof b));
        ck_assert(message_check_weights_load(&arriving.weights_load, B_BYTES, &fault));
        session_request(&stage.session, &arriving, B_BYTES, &to);
        ck_assert_ptr_nonnull(to);
        stage_session_deinit(&stage);
        stage_settle(&stage);
        ck_assert_uint_eq(stage.weights.n_weights, 1); /* the device has it in its hands */
        ck_assert_uint_eq(weights_charged(), 1);
        fake_device_run(&stage.device);
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("weights");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_loop_test(tcase, test_forms, 0, ARRAY_SIZE(forms));
        tcase_add_test(tcase, test_inline_charges);
        tcase_add_test(tcase, test_handles_are_apart);
        tcase_add_test(tcase, test_handles_of_others);
        tcase_add_test(tcase, test_handles_that_never_were);
        tcase_add_test(tcase, test_many_loads_in_flight);
        tcase_add_test(tcase, test_ten_thousand_handles);
        tcase_add_test(tcase, test_refused_places);
        tcase_add_test(tcase, test_refused_while_stopping);
        tcase_add_loop_test(tcase, test_refused_over_limits, 0, 2);
        tcase_add_test(tcase, test_shape_must_be_that_of_the_weights);
        tcase_add_test(tcase, test_release_with_jobs);
        tcase_add_test(tcase, test_release_and_load_again);
        tcase_add_test(tcase, test_arena_released_during_the_load);
        tcase_add_loop_test(tcase, test_end_mid_payload, 0, 5);
        tcase_add_test(tcase, test_end_mid_load);
        tcase_add_test(tcase, test_end_with_many_loads);
        tcase_add_test(tcase, test_end_with_everything_outstanding);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("session, weights");

        rng_start(&rng, "session-weights");
        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
