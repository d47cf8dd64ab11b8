/* SPDX-License-Identifier: MIT */
/*
 * test-batcher.c - what goes into a batch: jobs cut at granules, stacked, riding in what would be padding; groups
 * whole; deadlines. Any mixture of it is in test-batcher-random.c.
 */
#include <stdio.h>

#include "tests/unit/batcher-desk.h"
#include "tests/unit/suite.h"

START_TEST(test_nothing_waits)
{
        struct batch before;

        memset(&batch, 0x5a, sizeof batch);
        memcpy(&before, &batch, sizeof batch);
        ck_assert(!compose());
        ck_assert_mem_eq(&batch, &before, sizeof batch);
}
END_TEST

/* ---- cutting ---- */

/* Rows of 100 multiply-adds at 1 ns each, 1,000 ns fixed. */
static const struct {
        uint64_t bound_ns, granule_rows, rows;
} cuts[] = {
        {2000, 1, 10},      {2099, 1, 10}, {2100, 1, 11}, {2000, 4, 8},   {2199, 4, 8},   {2200, 4, 12},
        {1400, 4, 4},       {1399, 4, 3},  {1100, 4, 1},  {2000, 64, 10}, {7400, 64, 64}, {13799, 64, 64},
        {13800, 64, 128},   {1000, 4, 1},  {1, 4, 1}, /* too little for even one row: one all the same */
        {1000000, 4, 1000},                           /* more than there is */
};

START_TEST(test_cut)
{
        struct job *job;

        cost_init(&cost, 1000, 1);
        batcher.bound_ns = cuts[_i].bound_ns;
        batcher.granule_rows = cuts[_i].granule_rows;
        job = job_push(&(struct wish){.m = 1000, .k = 10, .n = 10});
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 1);
        ck_assert_ptr_eq(batch.slices[0].job, job);
        ck_assert_ptr_eq(batch.slices[0].product, &job->product);
        ck_assert_uint_eq(batch.slices[0].first_row, 0);
        ck_assert_uint_eq(batch.slices[0].rows, cuts[_i].rows);
        ck_assert_uint_eq(batch.n_stacks, 1);
        ck_assert_double_eq(batch.stacks[0].padded_macs, 100 * (double)cuts[_i].rows);
        ck_assert_uint_eq(batch.predicted_ns, 1000 + 100 * cuts[_i].rows);
        ck_assert_uint_eq(job->next_row, cuts[_i].rows);
        ck_assert_uint_eq(job->slices_inside, 1);
        ck_assert_int_eq(job->flow != NULL, cuts[_i].rows < 1000);
        (void)job_drop(job);
}
END_TEST

/* M, K and N at their ends: nothing wraps. */
START_TEST(test_largest_shape)
{
        struct job *job;

        cost_init(&cost, 0, 1);
        batcher.bound_ns = UINT64_MAX / 2;
        batcher.granule_rows = 64;
        job = job_push(&(struct wish){.m = MESSAGE_DIM_MAX, .k = MESSAGE_K_MAX, .n = MESSAGE_DIM_MAX});
        ck_assert(compose());
        ck_assert_uint_ge(batch.slices[0].rows, 1);
        ck_assert_uint_lt(batch.slices[0].rows, MESSAGE_DIM_MAX);
        ck_assert_double_eq_tol(batch.stacks[0].padded_macs / (double)batch.slices[0].rows,
                                (double)MESSAGE_K_MAX * (double)MESSAGE_DIM_MAX, 1);
        ck_assert_uint_le(batch.predicted_ns, batcher.bound_ns);
        ck_assert_uint_ge(batch.predicted_ns, batcher.bound_ns / 2);
        (void)job_drop(job);
}
END_TEST

/* A job that was cancelled with rows to go leaves no slice behind. */
START_TEST(test_ended_job_is_skipped)
{
        struct job *first, *second;

        batcher.bound_ns = 1;
        first = job_push(&(struct wish){.m = 3});
        second = job_push(&(struct wish){.m = 3});
        ck_assert(compose());
        ck_assert_ptr_eq(batch.slices[0].job, first);
        job_end_early(first, STATUS_CANCELLED, "cancelled");
        scheduler_remove(&scheduler, first);
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 1);
        ck_assert_ptr_eq(batch.slices[0].job, second);
        (void)job_drop(first);
        (void)job_drop(second);
}
END_TEST

