/* SPDX-License-Identifier: MIT */
/*
 * test-selftest-judge.c - what the oracle computes selftest finds exact, in every form; and elements that are off by
 * the least there is it finds and counts, wherever they are.
 */
#include "client/cli-selftest-judge.h"
#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define DIM_MAX 40u
#define K_MAX   300u
#define RUNS    200u
#define SHIFT   9u

static_assert((int)ORACLE_INT32 == NPUMM_OUTPUT_INT32 && (int)ORACLE_INT8 == NPUMM_OUTPUT_INT8 &&
                      (int)ORACLE_FLOAT32 == NPUMM_OUTPUT_FLOAT32,
              "oracle.h and npumm.h disagree on output forms");

static int8_t a[DIM_MAX * K_MAX], b[K_MAX * DIM_MAX];
static uint32_t c[DIM_MAX * DIM_MAX]; /* elements of any form */
static float floats[3 * DIM_MAX];

static struct npumm_matmul job_make(struct rng *rng, enum npumm_output output)
{
        struct npumm_matmul job = {
                .size = sizeof job,
                .m = rng_between(rng, 1, DIM_MAX),
                .k = rng_between(rng, 1, K_MAX),
                .n = rng_between(rng, 1, DIM_MAX),
                .a = a,
                .c = c,
                .output = output,
                .shift = output == NPUMM_OUTPUT_INT8 ? SHIFT : 0,
        };

        rng_fill(rng, a, job.m * job.k);
        rng_fill(rng, b, job.k * job.n);
        for (size_t i = 0; i < ARRAY_SIZE(floats); i++)
                floats[i] = 1.0F / (float)rng_between(rng, 1, 1000);
        if (output == NPUMM_OUTPUT_FLOAT32) { /* each of them, or not */
                job.row_scale = rng_once_in(rng, 2) ? floats : NULL;
                job.col_scale = rng_once_in(rng, 2) ? floats + DIM_MAX : NULL;
                job.bias = rng_once_in(rng, 2) ? floats + 2 * DIM_MAX : NULL;
        }
        return job;
}

static void oracle_fill(const struct npumm_matmul *job)
{
        const struct oracle_product product = {
                .m = job->m,
                .k = job->k,
                .n = job->n,
                .a = a,
                .lda = job->k,
                .b = b,
                .ldb = job->n,
                .form = (enum oracle_form)job->output,
                .shift = job->shift,
                .row_scale = job->row_scale,
                .col_scale = job->col_scale,
                .bias = job->bias,
        };

        oracle_rows(&product, 0, job->m, c, job->n);
}

/* The least that an element can be off. 0 and -0 are one number, and the same of a product. */
static void element_spoil(enum npumm_output output, uint64_t at)
{
        if (output == NPUMM_OUTPUT_INT32)
                c[at]++;
        else if (output == NPUMM_OUTPUT_FLOAT32)
                c[at] ^= 1; /* the last bit of its fraction */
        else
                ((int8_t *)c)[at] ^= 1;
}

START_TEST(test_judge)
{
        const enum npumm_output output = (enum npumm_output)_i;
        struct rng rng;

        rng_start(&rng, "test-selftest-judge");
        for (unsigned run = 0; run < RUNS; run++) {
                const struct npumm_matmul job = job_make(&rng, output);
                const uint64_t n_elems = job.m * job.n;
                const uint64_t first = rng_below(&rng, n_elems), second = rng_below(&rng, n_elems);
                struct selftest_flaws flaws;

                oracle_fill(&job);
                flaws = selftest_judge(&job, b);
                ck_assert_uint_eq(flaws.n_elems, n_elems);
                ck_assert_msg(flaws.n_wrong == 0, "row %d, column %d: %.10g, not %.10g", (int)flaws.row,
                              (int)flaws.col, flaws.found, flaws.right);
                element_spoil(output, first);
                if (second != first)
                        element_spoil(output, second);
                flaws = selftest_judge(&job, b);
                ck_assert_uint_eq(flaws.n_wrong, second == first ? 1 : 2);
                ck_assert_uint_eq(flaws.row * job.n + flaws.col, MIN(first, second));
                ck_assert(flaws.found != flaws.right);
        }
}
END_TEST

/* The largest sums there are, of both signs. */
START_TEST(test_extremes)
{
        const uint64_t k = NPUMM_K_MAX;
        int8_t *ends = malloc(2 * k);
        int32_t sum = (int32_t)k * 128 * 128;
        const struct npumm_matmul job = {.m = 1, .k = k, .n = 1, .a = ends, .c = &sum};

        ck_assert_ptr_nonnull(ends);
        memset(ends, -128, 2 * k);
        ck_assert_uint_eq(selftest_judge(&job, ends + k).n_wrong, 0);
        sum--;
        ck_assert_uint_eq(selftest_judge(&job, ends + k).n_wrong, 1);
        memset(ends, 127, k);
        sum = -(int32_t)k * 127 * 128;
        ck_assert_uint_eq(selftest_judge(&job, ends + k).n_wrong, 0);
        free(ends);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("selftest-judge");
        TCase *tcase = tcase_create("judge");

        tcase_add_loop_test(tcase, test_judge, NPUMM_OUTPUT_INT32, NPUMM_OUTPUT_FLOAT32 + 1);
        tcase_add_test(tcase, test_extremes);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
