/* SPDX-License-Identifier: MIT */
/*
 * test-stream64-verify.c - each rule that a batch gives: a right stream passes, and one that keeps all rules of streams
 * but does not compute the batch, or never ends, is refused with the message that says so.
 */
#include "daemon/npu/stream64-verify.h"
#include "suite.h"
#include "tests/npu/edit.h"
#include "tests/npu/scene.h"

enum { S2MM0 = 0, S2MM1, MM2S0, MM2S1 };

static struct scene *scene;
static struct edit edit;
static struct txn_check *check;
static struct txn_fault fault;

/* Two jobs: 2 x 3 macro-tiles of 2 steps, 1 x 2 of 3. */
static const struct stream64_product two[] = {{300, 128, 600, true, 0}, {10, 150, 500, false, 0}};

static void open_scene(enum stream64_flow flow, const struct stream64_product *products, size_t n)
{
        scene = scene_free(scene);
        scene = scene_new(flow, products, n);
        edit_read(&edit, scene->words, scene->n_words);
}

static void setup(void)
{
        check = calloc(1, sizeof *check);
        open_scene(STREAM64_POLL, two, ARRAY_SIZE(two));
}

static void teardown(void)
{
        scene = scene_free(scene);
        free(check);
}

static int verify(void)
{
        static uint32_t words[2 * STREAM64_WORDS_MAX];
        const size_t n = edit_write(&edit, words);

        fault = (struct txn_fault){.word = SIZE_MAX};
        return stream64_verify(check, words, n, &scene->buffers, &scene->batch, &fault);
}

static void expect_fault(size_t word, const char *text)
{
        ck_assert_int_eq(verify(), TXN_E_FAULT);
        ck_assert_msg(strstr(fault.text, text), "\"%s\" is not in \"%s\"", text, fault.text);
        ck_assert_msg(fault.word == word, "word %zu, not %zu: %s", fault.word, word, fault.text);
}

static struct edit_op *op(enum edit_kind kind, unsigned column, unsigned channel, size_t nth)
{
        return &edit.ops[edit_find(&edit, kind, column, channel, nth)];
}

static size_t word_of(enum edit_kind kind, unsigned column, unsigned channel, size_t nth)
{
        return edit_word(&edit, edit_find(&edit, kind, column, channel, nth));
}

START_TEST(test_right)
{
        static const struct stream64_product one[] = {{1, 1, 1, true, 0}};

        for (enum stream64_flow flow = 0; flow < STREAM64_FLOW_MAX; flow++) {
                open_scene(flow, two, ARRAY_SIZE(two));
                ck_assert_msg(verify() == 0, "%zu: %s", fault.word, fault.text);
                open_scene(flow, one, 1);
                ck_assert_msg(verify() == 0, "%zu: %s", fault.word, fault.text);
        }
}
END_TEST

/* ---- balance ---- */

START_TEST(test_lane_lacks_a_task)
{
        size_t n, first = edit_task(&edit, edit_find(&edit, EDIT_PUSH, 2, MM2S1, 1), &n);

        edit_remove(&edit, first, n);
        expect_fault(word_of(EDIT_PUSH, 2, MM2S1, 2),
                     "lane B2 is out of balance: it carries 14 objects, and the batch needs 18");
}
END_TEST

START_TEST(test_lane_is_empty)
{
        for (int i = 0; i < 2; i++) {
                size_t n, first = edit_task(&edit, edit_find(&edit, EDIT_PUSH, 1, MM2S0, 0), &n);

                edit_remove(&edit, first, n);
        }
        expect_fault(0, "lane A1 is out of balance: it carries 0 objects, and the batch needs 18");
}
END_TEST

START_TEST(test_repeat_off_by_one)
{
        op(EDIT_PUSH, 3, MM2S0, 0)->words[4] += 0x10000;
        expect_fault(word_of(EDIT_PUSH, 3, MM2S0, 1),
                     "lane A3 is out of balance: it carries 22 objects, and the batch needs 18");
        op(EDIT_PUSH, 3, MM2S0, 0)->words[4] -= 0x20000;
        expect_fault(word_of(EDIT_PUSH, 3, MM2S0, 1), "it carries 14 objects, and the batch needs 18");
}
END_TEST

