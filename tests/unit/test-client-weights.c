/* SPDX-License-Identifier: MIT */
/*
 * test-client-weights.c - npumm_weights_load and npumm_weights_release: B reaches the daemon whole from wherever it
 * lies, what makes no sense is not sent, and a daemon that lies or leaves in the middle of it.
 */
#include <sys/socket.h>

#include "tests/unit/visit.h"
#include "tests/unit/suite.h"

/* ---- ways for B ---- */

#define B_K   37u
#define B_N   21u
#define B_GAP 5u /* elements between rows */

enum way { WAY_ARENA = 0, WAY_ORDINARY, WAY_INLINE, WAY_MAX };

/* What the stub needs to look at a B, and what it has seen. */
struct sight {
        int arena_fd; /* owned; of the only one; -1: none */
        unsigned n_loads;
};

static int8_t b_element(uint64_t row, uint64_t col)
{
        return (int8_t)(row * 31 + col);
}

static int8_t b_read(const struct stub_frame *frame, const struct sight *sight, uint64_t at)
{
        int8_t element;
        ssize_t n;

        if (frame->request.weights_load.b.arena == 0)
                return (int8_t)frame->payload[at];
        n = pread(sight->arena_fd, &element, 1, (off_t)at);
        assert(n == 1);
        return element;
}

static void b_check(const struct stub_frame *frame, const struct sight *sight)
{
        const struct request_weights_load *load = &frame->request.weights_load;
        const uint64_t rows = load->b_transposed ? load->n : load->k;
        const uint64_t cols = load->b_transposed ? load->k : load->n;

        assert(load->k == B_K && load->n == B_N);
        assert((load->b.arena == 0) == (frame->header.payload_bytes > 0));
        for (uint64_t i = 0; i < rows; i++)
                for (uint64_t j = 0; j < cols; j++)
                        assert(b_read(frame, sight, load->b.offset_bytes + i * load->b.ld_elems + j) ==
                               b_element(i, j));
}

/* Makes one arena whose descriptor it keeps, and looks at every B. */
static bool look_at_weights(struct stub_daemon *stub)
{
        struct sight *sight = stub->options.userdata;
        struct reply created = {
                .type = FRAME_ARENA_CREATED, .id = stub->frame.header.request_id, .arena_created.arena = 1};

        if (stub->frame.header.type == FRAME_ARENA_CREATE) {
                assert(sight->arena_fd < 0);
                created.arena_created.size_bytes = stub->frame.request.arena_create.size_bytes;
                sight->arena_fd = stub_memory(created.arena_created.size_bytes, STUB_SEALS);
                stub_say_more(stub, &created, NULL, 0, sight->arena_fd);
                return true;
        }
        if (stub->frame.header.type == FRAME_WEIGHTS_LOAD) {
                b_check(&stub->frame, sight);
                sight->n_loads++;
        }
        return false;
}

START_TEST(test_ways_of_loading)
{
        const enum way way = (enum way)(_i / 4);
        const bool b_transposed = (_i & 2) != 0;
        const uint64_t rows = b_transposed ? B_N : B_K, cols = b_transposed ? B_K : B_N;
        const uint64_t ldb = (_i & 1) != 0 ? cols + B_GAP : cols;
        struct sight sight = {.arena_fd = -1};
        struct visit visit =
                visit_begin(&(struct stub_options){.frame_fn = look_at_weights, .userdata = &sight});
        struct npumm_weights_spec spec = {
                .size = sizeof spec, .k = B_K, .n = B_N, .ldb = ldb == cols ? 0 : ldb};
        uint64_t weights = 0;
        void *memory;

        if (way == WAY_ARENA)
                ck_assert_int_eq(npumm_alloc(visit.client, rows * ldb, &memory), 0);
        else
                memory = malloc(rows * ldb);
        ck_assert_ptr_nonnull(memory);
        memset(memory, 0x55, rows * ldb);
        for (uint64_t i = 0; i < rows; i++)
                for (uint64_t j = 0; j < cols; j++)
                        ((int8_t *)memory)[i * ldb + j] = b_element(i, j);
        spec.b = memory;
        spec.flags = (b_transposed ? NPUMM_WEIGHTS_B_TRANSPOSED : 0u) |
                     (way == WAY_INLINE ? NPUMM_WEIGHTS_INLINE : 0u);
        ck_assert_msg(npumm_weights_load(visit.client, &spec, &weights) == 0, "%s", npumm_text(visit.client));
        ck_assert_uint_eq(weights, STUB_WEIGHTS + 1);
        ck_assert_uint_eq(sight.n_loads, 1);
        ck_assert_int_eq(npumm_weights_release(visit.client, weights), 0);
        ck_assert_uint_eq(visit.stub->n_loads_released, 1);
        if (way != WAY_ARENA)
                free(memory);
        visit_end(&visit);
        closep(&sight.arena_fd);
}
END_TEST