/* ---- scenes: jobs a, b, c, ... and the batches that become of them ---- */

#define JOBS_MAX 6

static struct job *jobs[JOBS_MAX];

static char letter_of(const struct job *job)
{
        for (size_t i = 0; i < JOBS_MAX; i++)
                if (jobs[i] == job)
                        return (char)('a' + i);
        return '?';
}

/* "a0+4 c0+1 | b0+2 !d": two stacks, slices with their first row and rows; and jobs that were ended as late. */
static void describe(bool is_composed, char *text, size_t n_bytes)
{
        struct job *job;
        size_t at = 0;

        text[0] = '\0';
        for (size_t i = 0; is_composed && i < batch.n_stacks; i++) {
                const struct stack *stack = &batch.stacks[i];

                for (size_t j = stack->first; j < stack->first + stack->n_slices; j++)
                        at += (size_t)snprintf(text + at, n_bytes - at, "%s%c%d+%d",
                                               j > stack->first ? " "
                                               : i > 0          ? " | "
                                                                : "",
                                               letter_of(batch.slices[j].job), (int)batch.slices[j].first_row,
                                               (int)batch.slices[j].rows);
        }
        while ((job = TAILQ_FIRST(&ended))) {
                TAILQ_REMOVE(&ended, job, ended_link);
                ck_assert_int_eq(job->end_status, STATUS_DEADLINE);
                ck_assert_ptr_null(job->flow);
                at += (size_t)snprintf(text + at, n_bytes - at, "%s!%c", at > 0 ? " " : "", letter_of(job));
        }
}

/* A block is 4 rows at 1 ns each, a submission costs 10 ns; batches are composed until nothing is left. */
#define BLOCK 4
#define FIXED 10

#define B2 (FIXED + 2 * BLOCK) /* bounds of two blocks, and of many */
#define B9 (FIXED + 9 * BLOCK)

