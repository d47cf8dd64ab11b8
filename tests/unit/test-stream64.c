/* SPDX-License-Identifier: MIT */
/*
 * test-stream64.c - a batch's stream: what it amounts to, counted by hand from xclbin/README.md; what it consists of;
 * and what no stream can express.
 */
#include "daemon/npu/stream64-generate.h"
#include "suite.h"
#include "tests/npu/edit.h"
#include "tests/npu/scene.h"

enum { S2MM0 = 0, S2MM1, MM2S0, MM2S1 };

static struct stream64_totals totals_of(const struct stream64_batch *batch)
{
        struct stream64_totals totals = {0};

        for (size_t i = 0; i < batch->n_jobs; i++)
                stream64_totals_add(&totals, batch->jobs[i].size);
        return totals;
}

/* ---- amounts ---- */

START_TEST(test_sizes)
{
        static const struct {
                uint64_t m, k, n;
                struct stream64_size size;
        } cases[] = {
                {1, 1, 1, {.m = 1, .n = 1, .k = 1}},
                {256, 64, 256, {.m = 1, .n = 1, .k = 1}},
                {257, 65, 257, {.m = 2, .n = 2, .k = 2}},
                {1500, 131071, 5120, {.m = 6, .n = 20, .k = 2048}},
                {0x7fffffff, 1, 0x7fffffff, {.m = 1 << 23, .n = 1 << 23, .k = 1}},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct stream64_size size = stream64_size_of(cases[i].m, cases[i].k, cases[i].n);

                ck_assert_uint_eq(size.m, cases[i].size.m);
                ck_assert_uint_eq(size.n, cases[i].size.n);
                ck_assert_uint_eq(size.k, cases[i].size.k);
        }
}
END_TEST

/*
 * By hand. A header and four waits for C: 16 + 4 * 16 = 80 bytes; C's task 148 a column; a task 120, from the fifth of
 * a lane on 148 (poll) or 136 (token). With tokens a lane's first task has 28 more, and its last four (or fewer) tokens
 * 16 each.
 */
static const struct amount {
        uint64_t m, k, n;
        size_t jobs;
        uint64_t tasks, poll_bytes, token_bytes;
} amounts[] = {
        /* Mt 1: a task of A, one of B in each column */
        {1, 1, 1, 1, 4 * (1 + 1 + 1), 80 + 4 * (148 + 120 + 120), 80 + 4 * (148 + (120 + 28 + 16) * 2)},
        /* Mt 2, Nt 2: two of B. "16 tasks, 2.1 KB" */
        {500, 512, 512, 1, 16, 2112, 80 + 4 * (148 + (120 + 28 + 16) + (2 * 120 + 28 + 2 * 16))},
        /* Mt 6, Nt 2: 16 of A, 32 of B. "196 tasks, 28 KB" */
        {1500, 512, 512, 16, 196, 80 + 4 * (148 + 4 * 120 + 12 * 148 + 4 * 120 + 28 * 148),
         80 + 4 * (148 + (28 + 4 * 120 + 12 * 136 + 4 * 16) + (28 + 4 * 120 + 28 * 136 + 4 * 16))},
        /* Mt 1: one task of B for all its columns. "132 tasks, 18.5 KB" */
        {1, 512, 512, 16, 132, 80 + 4 * (148 + 2 * (4 * 120 + 12 * 148)),
         80 + 4 * (148 + 2 * (28 + 4 * 120 + 12 * 136 + 4 * 16))},
        /* Nt 5: the fifth task of B is the first that has to wait */
        {257, 64, 1025, 1, 4 * (1 + 1 + 5), 80 + 4 * (148 + 120 + 4 * 120 + 148),
         80 + 4 * (148 + (120 + 28 + 16) + (28 + 4 * 120 + 136 + 4 * 16))},
};