START_TEST(test_length_off)
{
        op(EDIT_BLOCKWRITE, 0, 10, 0)->words[4] -= 1;
        expect_fault(word_of(EDIT_PUSH, 0, S2MM0, 0), "lane C0 is out of balance");
        op(EDIT_BLOCKWRITE, 0, 10, 0)->words[4] += 1;
        op(EDIT_BLOCKWRITE, 0, 0, 0)->words[4] -= 1;
        expect_fault(word_of(EDIT_PUSH, 0, MM2S0, 1), "lane A0 is out of balance: it carries 17.99");
}
END_TEST

/* ---- what lanes carry ---- */

START_TEST(test_wrong_order_in_a_lane)
{
        uint32_t *first = &op(EDIT_PATCH, 1, 5, 0)->words[10], *second = &op(EDIT_PATCH, 1, 6, 0)->words[10];
        const uint32_t offset = *first;

        *first = *second;
        *second = offset;
        expect_fault(word_of(EDIT_PUSH, 1, MM2S1, 0), "lane B1: object 0 comes from byte");
}
END_TEST

START_TEST(test_wrong_lane)
{
        op(EDIT_PATCH, 1, 0, 0)->words[10] = op(EDIT_PATCH, 2, 0, 0)->words[10];
        expect_fault(word_of(EDIT_PUSH, 1, MM2S0, 0), "lane A1: object 0 comes from byte");
}
END_TEST

/* Half of the bytes twice is as many bytes: 3 repeats of 4 objects, as 6 of 2. */
START_TEST(test_right_bytes_wrong_run)
{
        op(EDIT_BLOCKWRITE, 1, 0, 0)->words[4] /= 2;
        op(EDIT_PUSH, 1, MM2S0, 0)->words[4] += 3u << 16;
        expect_fault(word_of(EDIT_PUSH, 1, MM2S0, 0), "lane A1: object 2 comes from byte");
}
END_TEST

/* The second job's B is streamed, argument 3: not from the weights. */
START_TEST(test_wrong_argument)
{
        op(EDIT_PATCH, 0, 8, 0)->words[8] = 1;
        op(EDIT_PATCH, 0, 8, 0)->words[10] = 0;
        expect_fault(word_of(EDIT_PUSH, 0, MM2S1, 3), "of argument 1, where byte 0 of argument 3 is due");
}
END_TEST

START_TEST(test_directions)
{
        op(EDIT_PATCH, 0, 0, 0)->words[8] = 2;
        expect_fault(word_of(EDIT_PUSH, 0, MM2S0, 0), "MM2S0 of column 0 reads argument 2");
        op(EDIT_PATCH, 0, 0, 0)->words[8] = 0;
        op(EDIT_PATCH, 0, 10, 0)->words[8] = 1;
        expect_fault(word_of(EDIT_PUSH, 0, S2MM0, 0), "S2MM0 of column 0 writes to argument 1");
}
END_TEST

START_TEST(test_no_lane)
{
        op(EDIT_MASKWRITE, 2, S2MM0, 0)->words[2] += 8;
        op(EDIT_PUSH, 2, S2MM0, 0)->words[2] += 8;
        op(EDIT_WAIT, 2, S2MM0, 0)->words[3] += 1u << 24;
        edit_read(&edit, scene->words, edit_write(&edit, scene->words));
        expect_fault(word_of(EDIT_PUSH, 2, S2MM1, 0), "S2MM1 of column 2, which is no lane");
}
END_TEST

/* ---- addresses ---- */

