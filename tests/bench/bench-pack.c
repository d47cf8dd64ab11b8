/* SPDX-License-Identifier: MIT */
/*
 * bench-pack.c - how fast matrices are packed and unpacked for the NPU, next to memcpy.
 *
 *     bench-pack [--json] [--smoke] [--seconds=S]
 *
 * Role:   both turn and turn about on the same buffers, so that whatever else the machine does hits both: memcpy of the
 *         matrix between its own place and the slot, then the packer, or the other way round.
 * Places: unpinned; nothing but memory has a part in it.
 *
 * For each packer the median over rounds of GB/s, bytes read plus bytes written, and of the ratio to memcpy's in the
 * same round (1: as fast).
 */
#include "daemon/npu/pack.h"
#include "tests/bench/bench.h"
#include "tests/lib/process.h"
#include "tests/lib/rng.h"

enum { WARM_ROUNDS = 50, M = 1500, K = 512, N = 512, PAGE = 4096 };

static struct product product = {.m = M, .k = K, .n = N, .lda = K, .ldb = N, .ldc = N, .form = OUTPUT_INT32};
static const struct pack_part part = {.product = &product, .rows = M, .cols = N};
static struct stream64_batch batch = {.n_jobs = 1};
static uint8_t *a_slot, *b_slot, *c_slot;
static struct pack_count count;

static void run_a(void)
{
        pack_a_frame(a_slot, &batch.jobs[0], M);
        pack_a(a_slot, &batch.jobs[0], &part, &count);
}

static void run_b(void)
{
        pack_b(b_slot, &batch.jobs[0].b, &part, &count);
}

static void run_c(void)
{
        unpack_c(c_slot, &batch, 0, &part, &count);
}

struct subject {
        const char *name;
        void (*run)(void);
        void *to;         /* memcpy's, */
        const void *from; /* likewise */
        size_t bytes;     /* of the matrix */
        size_t written;   /* by the packer */
};

static double run_ns(const struct subject *subject, bool by_memcpy)
{
        const uint64_t start_ns = now_ns();

        if (by_memcpy) {
                memcpy(subject->to, subject->from, subject->bytes);
                __asm__ volatile("" ::: "memory"); /* nobody reads it: it is copied all the same */
        } else {
                subject->run();
        }
        return (double)(now_ns() - start_ns);
}

static void measure(struct bench *bench, const struct subject *subject, double share)
{
        struct samples packer = {0}, copy = {0}, ratio = {0};
        struct summary packer_summary, ratio_summary;
        json_t *row = json_pack("{s:s}", "matrix", subject->name);

        for (size_t i = 0; i < (bench->smoke ? 1 : WARM_ROUNDS); i++)
                subject->run();
        for (struct rounds rounds = rounds_of(bench, share); rounds_next(&rounds);) {
                double ns[2], speed[2];

                for (size_t turn = 0; turn < 2; turn++) {
                        const bool by_memcpy = (turn + rounds.n) % 2 == 0;

                        ns[by_memcpy] = run_ns(subject, by_memcpy);
                }
                speed[false] = (double)(subject->bytes + subject->written) / ns[false];
                speed[true] = (double)(2 * subject->bytes) / ns[true];
                samples_push(&packer, speed[false]);
                samples_push(&copy, speed[true]);
                samples_push(&ratio, speed[false] / speed[true]);
        }
        packer_summary = samples_summarize(&packer);
        ratio_summary = samples_summarize(&ratio);
        bench_put(row, "gb_per_s", &packer_summary, NULL);
        (void)json_object_set_new(row, "memcpy_gb_per_s", json_real(samples_median(&copy)));
        bench_put(row, "x_memcpy", &ratio_summary, NULL);
        bench_row(bench, row);
        samples_free(&packer);
        samples_free(&copy);
        samples_free(&ratio);
}

/* Whole pages, warm, and with something in them. */
static void *buffer_new(struct rng *rng, size_t bytes)
{
        void *buffer = aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE);

        if (!buffer)
                abort();
        rng_fill(rng, buffer, bytes);
        return buffer;
}

int main(int argc, char **argv)
{
        struct bench bench;
        const struct stream64_size size = stream64_size_of(M, K, N);
        struct stream64_job *job = &batch.jobs[0];
        struct rng rng = {.state = 1}; /* whatever they hold, they take as long */
        int8_t *a, *b;

        bench_init(&bench, "pack", "How fast matrices are packed for the NPU, next to memcpy", 5, argc, argv);
        bench_note(&bench, "Placement: unpinned, one thread. GB/s: bytes read plus bytes written.");
        job->size = size;
        job->a.lane_stride = size.m * size.k * STREAM64_A_OBJECT_BYTES;
        job->b.lane_stride = size.n * size.k * STREAM64_B_OBJECT_BYTES;
        batch.c.lane_stride = size.m * size.n * STREAM64_C_OBJECT_BYTES;
        product.a = a = buffer_new(&rng, M * K);
        product.b = b = buffer_new(&rng, K * N);
        product.c = buffer_new(&rng, M * N * sizeof(int32_t));
        a_slot = buffer_new(&rng, STREAM64_COLUMNS * job->a.lane_stride);
        b_slot = buffer_new(&rng, STREAM64_COLUMNS * job->b.lane_stride);
        c_slot = buffer_new(&rng, STREAM64_COLUMNS * batch.c.lane_stride);
        const struct subject subjects[] = {
                {"a_1500x512", run_a, a_slot, a, M * K, STREAM64_COLUMNS * job->a.lane_stride},
                {"c_1500x512_int32", run_c, product.c, c_slot, M * N * sizeof(int32_t),
                 M * N * sizeof(int32_t)},
                {"b_512x512", run_b, b_slot, b, K * N, K * N},
                {"b_512x512_transposed", run_b, b_slot, b, K * N, K * N},
        };

        for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
                product.b_transposed = i == ARRAY_SIZE(subjects) - 1;
                product.ldb = product.b_transposed ? K : N;
                measure(&bench, &subjects[i], 1.0 / ARRAY_SIZE(subjects));
        }
        free(a);
        free(b);
        free(product.c);
        free(a_slot);
        free(b_slot);
        free(c_slot);
        return bench_finish(&bench);
}