START_TEST(test_amounts)
{
        const struct amount *amount = &amounts[_i];

        for (enum stream64_flow flow = 0; flow < STREAM64_FLOW_MAX; flow++) {
                struct stream64_product products[STREAM64_JOBS_MAX];
                struct stream64_totals totals;
                struct scene *scene;
                struct edit edit;
                uint64_t pushes = 0;

                for (size_t i = 0; i < amount->jobs; i++)
                        products[i] = (struct stream64_product){
                                .m = amount->m, .k = amount->k, .n = amount->n, .b_is_resident = true};
                scene = scene_new(flow, products, amount->jobs);
                edit_read(&edit, scene->words, scene->n_words);
                for (size_t i = 0; i < edit.n; i++)
                        pushes += edit.ops[i].kind == EDIT_PUSH;
                totals = totals_of(&scene->batch);
                ck_assert_uint_eq(stream64_tasks(&totals), amount->tasks);
                ck_assert_uint_eq(pushes, amount->tasks);
                ck_assert_uint_eq(stream64_stream_bytes(&totals, flow),
                                  flow == STREAM64_POLL ? amount->poll_bytes : amount->token_bytes);
                ck_assert_uint_eq(4 * scene->n_words, stream64_stream_bytes(&totals, flow));
                ck_assert_uint_eq(scene->words[3], 4 * scene->n_words);
                ck_assert_uint_eq(scene->words[2], edit.n);
                scene = scene_free(scene);
        }
}
END_TEST

/* ---- order ---- */

/* The order of pushes, by hand: two jobs, 2 x 3 and 1 x 2 macro-tiles. */
START_TEST(test_order)
{
        static const struct stream64_product products[] = {{300, 128, 600, true, 0},
                                                           {10, 150, 500, false, 0}};
        static const struct {
                unsigned channel, bd, arg, repeats, bytes; /* on columns 0 to 3 in turn, or pairwise */
        } c = {S2MM0, 10, 2, 1, 8 * 65536}, a0 = {MM2S0, 0, 0, 3, 2 * 2 * 4160},
          b00 = {MM2S1, 5, 1, 2, 2 * 4096}, b01 = {MM2S1, 6, 1, 2, 2 * 4096},
          b02 = {MM2S1, 7, 1, 2, 2 * 4096}, a1 = {MM2S0, 1, 0, 2, 3 * 4160},
          b1 = {MM2S1, 8, 3, 1, 2 * 3 * 4096};
        const __typeof__(c) order[] = {c,   c,   c,   c,   a0,  b00, a0, b00, a0, b00, a0, b00, b01, b01,
                                       b01, b01, b02, b02, b02, b02, a1, b1,  a1, b1,  a1, b1,  a1,  b1};
        struct scene *scene = scene_new(STREAM64_POLL, products, ARRAY_SIZE(products));
        struct edit edit;
        size_t at = 0, n = 0;

        edit_read(&edit, scene->words, scene->n_words);
        for (; at < edit.n && edit.ops[at].kind != EDIT_WAIT; at++) {
                const struct edit_op *push = &edit.ops[at], *blockwrite;
                unsigned column = n < 4                 ? (unsigned)n
                                  : (n >= 12 && n < 20) ? (unsigned)n % 4
                                                        : (unsigned)(n - 4) % 8 / 2;

                if (push->kind != EDIT_PUSH)
                        continue;
                ck_assert_uint_lt(n, ARRAY_SIZE(order));
                ck_assert_msg(push->channel == order[n].channel && push->column == column,
                              "push %zu: %u of column %u", n, push->channel, push->column);
                ck_assert_uint_eq(push->words[4] & 0x7FFFFFFF, order[n].bd | (order[n].repeats - 1) << 16);
                blockwrite = &edit.ops[edit_find(&edit, EDIT_BLOCKWRITE, column, order[n].bd, 0)];
                ck_assert_uint_eq(4 * blockwrite->words[4], order[n].bytes);
                ck_assert_uint_eq(edit.ops[edit_find(&edit, EDIT_PATCH, column, order[n].bd, 0)].words[8],
                                  order[n].arg);
                n++;
        }
        ck_assert_uint_eq(n, ARRAY_SIZE(order));
        for (unsigned column = 0; column < 4; column++, at++)
                ck_assert(edit.ops[at].kind == EDIT_WAIT && edit.ops[at].column == column &&
                          edit.ops[at].channel == S2MM0);
        ck_assert_uint_eq(at, edit.n);
        scene = scene_free(scene);
}
END_TEST

/* ---- limits ---- */

static struct stream64_batch sound_batch(void)
{
        return (struct stream64_batch){
                .n_jobs = 1,
                .jobs = {{.size = {.m = 1, .n = 2, .k = 3},
                          .a = {STREAM64_ARG_A, 0, 3 * 4160},
                          .b = {STREAM64_ARG_WEIGHTS, 0, 6 * 4096}}},
                .c = {STREAM64_ARG_C, 0, 2 * 65536},
        };
}