/* What was staged is free again when the call returns, also where the daemon refused: one arena is enough. */
static bool refuse_every_other(struct stub_daemon *stub)
{
        unsigned *n_seen = stub->options.userdata;

        if (stub->frame.header.type != FRAME_WEIGHTS_LOAD || ++*n_seen % 2 == 0)
                return false;
        stub_say_outcome(stub, FRAME_ERROR, stub->frame.header.request_id, STATUS_BUSY,
                         "no room for weights");
        return true;
}

START_TEST(test_staging_is_given_back)
{
        unsigned n_seen = 0;
        struct visit visit =
                visit_begin(&(struct stub_options){.frame_fn = refuse_every_other, .userdata = &n_seen});
        int8_t *b = calloc(10 << 10, 1 << 10);
        const struct npumm_weights_spec spec = {.size = sizeof spec, .k = 10 << 10, .n = 1 << 10, .b = b};
        uint64_t weights = 1234;

        ck_assert_ptr_nonnull(b);
        for (unsigned i = 0; i < 6; i++) {
                const int r = npumm_weights_load(visit.client, &spec, &weights);

                ck_assert_int_eq(r, i % 2 == 0 ? NPUMM_STATUS_BUSY : 0);
                if (i == 0) {
                        ck_assert_uint_eq(weights, 1234);
                        expect_words(npumm_text(visit.client), "no room for weights");
                }
        }
        ck_assert_uint_eq(visit.stub->n_arenas, 1);
        visit_end(&visit);
        free(b);
}
END_TEST

/* ---- what makes no sense ---- */

#define ARENA_BYTES 4096u
#define INLINE_MAX  1000u

/* clang-format off */
/*        name                 what is changed in s, the good one                words */
#define BAD_TABLE(X) \
        X(k_0,                 s->k = 0,                                         "K is 0") \
        X(n_0,                 s->n = 0,                                         "N is 0") \
        X(k_over_limit,        s->k = 131072,                                    "K is 131072") \
        X(n_over_limit,        s->n = UINT64_C(1) << 31,                         "N is 2147483648") \
        X(ldb_too_small,       s->ldb = 1,                                       "B: leading dimension 1") \
        X(ldb_too_small_for_k, s->ldb = 2; s->flags = NPUMM_WEIGHTS_B_TRANSPOSED, "B: leading dimension 2") \
        X(ldb_overflows,       s->ldb = UINT64_MAX,                              "B: 3 rows") \
        X(b_null,              s->b = NULL,                                      "b is NULL") \
        X(b_wraps_around,      s->b = (int8_t *)UINTPTR_MAX,                     "B: 3 rows") \
        X(b_runs_out_of_arena, s->b = arena + ARENA_BYTES - 4,                   "npumm_alloc() gave out") \
        X(unknown_flag,        s->flags = 1 << 2,                                "flags are 0x4") \
        X(size_too_small,      s->size = sizeof *s - 1,                          "its size is") \
        X(size_never_set,      s->size = 0,                                      "its size is 0")

#define X(name, change, words)                                                                               \
        static void bad_##name(struct npumm_weights_spec *s, int8_t *arena)                                  \
        {                                                                                                    \
                (void)arena;                                                                                 \
                change;                                                                                      \
        }