static const struct {
        const char *what;
        uint64_t bound_ns;
        size_t stacks_max; /* 0: many */
        bool is_not_stacking;
        struct wish jobs[JOBS_MAX]; /* m 0: no more of them */
        const char *batches;
} scenes[] = {
        /* stacks */
        {"the same weights share a stack",
         B9,
         0,
         false,
         {{.m = 1, .weights = 1}, {.m = 1, .weights = 1}, {.m = 2, .weights = 1}},
         "a0+1 b0+1 c0+2"},
        {"different weights do not",
         B9,
         0,
         false,
         {{.m = 1, .weights = 1}, {.m = 1, .weights = 2}},
         "a0+1 | b0+1"},
        {"slices of a stack stand side by side",
         B9,
         0,
         false,
         {{.m = 1, .weights = 1}, {.m = 1, .weights = 2}, {.m = 1, .weights = 1}, {.m = 1, .weights = 2}},
         "a0+1 c0+1 | b0+1 d0+1"},
        {"users share it, too",
         B9,
         0,
         false,
         {{.m = 1, .weights = 1}, {.m = 1, .weights = 1, .client = 2}},
         "a0+1 b0+1"},
        {"operands of one's own do not stack", B9, 0, false, {{.m = 1}, {.m = 1}}, "a0+1 | b0+1"},
        {"tile16 stands apart",
         B9,
         0,
         false,
         {{.m = 1, .weights = 1},
          {.m = 1, .weights = 1, .form = OUTPUT_TILE16_SHIFT7},
          {.m = 1, .weights = 1, .form = OUTPUT_FLOAT32}},
         "a0+1 c0+1 | b0+1"},
        {"stacking off", B9, 0, true, {{.m = 1, .weights = 1}, {.m = 1, .weights = 1}}, "a0+1 | b0+1"},
        {"a device of one stack",
         B9,
         1,
         false,
         {{.m = 4, .weights = 1}, {.m = 1, .weights = 2}, {.m = 1, .weights = 1}},
         "a0+4; b0+1; c0+1"},
        {"a device of one stack: others ride",
         B9,
         1,
         false,
         {{.m = 1, .weights = 1}, {.m = 1, .weights = 2}, {.m = 1, .weights = 1}},
         "a0+1 c0+1; b0+1"},
        {"a device of two stacks",
         B9,
         2,
         false,
         {{.m = 1, .weights = 1}, {.m = 1, .weights = 2}, {.m = 1, .weights = 3}},
         "a0+1 | b0+1; c0+1"},
        {"as many rows as fit, then a cut",
         B2,
         0,
         false,
         {{.m = 3, .weights = 1}, {.m = 9, .weights = 1}},
         "a0+3 b0+5; b5+4"},
        {"a cut makes the stack whole, not the slice",
         B2,
         0,
         false,
         {{.m = 1, .weights = 1}, {.m = 100, .weights = 1}},
         "a0+1 b0+7; b7+8; b15+8; b23+8; b31+8; b39+8; b47+8; b55+8; b63+8; b71+8; b79+8; b87+8; b95+5"},
        /* padding */
        {"who comes too late in the order rides",
         B2,
         0,
         false,
         {{.m = 3, .weights = 1}, {.m = 6}, {.m = 1, .weights = 1}},
         "a0+3 c0+1 | b0+4; b4+2"},
        {"as far as there is padding",
         B2,
         0,
         false,
         {{.m = 3, .weights = 1}, {.m = 6}, {.m = 10, .weights = 1}},
         "a0+3 c0+1 | b0+4; b4+2 | c1+4; c5+5"},
        {"the oldest first",
         B2,
         0,
         false,
         {{.m = 3, .weights = 1},
          {.m = 8},
          {.m = 1, .weights = 1, .client = 2, .class = CLASS_BULK},
          {.m = 1, .weights = 1}},
         "a0+3 c0+1 | b0+4; b4+4 | d0+1"},
        {"not with other weights",
         B2,
         0,
         false,
         {{.m = 3, .weights = 1}, {.m = 6}, {.m = 1, .weights = 2}},
         "a0+3 | b0+4; b4+2 | c0+1"},
        {"not with stacking off",
         B2,
         0,
         true,
         {{.m = 3, .weights = 1}, {.m = 6}, {.m = 1, .weights = 1}},
         "a0+3 | b0+4; b4+2 | c0+1"},
        {"not as tile16",
         B2,
         0,
         false,
         {{.m = 3, .weights = 1}, {.m = 6}, {.m = 1, .weights = 1, .form = OUTPUT_TILE16_SHIFT7}},
         "a0+3 | b0+4; b4+2 | c0+1"},
        /* bulk */
        {"bulk rides",
         B9,
         0,
         false,
         {{.m = 1, .weights = 1},
          {.m = 2, .weights = 1, .class = CLASS_BULK},
          {.m = 1, .weights = 2, .class = CLASS_BULK}},
         "a0+1 b0+2; c0+1"},
        {"bulk rides as far as there is padding",
         B9,
         0,
         false,
         {{.m = 1, .weights = 1}, {.m = 6, .weights = 1, .class = CLASS_BULK}},
         "a0+1 b0+3; b3+3"},
        {"bulk lengthens no batch",
         B9,
         0,
         false,
         {{.m = 4, .weights = 1}, {.m = 1, .weights = 1, .class = CLASS_BULK}},
         "a0+4; b0+1"},
        {"bulk by itself",
         B9,
         0,
         false,
         {{.m = 2, .weights = 1, .class = CLASS_BULK}, {.m = 2, .weights = 2, .class = CLASS_BULK}},
         "a0+2 | b0+2"},
        {"interactive and normal go together",
         B9,
         0,
         false,
         {{.m = 1}, {.m = 1, .class = CLASS_BULK}, {.m = 1, .class = CLASS_INTERACTIVE}},
         "c0+1 | a0+1; b0+1"},
        /* groups */
        {"a group as a whole",
         B9,
         0,
         false,
         {{.m = 4, .more = true}, {.m = 5, .more = true}, {.m = 1}},
         "a0+4 | b0+5 | c0+1"},
        {"a group that does not fit in waits",
         B2,
         0,
         false,
         {{.m = 4}, {.m = 4, .more = true}, {.m = 4}},
         "a0+4; b0+4 | c0+4"},
        {"and is not overtaken",
         B2,
         0,
         false,
         {{.m = 4}, {.m = 4, .more = true}, {.m = 4}, {.m = 1}},
         "a0+4; b0+4 | c0+4; d0+1"},
        {"a group that fits in nowhere goes job by job",
         B2,
         0,
         false,
         {{.m = 4}, {.m = 4, .more = true}, {.m = 4, .more = true}, {.m = 4}},
         "a0+4 | b0+4; c0+4 | d0+4"},
        {"a job of it that is too long is cut",
         B2,
         0,
         false,
         {{.m = 10, .more = true}, {.m = 4}},
         "a0+8; a8+2 | b0+4"},
        {"what is left of it is no group that a batch would end for",
         B9,
         0,
         false,
         {{.m = 20, .more = true}, {.m = 8, .more = true}, {.m = 12}},
         "a0+20 | b0+8 | c0+8; c8+4"},
        {"a group of more stacks than there are",
         B9,
         2,
         false,
         {{.m = 1, .more = true}, {.m = 1, .more = true}, {.m = 1}},
         "a0+1 | b0+1; c0+1"},
        {"a group that stacks",
         B2,
         1,
         false,
         {{.m = 1, .weights = 1},
          {.m = 1, .weights = 1, .more = true},
          {.m = 1, .weights = 1, .more = true},
          {.m = 5, .weights = 1}},
         "a0+1 b0+1 c0+1 d0+5"},
        {"a group does not ride",
         B2,
         0,
         false,
         {{.m = 3, .weights = 1},
          {.m = 8},
          {.m = 1, .weights = 1, .more = true, .client = 1, .class = CLASS_BULK},
          {.m = 1, .weights = 1, .client = 1, .class = CLASS_BULK}},
         "a0+3 | b0+4; b4+4; c0+1 d0+1"},
        /* deadlines: a block takes 14 ns */
        {"just in time", B9, 0, false, {{.m = 4, .within_ns = 14}}, "a0+4"},
        {"too late by 1 ns", B9, 0, false, {{.m = 4, .within_ns = 13}}, "!a"},
        {"the batch ends in time for who is in it",
         B9,
         0,
         false,
         {{.m = 4, .within_ns = 18}, {.m = 12}},
         "a0+4 | b0+4; b4+8"},
        {"and not earlier than it must",
         B9,
         0,
         false,
         {{.m = 4, .within_ns = 22}, {.m = 12}},
         "a0+4 | b0+8; b8+4"},
        {"a group does not make it late",
         B9,
         0,
         false,
         {{.m = 4, .within_ns = 21}, {.m = 4, .more = true}, {.m = 4}},
         "a0+4; b0+4 | c0+4"},
        {"late ones make room",
         B2,
         0,
         false,
         {{.m = 8, .within_ns = 5}, {.m = 8}, {.m = 1, .within_ns = 5}},
         "b0+8 !a !c"},
        {"as long as it takes as a whole", B2, 0, false, {{.m = 100, .within_ns = 109}, {.m = 4}}, "b0+4 !a"},
        {"one of a group",
         B9,
         0,
         false,
         {{.m = 4, .more = true}, {.m = 4, .more = true, .within_ns = 5}, {.m = 4}},
         "a0+4 | c0+4 !b"},
        {"the first of a group", B9, 0, false, {{.m = 4, .more = true, .within_ns = 5}, {.m = 4}}, "b0+4 !a"},
        {"all of a group",
         B9,
         0,
         false,
         {{.m = 4, .more = true, .within_ns = 5}, {.m = 4, .within_ns = 5}},
         "!a !b"},
        {"late ones do not ride",
         B2,
         0,
         false,
         {{.m = 1, .weights = 1}, {.m = 1, .weights = 1, .class = CLASS_BULK, .within_ns = 13}},
         "a0+1; !b"},
        {"others do",
         B2,
         0,
         false,
         {{.m = 1, .weights = 1}, {.m = 1, .weights = 1, .class = CLASS_BULK, .within_ns = 14}},
         "a0+1 b0+1"},
};

