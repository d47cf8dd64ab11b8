/* SPDX-License-Identifier: MIT */
/*
 * fuzz-txn.c - any bytes as an instruction stream, for what reads streams: the rules, the verifier, the dump.
 *
 * Each input is taken as it is, and once more with a header that fits, so that what is wrong behind it is reached. The
 * verifier judges it as a stream of each of the batches whose streams are the corpus (CMakeLists.txt makes them).
 */
#include "daemon/npu/txn-dump.h"
#include "tests/npu/scene.h"

#include <inttypes.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int fuzz_summary(uint64_t n_runs);

#define WORDS_MAX 4096

/* The corpus: CMakeLists.txt has the same shapes. */
static const struct {
        enum stream64_flow flow;
        struct stream64_product product;
} known[] = {
        {STREAM64_POLL, {500, 512, 512, true, 0}},
        {STREAM64_POLL, {257, 64, 1025, true, 0}},
        {STREAM64_TOKEN, {257, 64, 1025, true, 0}},
        {STREAM64_POLL, {10, 200, 300, false, 0}},
};

static struct scene *scenes[ARRAY_SIZE(known)];
static struct txn_check *check;
static FILE *nowhere;
static uint64_t n_checked, n_verified; /* streams that passed */

static ssize_t swallow(void *cookie, const char *bytes, size_t n)
{
        (void)cookie;
        (void)bytes;
        return (ssize_t)n;
}

static void set_up(void)
{
        check = malloc(sizeof *check);
        nowhere = fopencookie(NULL, "w", (cookie_io_functions_t){.write = swallow});
        assert(check && nowhere);
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                scenes[i] = scene_new(known[i].flow, &known[i].product, 1);
}

/* Every text is one line of words: no junk of the stream's gets into it. */
static void expect_text(const struct txn_fault *fault, size_t n_words)
{
        assert(fault->word <= n_words && fault->text[0] != '\0');
        for (const char *c = fault->text; *c; c++)
                assert(*c >= ' ' && *c <= '~');
}

static void judge(const uint32_t *words, size_t n_words)
{
        struct txn_fault fault = {.word = SIZE_MAX};

        if (txn_check(check, words, n_words, &fault) != 0) {
                expect_text(&fault, n_words);
                return;
        }
        n_checked++;
        for (size_t i = 0; i < ARRAY_SIZE(scenes); i++) {
                if (stream64_verify(check, words, n_words, &scenes[i]->buffers, &scenes[i]->batch, &fault) !=
                    0)
                        expect_text(&fault, n_words);
                else
                        n_verified++;
        }
}

/* The header that these operations have, as far as they can be read. */
static void mend_header(uint32_t *words, size_t n_words)
{
        struct txn_reader reader = {.words = words, .n_words = n_words, .position = TXN_HEADER_WORDS};
        struct txn_fault fault;
        struct txn_op op;
        uint32_t n = 0;

        while (txn_read(&reader, &op, &fault) == 0)
                n++;
        words[0] = TXN_VERSION;
        words[1] = TXN_TILES;
        words[2] = n;
        words[3] = (uint32_t)(4 * n_words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const size_t n_words = MIN(size / 4, WORDS_MAX);
        uint32_t *words = malloc(4 * n_words + 1); /* of that size: whoever reads beyond it is seen */

        if (!check)
                set_up();
        assert(words);
        for (size_t i = 0; i < n_words; i++)
                words[i] = (uint32_t)get_le(data + 4 * i, 4);
        (void)txn_dump(nowhere, words, n_words);
        judge(words, n_words);
        if (n_words >= TXN_HEADER_WORDS) {
                mend_header(words, n_words);
                judge(words, n_words);
        }
        free(words);
        return 0;
}

int fuzz_summary(uint64_t n_runs)
{
        (void)printf("%" PRIu64 " kept the rules of streams, %" PRIu64 " were a batch's\n", n_checked,
                     n_verified);
        return n_checked > n_runs / 1000 && n_verified > 0 ? 0 : 1;
}
