/* SPDX-License-Identifier: MIT */
/*
 * test-client-checks.c - what npumm_submit refuses by itself: nothing of it reaches the daemon, and each time
 * the text says what is wrong.
 */
#include "tests/unit/visit.h"
#include "tests/unit/suite.h"

#define ARENA_BYTES  4096u
#define MEMORY_BYTES 65536u
#define JOBS_MAX     2u
#define INLINE_MAX   1000u

/* Where struct npumm_matmul ended before there were weights. */
#define FIRST_VERSION_BYTES offsetof(struct npumm_matmul, weights)

/* What a bad matmul is made from: a good one, with C at memory + 1024. */
struct ground {
        struct npumm_matmul good;
        int8_t *memory; /* ordinary */
        int8_t *arena;  /* from npumm_alloc() */
        float floats[10];
};

/* clang-format off */
/*        name                 what is changed in m, the good one               words */
#define BAD_TABLE(X) \
        X(m_0,                 m->m = 0,                                        "M is 0") \
        X(k_0,                 m->k = 0,                                        "K is 0") \
        X(n_0,                 m->n = 0,                                        "N is 0") \
        X(k_over_limit,        m->k = 131072,                                   "K is 131072") \
        X(m_over_limit,        m->m = UINT64_C(1) << 31,                        "M is 2147483648") \
        X(m_of_2_to_64,        m->m = UINT64_MAX,                               "M is 18446744073709551615") \
        X(lda_too_small,       m->lda = 2,                                      "A: leading dimension 2") \
        X(ldb_too_small,       m->ldb = 1,                                      "B: leading dimension 1") \
        X(ldc_too_small,       m->ldc = 1,                                      "C: leading dimension 1") \
        X(lda_overflows,       m->lda = UINT64_MAX,                             "A: 4 rows") \
        X(ldc_overflows,       m->ldc = UINT64_MAX / 8,                         "C: 4 rows") \
        X(a_null,              m->a = NULL,                                     "a is NULL") \
        X(b_null,              m->b = NULL,                                     "b is NULL") \
        X(c_null,              m->c = NULL,                                     "c is NULL") \
        X(c_not_aligned,       m->c = ground->memory + 1025,                    "c is 0x") \
        X(unknown_flag,        m->flags = 1 << 5,                               "flags are 0x20") \
        X(b_and_weights,       m->weights = 7,                                  "both b and weights are given") \
        X(ldb_and_weights,     m->weights = 7; m->b = NULL; m->ldb = 2,         "both b and weights are given") \
        X(transposed_weights,  m->weights = 7; m->b = NULL; \
                               m->flags = NPUMM_MATMUL_B_TRANSPOSED,            "b_transposed belongs to an operand") \
        X(unknown_class,       m->job_class = (enum npumm_class)3,              "class 3 is unknown") \
        X(deadline_too_long,   m->deadline_us = UINT64_C(3600000001),           "deadline_us is 3600000001") \
        X(reserved,            m->reserved = 1,                                 "reserved is 0x1") \
        X(unknown_output,      m->output = (enum npumm_output)9,                "output form 9 is unknown") \
        X(shift_of_int32,      m->shift = 3,                                    "output form int8 alone") \
        X(shift_too_large,     m->output = NPUMM_OUTPUT_INT8; m->shift = 32,    "shift is 32") \
        X(unknown_rounding,    m->output = NPUMM_OUTPUT_INT8; \
                               m->rounding = (enum npumm_rounding)2,            "rounding 2 is unknown") \
        X(scale_of_int32,      m->row_scale = ground->floats,                   "scales and bias belong to") \
        X(bias_not_aligned,    m->output = NPUMM_OUTPUT_FLOAT32; \
                               m->bias = (float *)((uintptr_t)ground->floats + 1), "bias is") \
        X(c_is_a,              m->c = ground->memory,                           "C overlaps A") \
        X(c_overlaps_a,        m->c = ground->memory + 8; m->a = ground->memory + 10, "C overlaps A") \
        X(c_is_a_in_arena,     m->c = ground->arena; m->a = ground->arena,      "C overlaps A") \
        X(a_runs_out_of_arena, m->a = ground->arena + ARENA_BYTES - 6,          "npumm_alloc() gave out") \
        X(c_runs_out_of_arena, m->c = ground->arena + ARENA_BYTES - 16,         "npumm_alloc() gave out") \
        X(a_behind_the_piece,  m->a = ground->arena + ARENA_BYTES,              "npumm_alloc() gave out") \
        X(a_wraps_around,      m->a = (int8_t *)UINTPTR_MAX,                    "A: 4 rows") \
        X(size_too_small,      m->size = 8,                                     "its size is 8") \
        X(size_lacks_a_byte,   m->size = FIRST_VERSION_BYTES - 1,               "its size is") \
        X(size_never_set,      m->size = 1 << 30,                               "its size is 1073741824")

#define X(name, change, words)                                                                               \
        static void bad_##name(struct npumm_matmul *m, struct ground *ground)                                \
        {                                                                                                    \
                (void)ground;                                                                                \
                change;                                                                                      \
        }
BAD_TABLE(X)
#undef X

static const struct {
        void (*change)(struct npumm_matmul *matmul, struct ground *ground);
        const char *words;
} bad[] = {
#define X(name, change, words) {bad_##name, words},
        BAD_TABLE(X)
#undef X
};
/* clang-format on */

/* Jobs get no answer here, so that they stay outstanding. */
static bool ignore_jobs(struct stub_daemon *stub)
{
        return stub->frame.header.type == FRAME_MATMUL;
}

static struct visit visit;
static struct ground ground;

