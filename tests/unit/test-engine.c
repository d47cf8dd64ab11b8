/* SPDX-License-Identifier: MIT */
/*
 * test-engine.c - the worker's engine on a model of the array: results, what they cost, weights that come and go,
 * faults, and that no transfer is missing.
 *
 * XRT's place is taken by tests/fake/xrt-shim.c: a MODEL, no NPU.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/xrt/engine.h"
#include "daemon/xrt/selftest.h"
#include "tests/fake/xrt-shim.h"
#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define PRODUCTS_MAX  64
#define RESIDENTS_MAX 40
#define KIB           UINT64_C(1024)
#define MIB           (KIB * KIB)

static struct rng rng;
static struct wire_gate gate;
static struct engine *engine;
static struct engine_options options;
static struct xrt_fault fault;
static struct wire_done done; /* the last one */

/* Operands of their own, exactly as large as they must be. */
static struct operands {
        struct product product;
        void *a, *b, *c; /* owned; b of a resident: NULL */
        size_t c_bytes;
} operands[PRODUCTS_MAX];
static size_t n_operands;

static struct mapping residents[RESIDENTS_MAX]; /* `bytes` is owned */
static uint64_t resident_n[RESIDENTS_MAX];      /* columns; rows are size_bytes / n */

static void setup(void)
{
        rng_start(&rng, "engine");
        options = (struct engine_options){.device = fake_xrt_open(),
                                          .flow = STREAM64_POLL,
                                          .check = ENGINE_CHECK_ALWAYS,
                                          .timeout_ns = UINT64_C(10000000000),
                                          .weights_bytes = 512 * KIB,
                                          .weights_first_bytes = 64 * KIB,
                                          .gate = &gate};
        engine = NULL;
        done = (struct wire_done){0};
}

static void engine_start(void)
{
        ck_assert_int_eq(engine_new(&options, &engine, &fault), 0);
}

static void operands_free(void)
{
        for (size_t i = 0; i < n_operands; i++) {
                free(operands[i].a);
                free(operands[i].b);
                free(operands[i].c);
        }
        n_operands = 0;
}

static void teardown(void)
{
        fake_xrt_abandon();
        engine = engine_free(engine);
        fake_xrt_close();
        operands_free();
        for (size_t i = 0; i < RESIDENTS_MAX; i++)
                free(residents[i].bytes);
        memset(residents, 0, sizeof residents);
        ck_assert_uint_eq(gate.is_inside, 0);
}

/* ---- products ---- */

static void *random_new(uint64_t bytes)
{
        void *memory = malloc(bytes);

        ck_assert_ptr_nonnull(memory);
        rng_fill(&rng, memory, bytes);
        return memory;
}

static struct mapping *resident_new(size_t i, uint64_t k, uint64_t n)
{
        residents[i] = (struct mapping){.id = i + 1, .bytes = random_new(k * n), .size_bytes = k * n};
        resident_n[i] = n;
        return &residents[i];
}

/* A product of its own; with `stays`, of that B. */
static struct product *product_new(uint64_t m, uint64_t k, uint64_t n, struct mapping *stays)
{
        struct operands *of = &operands[n_operands++];

        ck_assert_uint_le(n_operands, PRODUCTS_MAX);
        of->a = random_new(m * k);
        of->b = stays ? NULL : random_new(k * n);
        of->c_bytes = m * n * sizeof(int32_t);
        of->c = malloc(of->c_bytes);
        ck_assert_ptr_nonnull(of->c);
        memset(of->c, 0xee, of->c_bytes);
        of->product = (struct product){.m = m,
                                       .k = k,
                                       .n = n,
                                       .a = of->a,
                                       .lda = k,
                                       .b = stays ? (const int8_t *)stays->bytes : of->b,
                                       .ldb = n,
                                       .c = of->c,
                                       .ldc = n,
                                       .form = OUTPUT_INT32};
        return &of->product;
}

