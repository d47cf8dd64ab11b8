/* SPDX-License-Identifier: MIT */
/*
 * test-txn-check.c - each rule that needs no batch: a right stream passes, and one that breaks the rule is refused at
 * the word where it does, with the message that says so.
 */
#include "daemon/npu/txn-check.h"
#include "suite.h"
#include "tests/npu/edit.h"
#include "tests/npu/scene.h"

/* Channels, as edit.h and xclbin/README.md count them. */
enum { S2MM0 = 0, S2MM1, MM2S0, MM2S1 };

/* Six products of 300 rows and three columns of macro-tiles: queues that fill up, in either flow. */
static const struct stream64_product products[] = {
        {300, 64, 600, true, 0},  {300, 128, 600, false, 0}, {1, 64, 64, true, 0},
        {300, 200, 600, true, 0}, {257, 64, 257, false, 0},  {600, 64, 600, true, 0},
};

static struct scene *scene;
static struct edit edit;
static struct txn_check *check;
static struct txn_fault fault;

static void open_flow(enum stream64_flow flow)
{
        scene = scene_new(flow, products, ARRAY_SIZE(products));
        check = calloc(1, sizeof *check);
        edit_read(&edit, scene->words, scene->n_words);
}

static void setup(void)
{
        open_flow(STREAM64_POLL);
}

static void teardown(void)
{
        scene = scene_free(scene);
        free(check);
}

static int check_edit(void)
{
        static uint32_t words[2 * STREAM64_WORDS_MAX];
        const size_t n = edit_write(&edit, words);

        fault = (struct txn_fault){.word = SIZE_MAX};
        return txn_check(check, words, n, &fault);
}

static void expect_fault(size_t word, const char *text)
{
        ck_assert_msg(strstr(fault.text, text), "\"%s\" is not in \"%s\"", text, fault.text);
        ck_assert_msg(fault.word == word, "word %zu, not %zu: %s", fault.word, word, fault.text);
}

static void expect_edit_fault(size_t word, const char *text)
{
        ck_assert_int_eq(check_edit(), TXN_E_FAULT);
        expect_fault(word, text);
}

/* ---- what passes ---- */

START_TEST(test_right)
{
        for (enum stream64_flow flow = 0; flow < STREAM64_FLOW_MAX; flow++) {
                teardown();
                open_flow(flow);
                ck_assert_msg(check_edit() == 0, "%zu: %s", fault.word, fault.text);
                ck_assert_uint_gt(check->n_transfers, 4 * (1 + 6 + 12));
        }
}
END_TEST

/* A channel of few tasks that is asked for room is not at fault; nor is one whose control is set twice. */
START_TEST(test_more_than_needed)
{
        const size_t poll = edit_find(&edit, EDIT_POLL, 0, MM2S0, 0);
        const size_t control = edit_find(&edit, EDIT_MASKWRITE, 0, S2MM0, 0);
        const struct edit_op room = edit.ops[poll], tokens = edit.ops[control];

        edit_insert(&edit, 0, &tokens);
        edit_insert(&edit, 0, &room);
        ck_assert_msg(check_edit() == 0, "%zu: %s", fault.word, fault.text);
}
END_TEST

/* ---- header and shape ---- */

static void expect_header_fault(size_t word, uint32_t value, size_t n_words, const char *text)
{
        static uint32_t words[STREAM64_WORDS_MAX];

        memcpy(words, scene->words, sizeof words);
        words[word] = value;
        ck_assert_int_eq(txn_check(check, words, n_words, &fault), TXN_E_FAULT);
        expect_fault(word, text);
}