static void pad_to_blocks(void)
{
        batcher.padding.rows = batcher.granule_rows = BLOCK;
        cost_init(&cost, FIXED, 1);
}

START_TEST(test_scene)
{
        char batches[512] = "";
        bool is_composed;

        pad_to_blocks();
        batcher.bound_ns = scenes[_i].bound_ns;
        batcher.stacks = !scenes[_i].is_not_stacking;
        if (scenes[_i].stacks_max > 0)
                batcher.stacks_max = scenes[_i].stacks_max;
        for (size_t i = 0; i < JOBS_MAX; i++)
                jobs[i] = scenes[_i].jobs[i].m > 0 ? job_push(&scenes[_i].jobs[i]) : NULL;
        do {
                const size_t at = strlen(batches);
                char text[128];

                is_composed = compose();
                describe(is_composed, text, sizeof text);
                if (text[0] != '\0')
                        (void)snprintf(batches + at, sizeof batches - at, "%s%s", at > 0 ? "; " : "", text);
        } while (is_composed);
        ck_assert_msg(strcmp(batches, scenes[_i].batches) == 0, "%s: \"%s\", but \"%s\" was expected",
                      scenes[_i].what, batches, scenes[_i].batches);
        for (size_t i = 0; i < JOBS_MAX; i++)
                if (jobs[i])
                        (void)job_drop(jobs[i]);
}
END_TEST