BAD_TABLE(X)
#undef X

static const struct {
        void (*change)(struct npumm_weights_spec *spec, int8_t *arena);
        const char *words;
} bad[] = {
#define X(name, change, words) {bad_##name, words},
        BAD_TABLE(X)
#undef X
};
/* clang-format on */

static struct visit visit_with_limit(void)
{
        return visit_begin(&(struct stub_options){
                .limits = {.payload_bytes = INLINE_MAX, .arena_bytes = 1 << 30, .arenas = 8, .jobs = 4}});
}

START_TEST(test_bad_spec)
{
        struct visit visit = visit_with_limit();
        int8_t b[6] = {0};
        struct npumm_weights_spec spec = {.size = sizeof spec, .k = 3, .n = 2, .b = b};
        uint64_t weights = 1234;
        void *arena;
        int r;

        ck_assert_int_eq(npumm_alloc(visit.client, ARENA_BYTES, &arena), 0);
        bad[_i].change(&spec, arena);
        r = npumm_weights_load(visit.client, &spec, &weights);
        ck_assert_msg(r == NPUMM_STATUS_INVALID, "%d: %s", r, npumm_text(visit.client));
        expect_words(npumm_text(visit.client), bad[_i].words);
        ck_assert_uint_eq(weights, 1234);
        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0);
        ck_assert_uint_eq(visit.stub->n_loads, 0);
        visit_end(&visit);
}
END_TEST

START_TEST(test_inline_over_limit)
{
        struct visit visit = visit_with_limit();
        int8_t b[INLINE_MAX + 1] = {0};
        struct npumm_weights_spec spec = {
                .size = sizeof spec, .k = INLINE_MAX + 1, .n = 1, .b = b, .flags = NPUMM_WEIGHTS_INLINE};
        uint64_t weights;

        ck_assert_int_eq(npumm_weights_load(visit.client, &spec, &weights), NPUMM_STATUS_TOO_BIG);
        expect_words(npumm_text(visit.client), "limit of 1000: leave NPUMM_WEIGHTS_INLINE out");
        spec.k = INLINE_MAX;
        ck_assert_int_eq(npumm_weights_load(visit.client, &spec, &weights), 0);
        visit_end(&visit);
}
END_TEST

START_TEST(test_release_of_nothing)
{
        struct visit visit = visit_begin(&(struct stub_options){0});

        ck_assert_int_eq(npumm_weights_release(visit.client, 0), NPUMM_STATUS_INVALID);
        expect_words(npumm_text(visit.client), "no handle ever is");
        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0);
        ck_assert_uint_eq(visit.stub->n_loads_released, 0);
        visit_end(&visit);
}
END_TEST

/* ---- lies ---- */

/* What is said in answer to a load; the id is relative to its own. */
static const struct lie {
        enum frame_type type;
        uint64_t id_offset;
        uint64_t weights;
        enum status status;
        int result;
        const char *words;
} lies[] = {
        {FRAME_ERROR, 0, 0, STATUS_BUSY, NPUMM_STATUS_BUSY, "because"},
        {FRAME_ERROR, 0, 0, STATUS_OK, NPUMM_STATUS_PROTOCOL, "with status OK"},
        {FRAME_WEIGHTS_LOADED, 0, 0, STATUS_OK, NPUMM_STATUS_PROTOCOL, "not a valid message"},
        {FRAME_WEIGHTS_LOADED, 1, 7, STATUS_OK, NPUMM_STATUS_PROTOCOL, "does not ask for it"},
        {FRAME_WEIGHTS_LOADED, (uint64_t)-1, 7, STATUS_OK, NPUMM_STATUS_PROTOCOL, "does not ask for it"},
        {FRAME_WEIGHTS_RELEASED, 0, 0, STATUS_OK, NPUMM_STATUS_PROTOCOL, "WEIGHTS_RELEASED"},
        {FRAME_SET_DONE, 0, 0, STATUS_OK, NPUMM_STATUS_PROTOCOL, "SET_DONE"},
        {FRAME_DONE, 0, 0, STATUS_OK, NPUMM_STATUS_PROTOCOL, "which is not running"},
        {FRAME_BYE, 0, 0, STATUS_OK, -ECONNRESET, "because"},
};

