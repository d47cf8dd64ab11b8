/* SPDX-License-Identifier: MIT */
/*
 * txn-tool-plan.c - `npumm-txn plan` and `npumm-txn generate`.
 *
 * Role:   from shapes to batches, by the code that the daemon uses, and what they would take, by the model of
 *         ../../proto/npu-model.h.
 * Never:  a measurement: the table says that it is a model's.
 */
#include "daemon/npu/stream64-generate.h"
#include "daemon/npu/tile16.h"
#include "daemon/npu/txn-tool.h"
#include "proto/npu-model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* Of one row of the table: 16 TiB of C, and a second of planning. */
#define SUBMISSIONS_MAX 65536

#define TOGETHER 4 /* clients, in the column that shows coalescing */

/* Whisper's products: 1,500 positions of 30 s of audio, and one token of the decoder. */
static const struct {
        const char *what;
        uint64_t m, k, n;
} whisper[] = {
        {"tiny: Q, K, V, O", 1500, 384, 384},      {"tiny: MLP up", 1500, 384, 1536},
        {"tiny: MLP down", 1500, 1536, 384},       {"base: Q, K, V, O", 1500, 512, 512},
        {"base: MLP up", 1500, 512, 2048},         {"base: MLP down", 1500, 2048, 512},
        {"small: Q, K, V, O", 1500, 768, 768},     {"small: MLP up", 1500, 768, 3072},
        {"small: MLP down", 1500, 3072, 768},      {"medium: Q, K, V, O", 1500, 1024, 1024},
        {"medium: MLP up", 1500, 1024, 4096},      {"medium: MLP down", 1500, 4096, 1024},
        {"large: Q, K, V, O", 1500, 1280, 1280},   {"large: MLP up", 1500, 1280, 5120},
        {"large: MLP down", 1500, 5120, 1280},     {"one head: scores", 1500, 64, 1500},
        {"one head: values", 1500, 1500, 64},      {"base: a token, Q", 1, 512, 512},
        {"base: a token, MLP up", 1, 512, 2048},   {"large: a token, Q", 1, 1280, 1280},
        {"large: a token, MLP up", 1, 1280, 5120},
};

/* What a list of products comes to. */
struct bill {
        uint64_t submissions, tasks, stream_bytes, macro_tiles, steps;
        double ns;
        const char *limit; /* of the last submission */
};

static enum txn_exit plan_fault(const struct stream64_product *product, int r)
{
        return txn_tool_fail(TXN_FAULTY, "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ": %s", product->m, product->k,
                             product->n,
                             r == STREAM64_PLAN_E_DEEP ? "K is over 131,072"
                                                       : "a resident B ends beyond 4 GiB; see --streamed");
}

static void bill_add(struct bill *bill, const struct stream64_batch *batch, enum stream64_flow flow)
{
        struct stream64_totals totals = {0};

        for (size_t i = 0; i < batch->n_jobs; i++)
                stream64_totals_add(&totals, batch->jobs[i].size);
        bill->submissions++;
        bill->tasks += stream64_tasks(&totals);
        bill->stream_bytes += stream64_stream_bytes(&totals, flow);
        bill->macro_tiles += totals.macro_tiles;
        bill->steps += totals.steps;
        bill->ns += npu_phoenix_ns(&totals);
        bill->limit = npu_phoenix_limit(&totals);
}

static enum txn_exit bill_make(const struct stream64_product *products, size_t n, enum stream64_flow flow,
                               struct bill *ret_bill)
{
        struct stream64_part parts[STREAM64_JOBS_MAX];
        struct stream64_batch batch;
        struct stream64_plan plan;
        struct bill bill = {0};
        int r;

        stream64_plan_begin(&plan, products, n, flow);
        while ((r = stream64_plan_next(&plan, &batch, parts)) == 0) {
                if (bill.submissions == SUBMISSIONS_MAX)
                        return txn_tool_fail(TXN_FAULTY,
                                             "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ": more than %d submissions",
                                             products->m, products->k, products->n, SUBMISSIONS_MAX);
                bill_add(&bill, &batch, flow);
        }
        if (r != STREAM64_PLAN_E_END)
                return plan_fault(&products[plan.product], r);
        *ret_bill = bill;
        return TXN_DONE;
}

/* ---- plan ---- */

static enum txn_exit print_row(const char *what, struct stream64_product product, enum stream64_flow flow)
{
        struct stream64_product together = product; /* rows of four who share their weights */
        struct bill one, all;
        char shape[40];
        enum txn_exit r;

        together.m *= TOGETHER;
        r = bill_make(&product, 1, flow, &one);
        if (r == TXN_DONE)
                r = bill_make(&together, 1, flow, &all);
        if (r != TXN_DONE)
                return r;
        (void)snprintf(shape, sizeof shape, "%" PRIu64 ",%" PRIu64 ",%" PRIu64, product.m, product.k,
                       product.n);
        (void)printf("%-24s %-16s %6" PRIu64 " %8" PRIu64 " %6" PRIu64 " %8" PRIu64 " %5" PRIu64
                     " %9.0f %9.0f %8.0f  %s\n",
                     what, shape, one.macro_tiles, one.steps, one.tasks, one.stream_bytes, one.submissions,
                     one.ns / 1e3, all.ns / 1e3 / TOGETHER,
                     2.0 * (double)product.m * (double)product.k * (double)product.n / one.ns, one.limit);
        return TXN_DONE;
}

