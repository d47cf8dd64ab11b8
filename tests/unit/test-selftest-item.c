/* SPDX-License-Identifier: MIT */
/*
 * test-selftest-item.c - an item of npumm-client selftest at a library that computes what the test wants: right by the
 * oracle, wrong in chosen elements, or not at all.
 *
 * Role:   the library and the words of the command line are this file's own. Jobs end when they are dispatched, the
 *         last one first, and those of a group not before the group is complete.
 * Never:  counts on what operands are made of; only on their being there, and unlike each other.
 */
#include "client/cli-selftest-item.h"
#include "tests/lib/oracle.h"
#include "tests/unit/suite.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define WEIGHTS   77u /* what the library calls them */
#define TEXT_SIZE 1024

struct waiting {
        struct npumm_matmul matmul;
        npumm_done_fn done_fn;
        void *userdata;
};

/* The library, and what the test has it do. */
static struct {
        struct waiting waiting[SELFTEST_JOBS_MAX];
        size_t n_waiting, n_submitted, n_memory, n_weights, n_more, n_transposed;
        const int8_t *weights;
        uint32_t jobs_max;
        size_t spoilt_job; /* SIZE_MAX: none; by order of submission */
        size_t failing_job;
        bool is_idle; /* nothing is computed, and said to be there */
        bool is_lost; /* the connection, once products have come */
        bool is_out_of_room;
} library;

static char said[TEXT_SIZE]; /* on either stream */

static void library_reset(void)
{
        memset(&library, 0, sizeof library);
        library.jobs_max = SELFTEST_JOBS_MAX;
        library.spoilt_job = SIZE_MAX;
        library.failing_job = SIZE_MAX;
        said[0] = '\0';
}

/* ---- npumm.h ---- */

const struct npumm_info *npumm_info(const struct npumm_client *client)
{
        static struct npumm_info info;

        (void)client;
        info.jobs_max = library.jobs_max;
        return &info;
}

int npumm_alloc(struct npumm_client *client, size_t size_bytes, void **ret_memory)
{
        (void)client;
        if (library.is_out_of_room)
                return NPUMM_STATUS_BUSY;
        *ret_memory = aligned_alloc(64, (size_bytes + 63) / 64 * 64);
        ck_assert_ptr_nonnull(*ret_memory);
        library.n_memory++;
        return 0;
}

void npumm_free(struct npumm_client *client, void *memory)
{
        (void)client;
        free(memory);
        library.n_memory--;
}

int npumm_weights_load(struct npumm_client *client, const struct npumm_weights_spec *spec,
                       uint64_t *ret_weights)
{
        (void)client;
        ck_assert_ptr_null(library.weights);
        library.weights = spec->b; /* it stays as it is until the item is over */
        library.n_weights++;
        *ret_weights = WEIGHTS;
        return 0;
}

int npumm_weights_release(struct npumm_client *client, uint64_t weights)
{
        (void)client;
        ck_assert_uint_eq(weights, WEIGHTS);
        library.weights = NULL;
        return 0;
}

int npumm_submit(struct npumm_client *client, const struct npumm_matmul *matmul, npumm_rows_fn rows_fn,
                 npumm_done_fn done_fn, void *userdata, uint64_t *ret_job)
{
        (void)client;
        ck_assert(!rows_fn && !ret_job);
        ck_assert_uint_lt(library.n_waiting, library.jobs_max);
        library.waiting[library.n_waiting++] = (struct waiting){*matmul, done_fn, userdata};
        library.n_submitted++;
        library.n_more += (matmul->flags & NPUMM_MATMUL_MORE) != 0;
        library.n_transposed += (matmul->flags & NPUMM_MATMUL_B_TRANSPOSED) != 0;
        return 0;
}

static void compute(const struct npumm_matmul *matmul)
{
        const bool transposed = (matmul->flags & NPUMM_MATMUL_B_TRANSPOSED) != 0;
        const struct oracle_product product = {
                .m = matmul->m,
                .k = matmul->k,
                .n = matmul->n,
                .a = matmul->a,
                .lda = matmul->k,
                .b = matmul->weights == WEIGHTS ? library.weights : matmul->b,
                .ldb = transposed ? matmul->k : matmul->n,
                .b_transposed = transposed,
                .form = (enum oracle_form)matmul->output,
                .shift = matmul->shift,
                .row_scale = matmul->row_scale,
                .col_scale = matmul->col_scale,
                .bias = matmul->bias,
        };

        oracle_rows(&product, 0, matmul->m, matmul->c, matmul->n);
}