static void expect_right(void)
{
        for (size_t i = 0; i < n_operands; i++) {
                const struct product *p = &operands[i].product;
                const struct oracle_product judged = {.m = p->m,
                                                      .k = p->k,
                                                      .n = p->n,
                                                      .a = p->a,
                                                      .lda = p->lda,
                                                      .b = p->b,
                                                      .ldb = p->ldb,
                                                      .b_transposed = p->b_transposed,
                                                      .form = (enum oracle_form)p->form,
                                                      .shift = p->shift,
                                                      .nearest_even = p->rounding == ROUNDING_NEAREST_EVEN};

                ck_assert(oracle_check(&judged, 0, p->m, p->c, p->ldc));
        }
}

/* ---- batches ---- */

static struct work *work_new(void)
{
        struct work *work = engine_room(engine);

        ck_assert_ptr_nonnull(work);
        *work = (struct work){0};
        return work;
}

static void work_put(struct work *work, const struct product *product, struct mapping *stays)
{
        work_add(work, product, 0, product->m, stays, !work_stacks_with_last(work, product));
}

/* Steps, ends, and batches that are done, as worker.c does it; until `n` are. 0, or the fault. */
static int run(size_t n)
{
        while (n > 0) {
                struct pollfd end = {.fd = engine_fd(engine), .events = POLLIN};
                bool has_stepped;
                int r;

                r = engine_step(engine, &has_stepped, &fault);
                if (r != 0)
                        return r;
                if (engine_pop(engine, &done)) {
                        n--;
                        continue;
                }
                (void)poll(&end, 1, has_stepped ? 0 : -1);
                r = engine_reap(engine, &fault);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* One product as a batch by itself. */
static int run_one(uint64_t m, uint64_t k, uint64_t n, struct mapping *stays)
{
        struct work *work = work_new();

        work_put(work, product_new(m, k, n, stays), stays);
        engine_push(engine);
        return run(1);
}

static void expect_counts(uint64_t submissions, uint64_t matrix_syncs, uint64_t control_syncs,
                          uint64_t matrix_copies, uint64_t weights_packs)
{
        ck_assert_uint_eq(done.counts.submissions, submissions);
        ck_assert_uint_eq(done.counts.matrix_syncs, matrix_syncs);
        ck_assert_uint_eq(done.counts.control_syncs, control_syncs);
        ck_assert_uint_eq(done.counts.matrix_copies, matrix_copies);
        ck_assert_uint_eq(done.counts.weights_packs, weights_packs);
}

/* ---- what it costs ---- */

START_TEST(test_one_product_with_weights)
{
        struct mapping *stays = resident_new(0, 512, 512);

        options.weights_bytes = 8 * MIB;
        engine_start();
        ck_assert_int_eq(run_one(500, 512, 512, stays), 0);
        expect_counts(1, 2, 2, 2, 1); /* the stream is new, and so are the weights */
        ck_assert_int_eq(run_one(500, 512, 512, stays), 0);
        expect_counts(1, 2, 1, 2, 0);
        ck_assert_uint_eq(done.counts.checks, 1);
        expect_right();
}
END_TEST

START_TEST(test_mixed_batch)
{
        struct mapping *stays = resident_new(0, 100, 70);
        struct work *work;

        engine_start();
        work = work_new();
        work_put(work, product_new(300, 64, 300, NULL), NULL);
        for (size_t i = 0; i < 3; i++)
                work_put(work, product_new(7, 100, 70, stays), stays); /* one stack */
        work_put(work, product_new(1, 200, 30, NULL), NULL);
        ck_assert_uint_eq(work->n_stacks, 3);
        engine_push(engine);
        ck_assert_int_eq(run(1), 0);
        expect_counts(1, 3, 2, 2 * 5 + 2, 1);
        ck_assert_uint_eq(done.counts.checks, 3);
        expect_right();
}
END_TEST

START_TEST(test_two_in_flight)
{
        engine_start();
        for (size_t i = 0; i < 12; i++) {
                struct work *work;

                if (i >= WIRE_BATCHES_MAX)
                        ck_assert_int_eq(run(1), 0);
                work = work_new();
                work->number = i;
                work_put(work, product_new(rng_between(&rng, 1, 300), 100, 40, NULL), NULL);
                engine_push(engine);
        }
        ck_assert_ptr_null(engine_room(engine));
        ck_assert_int_eq(run(2), 0);
        ck_assert_uint_eq(done.number, 11);
        ck_assert_uint_le(fake_xrt.n_in_flight_most, 2);
        expect_right();
}
END_TEST

/* Batches of one submission each: the second is started while the first is in flight. */
START_TEST(test_two_batches_in_flight)
{
        bool has_stepped;

        fake_xrt.n_held = 2; /* the first ends no sooner */
        engine_start();
        for (size_t i = 0; i < 2; i++) {
                struct work *work = work_new();

                work_put(work, product_new(1 + i, 100, 40, NULL), NULL);
                engine_push(engine);
        }
        for (size_t i = 0; i < 10; i++) /* nothing is reaped */
                ck_assert_int_eq(engine_step(engine, &has_stepped, &fault), 0);
        ck_assert(!has_stepped);
        ck_assert_uint_eq(fake_xrt.n_commands, 2);
        ck_assert_int_eq(run(1), 0);
        ck_assert_uint_eq(done.counts.submissions, 1);
        ck_assert_int_eq(run(1), 0);
        ck_assert_uint_eq(fake_xrt.n_in_flight_most, 2);
        expect_right();
}
END_TEST

/* Too large for one submission: cut, and in flight side by side. */
START_TEST(test_several_submissions)
{
        engine_start();
        ck_assert_int_eq(run_one(1, 1, 257 * 256, NULL), 0); /* a macro-tile more than fit into one */
        ck_assert_uint_eq(done.counts.submissions, 2);
        ck_assert_uint_eq(done.counts.matrix_syncs, 6);
        ck_assert_uint_eq(fake_xrt.n_in_flight_most, 2);
        expect_right();
}
END_TEST

START_TEST(test_forms)
{
        struct work *work;

        engine_start();
        work = work_new();
        for (size_t i = 0; i < 6; i++) {
                struct product *product = product_new(30, 90, 50, NULL);

                product->form = i % 2 == 0 ? OUTPUT_INT8 : OUTPUT_TILE16_SHIFT7; /* the latter is the CPU's */
                product->shift = (uint32_t)i;
                product->rounding = i == 2 ? ROUNDING_NEAREST_EVEN : ROUNDING_FLOOR;
                work_put(work, product, NULL);
        }
        engine_push(engine);
        ck_assert_int_eq(run(1), 0);
        expect_counts(1, 3, 2, 9, 0);
        expect_right();
        operands_free();
        work = work_new();
        work_put(work, product_new(9, 2000, 2500, NULL), NULL); /* in pieces */
        work->products[0].form = operands[0].product.form = OUTPUT_TILE16_SHIFT7;
        work->stacks[0].is_cpus = true;
        engine_push(engine);
        ck_assert_int_eq(run(1), 0);
        expect_counts(0, 0, 0, 0, 0);
        expect_right();
}
END_TEST

/* ---- weights ---- */

START_TEST(test_weights_grow)
{
        engine_start();
        for (size_t i = 0; i < RESIDENTS_MAX; i++) {
                struct mapping *stays = resident_new(i, 60, 200); /* 16 KiB, packed */

                ck_assert_int_eq(run_one(3, 60, 200, stays), 0);
                ck_assert_uint_eq(done.counts.weights_packs, 1);
                expect_right();
                operands_free();
        }
        for (size_t i = 0; i < RESIDENTS_MAX; i++) /* 640 KiB are too much: the oldest have gone */
                ck_assert(residents[i].packed.is_placed == (i >= 8));
        ck_assert_int_eq(run_one(3, 60, 200, &residents[39]), 0);
        ck_assert_uint_eq(done.counts.weights_packs, 0);
        ck_assert_int_eq(run_one(3, 60, 200, &residents[0]), 0);
        ck_assert_uint_eq(done.counts.weights_packs, 1);
        expect_right();
}
END_TEST

/* What was packed before the object grew is right in the larger one, without being packed again. */
START_TEST(test_weights_survive_growth)
{
        engine_start();
        for (size_t i = 0; i < 17; i++) { /* 16 KiB each: it grows for the fifth, the ninth and the last */
                ck_assert_int_eq(run_one(3, 60, 200, resident_new(i, 60, 200)), 0);
                ck_assert_uint_eq(done.counts.weights_packs, 1);
                for (size_t old = 0; old <= i; old++) {
                        ck_assert_int_eq(run_one(2, 60, 200, &residents[old]), 0);
                        ck_assert_uint_eq(done.counts.weights_packs, 0);
                }
                expect_right();
                operands_free();
        }
        ck_assert_uint_ge(residents[16].packed.offset, 256 * KIB);
}
END_TEST

/* More than is packed at once. Columns all over it are looked at, of each macro-tile some, and the last. */
START_TEST(test_weights_in_pieces)
{
        const uint64_t k = 512, n = 40000;
        struct mapping *stays = resident_new(0, k, n);
        const struct product *product;

        options.check = ENGINE_CHECK_OFF; /* it goes by what was packed: we go by B itself */
        options.weights_bytes = 96 * MIB;
        options.weights_first_bytes = 8 * MIB;
        engine_start();
        ck_assert_int_eq(run_one(1, k, n, stays), 0);
        ck_assert_uint_eq(done.counts.weights_packs, 1);
        ck_assert_uint_gt(stays->packed.bytes, 16 * MIB);
        product = &operands[0].product;
        for (uint64_t i = rng_below(&rng, 61);; i = MIN(i + 61, n - 1)) {
                int32_t sum = 0;

                for (uint64_t row = 0; row < k; row++)
                        sum += product->a[row] * product->b[row * n + i];
                ck_assert_int_eq(((const int32_t *)product->c)[i], sum);
                if (i == n - 1)
                        break;
        }
}
END_TEST

START_TEST(test_weights_take_turns)
{
        options.weights_bytes = options.weights_first_bytes = 256 * KIB;
        engine_start();
        for (size_t i = 0; i < 12; i++)
                (void)resident_new(i, 70, 300);
        for (size_t round = 0; round < 60; round++) {
                for (size_t batch = 0; batch < WIRE_BATCHES_MAX; batch++) {
                        struct work *work = work_new();

                        for (size_t i = 0; i < 3; i++) {
                                struct mapping *stays = &residents[rng_below(&rng, 12)];

                                work_put(work, product_new(rng_between(&rng, 1, 40), 70, 300, stays), stays);
                        }
                        engine_push(engine);
                }
                ck_assert_int_eq(run(WIRE_BATCHES_MAX), 0);
                expect_right();
                operands_free();
        }
}
END_TEST

/* More than can be there at once, in one batch: the others are streamed. */
START_TEST(test_weights_without_room_are_streamed)
{
        struct work *work;

        options.weights_bytes = options.weights_first_bytes = 256 * KIB;
        engine_start();
        work = work_new();
        for (size_t i = 0; i < 7; i++) {
                struct mapping *stays = resident_new(i, 64, 1000 + i); /* a quarter each */

                work_put(work, product_new(3, 64, 1000 + i, stays), stays);
        }
        engine_push(engine);
        ck_assert_int_eq(run(1), 0);
        expect_counts(1, 3, 2, 14 + 3, 4);
        expect_right();
        operands_free();
        (void)resident_new(7, 64, 1100); /* and one that may never stay */
        ck_assert_int_eq(run_one(3, 64, 1100, &residents[7]), 0);
        expect_counts(1, 3, 2, 3, 0);
        expect_right();
}
END_TEST

START_TEST(test_weights_without_memory)
{
        engine_start();
        for (size_t i = 0; i < 20; i++) {
                struct mapping *stays = resident_new(i, 60, 100 + i);

                if (i == 2)
                        fake_xrt.bytes_most =
                                fake_xrt.bytes; /* both slots are there; and the weights cannot grow */
                ck_assert_int_eq(run_one(3, 60, 100 + i, stays), 0);
                ck_assert_uint_eq(done.counts.weights_packs, 1);
        }
        ck_assert(!residents[0].packed.is_placed);
        expect_right();
}
END_TEST

START_TEST(test_forgotten_weights)
{
        struct mapping *stays = resident_new(0, 100, 100);

        engine_start();
        for (size_t i = 0; i < 3; i++) {
                ck_assert_int_eq(run_one(3, 100, 100, stays), 0);
                ck_assert_uint_eq(done.counts.weights_packs, 1);
                engine_forget(engine, stays);
                expect_right();
                operands_free();
                rng_fill(&rng, stays->bytes, stays->size_bytes); /* another one, in the same memory */
        }
}
END_TEST

/* ---- faults ---- */

static void expect_fault(enum fake_xrt_fault kind, int value, enum wire_cause cause)
{
        fake_xrt.fault = kind;
        fake_xrt.value = value;
        fake_xrt.at = fake_xrt.n_commands + 1;
        ck_assert_int_eq(run_one(30, 40, 50, NULL), XRT_E_FAULT);
        ck_assert_int_eq(fault.cause, cause);
        ck_assert_int_ne(fault.text[0], '\0');
}

START_TEST(test_faults)
{
        static const struct {
                enum fake_xrt_fault kind;
                int value;
                enum wire_cause cause;
        } cases[] = {
                {FAKE_XRT_STATE, XRT_SHIM_STATE_ERROR, WIRE_CAUSE_ERROR},
                {FAKE_XRT_STATE, XRT_SHIM_STATE_ABORT, WIRE_CAUSE_ABORT},
                {FAKE_XRT_STATE, XRT_SHIM_STATE_TIMEOUT, WIRE_CAUSE_TIMEOUT},
                {FAKE_XRT_STATE, 9, WIRE_CAUSE_ERROR},
                {FAKE_XRT_HANG, 0, WIRE_CAUSE_HUNG},
                {FAKE_XRT_IDLE, 0, WIRE_CAUSE_WRONG},
                {FAKE_XRT_WRONG, 0, WIRE_CAUSE_WRONG},
                {FAKE_XRT_START, 22, WIRE_CAUSE_LOST},
                {FAKE_XRT_START, 19, WIRE_CAUSE_GONE},
                {FAKE_XRT_WAIT, 19, WIRE_CAUSE_GONE},
                {FAKE_XRT_WAIT, 0, WIRE_CAUSE_LOST},
        };

        options.timeout_ns = UINT64_C(50000000);
        engine_start();
        ck_assert_int_eq(run_one(30, 40, 50, NULL), 0);
        expect_fault(cases[_i].kind, cases[_i].value, cases[_i].cause);
}
END_TEST

#define FAULTS 11

START_TEST(test_wrong_is_not_found_unless_looked_for)
{
        options.check = ENGINE_CHECK_OFF;
        engine_start();
        fake_xrt.fault = FAKE_XRT_WRONG;
        fake_xrt.at = 1;
        ck_assert_int_eq(run_one(30, 40, 50, NULL), 0);
        ck_assert_uint_eq(done.counts.checks, 0);
}
END_TEST

/* Once in 64 times: a dozen in 40 are as good as impossible. */
START_TEST(test_sample)
{
        uint64_t n_checks = 0;

        options.check = ENGINE_CHECK_SAMPLE;
        engine_start();
        for (size_t i = 0; i < 40; i++) {
                ck_assert_int_eq(run_one(1, 1, 1, NULL), 0);
                n_checks += done.counts.checks;
                operands_free();
        }
        ck_assert_uint_lt(n_checks, 12);
}
END_TEST

/* All are wrong: that none of 2000 is looked at happens once in 10^13 times. */
START_TEST(test_sample_finds_what_is_wrong)
{
        int r = 0;

        options.check = ENGINE_CHECK_SAMPLE;
        engine_start();
        fake_xrt.fault = FAKE_XRT_WRONG; /* every time */
        for (size_t i = 0; i < 2000 && r == 0; i++) {
                r = run_one(1, 1, 1, NULL);
                operands_free();
        }
        ck_assert_int_eq(r, XRT_E_FAULT);
        ck_assert_int_eq(fault.cause, WIRE_CAUSE_WRONG);
}
END_TEST

/* Nothing runs that was not verified, however often it was before. */
START_TEST(test_refused_stream_is_not_started)
{
        engine_start();
        ck_assert_int_eq(run_one(30, 40, 50, NULL), 0);
        ck_assert_int_eq(run_one(30, 40, 50, NULL), 0);
        ck_assert_uint_eq(done.counts.control_syncs, 1); /* the same stream */
        fake_xrt_spoil_stream();
        ck_assert_int_eq(run_one(30, 40, 50, NULL), XRT_E_FAULT);
        ck_assert_int_eq(fault.cause, WIRE_CAUSE_STREAM);
        ck_assert_uint_eq(fake_xrt.n_commands, 2);
}
END_TEST

START_TEST(test_no_memory)
{
        fake_xrt.bytes_most = 2 * MIB;
        engine_start();
        ck_assert_int_eq(run_one(1000, 4096, 40, NULL), XRT_E_FAULT);
        ck_assert_int_eq(fault.cause, WIRE_CAUSE_MEMORY);
}
END_TEST

START_TEST(test_nothing_to_begin_with)
{
        fake_xrt.bytes_most = 300 * KIB;
        ck_assert_int_eq(engine_new(&options, &engine, &fault), XRT_E_FAULT);
        ck_assert_int_eq(fault.cause, WIRE_CAUSE_MEMORY);
}
END_TEST

/* ---- transfers ---- */

/* A batch with everything. */
static int run_all_kinds(void)
{
        struct mapping *stays = resident_new(0, 100, 100);
        struct work *work = work_new();

        work_put(work, product_new(3, 100, 100, stays), stays);
        work_put(work, product_new(3, 50, 60, NULL), NULL);
        engine_push(engine);
        return run(1);
}

/* The device has a memory of its own here: without any one transfer the result is wrong, and that is found. */
START_TEST(test_each_transfer_is_needed)
{
        static const unsigned needed[] = {STREAM64_ARG_A, STREAM64_ARG_WEIGHTS, STREAM64_ARG_B,
                                          XRT_SHIM_ARGS};

        engine_start();
        if ((size_t)_i < ARRAY_SIZE(needed))
                fake_xrt.deaf[needed[_i]] = 1;
        else
                fake_xrt.is_deaf_from = true;
        ck_assert_int_eq(run_all_kinds(), XRT_E_FAULT);
}
END_TEST

#define TRANSFERS 5

/* That of poison is for a device that says COMPLETED and does nothing; without checks, nothing else tells. */
START_TEST(test_poison_is_needed)
{
        options.check = ENGINE_CHECK_OFF;
        engine_start();
        fake_xrt.fault = FAKE_XRT_IDLE;
        fake_xrt.at = 1;
        fake_xrt.deaf[STREAM64_ARG_C] = _i == 0;
        ck_assert_int_eq(run_all_kinds(), _i == 0 ? 0 : XRT_E_FAULT);
        ck_assert(_i == 0 || fault.cause == WIRE_CAUSE_WRONG);
}
END_TEST

/* ---- the gate ---- */

enum gated { GATED_WEIGHTS = 0, GATED_PACK, GATED_CPU, GATED_UNPACK, GATED_MAX };

/* A process of its own, with an engine of its own: it closes the gate just before that. Exits with 0 if it has to. */
static _Noreturn void run_gated(enum gated what, const struct product *const products[2])
{
        struct work *work;
        bool has_stepped;

        (void)alarm(20);
        if (engine_new(&options, &engine, &fault) != 0)
                _exit(2);
        work = work_new();
        for (size_t i = 0; i < 2; i++)
                work_put(work, products[i], what == GATED_WEIGHTS ? &residents[i] : NULL);
        engine_push(engine);
        while (what == GATED_UNPACK && fake_xrt.n_commands == 0)
                if (engine_step(engine, &has_stepped, &fault) != 0)
                        _exit(3);
        (void)wire_gate_close(&gate);
        if (what == GATED_CPU || what == GATED_UNPACK)
                (void)run(1); /* nothing else that comes is inside the gate */
        else
                (void)engine_step(engine, &has_stepped, &fault);
        _exit(4);
}

START_TEST(test_closed_gate)
{
        const struct product *products[2];
        uint8_t *c;
        pid_t child;
        int status;

        c = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(c, MAP_FAILED);
        memset(c, 0xee, 4096);
        for (size_t i = 0; i < 2; i++) {
                struct mapping *stays = _i == GATED_WEIGHTS ? resident_new(i, 20, 10) : NULL;
                struct product *product = product_new(10, 20, 10, stays);

                product->c = c + i * 2048;
                product->form = _i == GATED_CPU ? OUTPUT_TILE16_SHIFT7 : OUTPUT_INT32;
                products[i] = product;
        }
        child = fork();
        if (child == 0)
                run_gated((enum gated)_i, products);
        ck_assert_int_gt(child, 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), 0);
        for (size_t i = 0; i < 4096; i++)
                ck_assert_uint_eq(c[i], 0xee);
        (void)munmap(c, 4096);
}
END_TEST

/* ---- the self-test ---- */

START_TEST(test_selftest)
{
        options.check = ENGINE_CHECK_OFF;
        engine_start();
        ck_assert_int_eq(selftest_run(engine, &fault), 0);
        ck_assert_uint_eq(fake_xrt.n_commands, 2);
        ck_assert_int_eq(selftest_run(engine, &fault), 0);
        fake_xrt.fault = FAKE_XRT_WRONG;
        fake_xrt.at = 6;
        ck_assert_int_eq(selftest_run(engine, &fault), XRT_E_FAULT);
        ck_assert_int_eq(fault.cause, WIRE_CAUSE_WRONG);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("engine");
        TCase *tcase = tcase_create("all");

        tcase_set_timeout(tcase, 100);
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_one_product_with_weights);
        tcase_add_test(tcase, test_mixed_batch);
        tcase_add_test(tcase, test_two_in_flight);
        tcase_add_test(tcase, test_two_batches_in_flight);
        tcase_add_test(tcase, test_several_submissions);
        tcase_add_test(tcase, test_forms);
        tcase_add_test(tcase, test_weights_grow);
        tcase_add_test(tcase, test_weights_survive_growth);
        tcase_add_test(tcase, test_weights_in_pieces);
        tcase_add_test(tcase, test_weights_take_turns);
        tcase_add_test(tcase, test_weights_without_room_are_streamed);
        tcase_add_test(tcase, test_weights_without_memory);
        tcase_add_test(tcase, test_forgotten_weights);
        tcase_add_loop_test(tcase, test_faults, 0, FAULTS);
        tcase_add_test(tcase, test_wrong_is_not_found_unless_looked_for);
        tcase_add_test(tcase, test_sample);
        tcase_add_test(tcase, test_sample_finds_what_is_wrong);
        tcase_add_test(tcase, test_refused_stream_is_not_started);
        tcase_add_test(tcase, test_no_memory);
        tcase_add_test(tcase, test_nothing_to_begin_with);
        tcase_add_loop_test(tcase, test_each_transfer_is_needed, 0, TRANSFERS);
        tcase_add_loop_test(tcase, test_poison_is_needed, 0, 2);
        tcase_add_loop_test(tcase, test_closed_gate, 0, GATED_MAX);
        tcase_add_test(tcase, test_selftest);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