enum txn_exit txn_tool_plan(struct txn_shapes *shapes)
{
        enum txn_exit r = TXN_DONE;

        if (shapes->output || shapes->tile16)
                return txn_tool_fail(TXN_USAGE, "plan: %s is for generate",
                                     shapes->output ? "--output" : "tile16");
        (void)printf("A model of an NPU (Phoenix, stream64; xclbin/README.md, section 7): nothing here was "
                     "measured.\n\n");
        (void)printf("%-24s %-16s %6s %8s %6s %8s %5s %9s %9s %8s  %s\n", "", "M,K,N", "macro", "steps",
                     "tasks", "stream", "subm.", "us", "us each", "GOP/s", "longest");
        (void)printf("%-24s %-16s %6s %8s %6s %8s %5s %9s %9s %8s\n", "", "", "tiles", "", "", "bytes", "",
                     "alone", "of 4", "alone");
        for (size_t i = 0; shapes->n == 0 && r == TXN_DONE && i < ARRAY_SIZE(whisper); i++)
                r = print_row(whisper[i].what,
                              (struct stream64_product){.m = whisper[i].m,
                                                        .k = whisper[i].k,
                                                        .n = whisper[i].n,
                                                        .b_is_resident = !shapes->sends_b},
                              shapes->flow);
        for (size_t i = 0; r == TXN_DONE && i < shapes->n; i++) {
                shapes->products[i].b_is_resident = !shapes->sends_b;
                r = print_row("", shapes->products[i], shapes->flow);
        }
        return r;
}

/* ---- generate ---- */

/* Resident B side by side, each from a multiple of 4,096 on: as they would be loaded one after the other. */
static void place_residents(struct txn_shapes *shapes)
{
        uint64_t offset = 0;

        for (size_t i = 0; i < shapes->n; i++) {
                struct stream64_product *product = &shapes->products[i];
                const struct stream64_size size = stream64_size_of(product->m, product->k, product->n);

                product->b_is_resident = !shapes->sends_b;
                product->b_offset = offset;
                offset += STREAM64_COLUMNS * size.n * size.k * STREAM64_B_OBJECT_BYTES;
        }
}

static enum txn_exit write_words(const char *path, const uint32_t *words, size_t n)
{
        FILE *file = fopen(path, "wbe");
        bool failed;

        if (!file)
                return txn_tool_fail(TXN_FILE, "%s: %s", path, strerror(errno));
        failed = false;
        for (size_t i = 0; i < n && !failed; i++) {
                uint8_t bytes[4];

                put_le(bytes, words[i], sizeof bytes);
                failed = fwrite(bytes, sizeof bytes, 1, file) != 1;
        }
        if (fclose(file) != 0 || failed)
                return txn_tool_fail(TXN_FILE, "%s: %s", path, strerror(errno));
        return TXN_DONE;
}

static enum txn_exit generate_batch(struct txn_shapes *shapes, uint32_t *words, size_t *ret_n)
{
        struct stream64_part parts[STREAM64_JOBS_MAX];
        struct stream64_batch batch, next;
        struct stream64_plan plan;
        int r;

        place_residents(shapes);
        stream64_plan_begin(&plan, shapes->products, shapes->n, shapes->flow);
        r = stream64_plan_next(&plan, &batch, parts);
        if (r != 0)
                return plan_fault(&shapes->products[plan.product], r);
        r = stream64_plan_next(&plan, &next, parts);
        if (r == STREAM64_PLAN_E_DEEP || r == STREAM64_PLAN_E_FAR)
                return plan_fault(&shapes->products[plan.product], r);
        if (r == 0)
                return txn_tool_fail(TXN_FAULTY,
                                     "these shapes need more than one batch: give fewer or smaller ones");
        r = stream64_generate(&batch, shapes->flow, words, STREAM64_WORDS_MAX, ret_n);
        assert(r == 0); /* what a plan makes can be generated */
        return TXN_DONE;
}

enum txn_exit txn_tool_generate(struct txn_shapes *shapes)
{
        _cleanup_(freep) uint32_t *words = calloc(STREAM64_WORDS_MAX, sizeof *words);
        enum txn_exit r = TXN_DONE;
        size_t n = TILE16_WORDS;

        if (!words)
                return txn_tool_fail(TXN_FILE, "%s", strerror(ENOMEM));
        if (!shapes->output)
                return txn_tool_fail(TXN_USAGE, "generate: where to? -o FILE");
        if (shapes->tile16 == (shapes->n > 0))
                return txn_tool_fail(TXN_USAGE, "generate: give shapes M,K,N, or tile16");
        if (shapes->tile16)
                tile16_generate(words);
        else
                r = generate_batch(shapes, words, &n);
        return r == TXN_DONE ? write_words(shapes->output, words, n) : r;
}
