/* SPDX-License-Identifier: MIT */
/*
 * test-kernels.c - every kernel that this CPU runs, against the oracle: stacks of products with guard pages before and
 * behind each operand, packed and not, in tiles in any order.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <sys/mman.h>

#include "daemon/kernel/isa.h"
#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define PAGE         4096
#define PRODUCTS_MAX 5
#define SLICES_MAX   (2 * PRODUCTS_MAX)
#define KERNELS_MAX  8
#define PATTERN      0x5a

static struct rng rng;
static const struct kernel *tested[KERNELS_MAX];
static size_t n_tested;
static void *scratch;

/* ---- operands between guard pages ---- */

/* A piece of memory that ends, or begins, where nothing may be touched. */
struct guarded {
        char *map;
        size_t map_bytes;
        void *bytes;
        size_t n_bytes;
};

/* Elements of `align` bytes; where the end is guarded they may stand at any multiple of it. */
static struct guarded guarded_new(size_t n_bytes, bool is_end_guarded)
{
        const size_t inner = (n_bytes + PAGE - 1) / PAGE * PAGE;
        struct guarded g = {.map_bytes = inner + 2 * PAGE, .n_bytes = n_bytes};

        g.map = mmap(NULL, g.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(g.map, MAP_FAILED);
        ck_assert_int_eq(mprotect(g.map + PAGE, inner, PROT_READ | PROT_WRITE), 0);
        g.bytes = g.map + PAGE + (is_end_guarded ? inner - n_bytes : 0);
        return g;
}

static void guarded_free(struct guarded *g)
{
        if (g->map)
                ck_assert_int_eq(munmap(g->map, g->map_bytes), 0);
        *g = (struct guarded){0};
}

static bool flip(void)
{
        return rng_once_in(&rng, 2);
}

/* ---- a stack of products, and what it must become ---- */

struct scene {
        size_t n_products, k, n;
        struct product products[PRODUCTS_MAX];
        struct oracle_product oracles[PRODUCTS_MAX];
        struct guarded a[PRODUCTS_MAX], c[PRODUCTS_MAX], row_scale[PRODUCTS_MAX];
        struct guarded col_scale[PRODUCTS_MAX], bias[PRODUCTS_MAX];
        void *expected[PRODUCTS_MAX];
        struct guarded b;
        size_t n_slices;
        struct slice slices[SLICES_MAX];
};

static void scene_free(struct scene *s)
{
        for (size_t i = 0; i < s->n_products; i++) {
                guarded_free(&s->a[i]);
                guarded_free(&s->c[i]);
                guarded_free(&s->row_scale[i]);
                guarded_free(&s->col_scale[i]);
                guarded_free(&s->bias[i]);
                free(s->expected[i]);
        }
        guarded_free(&s->b);
}

static struct guarded floats_new(size_t n)
{
        struct guarded g = guarded_new(n * sizeof(float), flip());

        rng_floats(&rng, g.bytes, n);
        return g;
}

/* Leading dimensions are the least, a little more, or one that puts rows into the same lines of a cache. */
static size_t leading(size_t least)
{
        return flip() ? least : flip() ? least + rng_below(&rng, 70) : (least + 4095) / 4096 * 4096;
}

static void scene_b(struct scene *s, size_t k, size_t n, bool transposed)
{
        const size_t ldb = leading(transposed ? k : n);

        *s = (struct scene){.k = k, .n = n};
        s->b = guarded_new(transposed ? (n - 1) * ldb + k : (k - 1) * ldb + n, flip());
        rng_fill(&rng, s->b.bytes, s->b.n_bytes);
        for (size_t i = 0; i < PRODUCTS_MAX; i++)
                s->products[i] = (struct product){
                        .k = k, .n = n, .b = s->b.bytes, .ldb = ldb, .b_transposed = transposed};
}

/* All but its rows of C. */
static struct product *scene_product(struct scene *s, size_t m, enum output_form form)
{
        const size_t i = s->n_products++;
        struct product *p = &s->products[i];

