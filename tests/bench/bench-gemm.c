/* SPDX-License-Identifier: MIT */
/*
 * bench-gemm.c - the kernels next to oneDNN, and to what the CPU can do at most.
 *
 *     bench-gemm [--json] [--smoke] [--seconds=S]
 *
 * Role:   one product in process by each kernel that this CPU runs, with B packed before and on the way; by oneDNN
 *         likewise, if it was there when this was built; and vpdpbusd with nothing else to do.
 * Places: one thread, on the last CPU.
 *
 * All take turns of a millisecond or so: the median of a turn is compared with those of the same round. Kernels that
 * are not this CPU's best take a turn only now and then. Products of microseconds are timed several at once. Times are
 * those of the thread on its CPU: what others do there in between is nobody's merit here.
 *
 * oneDNN reads its cap of instructions (ONEDNN_MAX_CPU_ISA) once a process: exactness is looked at in children.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/kernel/isa.h"
#include "tests/bench/bench.h"
#include "tests/bench/onednn.h"
#include "tests/bench/peak.h"
#include "tests/lib/oracle.h"
#include "tests/lib/process.h"
#include "tests/lib/rng.h"

#define TURN_NS 1000000u
#define SAMPLE_NS                                                                                            \
        100000u /* as many products as take so long are timed at once: asking for the time takes a while */
#define CHILD "NPUMM_BENCH_GEMM_CHILD" /* in the environment: only says how many elements oneDNN has wrong */

enum { KERNELS_MAX = 8, VARIANTS_MAX = KERNELS_MAX + 3, SELDOM = 8, ALIGNMENT = 4096 };

static const struct shape {
        uint64_t m, k, n;
        double over_onednn; /* the least that it must be; 0: nothing is asked */
} shapes[] = {
        {500, 512, 512, 0.97},    {1500, 512, 512, 0.97}, {1500, 512, 2048, 0.97}, {1500, 2048, 512, 0.97},
        {1500, 1280, 1280, 0.97}, {1, 512, 512, 1.2},     {4, 384, 384, 1.1},      {8, 512, 512, 0},
        {1, 512, 51865, 0},       {64, 64, 64, 0},        {128, 128, 128, 0},      {256, 256, 256, 0},
        {512, 512, 512, 0},       {1024, 1024, 1024, 0},  {2048, 2048, 2048, 0},
};

enum { ROWS_NEAR_PEAK = 500, PEAK_PERCENT = 90 }; /* from so many on, so much of the peak is asked */

/* ---- a product ---- */

/* Its operands, and all that computes it. */
struct subject {
        uint64_t m, k, n;
        int8_t *a, *b;   /* owned */
        int32_t *c;      /* owned */
        void *scratch;   /* owned */
        uint8_t *packed; /* owned */
        struct product product;
        struct slice slice;
        struct onednn *onednn[2]; /* owned: plain, packed */
};

static void *memory_new(size_t bytes)
{
        void *memory = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);

        if (!memory)
                die(0, "no memory");
        memset(memory, 0, bytes);
        return memory;
}

static void subject_init(struct subject *s, uint64_t m, uint64_t k, uint64_t n)
{
        struct rng rng = {.state = m + k + n}; /* whatever they hold, they take as long */

        *s = (struct subject){.m = m, .k = k, .n = n};
        s->a = memory_new(m * k);
        s->b = memory_new(k * n);
        s->c = memory_new(m * n * sizeof *s->c);
        s->scratch = memory_new(kernel_scratch_bytes());
        s->packed = memory_new(kernel_packed_bytes(k, n));
        rng_fill(&rng, s->a, m * k);
        rng_fill(&rng, s->b, k * n);
        kernel_pack(kernel_choose(NULL), s->b, n, false, k, n, s->packed);
        s->product = (struct product){
                .m = m, .k = k, .n = n, .a = s->a, .lda = k, .b = s->b, .ldb = n, .c = s->c, .ldc = n};
        s->slice = (struct slice){.product = &s->product, .rows = m};
        for (size_t i = 0; onednn_version() && i < 2; i++)
                s->onednn[i] = onednn_new(m, k, n, s->a, s->b, s->c, i == 1);
}