START_TEST(test_out_of_its_object)
{
        struct edit_op *patch = op(EDIT_PATCH, 3, 10, 0);
        const uint32_t offset = patch->words[10];

        patch->words[10] = offset + 4;
        expect_fault(word_of(EDIT_PUSH, 3, S2MM0, 0), "S2MM0 of column 3 goes from byte");
        patch->words[10] = 0xFFFFFFFC;
        expect_fault(word_of(EDIT_PUSH, 3, S2MM0, 0), "S2MM0 of column 3 goes from byte 4294967292");
        patch->words[10] = offset;
        patch->words[8] = 4;
        expect_fault(word_of(EDIT_PUSH, 3, S2MM0, 0), "writes to argument 4");
        patch->words[8] = 2;
        op(EDIT_PATCH, 0, 5, 0)->words[8] = 4;
        expect_fault(word_of(EDIT_PUSH, 0, MM2S1, 0), "of argument 4, which has 0");
}
END_TEST

START_TEST(test_c_overlaps)
{
        op(EDIT_PATCH, 2, 10, 0)->words[10] = op(EDIT_PATCH, 1, 10, 0)->words[10] + 65536;
        expect_fault(word_of(EDIT_PUSH, 2, S2MM0, 0), "bytes of C are written twice");
}
END_TEST

START_TEST(test_c_is_repeated)
{
        op(EDIT_PUSH, 2, S2MM0, 0)->words[4] += 0x10000;
        expect_fault(word_of(EDIT_PUSH, 2, S2MM0, 0), "S2MM0 of column 2 writes the same bytes of C 2 times");
}
END_TEST

/* ---- headers ---- */

START_TEST(test_headers)
{
        const struct stream64_job *job = &scene->batch.jobs[1];
        uint8_t *header = scene->a + job->a.offset + 2 * job->a.lane_stride + 4160;

        header[0] = 4; /* of 3 steps */
        expect_fault(0, "of job 1, has the header 00000004 34365453, not 00000003 34365453 and zeros");
        header[0] = 3;
        header[7] = 0;
        expect_fault(0, "has the header 00000003 00365453");
        header[7] = 0x34;
        header[63] = 1;
        expect_fault(0, "and zeros");
        header[63] = 0;
        ck_assert_int_eq(verify(), 0);
        /* the last object of the last lane, in a second row of macro-tiles */
        job = &scene->batch.jobs[0];
        ck_assert_uint_eq(job->size.m, 2);
        header = scene->a + job->a.offset + 3 * job->a.lane_stride + (job->size.m * job->size.k - 1) * 4160;
        header[0] = 3;
        expect_fault(0, "of job 0, has the header 00000003 34365453, not 00000002");
}
END_TEST

/* ---- progress ---- */

/* All of column 0 first: its lanes fill up, and the others have nothing yet. */
START_TEST(test_column_by_column)
{
        static const struct stream64_product many[] = {
                {300, 512, 600, true, 0}, {300, 512, 600, true, 0}, {300, 512, 600, true, 0}};
        size_t to, last = 0;

        open_scene(STREAM64_POLL, many, ARRAY_SIZE(many));
        to = edit_find(&edit, EDIT_PUSH, 3, S2MM0, 0) + 1;
        for (size_t nth = 0; nth < 9; nth++) {
                size_t n, push = edit_find(&edit, EDIT_PUSH, 0, MM2S1, nth);
                const size_t first = edit_task(&edit, push, &n);

                edit_move(&edit, first, n, to);
                to += n;
                last = nth;
        }
        ck_assert_uint_eq(last, 8);
        ck_assert_int_eq(verify(), TXN_E_FAULT);
        ck_assert_msg(
                strstr(fault.text, "no progress: this waits for MM2S1 of column 0 to begin what word") &&
                        strstr(fault.text, "waits for lane A0, of which 0 objects have been pushed"),
                "%s", fault.text);
        ck_assert_uint_eq(fault.word, word_of(EDIT_POLL, 0, MM2S1, 1));
}
END_TEST

