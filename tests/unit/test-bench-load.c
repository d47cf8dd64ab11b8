/* SPDX-License-Identifier: MIT */
/*
 * test-bench-load.c - what jobs of a benchmark are made of: no two of them alike, or a product that went to the wrong
 * job would pass for right. And what was put aside of a wrong product is found.
 */
#include "client/cli-bench-load.h"
#include "tests/unit/suite.h"

#define CLIENTS 3u
#define SLOTS   8u
#define M       5u
#define K       48u
#define N       7u

static struct bench_shape shape = {.m = M, .k = K, .n = N};
static struct bench_plan plan = {.shapes = {.all = &shape, .n = 1}, .is_inline = true, .seed = 1};
static struct bench_tally tally; /* large */
static int8_t b[K * N];
static int8_t *bs[] = {b};

static void slots_make(struct load *load, const struct bench_client_options *options)
{
        *load = (struct load){.options = options, .plan = &plan, .tally = &tally};
        SLIST_INIT(&load->idle);
        for (unsigned i = 0; i < SLOTS; i++)
                load_add_slot(load);
        ck_assert(!load->is_broken);
        ck_assert_uint_eq(load->n_slots, SLOTS);
}

static void slots_free(struct load *load)
{
        struct slot *slot;

        while ((slot = SLIST_FIRST(&load->idle))) {
                SLIST_REMOVE_HEAD(&load->idle, link);
                free(slot->a);
                free(slot);
        }
}

/* Any row may be the one that is verified. */
START_TEST(test_no_two_rows_are_alike)
{
        static int8_t rows[CLIENTS * SLOTS * M][K];
        size_t n = 0;

        for (size_t i = 0; i < CLIENTS; i++) {
                const struct bench_client_options options = {.plan = &plan, .number = i};
                const struct slot *slot;
                struct load load;

                slots_make(&load, &options);
                SLIST_FOREACH(slot, &load.idle, link)
                for (size_t row = 0; row < M; row++)
                        memcpy(rows[n++], slot->a + row * K, K);
                slots_free(&load);
        }
        ck_assert_uint_eq(n, ARRAY_SIZE(rows));
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < i; j++)
                        ck_assert(memcmp(rows[i], rows[j], K) != 0);
}
END_TEST

/* A product that is not written is not taken for right because the one before it in this place was the same. */
START_TEST(test_looked_at_is_spoilt_before)
{
        static const enum bench_verify verifies[] = {BENCH_VERIFY_ALL, BENCH_VERIFY_SAMPLE,
                                                     BENCH_VERIFY_NONE};
        const struct bench_client_options options = {.plan = &plan};
        const size_t row_bytes = N * sizeof(int32_t);
        bool is_seen = true;

        for (size_t i = 0; i < ARRAY_SIZE(verifies); i++) {
                struct load load;
                struct slot *slot;

                plan.verify = verifies[i];
                slots_make(&load, &options);
                load.is_seen = &is_seen;
                slot = SLIST_FIRST(&load.idle);
                for (load.n_sent = 0; load.n_sent < 2 * M; load.n_sent++) {
                        const bool is_sampled = plan.verify == BENCH_VERIFY_ALL ||
                                                (plan.verify == BENCH_VERIFY_SAMPLE && load.n_sent == 0);

                        memset(slot->c, 0, M * row_bytes);
                        load_fill_slot(&load, slot, 7);
                        for (size_t at = 0; at < M * row_bytes; at++)
                                ck_assert_int_eq(slot->c[at] != 0,
                                                 is_sampled && at / row_bytes == load.n_sent % M);
                }
                slots_free(&load);
        }
        plan.verify = BENCH_VERIFY_SAMPLE;
}
END_TEST

/* What is put aside is looked at later, all of it. */
START_TEST(test_wrong_product_is_found)
{
        const struct bench_client_options options = {.plan = &plan, .bs = bs};
        struct load load = {.options = &options, .plan = &plan, .tally = &tally};
        static const int8_t a[K];
        int32_t room[2 * N], right[N] = {0}, wrong[N] = {0};

        wrong[3] = 1;
        load.room = room;
        ck_assert_int_eq(bench_evidence_init(&load.evidence, 4096), 0);
        for (unsigned i = 0; i < 2; i++)
                ck_assert(bench_evidence_push(
                        &load.evidence,
                        &(struct bench_exhibit){.shape = &shape, .row = i, .a = a, .c = right}, 4));
        load_judge(&load);
        ck_assert(!load.is_broken);
        ck_assert(bench_evidence_push(&load.evidence,
                                      &(struct bench_exhibit){.shape = &shape, .a = a, .c = right}, 4));
        ck_assert(bench_evidence_push(
                &load.evidence, &(struct bench_exhibit){.shape = &shape, .row = 4, .a = a, .c = wrong}, 4));
        load_judge(&load);
        ck_assert(load.is_broken);
        ck_assert_str_eq(tally.text, "a product of 5,48,7 is wrong: 1 in row 4, column 3, where 0 is right; "
                                     "report this");
        bench_evidence_deinit(&load.evidence);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("bench-load");
        TCase *tcase = tcase_create("load");

        tcase_add_test(tcase, test_no_two_rows_are_alike);
        tcase_add_test(tcase, test_looked_at_is_spoilt_before);
        tcase_add_test(tcase, test_wrong_product_is_found);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
