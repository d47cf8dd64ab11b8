/* SPDX-License-Identifier: MIT */
/* stage.c - see stage.h. */
#include "tests/npu/stage.h"
#include "daemon/npu/stream64-generate.h"
#include "xclbin/src/stream64.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

/* Numbers of xclbin/README.md, sections 3 and 4. */
enum { LANES = 4, A_OBJECT = 4160, B_OBJECT = 4096, C_TILE = 16384, C_OBJECT = 65536, SLOT = 64 << 20 };

void stage_fail(const char *format, ...)
{
        va_list args;

        (void)fflush(stdout);
        va_start(args, format);
        (void)vfprintf(stderr, format, args);
        va_end(args);
        (void)fputc('\n', stderr);
        exit(1);
}

/* Memory that costs nothing until it is used. */
static uint8_t *reserve(uint64_t bytes)
{
        void *at =
                mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        stage_expect(at != MAP_FAILED, "no memory for %" PRIu64 " bytes", bytes);
        return at;
}

void stage_open(struct stage *stage, enum array_mode mode, uint64_t weights_bytes)
{
        const struct array_options options = {
                .program = ARRAY_STREAM64, .mode = mode, .zero = stream64_zero, .step = stream64_step};

        *stage = (struct stage){
                .array = array_new(&options),
                .check = calloc(1, sizeof *stage->check),
                .size_bytes = {SLOT, weights_bytes, SLOT, SLOT},
        };
        stage_expect(stage->array && stage->check, "no memory");
        for (unsigned i = 0; i < STREAM64_ARG_MAX; i++)
                stage->bytes[i] = reserve(stage->size_bytes[i]);
}

void stage_close(struct stage *stage)
{
        for (unsigned i = 0; i < STREAM64_ARG_MAX; i++)
                (void)munmap(stage->bytes[i], stage->size_bytes[i]);
        array_free(stage->array);
        free(stage->check);
}

uint64_t stage_mix(uint64_t h, uint64_t a, uint64_t b)
{
        h = ((h + UINT64_C(0x9e3779b97f4a7c15)) ^ a) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
        h = (h ^ b) * UINT64_C(0xc4ceb9fe1a85ec53);
        return h ^ h >> 29;
}

/* ---- places ---- */

uint8_t *stage_a(const struct stage *stage, const struct stream64_job *job, uint64_t lane, uint64_t m,
                 uint64_t k)
{
        return stage->bytes[job->a.arg] + job->a.offset + lane * job->a.lane_stride +
               (m * job->size.k + k) * A_OBJECT;
}

uint8_t *stage_b(const struct stage *stage, const struct stream64_job *job, uint64_t lane, uint64_t n,
                 uint64_t k)
{
        return stage->bytes[job->b.arg] + job->b.offset + lane * job->b.lane_stride +
               (n * job->size.k + k) * B_OBJECT;
}

uint8_t *stage_c(const struct stage *stage, const struct stream64_batch *batch, size_t job, uint64_t lane,
                 uint64_t core_row, uint64_t m, uint64_t n)
{
        uint64_t first = 0;

        for (size_t i = 0; i < job; i++)
                first += batch->jobs[i].size.m * batch->jobs[i].size.n;
        return stage->bytes[batch->c.arg] + batch->c.offset + lane * batch->c.lane_stride +
               (first + n * batch->jobs[job].size.m + m) * C_OBJECT + core_row * C_TILE;
}

/* ---- what the contract counts ---- */

struct count {
        uint64_t steps, macro_tiles, a_tasks, b_tasks; /* tasks of a lane */
};

static struct count count_of(const struct stream64_batch *batch)
{
        struct count count = {0};

        for (size_t i = 0; i < batch->n_jobs; i++) {
                const struct stream64_size size = batch->jobs[i].size;

                count.steps += size.m * size.n * size.k;
                count.macro_tiles += size.m * size.n;
                count.a_tasks += 1;
                count.b_tasks += size.m == 1 ? 1 : size.n;
        }
        return count;
}

static uint64_t lane_bytes(uint64_t tasks, enum stream64_flow flow)
{
        const uint64_t later = tasks > 4 ? tasks - 4 : 0;

        if (flow == STREAM64_POLL)
                return 120 * tasks + 28 * later;
        return 28 + 120 * tasks + 16 * later + 16 * (tasks - later);
}

static void expect_counts(const struct count *count, const struct array_stats *stats, size_t n_words,
                          enum stream64_flow flow)
{
        const uint64_t bytes =
                16 + LANES * (148 + lane_bytes(count->a_tasks, flow) + lane_bytes(count->b_tasks, flow) + 16);

        stage_expect(4 * n_words == bytes, "a stream of %zu bytes, where the contract has %" PRIu64,
                     4 * n_words, bytes);
        stage_expect(stats->steps == 16 * count->steps, "%" PRIu64 " steps of cores, not %" PRIu64,
                     stats->steps, 16 * count->steps);
        stage_expect(stats->c_tiles == 16 * count->macro_tiles && stats->pushes_dropped == 0,
                     "%" PRIu64 " tiles of C, %" PRIu64 " pushes dropped", stats->c_tiles,
                     stats->pushes_dropped);
        for (unsigned i = 0; i < LANES; i++) {
                stage_expect(stats->tasks[i][ARRAY_S2MM0] == 1 &&
                                     stats->tasks[i][ARRAY_MM2S0] == count->a_tasks &&
                                     stats->tasks[i][ARRAY_MM2S1] == count->b_tasks &&
                                     stats->tasks[i][ARRAY_S2MM1] == 0,
                             "tasks of column %u", i);
                stage_expect(stats->bytes[i][ARRAY_S2MM0] == count->macro_tiles * C_OBJECT &&
                                     stats->bytes[i][ARRAY_MM2S0] == count->steps * A_OBJECT &&
                                     stats->bytes[i][ARRAY_MM2S1] == count->steps * B_OBJECT,
                             "bytes of column %u", i);
        }
}

/* ---- running ---- */

void stage_run(struct stage *stage, struct rng *rng, const struct stream64_batch *batch,
               enum stream64_flow flow)
{
        static uint32_t words[STREAM64_WORDS_MAX];
        struct stream64_buffers bound = {.a = stage->bytes[STREAM64_ARG_A]};
        struct array_buffer buffers[ARRAY_ARGUMENTS] = {0};
        const struct count count = count_of(batch);
        static struct array_result result;
        struct txn_fault fault;
        size_t n_words = 0;

        for (unsigned i = 0; i < STREAM64_ARG_MAX; i++) {
                bound.size_bytes[i] = stage->size_bytes[i];
                buffers[i] = (struct array_buffer){stage->bytes[i], stage->size_bytes[i]};
        }
        stage_expect(stream64_generate(batch, flow, words, STREAM64_WORDS_MAX, &n_words) == 0, "no stream");
        stage_expect(stream64_verify(stage->check, words, n_words, &bound, batch, &fault) == 0,
                     "the verifier: word %zu: %s", fault.word, fault.text);
        array_set_schedule(stage->array, (enum array_schedule)rng_below(rng, ARRAY_RANDOM + 1),
                           rng_next(rng));
        (void)array_run(stage->array, words, n_words, buffers, &result);
        stage_expect(result.outcome == ARRAY_COMPLETED, "the model, at word %zu: %s", result.word,
                     result.text);
        stage_expect(result.is_clean, "something is left in the array");
        expect_counts(&count, &result.stats, n_words, flow);
        stage->n_streams++;
        stage->n_steps += count.steps;
        stage->n_tasks += LANES * (1 + count.a_tasks + count.b_tasks);
        stage->stream_bytes += 4 * n_words;
}