        p->m = m;
        p->lda = leading(s->k);
        p->ldc = leading(s->n);
        p->form = form;
        s->a[i] = guarded_new((m - 1) * p->lda + s->k, flip());
        rng_fill(&rng, s->a[i].bytes, s->a[i].n_bytes);
        p->a = s->a[i].bytes;
        s->c[i] = guarded_new(((m - 1) * p->ldc + s->n) * oracle_elem_bytes((enum oracle_form)form), flip());
        p->c = s->c[i].bytes;
        p->shift = (uint32_t)rng_below(&rng, 32);
        p->rounding = flip() ? ROUNDING_NEAREST_EVEN : ROUNDING_FLOOR;
        if (form == OUTPUT_FLOAT32) {
                if (flip())
                        p->row_scale = (s->row_scale[i] = floats_new(m)).bytes;
                if (flip())
                        p->col_scale = (s->col_scale[i] = floats_new(s->n)).bytes;
                if (flip())
                        p->bias = (s->bias[i] = floats_new(s->n)).bytes;
        }
        return p;
}

static void scene_slice(struct scene *s, size_t i, size_t first, size_t rows)
{
        if (rows > 0)
                s->slices[s->n_slices++] =
                        (struct slice){.product = &s->products[i], .first_row = first, .rows = rows};
}

/* Whether NaNs have these bits or those is left open. */
static void settle_nans(const struct product *p, void *c, size_t n_bytes)
{
        float *floats = c;

        for (size_t i = 0; p->form == OUTPUT_FLOAT32 && i < n_bytes / sizeof *floats; i++)
                if (isnan(floats[i]))
                        floats[i] = NAN;
}

/* What C must become: rows of no slice, and what lies between rows, stay as they are. */
static void scene_expect(struct scene *s)
{
        for (size_t i = 0; i < s->n_products; i++) {
                const struct product *p = &s->products[i];
                const struct oracle_product oracle = {
                        .m = p->m,
                        .k = p->k,
                        .n = p->n,
                        .a = p->a,
                        .lda = p->lda,
                        .b = p->b,
                        .ldb = p->ldb,
                        .b_transposed = p->b_transposed,
                        .form = (enum oracle_form)p->form,
                        .shift = p->shift,
                        .nearest_even = p->rounding == ROUNDING_NEAREST_EVEN,
                        .row_scale = p->row_scale,
                        .col_scale = p->col_scale,
                        .bias = p->bias,
                };

                s->expected[i] = malloc(s->c[i].n_bytes);
                ck_assert_ptr_nonnull(s->expected[i]);
                memset(s->expected[i], PATTERN, s->c[i].n_bytes);
                for (size_t slice = 0; slice < s->n_slices; slice++)
                        if (s->slices[slice].product == p)
                                oracle_rows(&oracle, s->slices[slice].first_row, s->slices[slice].rows,
                                            s->expected[i], p->ldc);
                settle_nans(p, s->expected[i], s->c[i].n_bytes);
        }
}

static void scene_check(struct scene *s, const struct kernel_plan *plan, unsigned n_threads)
{
        for (size_t i = 0; i < s->n_products; i++) {
                const struct product *p = &s->products[i];
                const size_t elem = oracle_elem_bytes((enum oracle_form)p->form);
                const char *c = s->c[i].bytes, *expected = s->expected[i];
                size_t at = 0;

                settle_nans(p, s->c[i].bytes, s->c[i].n_bytes);
                if (memcmp(c, expected, s->c[i].n_bytes) == 0)
                        continue;
                while (c[at] == expected[at])
                        at++;
                ck_abort_msg("%s, %s, %u threads: product %zu of %zu, %zux%zux%zu, ldc %zu, form %d: element "
                             "(%zu, %zu) is wrong",
                             plan->kernel->name, plan->packed ? "packed" : "not packed", n_threads, i,
                             s->n_products, (size_t)p->m, s->k, s->n, (size_t)p->ldc, p->form,
                             at / elem / p->ldc, at / elem % p->ldc);
        }
}

/* Every tile once, in any order. */
static void plan_run(const struct kernel_plan *plan)
{
        size_t *order = malloc(plan->n_tiles * sizeof *order);

        ck_assert_ptr_nonnull(order);
        for (size_t i = 0; i < plan->n_tiles; i++) {
                const size_t j = rng_below(&rng, i + 1);

                order[i] = order[j];
                order[j] = i;
        }
        for (size_t i = 0; i < plan->n_tiles; i++)
                kernel_tile(plan, order[i], scratch);
        free(order);
}

static void scene_run_with(struct scene *s, const struct kernel *kernel, bool is_packed, unsigned n_threads)
{
        struct guarded packed = {0};
        struct kernel_plan plan;

        if (is_packed) {
                packed = guarded_new(kernel_packed_bytes(s->k, s->n), true);
                kernel_pack(kernel, s->b.bytes, s->products[0].ldb, s->products[0].b_transposed, s->k, s->n,
                            packed.bytes);
        }
        for (size_t i = 0; i < s->n_products; i++)
                memset(s->c[i].bytes, PATTERN, s->c[i].n_bytes);
        kernel_plan(&plan, kernel, s->slices, s->n_slices, packed.bytes, n_threads);
        ck_assert_uint_ge(plan.n_tiles, 1);
        if (n_threads == 1)
                kernel_run(&plan, scratch);
        else
                plan_run(&plan);
        scene_check(s, &plan, n_threads);
        guarded_free(&packed);
}

/* By every kernel; ends the scene. */
static void scene_run(struct scene *s)
{
        scene_expect(s);
        for (size_t i = 0; i < n_tested; i++) {
                scene_run_with(s, tested[i], false, 1);
                scene_run_with(s, tested[i], true, 1);
                scene_run_with(s, tested[i], flip(), (unsigned)rng_between(&rng, 2, 9));
        }
        scene_free(s);
}

/* One product, all of its rows. */
static void product_run(size_t m, size_t k, size_t n, bool transposed, enum output_form form)
{
        struct scene s;

        scene_b(&s, k, n, transposed);
        (void)scene_product(&s, m, form);
        scene_slice(&s, 0, 0, m);
        scene_run(&s);
}

/* ---- shapes ---- */

START_TEST(test_edges_of_rows_and_columns)
{
        for (size_t n = 1; n <= 70; n++)
                product_run((size_t)_i, rng_between(&rng, 1, 9), n, flip(), OUTPUT_INT32);
}
END_TEST

START_TEST(test_edges_of_depth)
{
        static const size_t depths[] = {1,   2,   3,   4,   5,   6,   7,    8,    9,    63,   64,   65,
                                        127, 128, 129, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 8193};

        for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
                product_run(rng_between(&rng, 1, 30), depths[i], rng_between(&rng, 1, 70), _i & 1,
                            _i & 2 ? OUTPUT_TILE16_SHIFT7 : OUTPUT_INT32);
                product_run(1, depths[i], 33, _i & 1, OUTPUT_INT32);
        }
}
END_TEST