START_TEST(test_header)
{
        const uint32_t *words = scene->words;
        const size_t n = scene->n_words;

        expect_header_fault(0, words[0], 0, "0 words are no stream");
        expect_header_fault(0, words[0], 3, "3 words are no stream");
        expect_header_fault(0, 0x06040100, n, "not an npu1 stream's");
        expect_header_fault(1, 0x00000105, n, "not that of 4 columns");
        expect_header_fault(2, words[2] + 1, n, "operations");
        expect_header_fault(2, words[2] - 1, n, "operations");
        expect_header_fault(3, words[3] + 4, n, "bytes, and there are");
        expect_header_fault(3, words[3] + 1, n, "bytes, and there are");
        expect_header_fault(3, words[3], n - 1, "bytes, and there are");
        expect_header_fault(0, words[0], TXN_CHECK_BYTES_MAX / 4 + 1, "words: a stream has");
}
END_TEST

/* At every word: whatever is cut off is missed. */
START_TEST(test_truncated)
{
        static uint32_t words[STREAM64_WORDS_MAX];

        for (size_t n = TXN_HEADER_WORDS; n < scene->n_words; n++) {
                memcpy(words, scene->words, sizeof words);
                words[3] = (uint32_t)(4 * n);
                ck_assert_int_eq(txn_check(check, words, n, &fault), TXN_E_FAULT);
                ck_assert(strstr(fault.text, "the stream ends within") || strstr(fault.text, "operations"));
        }
}
END_TEST

/* The operation at `index` with one word changed. */
static void expect_word_fault(size_t index, size_t word, uint32_t value, const char *text)
{
        const struct edit_op before = edit.ops[index];

        edit.ops[index].words[word] = value;
        expect_edit_fault(edit_word(&edit, index), text);
        edit.ops[index] = before;
}

START_TEST(test_operations)
{
        const size_t push = edit_find(&edit, EDIT_PUSH, 0, MM2S0, 0);
        const size_t blockwrite = edit_find(&edit, EDIT_BLOCKWRITE, 1, 5, 0);
        const size_t patch = edit_find(&edit, EDIT_PATCH, 1, 5, 0);
        const size_t wait = edit_find(&edit, EDIT_WAIT, 2, S2MM0, 0);
        const size_t poll = edit_find(&edit, EDIT_POLL, 0, MM2S0, 0);

        expect_word_fault(push, 0, 2, "opcode 0x2 is not known");
        expect_word_fault(push, 0, 0x82, "opcode 0x82 is not known");
        expect_word_fault(push, 5, 20, "a write of 20 bytes");
        expect_word_fault(push, 1, 1, "words that have no meaning are not 0");
        expect_word_fault(push, 3, 1, "words that have no meaning are not 0");
        expect_word_fault(poll, 6, 24, "a masked poll of 24 bytes");
        expect_word_fault(blockwrite, 3, 46, "a block write of 46 bytes");
        expect_word_fault(blockwrite, 3, 12, "a block write of 12 bytes");
        expect_word_fault(blockwrite, 3, 0x7FFFFFFC, "the stream ends within a block write");
        expect_word_fault(blockwrite, 1, 2, "the tile of a block write and its address differ");
        expect_word_fault(patch, 1, 44, "a patch of 44 bytes");
        for (size_t i = 2; i < 12; i++)
                if (i != 6 && i != 8 && i != 10)
                        expect_word_fault(patch, i, 1, "words that have no meaning are not 0");
        expect_word_fault(wait, 1, 20, "a wait for a token of 20 bytes");
        expect_word_fault(wait, 3, 0x00010200, "only for one of a shim's channel is known");
        expect_word_fault(wait, 2, 2u << 16 | 2u << 8, "only for one of a shim's channel is known");
        expect_word_fault(wait, 2, 4u << 16, "only for one of a shim's channel is known");
        expect_word_fault(wait, 2, 2u << 16 | 2, "only for one of a shim's channel is known");
        expect_word_fault(wait, 3, 0x02010100, "only for one of a shim's channel is known");
}
END_TEST

/* ---- registers ---- */