static void subject_deinit(struct subject *s)
{
        for (size_t i = 0; i < 2; i++)
                s->onednn[i] = onednn_free(s->onednn[i]);
        free(s->a);
        free(s->b);
        free(s->c);
        free(s->scratch);
        free(s->packed);
}

/* Elements of C that are not right: all are compared with the plain kernel's, and some of those with the oracle's. */
static size_t subject_wrong(struct subject *s)
{
        const size_t n_elements = s->m * s->n;
        const struct oracle_product oracle = {.m = s->m,
                                              .k = s->k,
                                              .n = s->n,
                                              .a = s->a,
                                              .lda = s->k,
                                              .b = s->b,
                                              .ldb = s->n,
                                              .form = ORACLE_INT32};
        int32_t *c = memory_new(n_elements * sizeof *c);
        struct kernel_plan plan;
        size_t n_wrong = 0;

        s->product.c = c;
        kernel_plan(&plan, kernel_choose("portable"), &s->slice, 1, s->packed, 1);
        kernel_run(&plan, s->scratch);
        s->product.c = s->c;
        if (!oracle_check(&oracle, 0, 1, c, s->n) || !oracle_check(&oracle, s->m - 1, 1, c, s->n))
                die(0, "a wrong product");
        for (size_t i = 0; i < n_elements; i++)
                n_wrong += c[i] != s->c[i];
        free(c);
        return n_wrong;
}

/* ---- who computes it ---- */

struct variant {
        const char *name;
        const struct kernel *kernel; /* or oneDNN */
        bool is_packed;
        bool is_seldom;
        uint64_t at_once; /* products timed at once */
        size_t n_wrong;
        double round_us; /* 0: took no turn */
        struct samples all_us, rounds_us, shares,
                ratios; /* shares of the peak; oneDNN with packed weights over it */
};

static void run(const struct variant *variant, struct subject *s)
{
        struct kernel_plan plan;

        if (!variant->kernel) {
                onednn_run(s->onednn[variant->is_packed]);
                return;
        }
        kernel_plan(&plan, variant->kernel, &s->slice, 1, variant->is_packed ? s->packed : NULL, 1);
        kernel_run(&plan, s->scratch);
}

static size_t variants_find(struct variant *ret_variants)
{
        const struct kernel *best = kernel_choose(NULL);
        size_t n = 0;

        ret_variants[n++] = (struct variant){.name = best->name, .kernel = best, .is_packed = true};
        if (onednn_version()) {
                ret_variants[n++] = (struct variant){.name = "oneDNN packed", .is_packed = true};
                ret_variants[n++] = (struct variant){.name = "oneDNN plain"};
        }
        ret_variants[n++] = (struct variant){.name = "packed on the way", .kernel = best};
        for (size_t i = 0; kernels[i]; i++)
                if (kernels[i] != best && kernel_choose(kernels[i]->name) == kernels[i] && n < VARIANTS_MAX)
                        ret_variants[n++] = (struct variant){.name = kernels[i]->name,
                                                             .kernel = kernels[i],
                                                             .is_packed = true,
                                                             .is_seldom = true};
        return n;
}

/* ---- measuring ---- */