int npumm_dispatch(struct npumm_client *client, int timeout_ms)
{
        (void)timeout_ms;
        ck_assert_uint_gt(library.n_waiting, 0);
        ck_assert(!(library.waiting[library.n_waiting - 1].matmul.flags & NPUMM_MATMUL_MORE));
        while (library.n_waiting > 0) {
                const size_t number = --library.n_waiting;
                const struct waiting *job = &library.waiting[number];

                if (number != library.failing_job && !library.is_idle)
                        compute(&job->matmul);
                if (number == library.spoilt_job)
                        ((int32_t *)job->matmul.c)[job->matmul.n + 2] = INT32_MIN;
                job->done_fn(client, number, number == library.failing_job ? NPUMM_STATUS_DEVICE_ERROR : 0,
                             job->userdata);
        }
        return 0;
}

size_t npumm_outstanding(const struct npumm_client *client)
{
        (void)client;
        return library.n_waiting;
}

int npumm_ping(struct npumm_client *client, uint64_t *ret_ns)
{
        (void)client;
        ck_assert_ptr_null(ret_ns);
        return library.is_lost ? -ENOTCONN : 0;
}

/* ---- cli.h ---- */

_printf_(1, 0) static void say(const char *format, va_list args)
{
        ck_assert_str_eq(said, ""); /* one line */
        ck_assert_int_gt(vsnprintf(said, sizeof said, format, args), 0);
}

void cli_say(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        say(format, args);
        va_end(args);
}

enum cli_exit cli_fail(enum cli_exit code, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        say(format, args);
        va_end(args);
        return code;
}

void cli_explain(const struct npumm_client *client, int result, const struct cli_asked *asked,
                 char ret_text[NPUMM_TEXT_MAX])
{
        (void)client;
        (void)asked;
        (void)snprintf(ret_text, NPUMM_TEXT_MAX, "result %d", result);
}

enum cli_exit cli_fail_job(const struct npumm_client *client, int result, const struct cli_asked *asked)
{
        (void)client;
        (void)asked;
        return cli_fail(CLI_FAILED, "result %d", result);
}

/* ---- items ---- */

#define SINGLE .m = 3, .k = 5, .n = 4
#define GROUP  .m = 3, .k = 5, .k_step = 7, .n = 4, .n_jobs = 16, .in_group = true
#define BURST  .m = 2, .k = 9, .n = 4, .n_jobs = 64, .has_weights = true

static const struct selftest_item group = {GROUP}, burst = {BURST}, single = {SINGLE};

static struct selftest_outcome item_run(const struct selftest_item *item)
{
        struct selftest_outcome outcome;

        ck_assert_int_eq(selftest_item_run(NULL, item, 1, &outcome), CLI_DONE);
        ck_assert_uint_eq(library.n_memory, 0);
        ck_assert_ptr_null(library.weights);
        ck_assert_str_eq(said, "");
        selftest_item_say(item, &outcome);
        return outcome;
}

static void expect_said(const char *beginning, const char *end)
{
        ck_assert_msg(strncmp(said, beginning, strlen(beginning)) == 0 &&
                              strlen(said) >= strlen(beginning) + strlen(end) &&
                              strcmp(said + strlen(said) - strlen(end), end) == 0,
                      "\"%s\", not \"%s ... %s\"", said, beginning, end);
}