static void setup(void)
{
        void *arena;

        visit = visit_begin(&(struct stub_options){
                .frame_fn = ignore_jobs,
                .limits = {
                        .payload_bytes = INLINE_MAX, .arena_bytes = 1 << 30, .arenas = 8, .jobs = JOBS_MAX}});
        ck_assert_int_eq(npumm_alloc(visit.client, ARENA_BYTES, &arena), 0);
        ground = (struct ground){.arena = arena, .memory = calloc(1, MEMORY_BYTES)};
        ck_assert_ptr_nonnull(ground.memory);
        ground.good = (struct npumm_matmul){
                .size = sizeof ground.good,
                .m = SMALL_M,
                .k = SMALL_K,
                .n = SMALL_N,
                .a = ground.memory,
                .b = ground.memory + 100,
                .c = ground.memory + 1024,
        };
}

static void teardown(void)
{
        visit_end(&visit);
        free(ground.memory);
}

static int submit(const struct npumm_matmul *matmul)
{
        return npumm_submit(visit.client, matmul, NULL, NULL, NULL, NULL);
}

/* How many jobs have reached the stub, once it has read all that was sent. */
static unsigned n_sent(void)
{
        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0);
        return visit.stub->n_matmuls;
}

START_TEST(test_bad_matmul)
{
        struct npumm_matmul matmul = ground.good;
        int r;

        bad[_i].change(&matmul, &ground);
        r = submit(&matmul);
        ck_assert_msg(r == NPUMM_STATUS_INVALID, "%d: %s", r, npumm_text(visit.client));
        expect_words(npumm_text(visit.client), bad[_i].words);
        ck_assert_uint_eq(npumm_outstanding(visit.client), 0);
        ck_assert_uint_eq(n_sent(), 0);
}
END_TEST

/* A program that was built for a later version of the library: what it leaves at 0 it does not ask for. */
START_TEST(test_newer_struct)
{
        struct {
                struct npumm_matmul matmul;
                uint64_t later_field;
        } newer = {.matmul = ground.good, .later_field = 1};

        newer.matmul.size = sizeof newer;
        ck_assert_int_eq(submit(&newer.matmul), NPUMM_STATUS_INVALID);
        expect_words(npumm_text(visit.client), "asks for something that this version");
        ck_assert_uint_eq(n_sent(), 0);
        newer.later_field = 0;
        ck_assert_int_eq(submit(&newer.matmul), 0);
        ck_assert_uint_eq(n_sent(), 1);
}
END_TEST

/* A program that was built for the first version: what lies behind its struct is not looked at. */
START_TEST(test_older_struct)
{
        struct npumm_matmul matmul = ground.good;

        memset((uint8_t *)&matmul + FIRST_VERSION_BYTES, 0xee, sizeof matmul - FIRST_VERSION_BYTES);
        ck_assert_int_eq(submit(&matmul), NPUMM_STATUS_INVALID);
        matmul.size = FIRST_VERSION_BYTES;
        ck_assert_int_eq(submit(&matmul), 0);
        ck_assert_uint_eq(n_sent(), 1);
}
END_TEST

START_TEST(test_inline_over_limit)
{
        struct npumm_matmul matmul = ground.good;

        matmul.flags = NPUMM_MATMUL_INLINE;
        matmul.k = INLINE_MAX;
        matmul.c = ground.memory + MEMORY_BYTES / 2;
        ck_assert_int_eq(submit(&matmul), NPUMM_STATUS_TOO_BIG);
        expect_words(npumm_text(visit.client), "over the daemon's limit of 1000");
        ck_assert_uint_eq(n_sent(), 0);
        matmul.flags = 0;
        ck_assert_int_eq(submit(&matmul), 0);
}
END_TEST

/* Else it would wait for ever: nothing is queued before the last job, and that would not be taken. */
START_TEST(test_group_over_limit)
{
        struct npumm_matmul matmul = ground.good;

        matmul.flags = NPUMM_MATMUL_MORE;
        for (unsigned i = 0; i < JOBS_MAX - 1; i++)
                ck_assert_int_eq(submit(&matmul), 0);
        ck_assert_int_eq(submit(&matmul), NPUMM_STATUS_BUSY);
        expect_words(npumm_text(visit.client), "a group of more than 2 jobs");
        ck_assert_int_eq(submit(&ground.good), 0);
        ck_assert_uint_eq(n_sent(), JOBS_MAX);
}
END_TEST

START_TEST(test_group_in_a_blocking_call)
{
        struct npumm_matmul matmul = ground.good;

        matmul.flags = NPUMM_MATMUL_MORE;
        ck_assert_int_eq(npumm_matmul(visit.client, &matmul), NPUMM_STATUS_INVALID);
        expect_words(npumm_text(visit.client), "wait for ever");
        ck_assert_uint_eq(n_sent(), 0);
}
END_TEST

START_TEST(test_jobs_over_limit)
{
        for (unsigned i = 0; i < JOBS_MAX; i++)
                ck_assert_int_eq(submit(&ground.good), 0);
        ck_assert_int_eq(submit(&ground.good), NPUMM_STATUS_BUSY);
        expect_words(npumm_text(visit.client), "2 jobs are outstanding");
        ck_assert_uint_eq(npumm_outstanding(visit.client), JOBS_MAX);
        ck_assert_uint_eq(n_sent(), JOBS_MAX);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-checks");
        TCase *tcase = tcase_create("checks");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_loop_test(tcase, test_bad_matmul, 0, ARRAY_SIZE(bad));
        tcase_add_test(tcase, test_newer_struct);
        tcase_add_test(tcase, test_older_struct);
        tcase_add_test(tcase, test_inline_over_limit);
        tcase_add_test(tcase, test_group_over_limit);
        tcase_add_test(tcase, test_group_in_a_blocking_call);
        tcase_add_test(tcase, test_jobs_over_limit);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