static uint64_t busy_ns(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* The first time: is it right, and how many are timed at once? */
static void warm(struct variant *variant, struct subject *s)
{
        uint64_t start_ns, ns;

        memset(s->c, 0, s->m * s->n * sizeof *s->c);
        run(variant, s);
        variant->n_wrong = subject_wrong(s);
        start_ns = busy_ns();
        run(variant, s);
        ns = MAX(busy_ns() - start_ns, UINT64_C(1));
        variant->at_once = ns < SAMPLE_NS ? SAMPLE_NS / ns + 1 : 1;
}

static void take_turn(const struct bench *bench, struct variant *variant, struct subject *s,
                      struct samples *turn)
{
        const uint64_t end_ns = busy_ns() + (bench->smoke ? 0 : TURN_NS);

        samples_clear(turn);
        do {
                const uint64_t start_ns = busy_ns();
                double us;

                for (uint64_t i = 0; i < variant->at_once; i++)
                        run(variant, s);
                us = (double)(busy_ns() - start_ns) / 1e3 / (double)variant->at_once;
                samples_push(turn, us);
                samples_push(&variant->all_us, us);
        } while (busy_ns() < end_ns);
        variant->round_us = samples_median(turn);
        samples_push(&variant->rounds_us, variant->round_us);
}

static double gops(const struct subject *s, double us)
{
        return 2.0 * (double)s->m * (double)s->k * (double)s->n / us / 1e3;
}

static void measure(const struct bench *bench, struct subject *s, struct variant *variants, size_t n_variants,
                    struct samples *peaks)
{
        struct samples turn = {0};

        for (size_t i = 0; i < n_variants; i++)
                warm(&variants[i], s);
        for (struct rounds rounds = rounds_of(bench, 1.0 / ARRAY_SIZE(shapes)); rounds_next(&rounds);) {
                const double peak = peak_gops();

                samples_push(peaks, peak);
                for (size_t i = 0; i < n_variants; i++) {
                        struct variant *variant = &variants[(i + rounds.n) % n_variants];

                        variant->round_us = 0;
                        if (!variant->is_seldom || rounds.n % SELDOM == 1)
                                take_turn(bench, variant, s, &turn);
                }
                for (size_t i = 0; i < n_variants; i++) {
                        if (variants[i].round_us <= 0)
                                continue;
                        if (peak > 0)
                                samples_push(&variants[i].shares, 100 * gops(s, variants[i].round_us) / peak);
                        if (onednn_version())
                                samples_push(&variants[i].ratios,
                                             variants[1].round_us / variants[i].round_us);
                }
        }
        samples_free(&turn);
}

/* ---- results ---- */

static void report(struct bench *bench, const struct subject *s, const char *shape, struct variant *variant)
{
        const struct summary us = samples_summarize(&variant->rounds_us);
        json_t *row = json_pack("{s:s, s:s}", "shape", shape, "variant", variant->name);

        bench_put(row, "us_p50", &us, NULL);
        (void)json_object_set_new(row, "us_p99", json_real(samples_quantile(&variant->all_us, 0.99)));
        (void)json_object_set_new(row, "gop_per_s", json_real(gops(s, us.median)));
        if (variant->shares.n > 0)
                (void)json_object_set_new(row, "peak_percent", json_real(samples_median(&variant->shares)));
        if (variant->ratios.n > 0) {
                const struct summary ratio = samples_summarize(&variant->ratios);

                bench_put(row, "x_onednn_packed", &ratio, NULL);
        }
        (void)json_object_set_new(row, "exact", json_boolean(variant->n_wrong == 0));
        bench_row(bench, row);
}

static void judge(struct bench *bench, const struct shape *shape, const char *text, struct variant *ours)
{
        char name[128];

        if (shape->over_onednn > 0) {
                (void)snprintf(name, sizeof name, "(%s) over oneDNN with packed weights", text);
                bench_target(bench, name, ours->ratios.n > 0 ? samples_median(&ours->ratios) : (double)NAN,
                             ">=", shape->over_onednn);
        }
        if (shape->m >= ROWS_NEAR_PEAK) {
                (void)snprintf(name, sizeof name, "(%s) in percent of the peak", text);
                bench_target(bench, name, ours->shares.n > 0 ? samples_median(&ours->shares) : (double)NAN,
                             ">=", PEAK_PERCENT);
        }
}

static void shape_bench(struct bench *bench, const struct shape *shape, struct samples *peaks)
{
        struct variant variants[VARIANTS_MAX];
        const size_t n_variants = variants_find(variants);
        struct subject s;
        char text[64];

        (void)snprintf(text, sizeof text, "%lu,%lu,%lu", shape->m, shape->k, shape->n);
        subject_init(&s, shape->m, shape->k, shape->n);
        measure(bench, &s, variants, n_variants, peaks);
        for (size_t i = 0; i < n_variants; i++) {
                report(bench, &s, text, &variants[i]);
                if (variants[i].kernel && variants[i].n_wrong > 0)
                        die(0, "%s by %s: %zu elements are wrong", text, variants[i].name,
                            variants[i].n_wrong);
        }
        judge(bench, shape, text, &variants[0]);
        for (size_t i = 0; i < n_variants; i++) {
                samples_free(&variants[i].all_us);
                samples_free(&variants[i].rounds_us);
                samples_free(&variants[i].shares);
                samples_free(&variants[i].ratios);
        }
        subject_deinit(&s);
}

/* ---- exactness below this CPU's best ---- */

/* A child's part: as whatever its environment says. */
static int child(void)
{
        struct subject s;

        subject_init(&s, shapes[0].m, shapes[0].k, shapes[0].n);
        onednn_run(s.onednn[1]);
        (void)printf("%zu\n", subject_wrong(&s));
        subject_deinit(&s);
        return 0;
}

static void exactness_row(struct bench *bench, const char *library, const char *cap, const char *used,
                          size_t n_wrong)
{
        bench_row(bench,
                  json_pack("{s:s, s:s, s:s, s:I, s:I}", "library", library, "cap", cap, "used", used,
                            "wrong", (json_int_t)n_wrong, "of", (json_int_t)(shapes[0].m * shapes[0].n)));
}

/* Returns the least that is wrong where it has no VNNI. */
static size_t onednn_exactness(struct bench *bench)
{
        static const char *const caps[] = {"SSE41", "AVX2", "AVX512_CORE", "AVX512_CORE_VNNI", "ALL"};
        enum { WITHOUT_VNNI = 3 }; /* of these */
        char path[512], command[1024];
        const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        size_t least = SIZE_MAX;

        if (length < 0)
                die(0, "/proc/self/exe");
        path[length] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
                size_t n_wrong;
                FILE *out;

                (void)snprintf(command, sizeof command, CHILD "=1 ONEDNN_MAX_CPU_ISA=%s '%s'", caps[i], path);
                out = popen(command, "r");
                if (!out || fscanf(out, "%zu", &n_wrong) != 1 || pclose(out) != 0)
                        die(0, "oneDNN as %s", caps[i]);
                exactness_row(bench, "oneDNN", caps[i], "what it finds", n_wrong);
                if (i < WITHOUT_VNNI)
                        least = MIN(least, n_wrong);
        }
        return least;
}