static void expect(int result, const struct stream64_batch *batch, size_t n_words_max)
{
        static uint32_t words[STREAM64_WORDS_MAX];
        size_t n = 12345;

        ck_assert_int_eq(stream64_generate(batch, STREAM64_POLL, words, n_words_max, &n), result);
        if (result != 0)
                ck_assert_uint_eq(n, 12345); /* untouched */
}

START_TEST(test_limits)
{
        struct stream64_batch batch = sound_batch();
        const size_t n_words = (80 + 4 * (148 + 120 + 120)) / 4;

        expect(0, &batch, STREAM64_WORDS_MAX);
        expect(0, &batch, n_words);
        expect(STREAM64_E_LONG, &batch, n_words - 1);
        expect(STREAM64_E_LONG, &batch, 0);
        batch.n_jobs = 0;
        expect(STREAM64_E_LIMIT, &batch, STREAM64_WORDS_MAX);
        batch.n_jobs = STREAM64_JOBS_MAX + 1;
        expect(STREAM64_E_LIMIT, &batch, STREAM64_WORDS_MAX);
}
END_TEST

static const struct {
        const char *what;
        uint64_t m, n, k, b_offset, b_stride;
        int result;
} limits[] = {
        {"repeats of A", 1, 256, 1, 0, 256 * 4096, 0},
        {"too many", 1, 257, 1, 0, 257 * 4096, STREAM64_E_LIMIT},
        {"repeats of B", 256, 1, 1, 0, 4096, 0},
        {"too many", 257, 1, 1, 0, 4096, STREAM64_E_LIMIT},
        {"macro-tiles", 16, 16, 1, 0, 16 * 4096, 0},
        {"too many", 16, 17, 1, 0, 17 * 4096, STREAM64_E_LIMIT},
        {"depth", 1, 1, 2048, 0, 2048 * 4096, 0},
        {"too deep", 1, 1, 2049, 0, 2049 * 4096, STREAM64_E_LIMIT},
        {"nothing", 0, 1, 1, 0, 4096, STREAM64_E_LIMIT},
        {"no depth", 1, 1, 0, 0, 4096, STREAM64_E_LIMIT},
        {"the end of an object", 1, 1, 1, 0x100000000 - 4 * 4096, 4096, 0},
        {"beyond it", 1, 1, 1, 0x100000000 - 4 * 4096 + 64, 4096, STREAM64_E_LIMIT},
        {"far beyond", 1, 1, 1, UINT64_MAX - 63, 4096, STREAM64_E_LIMIT},
        {"a wide stride", 1, 1, 1, 0, UINT64_MAX / 2 + 1, STREAM64_E_LIMIT},
        {"lanes that overlap", 1, 2, 1, 0, 2 * 4096 - 64, STREAM64_E_LIMIT},
        {"not aligned", 1, 1, 1, 32, 4096, STREAM64_E_LIMIT},
        {"nor the stride", 1, 1, 1, 0, 4096 + 4, STREAM64_E_LIMIT},
};

START_TEST(test_limits_of_jobs)
{
        struct stream64_batch batch = sound_batch();

        batch.jobs[0].size = (struct stream64_size){.m = limits[_i].m, .n = limits[_i].n, .k = limits[_i].k};
        batch.jobs[0].a.lane_stride = limits[_i].m * limits[_i].k * 4160;
        batch.jobs[0].b.offset = limits[_i].b_offset;
        batch.jobs[0].b.lane_stride = limits[_i].b_stride;
        batch.c.lane_stride = limits[_i].m * limits[_i].n * 65536;
        expect(limits[_i].result, &batch, STREAM64_WORDS_MAX);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("stream64");
        TCase *tc = tcase_create("stream64");

        tcase_add_test(tc, test_sizes);
        tcase_add_loop_test(tc, test_amounts, 0, (int)ARRAY_SIZE(amounts));
        tcase_add_test(tc, test_order);
        tcase_add_test(tc, test_limits);
        tcase_add_loop_test(tc, test_limits_of_jobs, 0, (int)ARRAY_SIZE(limits));
        suite_add_tcase(suite, tc);
        return suite_run(suite);
}