/* More than a block in each direction: of rows, of columns that are packed at once, and of depth. */
START_TEST(test_blocks)
{
        product_run(300, 20, 600, _i & 1, _i & 2 ? OUTPUT_TILE16_SHIFT7 : OUTPUT_INT32);
        product_run(20, 300, 2100, _i & 1, OUTPUT_INT32);
        product_run(150, 4200, 40, _i & 1, _i & 2 ? OUTPUT_FLOAT32 : OUTPUT_INT32);
        product_run(3, 9000, 300, _i & 1, OUTPUT_INT8);
}
END_TEST

/* The largest sums that there are, of either sign. */
START_TEST(test_extremes)
{
        static const int values[][2] = {{-128, -128}, {-128, 127}, {127, -128}, {127, 127}};
        struct scene s;

        scene_b(&s, MESSAGE_K_MAX, 5, flip());
        (void)scene_product(&s, 3, OUTPUT_INT32);
        scene_slice(&s, 0, 0, 3);
        memset(s.a[0].bytes, values[_i][0], s.a[0].n_bytes);
        memset(s.b.bytes, values[_i][1], s.b.n_bytes);
        scene_run(&s);
}
END_TEST

START_TEST(test_deepest)
{
        product_run(2, MESSAGE_K_MAX, 3, flip(), OUTPUT_INT32);
}
END_TEST

START_TEST(test_random_shapes)
{
        for (size_t i = 0; i < 30; i++) {
                const size_t m = rng_log_up_to(&rng, 256), n = rng_log_up_to(&rng, 512);
                const size_t k = rng_log_up_to(&rng, (NPUMM_TEST_SLOW ? 300000 : 2000000) / (m * n) + 1);

                product_run(m, k, n, flip(), (enum output_form)rng_below(&rng, OUTPUT_MAX));
        }
}
END_TEST

/* ---- forms and stacks ---- */

START_TEST(test_forms)
{
        for (enum output_form form = 0; form < OUTPUT_MAX; form++)
                product_run(rng_between(&rng, 1, 40), rng_between(&rng, 1, 200), rng_between(&rng, 1, 100),
                            flip(), form);
}
END_TEST

/* Several products of one B, each of its own form, cut into slices that need not be all of it. */
START_TEST(test_stacks)
{
        const bool is_tile16 = rng_once_in(&rng, 4);
        const size_t n_products = rng_between(&rng, 2, PRODUCTS_MAX);
        struct scene s;

        scene_b(&s, rng_log_up_to(&rng, flip() ? 100 : 5000), rng_log_up_to(&rng, 70), flip());
        for (size_t i = 0; i < n_products; i++) {
                const enum output_form form =
                        is_tile16 ? OUTPUT_TILE16_SHIFT7
                                  : (enum output_form)rng_below(&rng, OUTPUT_TILE16_SHIFT7);
                const size_t m = rng_log_up_to(&rng, 60), first = rng_below(&rng, m);
                const size_t rows = rng_between(&rng, 1, m - first), cut = rng_between(&rng, 0, rows);

                (void)scene_product(&s, m, form);
                if (flip()) { /* in order, or not */
                        scene_slice(&s, i, first, cut);
                        scene_slice(&s, i, first + cut, rows - cut);
                } else {
                        scene_slice(&s, i, first + cut, rows - cut);
                        scene_slice(&s, i, first, cut);
                }
        }
        scene_run(&s);
}
END_TEST