START_TEST(test_registers)
{
        const size_t push = edit_find(&edit, EDIT_PUSH, 0, MM2S0, 0);
        const size_t blockwrite = edit_find(&edit, EDIT_BLOCKWRITE, 0, 5, 0);
        const size_t patch = edit_find(&edit, EDIT_PATCH, 0, 5, 0);
        const size_t control = edit_find(&edit, EDIT_MASKWRITE, 1, S2MM0, 0);
        const size_t poll = edit_find(&edit, EDIT_POLL, 0, MM2S0, 0);

        expect_word_fault(push, 2, 0x1D210, "no channel of a shim has its queue");
        expect_word_fault(push, 2, 2u << 20 | 0x1D214, "no channel of a shim has its queue");
        expect_word_fault(push, 2, 4u << 25 | 0x1D214, "no channel of a shim has its queue");
        expect_word_fault(push, 2, 2u << 20 | 0x32000,
                          "no channel of a shim has its queue"); /* a core's control */
        expect_word_fault(blockwrite, 2, 0x1D0A4, "no descriptor of a shim begins");
        expect_word_fault(blockwrite, 2, 0x1D200, "no descriptor of a shim begins");
        expect_word_fault(blockwrite, 2, 0x1CFE0, "no descriptor of a shim begins");
        expect_word_fault(patch, 6, 0x1D0A0, "no descriptor of a shim has its address");
        expect_word_fault(patch, 6, 0x1D0A8, "no descriptor of a shim has its address");
        expect_word_fault(control, 2, 1u << 25 | 0x1D204, "no channel of a shim has its control");
        expect_word_fault(control, 4, 0x1F00, "only 0xf00, mask 0x1f00");
        expect_word_fault(control, 5, 0xFFFFFFFF, "only 0xf00, mask 0x1f00");
        expect_word_fault(poll, 2, 0x1D214, "no channel of a shim has its status");
        expect_word_fault(poll, 4, 1u << 22, "only for room is known");
        expect_word_fault(poll, 5, 7u << 20, "only for room is known");
}
END_TEST

/* ---- descriptors ---- */

START_TEST(test_descriptor_words)
{
        const size_t at = edit_find(&edit, EDIT_BLOCKWRITE, 3, 0, 0);

        expect_word_fault(at, 4 + 0, 0, "is of 0 bytes");
        expect_word_fault(at, 4 + 1, 64, "the address is the patch's");
        expect_word_fault(at, 4 + 2, 1, "the address is the patch's");
        expect_word_fault(at, 4 + 3, 1, "word 3 of descriptor 0 of column 3");
        expect_word_fault(at, 4 + 4, 0xC0000000, "word 4 of descriptor 0 of column 3");
        expect_word_fault(at, 4 + 4, 0x40000000, "bursts of 256 bytes");
        expect_word_fault(at, 4 + 4, 0x80000001, "bursts of 256 bytes, no stride");
        expect_word_fault(at, 4 + 5, 0x02000001, "word 5");
        expect_word_fault(at, 4 + 6, 1u << 20,
                          "word 6 of descriptor 0 of column 3 is 0x100000: repeats would move on");
        expect_word_fault(at, 4 + 7, 0, "word 7");
        expect_word_fault(at, 4 + 7, 0x06000000, "word 7"); /* a next one */
        expect_word_fault(at, 4 + 7, 0x02001000, "word 7"); /* a lock */
}
END_TEST

START_TEST(test_descriptor_size)
{
        const size_t at = edit_find(&edit, EDIT_BLOCKWRITE, 3, 0, 0);

        edit.ops[at].words[3] = 16 + 4 * 9;
        edit.ops[at].n_words = 13;
        expect_edit_fault(edit_word(&edit, at), "a block write of 9 words");
}
END_TEST

START_TEST(test_missing_patch)
{
        const size_t patch = edit_find(&edit, EDIT_PATCH, 2, 0, 0);

        edit_remove(&edit, patch, 1);
        expect_edit_fault(edit_word(&edit, patch), "descriptor 0 of column 2 is pushed without a patch");
}
END_TEST

START_TEST(test_missing_descriptor)
{
        const size_t at = edit_find(&edit, EDIT_BLOCKWRITE, 2, 0, 0);

        edit_remove(&edit, at, 1);
        expect_edit_fault(edit_word(&edit, at), "descriptor 0 of column 2 is patched before it is written");
        edit_remove(&edit, at, 1);
        expect_edit_fault(edit_word(&edit, at), "descriptor 0 of column 2 is pushed before it is written");
}
END_TEST