/* A wait before a push that another lane needs. */
START_TEST(test_wait_too_soon)
{
        size_t n, first = edit_task(&edit, edit_find(&edit, EDIT_PUSH, 3, MM2S1, 3), &n);
        const size_t wait = edit_find(&edit, EDIT_WAIT, 0, S2MM0, 0);

        edit_move(&edit, first, n, wait + 1);
        expect_fault(word_of(EDIT_WAIT, 0, S2MM0, 0), "no progress: this waits for S2MM0 of column 0 to end");
        ck_assert_msg(strstr(fault.text, "lane B3, of which 12 objects"), "%s", fault.text);
}
END_TEST

/* In the token flow the same. */
START_TEST(test_token_too_soon)
{
        size_t n, first;

        open_scene(STREAM64_TOKEN, two, ARRAY_SIZE(two));
        first = edit_task(&edit, edit_find(&edit, EDIT_PUSH, 3, MM2S1, 3), &n);
        edit_move(&edit, first, n, edit_find(&edit, EDIT_WAIT, 0, MM2S0, 1) + 1);
        expect_fault(word_of(EDIT_WAIT, 0, MM2S0, 1), "no progress: this waits for MM2S0 of column 0 to end");
}
END_TEST

/* C after what it takes: the array fills up, but nothing waits for it. */
START_TEST(test_c_may_come_late)
{
        size_t n, first = edit_task(&edit, edit_find(&edit, EDIT_PUSH, 1, S2MM0, 0), &n);

        edit_move(&edit, first, n, edit_find(&edit, EDIT_WAIT, 0, S2MM0, 0));
        ck_assert_msg(verify() == 0, "%s", fault.text);
        /* and behind a wait that needs it */
        first = edit_task(&edit, edit_find(&edit, EDIT_PUSH, 1, S2MM0, 0), &n);
        edit_move(&edit, first, n, edit_find(&edit, EDIT_WAIT, 0, S2MM0, 0) + 1);
        expect_fault(word_of(EDIT_WAIT, 0, S2MM0, 0), "no progress");
}
END_TEST

/* ---- the batch ---- */

static void expect_batch_fault(const char *text)
{
        expect_fault(0, text);
        teardown();
        setup();
}