static bool lie_about_weights(struct stub_daemon *stub)
{
        const struct lie *lie = stub->options.userdata;
        struct reply reply = {.type = lie->type, .id = stub->frame.header.request_id + lie->id_offset};

        if (stub->frame.header.type != FRAME_WEIGHTS_LOAD)
                return false;
        if (lie->type == FRAME_WEIGHTS_LOADED)
                reply.weights_loaded.weights = lie->weights;
        else
                reply.outcome = (struct reply_outcome){lie->status, "because"};
        stub_say(stub, &reply);
        return true;
}

START_TEST(test_lie)
{
        const struct lie *lie = &lies[_i];
        struct visit visit =
                visit_begin(&(struct stub_options){.frame_fn = lie_about_weights, .userdata = (void *)lie});
        const int8_t b[6] = {0};
        const struct npumm_weights_spec spec = {.size = sizeof spec, .k = 3, .n = 2, .b = b};
        uint64_t weights = 1234;

        ck_assert_int_eq(npumm_weights_load(visit.client, &spec, &weights), lie->result);
        expect_words(npumm_text(visit.client), lie->words);
        ck_assert_uint_eq(weights, 1234);
        ck_assert_int_eq(npumm_ping(visit.client, NULL), lie->result == NPUMM_STATUS_BUSY ? 0 : -ENOTCONN);
        visit_end(&visit);
}
END_TEST

/* Twice the same answer: the second is nobody's. */
static bool load_twice(struct stub_daemon *stub)
{
        const struct reply reply = {.type = FRAME_WEIGHTS_LOADED,
                                    .id = stub->frame.header.request_id,
                                    .weights_loaded.weights = 7};

        if (stub->frame.header.type != FRAME_WEIGHTS_LOAD)
                return false;
        stub_say(stub, &reply);
        stub_say(stub, &reply);
        return true;
}

START_TEST(test_answered_twice)
{
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = load_twice});
        const int8_t b[6] = {0};
        const struct npumm_weights_spec spec = {.size = sizeof spec, .k = 3, .n = 2, .b = b};
        uint64_t weights;
        int r = npumm_weights_load(visit.client, &spec, &weights);

        while (r == 0)
                r = npumm_dispatch(visit.client, -1);
        ck_assert_int_eq(r, NPUMM_STATUS_PROTOCOL);
        expect_words(npumm_text(visit.client), "WEIGHTS_LOADED for request");
        visit_end(&visit);
}
END_TEST

/* ---- the daemon leaves in the middle of it ---- */

#define BIG_K 4096u
#define BIG_N 2048u

/* With most of the payload still to be sent, where there is one. */
static void leave_in_mid_load(struct stub_daemon *stub)
{
        if (!stub_welcome(stub))
                return;
        while (stub_take_head(stub) && stub->frame.header.type == FRAME_ARENA_CREATE)
                stub_make_arena(stub);
}

START_TEST(test_loss_in_mid_load)
{
        struct visit visit = visit_begin(&(struct stub_options){.script = leave_in_mid_load});
        int8_t *b = calloc(BIG_K, BIG_N);
        const struct npumm_weights_spec spec = {.size = sizeof spec,
                                                .k = BIG_K,
                                                .n = BIG_N,
                                                .b = b,
                                                .flags = _i == 0 ? 0 : NPUMM_WEIGHTS_INLINE};
        uint64_t weights = 1234;

        ck_assert_ptr_nonnull(b);
        ck_assert_int_eq(npumm_weights_load(visit.client, &spec, &weights), -ECONNRESET);
        expect_words(npumm_text(visit.client), "closed the connection");
        ck_assert_uint_eq(weights, 1234);
        ck_assert_int_eq(npumm_weights_load(visit.client, &spec, &weights), -ENOTCONN);
        visit_end(&visit);
        free(b);
}
END_TEST

