/* SPDX-License-Identifier: MIT */
/*
 * test-edits.c - the verifier against the model of the array: right streams, each with a few operations moved, removed,
 * doubled or changed at random. What the verifier lets pass must compute the batch, in the model, under every schedule,
 * and leave nothing behind. (What it refuses may be harmless: it demands proof.)
 *
 * test-edits [N]: so many edited streams (default: a fixed 20,000).
 */
#include "daemon/npu/stream64-generate.h"
#include "tests/npu/edit.h"
#include "tests/npu/scene.h"
#include "tests/npu/stage.h"

#include <inttypes.h>
#include <stdio.h>

#define EDITED  (NPUMM_TEST_SLOW ? 2000 : 20000)
#define ROUND   200 /* edits of the same batch */
#define JOBS    4
#define WEIGHTS (UINT64_C(16) << 20)

struct tally {
        uint64_t n_edited, n_passed, n_refused;
};

/* ---- a batch with tags ---- */

static void fill_operands(const struct stage *stage, struct rng *rng, const struct scene *scene)
{
        scene_write_headers(&scene->batch, stage->bytes[STREAM64_ARG_A]);
        for (size_t i = 0; i < scene->batch.n_jobs; i++) {
                const struct stream64_job *job = &scene->batch.jobs[i];

                for (uint64_t lane = 0; lane < 4; lane++)
                        for (uint64_t k = 0; k < job->size.k; k++) {
                                for (uint64_t m = 0; m < job->size.m; m++)
                                        put_le(stage_a(stage, job, lane, m, k) + 64, rng_next(rng), 8);
                                for (uint64_t n = 0; n < job->size.n; n++)
                                        put_le(stage_b(stage, job, lane, n, k), rng_next(rng), 8);
                        }
        }
}

static bool tile_is_right(const struct stage *stage, const struct stream64_batch *batch, size_t index,
                          uint64_t m, uint64_t n, uint64_t i, uint64_t j)
{
        const struct stream64_job *job = &batch->jobs[index];
        uint64_t due = 0;

        for (uint64_t k = 0; k < job->size.k; k++)
                due = stage_mix(due, get_le(stage_a(stage, job, i, m, k) + 64, 8),
                                get_le(stage_b(stage, job, j, n, k), 8));
        return get_le(stage_c(stage, batch, index, j, i, m, n), 8) == due;
}

static bool c_is_right(const struct stage *stage, const struct stream64_batch *batch)
{
        for (size_t index = 0; index < batch->n_jobs; index++)
                for (uint64_t n = 0; n < batch->jobs[index].size.n; n++)
                        for (uint64_t m = 0; m < batch->jobs[index].size.m; m++)
                                for (uint64_t core = 0; core < 16; core++)
                                        if (!tile_is_right(stage, batch, index, m, n, core / 4, core % 4))
                                                return false;
        return true;
}

/* ---- edits ---- */

/* Bits that decide something, of a word that does. */
static void change_word(struct rng *rng, struct edit_op *op)
{
        static const uint32_t changes[] = {1,       2,       4,        0x20,     0x40, 0x80,
                                           0x10000, 0x20000, 1u << 25, 1u << 31, 4096, 4160};
        uint32_t *word = &op->words[rng_below(rng, op->n_words)];
        const uint32_t change = changes[rng_below(rng, ARRAY_SIZE(changes))];

        switch (rng_below(rng, 3)) {
        case 0:
                *word ^= change;
                break;
        case 1:
                *word += change;
                break;
        default:
                *word -= change;
                break;
        }
}

/* A whole task stays whole: what moves then is its place among the others. */
static void move_task(struct rng *rng, struct edit *edit)
{
        size_t push = rng_below(rng, edit->n), n, first, to;

        while (push < edit->n && edit->ops[push].kind != EDIT_PUSH)
                push++;
        if (push == edit->n)
                return;
        first = edit_task(edit, push, &n);
        to = rng_below(rng, edit->n + 1);
        if (to > first && to < first + n)
                to = first;
        edit_move(edit, first, n, to);
}