START_TEST(test_batch)
{
        scene->batch.n_jobs = 0;
        expect_batch_fault("0 jobs");
        scene->batch.n_jobs = STREAM64_JOBS_MAX + 1;
        expect_batch_fault("17 jobs");
        scene->batch.jobs[1].size.k = 0;
        expect_batch_fault("job 1 has 1 x 2 macro-tiles of 0 steps");
        scene->batch.jobs[0].size.k = 2049;
        expect_batch_fault("of 2049 steps");
        scene->batch.jobs[0].size.m = 257;
        expect_batch_fault("job 0 has 257 x 3");
        scene->batch.jobs[0].size.n = UINT64_MAX;
        expect_batch_fault("job 0 has 2 x 18446744073709551615");
        scene->batch.jobs[0].b.offset = 64;
        expect_batch_fault("B of job 0 is not at a multiple of 4096");
        scene->buffers.size_bytes[STREAM64_ARG_A] = UINT64_C(1) << 40;
        scene->batch.jobs[1].a.offset = (UINT64_C(64) << 20) - 64;
        expect_batch_fault("A of job 1 ends at byte");
        scene->buffers.size_bytes[STREAM64_ARG_C] = UINT64_C(1) << 40;
        scene->batch.c.offset = UINT64_C(64) << 20;
        expect_batch_fault("beyond a slot of 64 MiB");
        scene->buffers.size_bytes[STREAM64_ARG_B] = UINT64_C(1) << 40;
        scene->batch.jobs[1].b.offset = UINT64_C(64) << 20;
        expect_batch_fault("B of job 1 ends at byte");
        scene->buffers.size_bytes[STREAM64_ARG_WEIGHTS] = UINT64_C(1) << 40;
        scene->batch.jobs[0].b.offset = UINT64_C(1) << 32;
        expect_batch_fault("beyond 4 GiB");
        for (unsigned arg = 0; arg < STREAM64_ARG_MAX; arg++)
                scene->buffers.size_bytes[arg] = UINT64_C(1) << 32;
        scene->batch.jobs[0].size = (struct stream64_size){.m = 1, .n = 69, .k = 2048};
        scene->batch.jobs[0].a.lane_stride = 2048 * 4160;
        scene->batch.jobs[0].b.lane_stride = 69 * 2048 * 4096;
        expect_batch_fault(
                "141318 steps of 71 macro-tiles, and there may be 140388 of 256"); /* 1 x 2 of 3 besides */
        for (unsigned arg = 0; arg < STREAM64_ARG_MAX; arg++)
                scene->buffers.size_bytes[arg] = UINT64_C(1) << 32;
        scene->batch.jobs[0].size = (struct stream64_size){.m = 51, .n = 5, .k = 1};
        scene->batch.jobs[0].a.lane_stride = 51 * 4160;
        expect_batch_fault("261 steps of 257 macro-tiles");
        scene->batch.jobs[0].a.arg = STREAM64_ARG_B;
        expect_batch_fault("A of job 0 is in argument 3");
        scene->batch.jobs[0].b.arg = STREAM64_ARG_A;
        expect_batch_fault("B of job 0 is in argument 0");
        scene->batch.c.arg = STREAM64_ARG_A;
        expect_batch_fault("C is in argument 0");
        scene->batch.jobs[1].a.offset += 32;
        expect_batch_fault("A of job 1 is not at a multiple of 64");
        scene->batch.jobs[1].a.offset = UINT64_MAX - 63;
        expect_batch_fault("A of job 1 is not inside its buffer object");
        scene->batch.jobs[1].b.lane_stride = UINT64_MAX - 63;
        expect_batch_fault("B of job 1 is not inside its buffer object");
        scene->batch.jobs[0].b.lane_stride -= 64;
        expect_batch_fault("lanes of B of job 0 overlap");
        scene->batch.c.lane_stride -= 64;
        expect_batch_fault("lanes of C overlap");
        scene->buffers.size_bytes[STREAM64_ARG_A] = 0;
        expect_batch_fault("A of job 0 is not inside its buffer object");
}
END_TEST

/* The batch is another: the stream is of the wrong one. */
START_TEST(test_other_batch)
{
        struct stream64_job first = scene->batch.jobs[0];

        scene->batch.jobs[0] = scene->batch.jobs[1];
        scene->batch.jobs[1] = first;
        ck_assert_int_eq(verify(), TXN_E_FAULT);
        ck_assert_msg(strstr(fault.text, "comes from byte"), "%s", fault.text);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("stream64-verify");
        TCase *tc = tcase_create("stream64-verify");

        tcase_add_checked_fixture(tc, setup, teardown);
        tcase_add_test(tc, test_right);
        tcase_add_test(tc, test_lane_lacks_a_task);
        tcase_add_test(tc, test_lane_is_empty);
        tcase_add_test(tc, test_repeat_off_by_one);
        tcase_add_test(tc, test_length_off);
        tcase_add_test(tc, test_wrong_order_in_a_lane);
        tcase_add_test(tc, test_wrong_lane);
        tcase_add_test(tc, test_right_bytes_wrong_run);
        tcase_add_test(tc, test_wrong_argument);
        tcase_add_test(tc, test_directions);
        tcase_add_test(tc, test_no_lane);
        tcase_add_test(tc, test_out_of_its_object);
        tcase_add_test(tc, test_c_overlaps);
        tcase_add_test(tc, test_c_is_repeated);
        tcase_add_test(tc, test_headers);
        tcase_add_test(tc, test_column_by_column);
        tcase_add_test(tc, test_wait_too_soon);
        tcase_add_test(tc, test_token_too_soon);
        tcase_add_test(tc, test_c_may_come_late);
        tcase_add_test(tc, test_batch);
        tcase_add_test(tc, test_other_batch);
        suite_add_tcase(suite, tc);
        return suite_run(suite);
}