/* Refuses a load after a bit of its payload; what is not out by then may be anything. */
static void refuse_early(struct stub_daemon *stub)
{
        uint8_t bytes[65536];

        if (!stub_welcome(stub) || !stub_take_head(stub) || !stub_take_payload(stub, bytes, 1000))
                return;
        assert(stub->frame.header.type == FRAME_WEIGHTS_LOAD);
        stub_say_outcome(stub, FRAME_ERROR, stub->frame.header.request_id, STATUS_BUSY, "refused early");
        stub_await_go(stub);
        for (uint64_t left = stub->frame.header.payload_bytes - 1000, n; left > 0; left -= n) {
                n = MIN(left, sizeof bytes);
                if (!stub_take_payload(stub, bytes, n))
                        return;
        }
        stub_serve(stub);
}

/* When the call has returned b may go, though the frame is not out. */
START_TEST(test_refused_in_mid_load)
{
        struct visit visit = visit_begin(&(struct stub_options){.script = refuse_early});
        int8_t *b = calloc(BIG_K, BIG_N);
        const struct npumm_weights_spec spec = {
                .size = sizeof spec, .k = BIG_K, .n = BIG_N, .b = b, .flags = NPUMM_WEIGHTS_INLINE};
        uint64_t weights;

        ck_assert_ptr_nonnull(b);
        ck_assert_int_eq(npumm_weights_load(visit.client, &spec, &weights), NPUMM_STATUS_BUSY);
        ck_assert_str_eq(npumm_text(visit.client), "refused early");
        free(b);
        stub_await_rest(visit.stub);
        stub_go(visit.stub);
        ck_assert_msg(npumm_ping(visit.client, NULL) == 0, "%s", npumm_text(visit.client));
        visit_end(&visit);
}
END_TEST

/* ---- callbacks ---- */

static void load_in_callback(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        const int8_t b[6] = {0};
        const struct npumm_weights_spec spec = {.size = sizeof spec, .k = 3, .n = 2, .b = b};
        uint64_t weights;

        (void)job;
        ck_assert_int_eq(result, 0);
        ck_assert_int_eq(npumm_weights_load(client, &spec, &weights), -EDEADLK);
        ck_assert_int_eq(npumm_weights_release(client, 1), -EDEADLK);
        ck_assert_int_eq(npumm_set(client, "policy", "hold"), -EDEADLK);
        ++*(unsigned *)userdata;
}

/* A job that ends while a load is waited for has its callback then; in there nothing can be waited for. */
START_TEST(test_callbacks)
{
        struct visit visit = visit_begin(&(struct stub_options){0});
        const int8_t b[6] = {0};
        const struct npumm_weights_spec spec = {
                .size = sizeof spec, .k = 3, .n = 2, .b = b, .flags = NPUMM_WEIGHTS_INLINE};
        struct small_job job;
        unsigned n_done = 0;
        uint64_t weights;

        small_job_init(&job, NPUMM_MATMUL_INLINE);
        ck_assert_int_eq(npumm_submit(visit.client, &job.matmul, NULL, load_in_callback, &n_done, NULL), 0);
        ck_assert_uint_eq(n_done, 0);
        ck_assert_int_eq(npumm_weights_load(visit.client, &spec, &weights), 0);
        ck_assert_uint_eq(n_done, 1);
        visit_end(&visit);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-weights");
        TCase *tcase = tcase_create("weights");

        tcase_add_loop_test(tcase, test_ways_of_loading, 0, 4 * WAY_MAX);
        tcase_add_test(tcase, test_staging_is_given_back);
        tcase_add_loop_test(tcase, test_bad_spec, 0, ARRAY_SIZE(bad));
        tcase_add_test(tcase, test_inline_over_limit);
        tcase_add_test(tcase, test_release_of_nothing);
        tcase_add_loop_test(tcase, test_lie, 0, ARRAY_SIZE(lies));
        tcase_add_test(tcase, test_answered_twice);
        tcase_add_loop_test(tcase, test_loss_in_mid_load, 0, 2);
        tcase_add_test(tcase, test_refused_in_mid_load);
        tcase_add_test(tcase, test_callbacks);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