START_TEST(test_patches)
{
        const size_t patch = edit_find(&edit, EDIT_PATCH, 2, 0, 0);

        expect_word_fault(patch, 8, 5, "argument 5: a run has 5 buffer objects");
        expect_word_fault(patch, 10, 2, "no multiple of 4");
        edit_insert(&edit, patch, &edit.ops[patch]);
        expect_edit_fault(edit_word(&edit, patch + 1), "patched twice");
}
END_TEST

/* ---- queues ---- */

START_TEST(test_queue_overfilled)
{
        const size_t poll = edit_find(&edit, EDIT_POLL, 1, MM2S1, 0);

        edit_remove(&edit, poll, 1);
        expect_edit_fault(edit_word(&edit, edit_find(&edit, EDIT_PUSH, 1, MM2S1, 4)),
                          "a push to MM2S1 of column 1, whose queue may hold 4 already");
}
END_TEST

/* The sixth task takes the first one's descriptor; the poll before it is what says that it has ended. */
START_TEST(test_descriptor_in_use)
{
        const size_t poll = edit_find(&edit, EDIT_POLL, 1, MM2S1, 1);

        edit_remove(&edit, poll, 1);
        ck_assert_int_eq(edit.ops[poll].kind, EDIT_BLOCKWRITE);
        expect_edit_fault(edit_word(&edit, poll), "descriptor 5 of column 1 is written while it is in use");
}
END_TEST

/* And a poll that comes after the descriptor was written is too late. */
START_TEST(test_poll_too_late)
{
        const size_t poll = edit_find(&edit, EDIT_POLL, 1, MM2S1, 1);

        edit_move(&edit, poll, 1, poll + 2);
        expect_edit_fault(edit_word(&edit, poll), "descriptor 5 of column 1 is written while it is in use");
}
END_TEST

START_TEST(test_pushed_again)
{
        const size_t push = edit_find(&edit, EDIT_PUSH, 1, MM2S0, 0);

        edit_insert(&edit, push, &edit.ops[push]);
        expect_edit_fault(edit_word(&edit, push + 1),
                          "descriptor 0 of column 1 is pushed again while it is in use");
}
END_TEST

START_TEST(test_push_bits)
{
        const size_t push = edit_find(&edit, EDIT_PUSH, 1, MM2S0, 0);

        expect_word_fault(push, 4, 0x01000000, "bits of it have no meaning here");
        expect_word_fault(push, 4, 0x10, "bits of it have no meaning here");
}
END_TEST

/* ---- tokens ---- */

START_TEST(test_wait_without_token)
{
        const size_t wait = edit_find(&edit, EDIT_WAIT, 3, S2MM0, 0);

        edit_insert(&edit, wait, &edit.ops[wait]);
        expect_edit_fault(edit_word(&edit, wait + 1), "no push before it gives one");
        edit_remove(&edit, wait, 1);
        edit_move(&edit, wait, 1, 0);
        expect_edit_fault(TXN_HEADER_WORDS, "a wait for a token of S2MM0 of column 3, and no push before it");
}
END_TEST

START_TEST(test_wait_missing)
{
        const size_t push = edit_find(&edit, EDIT_PUSH, 3, S2MM0, 0);
        const size_t wait = edit_find(&edit, EDIT_WAIT, 3, S2MM0, 0);

        edit_remove(&edit, wait, 1);
        expect_edit_fault(edit_word(&edit, push), "the token of S2MM0 of column 3 is not waited for");
        edit.ops[push].words[4] &= 0x7FFFFFFF;
        expect_edit_fault(edit_word(&edit, push), "what S2MM0 of column 3 writes is not waited for");
}
END_TEST