/* Single rows of many products: what stacking is for. */
START_TEST(test_stack_of_rows)
{
        struct scene s;

        scene_b(&s, 512, 96, false);
        for (size_t i = 0; i < PRODUCTS_MAX; i++) {
                (void)scene_product(&s, 3, OUTPUT_INT32);
                scene_slice(&s, i, i % 3, 1);
                scene_slice(&s, i, (i + 1) % 3, 1);
        }
        scene_run(&s);
}
END_TEST

/* ---- the rest of the interface ---- */

START_TEST(test_choose)
{
        const struct kernel *best = kernel_choose(NULL);
        bool is_below = false;

        ck_assert_ptr_nonnull(best);
        ck_assert_ptr_null(kernel_choose("mmx"));
        ck_assert_ptr_null(kernel_choose(""));
        for (size_t i = 0; kernels[i]; i++) {
                const struct kernel *chosen = kernel_choose(kernels[i]->name);

                is_below = is_below || kernels[i] == best;
                ck_assert_ptr_nonnull(chosen);
                if (kernels[i]->ops->is_supported())
                        ck_assert_ptr_eq(chosen, kernels[i]);
                if (!is_below) /* better than what this CPU runs */
                        ck_assert_ptr_eq(chosen, best);
        }
}
END_TEST

START_TEST(test_packed_bytes)
{
        ck_assert_uint_eq(kernel_packed_bytes(512, 512), 512 * 512);
        ck_assert_uint_eq(kernel_packed_bytes(1, 1), 4 * 32);
        ck_assert_uint_eq(kernel_packed_bytes(5, 33), 8 * 64);
        ck_assert_uint_eq(kernel_packed_bytes(MESSAGE_K_MAX, MESSAGE_DIM_MAX), UINT64_C(131072) << 31);
        ck_assert_uint_eq(kernel_packed_bytes(UINT64_C(1) << 32, UINT64_C(1) << 32), UINT64_MAX);
        ck_assert_uint_eq(kernel_packed_bytes(1, UINT64_MAX), UINT64_MAX);
        ck_assert_uint_eq(kernel_packed_bytes(UINT64_MAX, 1), UINT64_MAX);
}
END_TEST

START_TEST(test_scratch_is_bounded)
{
        ck_assert_uint_le(kernel_scratch_bytes(), 2 << 20);
}
END_TEST

#ifdef NPUMM_TEST_EVEX
extern const struct kernel kernel_avx_vnni_evex; /* daemon/kernel/avx-vnni.c, in another encoding */
#endif

static void kernels_find(void)
{
#ifdef NPUMM_TEST_EVEX
        if (kernel_avx_vnni_evex.ops->is_supported()) {
                (void)printf("avx-vnni: tested in the encoding of AVX-512\n");
                tested[n_tested++] = &kernel_avx_vnni_evex;
        }
#endif
        for (size_t i = 0; kernels[i]; i++) {
                const bool is_supported = kernels[i]->ops->is_supported();

                (void)printf("%s: %s\n", kernels[i]->name,
                             is_supported ? "tested" : "this CPU does not run it");
                if (is_supported)
                        tested[n_tested++] = kernels[i];
        }
        scratch = aligned_alloc(64, (kernel_scratch_bytes() + 63) / 64 * 64);
        if (!scratch || n_tested == 0)
                abort();
}

int main(void)
{
        Suite *suite = suite_create("kernels");
        TCase *tcase = tcase_create("kernels");
        int code;

        rng_start(&rng, "kernels");
        kernels_find();
        tcase_add_loop_test(tcase, test_edges_of_rows_and_columns, 1, 31);
        tcase_add_loop_test(tcase, test_edges_of_depth, 0, 4);
        tcase_add_loop_test(tcase, test_blocks, 0, 4);
        tcase_add_loop_test(tcase, test_extremes, 0, 4);
        tcase_add_test(tcase, test_deepest);
        tcase_add_loop_test(tcase, test_random_shapes, 0, 4);
        tcase_add_loop_test(tcase, test_forms, 0, 20);
        tcase_add_loop_test(tcase, test_stacks, 0, 40);
        tcase_add_test(tcase, test_stack_of_rows);
        tcase_add_test(tcase, test_choose);
        tcase_add_test(tcase, test_packed_bytes);
        tcase_add_test(tcase, test_scratch_is_bounded);
        suite_add_tcase(suite, tcase);
        code = suite_run(suite);
        free(scratch);
        return code;
}