/* Returns how many are wrong, of all. */
static size_t our_exactness(struct bench *bench)
{
        struct subject s;
        size_t all = 0;

        subject_init(&s, shapes[0].m, shapes[0].k, shapes[0].n);
        for (size_t i = 0; kernels[i]; i++) {
                const struct kernel *kernel = kernel_choose(kernels[i]->name);
                const struct variant variant = {.kernel = kernel, .is_packed = true};

                size_t n_wrong;

                memset(s.c, 0, s.m * s.n * sizeof *s.c);
                run(&variant, &s);
                n_wrong = subject_wrong(&s);
                all += n_wrong;
                exactness_row(bench, "ours", kernels[i]->name, kernel->name, n_wrong);
        }
        subject_deinit(&s);
        return all;
}

static void exactness(struct bench *bench)
{
        bench_target(bench, "elements that ours has wrong, at all caps", (double)our_exactness(bench),
                     "<=", 0);
        bench_target(bench, "elements that oneDNN has wrong, at any cap below VNNI",
                     onednn_version() ? (double)onednn_exactness(bench) : (double)NAN, ">=", 1);
}

int main(int argc, char **argv)
{
        struct samples peaks = {0};
        struct bench bench;

        if (getenv(CHILD))
                return child();
        bench_init(&bench, "gemm", "the product in process, one thread: our kernels and oneDNN", 60, argc,
                   argv);
        cpu_pin((int)cpu_count() - 1);
        bench_note(
                &bench,
                "Placement: one thread, on the last CPU. Times are the thread's CPU time; us_p99 is that of "
                "samples, in which products of less than 100 us are timed several at once.");
        bench_note(&bench, "ours is the kernel %s (%s); the peer is %s", kernel_choose(NULL)->name,
                   kernel_choose(NULL)->description, onednn_version() ? onednn_version() : "not built");
        for (size_t i = 0; i < (bench.smoke ? 1 : ARRAY_SIZE(shapes)); i++)
                shape_bench(&bench, &shapes[i], &peaks);
        exactness(&bench);
        bench_note(&bench, "vpdpbusd with nothing else to do: %.0f GOP/s, median", samples_median(&peaks));
        bench_note(
                &bench,
                "x_onednn_packed: how many times as fast as oneDNN with packed weights, in the same round");
        samples_free(&peaks);
        return bench_finish(&bench);
}
