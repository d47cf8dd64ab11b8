/* SPDX-License-Identifier: MIT */
/*
 * test-bench-judge.c - what the oracle computes bench finds right, in every form; and one element that is off by one
 * it finds, wherever it is.
 */
#include "client/cli-bench-judge.h"
#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define K_MAX 600u
#define N_MAX 40u
#define RUNS  400u

static_assert((int)ORACLE_INT32 == NPUMM_OUTPUT_INT32 && (int)ORACLE_INT8 == NPUMM_OUTPUT_INT8 &&
                      (int)ORACLE_FLOAT32 == NPUMM_OUTPUT_FLOAT32 &&
                      (int)ORACLE_TILE16_SHIFT7 == NPUMM_OUTPUT_TILE16_SHIFT7,
              "oracle.h and npumm.h disagree on output forms");

static int8_t a[K_MAX], b[K_MAX * N_MAX];
static uint32_t c[N_MAX]; /* elements of any form */
static int32_t room[2 * N_MAX];

/* Each element off by one as that form can be, but for -0 and what is saturated either way. */
static void element_spoil(enum npumm_output output, size_t col)
{
        if (output == NPUMM_OUTPUT_INT32)
                c[col]++;
        else if (output == NPUMM_OUTPUT_FLOAT32)
                c[col] ^= 1; /* the last bit of its fraction */
        else
                ((int8_t *)c)[col] ^= 1;
}

START_TEST(test_judge)
{
        const enum npumm_output output = (enum npumm_output)_i;
        struct rng rng;

        rng_start(&rng, "test-bench-judge");
        for (unsigned run = 0; run < RUNS; run++) {
                const uint64_t k = rng_between(&rng, 1, K_MAX), n = rng_between(&rng, 1, N_MAX);
                const uint64_t col = rng_below(&rng, n);
                const struct oracle_product product = {
                        .m = 1,
                        .k = k,
                        .n = n,
                        .a = a,
                        .lda = k,
                        .b = b,
                        .ldb = n,
                        .form = (enum oracle_form)output,
                        .shift = output == NPUMM_OUTPUT_INT8 ? BENCH_SHIFT : 0,
                };
                struct bench_flaw flaw = {0};

                ck_assert_uint_le(bench_judge_room(n), ARRAY_SIZE(room));
                rng_fill(&rng, a, k);
                rng_fill(&rng, b, k * n);
                oracle_rows(&product, 0, 1, c, n);
                ck_assert_msg(bench_judge_row(output, k, n, a, b, c, room, &flaw), "column %d: %g, not %g",
                              (int)flaw.col, flaw.found, flaw.right);
                element_spoil(output, col);
                ck_assert(!bench_judge_row(output, k, n, a, b, c, room, &flaw));
                ck_assert_uint_eq(flaw.col, col);
                ck_assert(flaw.found != flaw.right);
        }
}
END_TEST

/* The largest sums there are, of both signs. */
START_TEST(test_extremes)
{
        const uint64_t k = NPUMM_K_MAX;
        int8_t *ones = malloc(2 * k);
        int32_t sum = (int32_t)k * 128 * 128;
        struct bench_flaw flaw;

        ck_assert_ptr_nonnull(ones);
        memset(ones, -128, 2 * k);
        ck_assert(bench_judge_row(NPUMM_OUTPUT_INT32, k, 1, ones, ones + k, &sum, room, &flaw));
        memset(ones, 127, k);
        sum = -(int32_t)k * 127 * 128;
        ck_assert(bench_judge_row(NPUMM_OUTPUT_INT32, k, 1, ones, ones + k, &sum, room, &flaw));
        free(ones);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("bench-judge");
        TCase *tcase = tcase_create("judge");

        tcase_add_loop_test(tcase, test_judge, 0, 4);
        tcase_add_test(tcase, test_extremes);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