START_TEST(test_control_missing)
{
        const size_t control = edit_find(&edit, EDIT_MASKWRITE, 2, S2MM0, 0);

        edit_remove(&edit, control, 1);
        expect_edit_fault(edit_word(&edit, control), "S2MM0 of column 2 is to give a token, and its control");
}
END_TEST

/* The token flow has proof by tokens alone. */
START_TEST(test_token_flow)
{
        size_t wait;

        teardown();
        open_flow(STREAM64_TOKEN);
        wait = edit_find(&edit, EDIT_WAIT, 1, MM2S1, 1);
        edit_remove(&edit, wait, 1);
        expect_edit_fault(edit_word(&edit, edit_find(&edit, EDIT_PUSH, 1, MM2S1, 5)),
                          "a push to MM2S1 of column 1, whose queue may hold 4 already");
}
END_TEST

START_TEST(test_token_left)
{
        size_t wait, last = 0;

        teardown();
        open_flow(STREAM64_TOKEN);
        for (size_t i = 0; i < edit.n; i++)
                if (edit.ops[i].kind == EDIT_WAIT && edit.ops[i].column == 1 && edit.ops[i].channel == MM2S0)
                        last = i;
        wait = last;
        edit_remove(&edit, wait, 1);
        ck_assert_int_eq(check_edit(), TXN_E_FAULT);
        expect_fault(edit_word(&edit, edit_find(&edit, EDIT_PUSH, 1, MM2S0, ARRAY_SIZE(products) - 1)),
                     "the token of MM2S0 of column 1 is not waited for");
}
END_TEST

/* As long as a stream may be, and nothing but pushes and waits: every table of the checker holds it. */
START_TEST(test_longest)
{
        struct edit_op push, wait;
        size_t n = 0;

        push = edit.ops[edit_find(&edit, EDIT_PUSH, 0, S2MM0, 0)];
        wait = edit.ops[edit_find(&edit, EDIT_WAIT, 0, S2MM0, 0)];
        edit.n = edit_find(&edit, EDIT_PUSH, 0, S2MM0, 0);
        for (size_t words = edit_word(&edit, edit.n);
             words + push.n_words + wait.n_words <= STREAM64_WORDS_MAX;
             words += push.n_words + wait.n_words, n++) {
                edit_insert(&edit, edit.n, &push);
                edit_insert(&edit, edit.n, &wait);
        }
        ck_assert_msg(check_edit() == 0, "%zu: %s", fault.word, fault.text);
        ck_assert_uint_gt(n, 1600);
        ck_assert_uint_eq(check->n_transfers, n);
        ck_assert_uint_eq(check->n_steps, 2 * n);
        edit_insert(&edit, edit.n, &push);
        ck_assert_int_eq(check_edit(), TXN_E_FAULT);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("txn-check");
        TCase *tc = tcase_create("txn-check");

        tcase_add_checked_fixture(tc, setup, teardown);
        tcase_add_test(tc, test_right);
        tcase_add_test(tc, test_more_than_needed);
        tcase_add_test(tc, test_header);
        tcase_add_test(tc, test_truncated);
        tcase_add_test(tc, test_operations);
        tcase_add_test(tc, test_registers);
        tcase_add_test(tc, test_descriptor_words);
        tcase_add_test(tc, test_descriptor_size);
        tcase_add_test(tc, test_missing_patch);
        tcase_add_test(tc, test_missing_descriptor);
        tcase_add_test(tc, test_patches);
        tcase_add_test(tc, test_queue_overfilled);
        tcase_add_test(tc, test_descriptor_in_use);
        tcase_add_test(tc, test_poll_too_late);
        tcase_add_test(tc, test_pushed_again);
        tcase_add_test(tc, test_push_bits);
        tcase_add_test(tc, test_wait_without_token);
        tcase_add_test(tc, test_wait_missing);
        tcase_add_test(tc, test_control_missing);
        tcase_add_test(tc, test_token_flow);
        tcase_add_test(tc, test_token_left);
        tcase_add_test(tc, test_longest);
        suite_add_tcase(suite, tc);
        return suite_run(suite);
}