/* ---- what it costs ---- */

/* The first brings the submission about; a row costs the block that it begins; riders cost nothing. */
START_TEST(test_charges)
{
        static const struct wish wishes[] = {
                {.m = 3, .weights = 1},                       /* 10 + 4 */
                {.m = 1, .weights = 1},                       /* fills the block: 0 */
                {.m = 1, .weights = 1},                       /* begins another: 4 */
                {.m = 6, .weights = 2},                       /* 8 */
                {.m = 9, .weights = 1, .class = CLASS_BULK},  /* rides: 3 rows for 0 */
                {.m = 1, .weights = 2, .class = CLASS_BULK}}; /* and so does this: 0 */
        static const double expected[] = {14, 0, 4, 0, 8, 0}; /* in the order of the stacks */

        pad_to_blocks();
        for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
                jobs[i] = job_push(&wishes[i]);
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 6);
        ck_assert_uint_eq(batch.n_stacks, 2);
        for (size_t i = 0; i < 6; i++)
                ck_assert_double_eq(batch.slices[i].charge_ns, expected[i]);
        ck_assert_uint_eq(batch.predicted_ns, 26);
        ck_assert_ptr_eq(batch.slices[3].job, jobs[4]);
        ck_assert_uint_eq(batch.slices[3].rows, 3);
        ck_assert_uint_eq(batch.stacks[0].rows, 8);
        ck_assert_double_eq(batch.stacks[0].padded_macs, 8);
        ck_assert_uint_eq(batch.stacks[1].rows, 7);
        ck_assert_double_eq(batch.stacks[1].padded_macs, 8);
        ck_assert_uint_eq(report.jobs, 6);
        ck_assert_uint_eq(report.rows_stacked, 15);
        ck_assert_double_eq(report.macs, 15);
        ck_assert_double_eq(report.work.macs[cost_class(&jobs[0]->product)], 16);
        ck_assert_double_eq(clients[0].user->lanes[LANE_FRONT].served_ns, 26);
        ck_assert_double_eq(clients[0].user->lanes[LANE_BULK].served_ns, 0); /* it was given away */
        for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
                (void)job_drop(jobs[i]);
}
END_TEST

/* The NPU's blocks: a single row costs as much as 256, and stacked rows nothing more. */
START_TEST(test_npu_padding)
{
        const struct product product = {.m = 1, .k = 100, .n = 300};

        batcher.padding = (struct device_padding){256, 64, 256};
        ck_assert_double_eq(batcher_padded_macs(&batcher, &product, 1), 256.0 * 128 * 512);
        ck_assert_double_eq(batcher_padded_macs(&batcher, &product, 256), 256.0 * 128 * 512);
        ck_assert_double_eq(batcher_padded_macs(&batcher, &product, 257), 512.0 * 128 * 512);
        cost.slopes[cost_class(&product)].ns_per_mac = 0.5;
        ck_assert_double_eq(batcher_job_ns(&batcher, &cost, &product, 257), 512.0 * 128 * 512 / 2);
}
END_TEST

/* A device whose rows are not all alike: a stack costs what its work_macs says, whatever is padded. */
static double steep_work_macs(const struct product *product, uint64_t rows)
{
        return (double)(rows * rows * product->k);
}

