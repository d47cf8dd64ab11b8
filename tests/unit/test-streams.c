/* SPDX-License-Identifier: MIT */
/* test-streams.c - the same batch has the same stream, made once; what is in flight keeps its words. */
#include "daemon/npu/stream64-generate.h"
#include "daemon/xrt/streams.h"
#include "tests/unit/suite.h"

static uint32_t words[STREAMS_MAX][STREAM64_WORDS_MAX], again[STREAM64_WORDS_MAX];
static struct streams streams;
static bool is_new;

static void setup(void)
{
        uint32_t *each[STREAMS_MAX];

        for (size_t i = 0; i < STREAMS_MAX; i++)
                each[i] = words[i];
        streams_init(&streams, each);
}

/* One job; `mt` tells batches apart. */
static struct stream64_batch batch_of(uint64_t mt)
{
        return (struct stream64_batch){
                .n_jobs = 1,
                .jobs = {{.size = {.m = mt, .n = 1, .k = 1},
                          .a = {STREAM64_ARG_A, 0, mt * STREAM64_A_OBJECT_BYTES},
                          .b = {STREAM64_ARG_B, 0, STREAM64_B_OBJECT_BYTES}}},
                .c = {STREAM64_ARG_C, 0, mt * STREAM64_C_OBJECT_BYTES},
        };
}

static size_t take(const struct stream64_batch *batch, enum stream64_flow flow)
{
        size_t index;

        ck_assert_int_eq(streams_take(&streams, batch, flow, &index, &is_new), 0);
        return index;
}

static void expect_stream(size_t index, const struct stream64_batch *batch, enum stream64_flow flow)
{
        size_t n_words;

        ck_assert_int_eq(stream64_generate(batch, flow, again, STREAM64_WORDS_MAX, &n_words), 0);
        ck_assert_uint_eq(streams.streams[index].n_words, n_words);
        ck_assert_mem_eq(words[index], again, n_words * sizeof *again);
}

START_TEST(test_made_once)
{
        const struct stream64_batch batch = batch_of(1);
        const size_t first = take(&batch, STREAM64_POLL);

        ck_assert(is_new);
        expect_stream(first, &batch, STREAM64_POLL);
        ck_assert_uint_eq(take(&batch, STREAM64_POLL), first); /* two may be in flight with the same */
        ck_assert(!is_new);
        streams_give_back(&streams, first);
        streams_give_back(&streams, first);
        ck_assert_uint_eq(take(&batch, STREAM64_POLL), first);
        ck_assert(!is_new);
}
END_TEST

START_TEST(test_whatever_differs_is_another)
{
        struct stream64_batch batch = batch_of(2);
        struct stream64_batch others[7];

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                others[i] = batch;
        others[0].jobs[0].size.k = 2;
        others[0].jobs[0].a.lane_stride *= 2;
        others[0].jobs[0].b.lane_stride *= 2;
        others[1].jobs[0].a.offset = 64;
        others[2].jobs[0].a.lane_stride += 64;
        others[3].jobs[0].b.offset = 4096;
        others[4].jobs[0].b.arg = STREAM64_ARG_WEIGHTS;
        others[5].c.lane_stride += 64;
        others[6].jobs[1] = others[6].jobs[0];
        others[6].jobs[1].a.offset = UINT64_C(8) * STREAM64_A_OBJECT_BYTES;
        others[6].c.lane_stride *= 2;
        others[6].n_jobs = 2;
        streams_give_back(&streams, take(&batch, STREAM64_POLL));
        (void)take(&batch, STREAM64_TOKEN);
        ck_assert(is_new);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                const size_t index = take(&others[i], STREAM64_POLL);

                ck_assert(is_new);
                expect_stream(index, &others[i], STREAM64_POLL);
                streams_give_back(&streams, index);
        }
}
END_TEST

START_TEST(test_what_is_beyond_the_jobs_does_not_matter)
{
        struct stream64_batch batch = batch_of(1);

        streams_give_back(&streams, take(&batch, STREAM64_POLL));
        batch.jobs[1].size.k = 77;
        (void)take(&batch, STREAM64_POLL);
        ck_assert(!is_new);
}
END_TEST

/* Many more than there is room for, two of them always in flight. */
START_TEST(test_in_flight_stays)
{
        struct stream64_batch batches[2] = {batch_of(1), batch_of(1)};
        size_t held[2] = {take(&batches[0], STREAM64_POLL), take(&batches[1], STREAM64_POLL)};

        for (uint64_t i = 2; i < 100; i++) {
                const size_t oldest = i % 2;

                expect_stream(held[oldest], &batches[oldest], STREAM64_POLL);
                streams_give_back(&streams, held[oldest]);
                batches[oldest] = batch_of(i);
                held[oldest] = take(&batches[oldest], STREAM64_POLL);
                ck_assert(is_new);
                expect_stream(held[1 - oldest], &batches[1 - oldest], STREAM64_POLL);
        }
}
END_TEST

START_TEST(test_the_idlest_goes)
{
        for (uint64_t i = 1; i <= STREAMS_MAX; i++) {
                const struct stream64_batch batch = batch_of(i);

                streams_give_back(&streams, take(&batch, STREAM64_POLL));
        }
        for (uint64_t i = 1; i <= 3; i += 2) { /* 1 is used again; 100 takes the place of 2 */
                const struct stream64_batch batch = batch_of(i == 1 ? 1 : 100);

                streams_give_back(&streams, take(&batch, STREAM64_POLL));
                ck_assert(is_new == (i != 1));
        }
        for (uint64_t i = 3; i <= STREAMS_MAX; i++) {
                const struct stream64_batch batch = batch_of(i);

                streams_give_back(&streams, take(&batch, STREAM64_POLL));
                ck_assert(!is_new);
        }
}
END_TEST

START_TEST(test_one_that_cannot_be_made)
{
        struct stream64_batch batch = batch_of(1);
        size_t index;

        batch.jobs[0].size.k = STREAM64_KT_MAX + 1;
        ck_assert_int_ne(streams_take(&streams, &batch, STREAM64_POLL, &index, &is_new), 0);
        batch = batch_of(1);
        index = take(&batch, STREAM64_POLL);
        expect_stream(index, &batch, STREAM64_POLL);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("streams");
        TCase *tcase = tcase_create("all");

        tcase_add_checked_fixture(tcase, setup, NULL);
        tcase_add_test(tcase, test_made_once);
        tcase_add_test(tcase, test_whatever_differs_is_another);
        tcase_add_test(tcase, test_what_is_beyond_the_jobs_does_not_matter);
        tcase_add_test(tcase, test_in_flight_stays);
        tcase_add_test(tcase, test_the_idlest_goes);
        tcase_add_test(tcase, test_one_that_cannot_be_made);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