static void edit_once(struct rng *rng, struct edit *edit)
{
        const size_t at = rng_below(rng, edit->n);

        switch (rng_below(rng, 6)) {
        case 0:
                edit_remove(edit, at, 1);
                break;
        case 1:
                edit_move(edit, at, 1,
                          rng_once_in(rng, 2) ? rng_below(rng, edit->n + 1)
                          : at > 0            ? at - 1
                                              : at);
                break;
        case 2:
                edit_insert(edit, rng_below(rng, edit->n + 1), &edit->ops[at]);
                break;
        case 3:
                change_word(rng, &edit->ops[at]);
                break;
        default:
                move_task(rng, edit);
                break;
        }
}

/* ---- judging ---- */

static void run_passed(struct stage *stage, struct rng *rng, const struct scene *scene, const uint32_t *words,
                       size_t n_words)
{
        struct array_buffer buffers[ARRAY_ARGUMENTS] = {0};
        static struct array_result result;

        for (unsigned i = 0; i < STREAM64_ARG_MAX; i++)
                buffers[i] = (struct array_buffer){stage->bytes[i], scene->buffers.size_bytes[i]};
        for (unsigned schedule = 0; schedule <= ARRAY_RANDOM; schedule++) {
                memset(stage->bytes[STREAM64_ARG_C], 0xA5, scene->buffers.size_bytes[STREAM64_ARG_C]);
                array_set_schedule(stage->array, (enum array_schedule)schedule, rng_next(rng));
                (void)array_run(stage->array, words, n_words, buffers, &result);
                stage_expect(result.outcome == ARRAY_COMPLETED, "passed, but at word %zu: %s", result.word,
                             result.text);
                stage_expect(result.is_clean, "passed, but something is left in the array");
                stage_expect(c_is_right(stage, &scene->batch), "passed, but C is wrong");
        }
}

/* The right stream, and edits of it. */
static void run_scene(struct stage *stage, struct rng *rng, const struct scene *scene, struct tally *tally)
{
        static uint32_t words[2 * STREAM64_WORDS_MAX];
        struct stream64_buffers bound = scene->buffers;
        static struct edit edit;
        struct txn_fault fault;

        bound.a = stage->bytes[STREAM64_ARG_A];
        fill_operands(stage, rng, scene);
        run_passed(stage, rng, scene, scene->words, scene->n_words);
        for (int round = 0; round < ROUND; round++) {
                size_t n_words;

                edit_read(&edit, scene->words, scene->n_words);
                for (uint64_t n = rng_between(rng, 1, 3); n > 0; n--)
                        edit_once(rng, &edit);
                n_words = edit_write(&edit, words);
                tally->n_edited++;
                if (stream64_verify(stage->check, words, n_words, &bound, &scene->batch, &fault) != 0) {
                        tally->n_refused++;
                        continue;
                }
                tally->n_passed++;
                run_passed(stage, rng, scene, words, n_words);
        }
}

int main(int argc, char **argv)
{
        const uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : EDITED;
        struct rng rng = {.state = 1};
        struct tally tally = {0};
        struct stage stage;

        if (argc > 1 || getenv("NPUMM_TEST_SEED"))
                rng_start(&rng, "test-edits");
        else
                (void)printf("test-edits: the fixed set, seed 1\n");
        stage_open(&stage, ARRAY_TAGS, WEIGHTS);
        while (tally.n_edited < n) {
                struct stream64_product products[JOBS];
                const size_t n_products = rng_between(&rng, 1, JOBS);
                struct scene *scene;

                for (size_t i = 0; i < n_products; i++)
                        products[i] = (struct stream64_product){.m = rng_between(&rng, 1, 800),
                                                                .k = rng_between(&rng, 1, 400),
                                                                .n = rng_between(&rng, 1, 800),
                                                                .b_is_resident = rng_once_in(&rng, 2)};
                scene = scene_new((enum stream64_flow)rng_below(&rng, STREAM64_FLOW_MAX), products,
                                  n_products);
                run_scene(&stage, &rng, scene, &tally);
                scene = scene_free(scene);
        }
        (void)printf("%" PRIu64 " edited streams: %" PRIu64 " refused, %" PRIu64
                     " passed, and the model computed all of those under three schedules\n",
                     tally.n_edited, tally.n_refused, tally.n_passed);
        stage_close(&stage);
        return tally.n_passed > n / 100 && tally.n_refused > n / 2 ? 0 : 1;
}