START_TEST(test_work_of_a_device_of_its_own)
{
        pad_to_blocks();
        batcher.work_macs = steep_work_macs;
        batcher.bound_ns = FIXED + 70;
        jobs[0] = job_push(&(struct wish){.m = 3, .weights = 1});
        jobs[1] = job_push(&(struct wish){.m = 2, .weights = 1});
        jobs[2] = job_push(&(struct wish){.m = 40});
        ck_assert_double_eq(batcher_job_ns(&batcher, &cost, &jobs[0]->product, 3), 9);
        ck_assert_double_eq(batcher_job_ns(&batcher, &cost, &jobs[0]->product, 0), 0);
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 3);
        ck_assert_double_eq(batch.slices[0].charge_ns, FIXED + 9);
        ck_assert_double_eq(batch.slices[1].charge_ns, 25 - 9); /* of 5 rows */
        ck_assert_uint_eq(batch.slices[2].rows, 4);             /* 16; two blocks would cost 64 */
        ck_assert_double_eq(batch.slices[2].charge_ns, 16);
        ck_assert_uint_eq(batch.predicted_ns, FIXED + 25 + 16);
        ck_assert_double_eq(batch.stacks[0].padded_macs, 8); /* what it makes of them is another matter */
        ck_assert_double_eq(report.work.macs[cost_class(&jobs[0]->product)], 25 + 16);
        for (size_t i = 0; i < 3; i++)
                (void)job_drop(jobs[i]);
}
END_TEST

/* Where forms differ in what a row costs, each pays for its own, whoever came before. */
static double formed_work_macs(const struct product *product, uint64_t rows)
{
        return (double)(rows * (product->form == OUTPUT_INT8 ? 5 : 1));
}

START_TEST(test_forms_in_a_stack)
{
        static const struct wish wishes[] = {{.m = 8, .weights = 1, .form = OUTPUT_INT8},
                                             {.m = 2, .weights = 1, .form = OUTPUT_INT32},
                                             {.m = 1, .weights = 1, .form = OUTPUT_INT32},
                                             {.m = 3, .weights = 1, .form = OUTPUT_INT8}};
        static const double expected[] = {1 + 40, 2, 1, 15};

        batcher.work_macs = formed_work_macs;
        for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
                jobs[i] = job_push(&wishes[i]);
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_stacks, 1);
        for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
                ck_assert_double_eq(batch.slices[i].charge_ns, expected[i]);
        ck_assert_uint_eq(batch.predicted_ns, 1 + 40 + 3 + 15);
        ck_assert_double_eq(report.work.macs[cost_class(&jobs[0]->product)], 40 + 3 + 15);
        for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
                (void)job_drop(jobs[i]);
}
END_TEST

/* A submission that holds ten rows of whatever it is, or twenty of B that stays. */
static double tenth_share(const struct product *product, uint64_t rows)
{
        return (double)rows / (product->resident ? 20 : 10);
}

START_TEST(test_a_submission_holds_so_much)
{
        batcher.share = tenth_share;
        jobs[0] = job_push(&(struct wish){.m = 8, .weights = 1});
        jobs[1] = job_push(&(struct wish){.m = 3});
        jobs[2] = job_push(&(struct wish){.m = 4});
        ck_assert(compose()); /* 8 / 20, 3 / 10, and 3 of the last one's rows */
        ck_assert_uint_eq(batch.n_slices, 3);
        ck_assert_uint_eq(batch.slices[2].rows, 3);
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 1);
        ck_assert_uint_eq(batch.slices[0].rows, 1);
        for (size_t i = 0; i < 3; i++)
                (void)job_drop(jobs[i]);
}
END_TEST

/* A group that holds too much for one is no group. */
START_TEST(test_a_group_holds_too_much)
{
        batcher.share = tenth_share;
        jobs[0] = job_push(&(struct wish){.m = 6, .more = true});
        jobs[1] = job_push(&(struct wish){.m = 6});
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 2);
        ck_assert_uint_eq(batch.slices[0].rows, 6);
        ck_assert_uint_eq(batch.slices[1].rows, 4);
        ck_assert(compose());
        ck_assert_uint_eq(batch.slices[0].rows, 2);
        for (size_t i = 0; i < 2; i++)
                (void)job_drop(jobs[i]);
}
END_TEST

/* What is too large by itself goes all the same, alone, and only time bounds it: the device makes several of it. */
START_TEST(test_a_row_that_no_submission_holds)
{
        pad_to_blocks();
        batcher.share = tenth_share;
        batcher.padding.rows = batcher.granule_rows = 16;
        batcher.bound_ns = FIXED + 32; /* two blocks */
        jobs[0] = job_push(&(struct wish){.m = 33});
        jobs[1] = job_push(&(struct wish){.m = 1});
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 1);
        ck_assert_uint_eq(batch.slices[0].rows, 32);
        ck_assert(compose());
        ck_assert_uint_eq(batch.slices[0].rows, 1);
        for (size_t i = 0; i < 2; i++)
                (void)job_drop(jobs[i]);
}
END_TEST