START_TEST(test_exact)
{
        static const struct {
                struct selftest_item item;
                const char *name;
                size_t n_jobs, n_more, n_weights, n_transposed;
        } cases[] = {
                {{SINGLE}, "3x5 @ 5x4, int32: exact, ", .n_jobs = 1},
                {{SINGLE, .extremes = true}, "3x5 @ 5x4, int32, all -128: exact, ", .n_jobs = 1},
                {{SINGLE, .transposed_b = true},
                 "3x5 @ 5x4, int32, B transposed: exact, ",
                 .n_jobs = 1,
                 .n_transposed = 1},
                {{SINGLE, .output = NPUMM_OUTPUT_INT8}, "3x5 @ 5x4, int8: exact, ", .n_jobs = 1},
                {{SINGLE, .output = NPUMM_OUTPUT_FLOAT32}, "3x5 @ 5x4, float32: exact, ", .n_jobs = 1},
                {{GROUP},
                 "16 products of 3xK @ Kx4, K = 5 to 110, int32, in one group: exact, ",
                 .n_jobs = 16,
                 .n_more = 15},
                {{BURST},
                 "64 products of 2x9 @ 9x4, int32, B loaded once: exact, ",
                 .n_jobs = 64,
                 .n_weights = 1},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct selftest_outcome outcome;

                library_reset();
                outcome = item_run(&cases[i].item);
                expect_said(cases[i].name, " ms");
                ck_assert_uint_eq(outcome.n_jobs, cases[i].n_jobs);
                ck_assert_uint_eq(outcome.n_wrong + outcome.n_failed, 0);
                ck_assert_uint_eq(library.n_submitted, cases[i].n_jobs);
                ck_assert_uint_eq(library.n_more, cases[i].n_more);
                ck_assert_uint_eq(library.n_weights, cases[i].n_weights);
                ck_assert_uint_eq(library.n_transposed, cases[i].n_transposed);
        }
}
END_TEST

START_TEST(test_wrong)
{
        struct selftest_outcome outcome;

        library_reset();
        library.spoilt_job = 0;
        outcome = item_run(&single);
        ck_assert_uint_eq(outcome.n_wrong, 1);
        expect_said("3x5 @ 5x4, int32: WRONG: 1 of 12 elements, first at row 1, column 2: -2147483648, not ",
                    "");
        library_reset();
        library.spoilt_job = 9;
        outcome = item_run(&group);
        ck_assert_uint_eq(outcome.n_wrong, 1);
        ck_assert_uint_eq(outcome.wrong_job, 9);
        expect_said("16 products of 3xK @ Kx4, K = 5 to 110, int32, in one group: WRONG: 1 of 192 elements, "
                    "first in "
                    "product 10 of 16, at row 1, column 2: -2147483648, not ",
                    "");
}
END_TEST

START_TEST(test_unwritten)
{
        library_reset();
        library.is_idle = true;
        ck_assert_uint_eq(item_run(&single).flaws.n_wrong, 12);
}
END_TEST

START_TEST(test_failed)
{
        struct selftest_outcome outcome;

        library_reset();
        library.failing_job = 3;
        outcome = item_run(&burst);
        ck_assert_uint_eq(outcome.n_failed, 1);
        ck_assert_uint_eq(outcome.n_wrong, 0);                /* what failed is not judged, */
        ck_assert_uint_eq(outcome.flaws.n_elems, 63 * 2 * 4); /* but the others are */
        expect_said("64 products of 2x9 @ 9x4, int32, B loaded once: FAILED: 1 of 64: result 6", "");
}
END_TEST

/* Products that are gone with the connection are not called wrong. */
START_TEST(test_lost)
{
        struct selftest_outcome outcome;

        library_reset();
        library.spoilt_job = 0;
        library.is_lost = true;
        ck_assert_int_eq(selftest_item_run(NULL, &single, 1, &outcome), CLI_FAILED);
        ck_assert_uint_eq(library.n_memory, 0);
        expect_said("result -", "");
}
END_TEST

START_TEST(test_no_room)
{
        struct selftest_outcome outcome;

        library_reset();
        library.is_out_of_room = true;
        ck_assert_int_eq(selftest_item_run(NULL, &group, 1, &outcome), CLI_FAILED);
        ck_assert_str_eq(said, "result 3");
}
END_TEST

START_TEST(test_fewer_jobs)
{
        library_reset();
        library.jobs_max = 3;
        ck_assert_uint_eq(item_run(&group).n_jobs, 3);
        expect_said("3 products of 3xK @ Kx4, K = 5 to 19, int32, in one group: exact, ", " ms");
        library_reset();
        library.jobs_max = 1;
        ck_assert_uint_eq(item_run(&group).n_jobs, 1);
        expect_said("3x5 @ 5x4, int32", " ms");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("selftest-item");
        TCase *tcase = tcase_create("item");

        tcase_add_test(tcase, test_exact);
        tcase_add_test(tcase, test_wrong);
        tcase_add_test(tcase, test_unwritten);
        tcase_add_test(tcase, test_failed);
        tcase_add_test(tcase, test_lost);
        tcase_add_test(tcase, test_no_room);
        tcase_add_test(tcase, test_fewer_jobs);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