/* As many slices as a batch holds, and not one more, not even in what would be padding. */
START_TEST(test_slices_max)
{
        struct job *many[BATCH_SLICES_MAX + 10];

        batcher.padding.rows = batcher.granule_rows = 1024;
        for (size_t i = 0; i < ARRAY_SIZE(many); i++)
                many[i] = job_push(&(struct wish){.m = 1, .weights = 1});
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, BATCH_SLICES_MAX);
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 10);
        for (size_t i = 0; i < ARRAY_SIZE(many); i++)
                (void)job_drop(many[i]);
}
END_TEST

/* Bulk that has waited for too long comes first, and is then not alone. */
START_TEST(test_starving_bulk)
{
        char text[64];

        pad_to_blocks();
        jobs[0] = job_push(&(struct wish){.m = 5, .class = CLASS_BULK});
        jobs[1] = job_push(&(struct wish){.m = 5, .class = CLASS_BULK});
        now_ns += AGING_NS - 1;
        jobs[2] = job_push(&(struct wish){.m = 1});
        jobs[3] = NULL;
        ck_assert(compose());
        describe(true, text, sizeof text);
        ck_assert_str_eq(text, "c0+1");
        now_ns += 1;
        jobs[3] = job_push(&(struct wish){.m = 1});
        ck_assert(compose());
        describe(true, text, sizeof text);
        ck_assert_str_eq(text, "a0+5 | d0+1"); /* once: the second bulk job waits again */
        ck_assert(compose());
        describe(true, text, sizeof text);
        ck_assert_str_eq(text, "b0+5");
        for (size_t i = 0; i < 4; i++)
                (void)job_drop(jobs[i]);
}
END_TEST

/* What rides is no turn: the rest of it has waited all the while. */
START_TEST(test_riding_is_no_turn)
{
        pad_to_blocks();
        jobs[0] = job_push(&(struct wish){.m = 9, .weights = 1, .class = CLASS_BULK});
        now_ns += AGING_NS - 1;
        jobs[1] = job_push(&(struct wish){.m = 1, .weights = 1});
        ck_assert(compose());
        ck_assert_uint_eq(batch.n_slices, 2);
        ck_assert_ptr_eq(batch.slices[1].job, jobs[0]);
        now_ns += 1;
        ck_assert(scheduler_is_starving(&scheduler, CLASS_BULK, now_ns));
        ck_assert(compose());
        for (size_t i = 0; i < 2; i++)
                (void)job_drop(jobs[i]);
}
END_TEST

/* Others that have waited even longer come before it, and it goes along. */
START_TEST(test_starving_bulk_beside_others)
{
        char text[64];

        pad_to_blocks();
        jobs[0] = job_push(&(struct wish){.m = 1});
        now_ns += 1;
        jobs[1] = job_push(&(struct wish){.m = 1, .class = CLASS_BULK});
        jobs[2] = job_push(&(struct wish){.m = 1, .class = CLASS_BULK});
        jobs[3] = NULL;
        now_ns += AGING_NS;
        ck_assert(compose());
        describe(true, text, sizeof text);
        ck_assert_str_eq(text, "a0+1 | b0+1");
        ck_assert(compose());
        for (size_t i = 0; i < 3; i++)
                (void)job_drop(jobs[i]);
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("batcher");

        tcase_add_checked_fixture(tcase, desk_open, desk_close);
        tcase_add_test(tcase, test_nothing_waits);
        tcase_add_loop_test(tcase, test_cut, 0, ARRAY_SIZE(cuts));
        tcase_add_test(tcase, test_largest_shape);
        tcase_add_test(tcase, test_ended_job_is_skipped);
        tcase_add_loop_test(tcase, test_scene, 0, ARRAY_SIZE(scenes));
        tcase_add_test(tcase, test_charges);
        tcase_add_test(tcase, test_npu_padding);
        tcase_add_test(tcase, test_work_of_a_device_of_its_own);
        tcase_add_test(tcase, test_forms_in_a_stack);
        tcase_add_test(tcase, test_a_submission_holds_so_much);
        tcase_add_test(tcase, test_a_group_holds_too_much);
        tcase_add_test(tcase, test_a_row_that_no_submission_holds);
        tcase_add_test(tcase, test_slices_max);
        tcase_add_test(tcase, test_starving_bulk);
        tcase_add_test(tcase, test_riding_is_no_turn);
        tcase_add_test(tcase, test_starving_bulk_beside_others);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("batcher");

        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
