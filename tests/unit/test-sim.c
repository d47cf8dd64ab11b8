/* SPDX-License-Identifier: MIT */
/*
 * test-sim.c - the model of an NPU as a device, on a virtual clock: its times by hand, its slots, counters and faults.
 * That it computes right, and keeps the contract on the machine's clock, is shown in tests/device.
 */
#include <check.h>

#include "daemon/device.h"
#include "tests/fake/timeline.h"
#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define JOBS_MAX 16

/* A batch of products, and what was heard of it. */
struct flight {
        struct batch batch;
        struct product products[JOBS_MAX];
        size_t n_reported;
        bool is_done;
        uint64_t done_ns;    /* after the start of the test */
        struct flight *then; /* submitted from within its end; or NULL */
};

static struct rng rng;
static struct fake_timeline fake;
static uint64_t start_ns;
static uv_loop_t loop;
static struct device *device;
static bool is_closed;

static void on_slice_done(void *userdata, struct batch *batch, size_t index)
{
        struct flight *flight = container_of(batch, struct flight, batch);

        ck_assert_ptr_eq(userdata, &device);
        ck_assert_uint_eq(index, flight->n_reported++);
        ck_assert(!flight->is_done);
}

static void submit(struct flight *flight);

static void on_batch_done(void *userdata, struct batch *batch)
{
        struct flight *flight = container_of(batch, struct flight, batch);

        ck_assert_ptr_eq(userdata, &device);
        ck_assert_uint_eq(flight->n_reported, batch->n_slices);
        ck_assert(!flight->is_done);
        flight->is_done = true;
        flight->done_ns = fake.now_ns - start_ns;
        if (flight->then)
                submit(flight->then);
}

static const struct device_events events = {.slice_done = on_slice_done, .batch_done = on_batch_done};

static void on_closed(void *userdata)
{
        ck_assert_ptr_eq(userdata, &device);
        is_closed = true;
}

static void open_with(const struct device_settings *settings)
{
        const char *reason;

        fake_timeline_init(&fake);
        start_ns = fake.now_ns;
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        ck_assert_int_eq(
                device_open("sim", &loop, &fake.timeline, settings, &events, &device, &device, &reason), 0);
        is_closed = false;
}

/* Times alone: products have no memory. */
static void open_times(enum npu_model model)
{
        open_with(&(struct device_settings){
                .sim_model = model, .sim_compute = SIM_COMPUTE_NEVER, .sim_scale = 1});
}

static void close_all(void)
{
        device->ops->close(device, on_closed, &device);
        ck_assert_msg(!is_closed, "closed from within close");
        while (!is_closed && fake_timeline_step(&fake))
                ;
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert(is_closed);
        ck_assert_uint_eq(timeline_next_ns(&fake.timeline), TIMELINE_NEVER);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void flight_init(struct flight *flight)
{
        memset(flight, 0, sizeof *flight);
}

/* One more product; a stack of its own unless it is the last one's weights again. */
static struct product *flight_add(struct flight *flight, uint64_t m, uint64_t k, uint64_t n,
                                  struct resident *resident)
{
        struct batch *batch = &flight->batch;
        struct product *product = &flight->products[batch->n_slices];

        *product =
                (struct product){.m = m, .k = k, .n = n, .lda = k, .ldb = n, .ldc = n, .resident = resident};
        if (batch->n_slices == 0 || !resident || product[-1].resident != resident)
                batch->stacks[batch->n_stacks++] = (struct stack){.first = batch->n_slices};
        batch->stacks[batch->n_stacks - 1].n_slices++;
        batch->stacks[batch->n_stacks - 1].rows += m;
        batch->slices[batch->n_slices++] =
                (struct slice){.product = product, .rows = m, .status = STATUS_MAX};
        return product;
}

static void submit(struct flight *flight)
{
        const size_t free_slots = device->free_slots;

        device->ops->submit(device, &flight->batch);
        ck_assert_uint_eq(device->free_slots, free_slots - 1);
        ck_assert_uint_eq(flight->n_reported, 0);
}

/* From now until it is done. */
static uint64_t run(struct flight *flight)
{
        const uint64_t before_ns = fake.now_ns - start_ns;

        submit(flight);
        while (!flight->is_done)
                ck_assert(fake_timeline_step(&fake));
        ck_assert_uint_eq(flight->batch.device_ns, flight->done_ns - before_ns);
        return flight->done_ns - before_ns;
}

/* ---- times, by hand from xclbin/README.md's model ---- */

/*
 * A submission: 108 us, and then the longest of
 *      1.78 us a step (256 x 64 x 256 of A, B: Mt * Nt * Kt of them),
 *      9.5 us a macro-tile (256 x 256 of C: Mt * Nt of them), which drains through its column's lane,
 *      16 ns a byte of instructions: 80 for all, and for each of the 4 columns 148 for C, 120 for each task of A and B,
 *      148 from the fifth task of a lane on. A has one a product; B has one, or one for each 256 columns if M > 256.
 * What comes in never is the longest: a step's 4 x (4,160 + 4,096) bytes take 1.22 us at 27 GB/s, its 4,160 of one lane
 * 0.60 us at 6.9 GB/s.
 */
static const struct {
        const char *what;
        uint64_t m, k, n;
        size_t products;
        uint64_t ns;
} times[] = {
        /* Mt 2, Nt 2, Kt 8: 32 steps, 56.96 us of array. 4 macro-tiles, 38 us; 80 + 4 * (148 + 120 + 240) = 2,112
           bytes, "2.1 KB", 34 us beside it. */
        {"500x512 @ 512x512", 500, 512, 512, 1, 108000 + 56960},
        /* Mt 6, Nt 2, Kt 8: 96 steps each, 1,536 in all: 2.734 ms of array, "2.7 ms". 192 macro-tiles: 1.824 ms.
           A lane's 16 tasks of A are 4 * 120 + 12 * 148 = 2,256 bytes, its 32 of B 480 + 28 * 148 = 4,624:
           80 + 4 * (148 + 2,256 + 4,624) = 28,192 bytes, "28 KB", 0.451 ms beside it. */
        {"16 x (1500,512,512)", 1500, 512, 512, 16, 108000 + 2734080},
        /* Mt 1, Nt 2, Kt 8: 16 steps each, 256 in all: 0.456 ms, "0.46 ms". 32 macro-tiles: 0.304 ms.
           80 + 4 * (148 + 2,256 + 2,256) = 18,720 bytes, "18.5 KB", 0.300 ms beside it. */
        {"16 x (1,512,512)", 1, 512, 512, 16, 108000 + 455680},
        /* The same instructions with next to no work: 16 steps, 28.48 us; 16 macro-tiles, 152 us; the controller
           takes 18,720 * 16 ns = 299.520 us, "0.30 ms". */
        {"16 x (1,64,256): the controller", 1, 64, 256, 16, 108000 + 299520},
        /* Two macro-tiles wide, still one task of B each, as M is at most 256: 18,720 bytes. 32 macro-tiles: 304 us. */
        {"16 x (1,64,512): one task of B", 1, 64, 512, 16, 108000 + 304000},
        /* One product of one step: 80 + 4 * 388 = 1,632 bytes, 26.112 us. */
        {"one step", 1, 1, 1, 1, 108000 + 26112},
        {"one step, full", 256, 64, 256, 1, 108000 + 26112},
        /* Kt 1: 100 macro-tiles, 950 us, drain longer than their 100 steps compute, 178 us. */
        {"2560x64 @ 64x2560: C drains", 2560, 64, 2560, 1, 108000 + 950000},
        /* Kt 5 is the last where draining is longer: 5 * 1.78 = 8.9 < 9.5 us; Kt 6: 10.68 us. */
        {"Kt 5", 2560, 320, 2560, 1, 108000 + 950000},
        {"Kt 6", 2560, 321, 2560, 1, 108000 + 1068000},
        /* 300 macro-tiles: C has room for 256 in one submission, and the rest has a prologue of its own. */
        {"300 macro-tiles: two submissions", 300 * 256, 64, 256, 1, 2 * 108000 + 300 * 9500},
        /* A row costs as much as 256: padding is computed. */
        {"1 row", 1, 4096, 4096, 1, 108000 + 16 * 64 * 1780},
        {"256 rows", 256, 4096, 4096, 1, 108000 + 16 * 64 * 1780},
        {"257 rows", 257, 4096, 4096, 1, 108000 + 2 * 16 * 64 * 1780},
};

START_TEST(test_times)
{
        struct flight flight;

        open_times(NPU_PHOENIX);
        flight_init(&flight);
        for (size_t i = 0; i < times[_i].products; i++)
                (void)flight_add(&flight, times[_i].m, times[_i].k, times[_i].n, NULL);
        ck_assert_msg(run(&flight) == times[_i].ns, "%s: %d ns", times[_i].what, (int)flight.batch.device_ns);
        close_all();
}
END_TEST

/*
 * 67 MB of weights that are 4.3 GB in the array's layout: too many to stay, so they are sent along. 262,500 columns of
 * macro-tiles, 256 of them a submission.
 */
START_TEST(test_weights_that_cannot_stay)
{
        struct resident resident;
        struct flight flight;

        open_times(NPU_PHOENIX);
        resident_init(&resident, NULL, 1, 67200000);
        flight_init(&flight);
        (void)flight_add(&flight, 1, 1, 67200000, &resident);
        ck_assert_uint_eq(run(&flight), UINT64_C(1026) * 108000 + UINT64_C(262500) * 9500);
        ck_assert(!resident.is_packed);
        close_all();
}
END_TEST

/* 256 single rows of the same weights are one row of macro-tiles; of different weights they would not even fit. */
START_TEST(test_stack_costs_one)
{
        struct resident resident;
        struct flight one, many;

        open_times(NPU_PHOENIX);
        resident_init(&resident, NULL, 512, 512);
        flight_init(&one);
        (void)flight_add(&one, 1, 512, 512, &resident);
        flight_init(&many);
        for (size_t i = 0; i < JOBS_MAX; i++)
                (void)flight_add(&many, 16, 512, 512, &resident);
        ck_assert_uint_eq(many.batch.n_stacks, 1);
        ck_assert_uint_eq(run(&one), run(&many)); /* 256 rows */
        close_all();
}
END_TEST

/* A factor that lets the CPU keep up: all of the model's times, and what it says of itself. */
START_TEST(test_scale)
{
        struct flight flight;

        open_with(&(struct device_settings){
                .sim_model = NPU_PHOENIX, .sim_compute = SIM_COMPUTE_NEVER, .sim_scale = 400});
        flight_init(&flight);
        (void)flight_add(&flight, 500, 512, 512, NULL);
        ck_assert_uint_eq(run(&flight), UINT64_C(400) * 164960);
        ck_assert_double_eq(device->time_scale, 400);
        ck_assert_double_eq_tol(device->seed_fixed_ns, 400 * 108e3, 1);
        ck_assert_double_eq_tol(device->seed_ns_per_mac * 256 * 64 * 256, 400 * 1780, 1);
        ck_assert_ptr_nonnull(strstr(device->description, "model"));
        ck_assert_ptr_nonnull(strstr(device->description, "x 400"));
        close_all();
}
END_TEST

START_TEST(test_traits)
{
        open_times(NPU_PHOENIX);
        ck_assert_uint_eq(device->free_slots, 2);
        ck_assert_uint_eq(device->stacks_max, 16);
        ck_assert_uint_eq(device->padding.rows, 256);
        ck_assert_uint_eq(device->padding.depth, 64);
        ck_assert_uint_eq(device->padding.cols, 256);
        ck_assert_uint_eq(device->granule_rows, 256);
        close_all();
        open_times(NPU_ORIGIN);
        ck_assert_uint_eq(device->free_slots, 1);
        ck_assert_uint_eq(device->stacks_max, 1);
        ck_assert_uint_eq(device->padding.rows, 16);
        close_all();
}
END_TEST

/*
 * The wrapper that this replaces: 32 x 32 x 32 = 32,768 calls for the same product, 1,082 s as its authors estimated it
 * (32.54 + 0.484 ms a call), 15.1 s as they measured it (0.46 ms); 65,536 syncs and 262,144 copies.
 */
START_TEST(test_origin)
{
        static const struct {
                enum npu_model model;
                uint64_t ms;
        } cases[] = {{NPU_ORIGIN, 1082130}, {NPU_ORIGIN_MEASURED, 15073}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct flight flight;

                open_times(cases[i].model);
                flight_init(&flight);
                (void)flight_add(&flight, 500, 512, 512, NULL);
                ck_assert_uint_eq(run(&flight) / 1000000, cases[i].ms);
                ck_assert_uint_eq(device->counters.buffer_syncs, 65536);
                ck_assert_uint_eq(device->counters.matrix_copies, 262144);
                close_all();
        }
}
END_TEST

/* ---- slots ---- */

static void flight_of(struct flight *flight, uint64_t m)
{
        flight_init(flight);
        (void)flight_add(flight, m, 4096, 4096, NULL);
}

#define TIME_NS(m) (108000 + ((m) + 255) / 256 * 16 * 64 * UINT64_C(1780)) /* of flight_of */

/* Two inside, one after the other; a third one comes when one has gone. */
START_TEST(test_one_after_the_other)
{
        struct flight first, second, third;

        open_times(NPU_PHOENIX);
        flight_of(&first, 300);
        flight_of(&second, 10);
        flight_of(&third, 600);
        first.then = &third; /* from within its end: a slot is free by then */
        submit(&first);
        fake_timeline_advance(&fake, 50000);
        submit(&second);
        ck_assert_uint_eq(device->free_slots, 0);
        while (!third.is_done)
                ck_assert(fake_timeline_step(&fake));
        ck_assert_uint_eq(first.done_ns, TIME_NS(300));
        ck_assert_uint_eq(second.done_ns, TIME_NS(300) + TIME_NS(10));
        ck_assert_uint_eq(third.done_ns, TIME_NS(300) + TIME_NS(10) + TIME_NS(600));
        ck_assert_uint_eq(second.batch.device_ns, TIME_NS(10)); /* not the time that it waited */
        ck_assert_uint_eq(device->free_slots, 2);
        close_all();
}
END_TEST

/* An idle device begins when the batch comes. */
START_TEST(test_begins_when_it_comes)
{
        struct flight first, second;

        open_times(NPU_PHOENIX);
        flight_of(&first, 1);
        (void)run(&first);
        fake_timeline_advance(&fake, 12345);
        flight_of(&second, 1);
        (void)run(&second);
        ck_assert_uint_eq(second.done_ns, 2 * TIME_NS(1) + 12345);
        close_all();
}
END_TEST

/* Nothing is reported before its time: all slices with the batch, in one go. */
START_TEST(test_not_early)
{
        struct flight flight;

        open_times(NPU_PHOENIX);
        flight_init(&flight);
        for (size_t i = 0; i < JOBS_MAX; i++)
                (void)flight_add(&flight, 1, 512, 512, NULL);
        submit(&flight);
        fake_timeline_advance(&fake, 108000 + 455679);
        ck_assert_uint_eq(flight.n_reported, 0);
        fake_timeline_advance(&fake, 1);
        ck_assert(flight.is_done);
        close_all();
}
END_TEST

/* ---- counters ---- */

/* One 500x512 @ 512x512 with resident weights: 1 submission, 2 syncs, 2 copies; B is packed once for all. */
START_TEST(test_counts_with_resident_weights)
{
        struct resident resident, other;
        struct flight flight;

        open_times(NPU_PHOENIX);
        resident_init(&resident, NULL, 512, 512);
        resident_init(&other, NULL, 512, 512);
        for (uint64_t n = 1; n <= 3; n++) {
                flight_init(&flight);
                (void)flight_add(&flight, 500, 512, 512, &resident);
                (void)run(&flight);
                ck_assert_uint_eq(device->counters.buffer_syncs, 2 * n);
                ck_assert_uint_eq(device->counters.matrix_copies, 2 * n);
                ck_assert_uint_eq(device->counters.weights_packs, 1);
        }
        device->ops->forget(device, &resident); /* it made room: packed again when it is wanted */
        flight_init(&flight);
        (void)flight_add(&flight, 500, 512, 512, &resident);
        (void)flight_add(&flight, 1, 512, 512, &other);
        (void)run(&flight);
        ck_assert_uint_eq(device->counters.weights_packs, 3);
        ck_assert_uint_eq(device->counters.buffer_syncs, 8); /* two a submission, however much is in it */
        ck_assert_uint_eq(device->counters.matrix_copies, 6 + 4);
        close_all();
}
END_TEST

/* Without: B is sent along, which is one sync and one copy more. */
START_TEST(test_counts_with_own_operands)
{
        struct resident resident;
        struct flight flight;

        open_times(NPU_PHOENIX);
        flight_init(&flight);
        (void)flight_add(&flight, 500, 512, 512, NULL);
        (void)run(&flight);
        ck_assert_uint_eq(device->counters.buffer_syncs, 3);
        ck_assert_uint_eq(device->counters.matrix_copies, 3);
        ck_assert_uint_eq(device->counters.weights_packs, 0);
        resident_init(&resident, NULL, 512, 512); /* both kinds in one submission: B's lane is synced once */
        flight_init(&flight);
        (void)flight_add(&flight, 1, 512, 512, NULL);
        (void)flight_add(&flight, 1, 512, 512, &resident);
        (void)flight_add(&flight, 1, 512, 512, NULL);
        (void)run(&flight);
        ck_assert_uint_eq(device->counters.buffer_syncs, 3 + 3);
        ck_assert_uint_eq(device->counters.matrix_copies, 3 + 6 + 2);
        close_all();
}
END_TEST

/* Stacked jobs have each their own A and C to be copied. */
START_TEST(test_counts_of_a_stack)
{
        struct resident resident;
        struct flight flight;

        open_times(NPU_PHOENIX);
        resident_init(&resident, NULL, 512, 512);
        flight_init(&flight);
        for (int i = 0; i < 5; i++)
                (void)flight_add(&flight, 10, 512, 512, &resident);
        (void)run(&flight);
        ck_assert_uint_eq(device->counters.buffer_syncs, 2);
        ck_assert_uint_eq(device->counters.matrix_copies, 10);
        ck_assert_uint_eq(device->counters.weights_packs, 1);
        close_all();
}
END_TEST

/* ---- faults ---- */

static void expect_status(const struct flight *flight, enum status status)
{
        for (size_t i = 0; i < flight->batch.n_slices; i++)
                ck_assert_int_eq(flight->batch.slices[i].status, status);
}

START_TEST(test_faults_by_script)
{
        static const struct {
                enum status status;
                uint64_t times;
        } expected[] = {{STATUS_OK, 1},  {STATUS_DEVICE_ERROR, 1}, {STATUS_OK, 10}, {STATUS_OK, 1},
                        {STATUS_OK, 10}, {STATUS_DEVICE_ERROR, 1}, {STATUS_OK, 1}};

        open_with(&(struct device_settings){.sim_model = NPU_PHOENIX,
                                            .sim_compute = SIM_COMPUTE_NEVER,
                                            .sim_scale = 1,
                                            .sim_faults = "error@2,slow@3,error@6,slow@5,slow@6,error@12"});
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
                struct flight flight;

                flight_init(&flight);
                for (int n = 0; n < 3; n++)
                        (void)flight_add(&flight, 1, 512, 512, NULL);
                /* 48 steps: 85.44 us; 80 + 4 * (148 + 360 + 360) = 3,552 bytes, 57 us */
                ck_assert_uint_eq(run(&flight), expected[i].times * (108000 + 85440));
                expect_status(&flight, expected[i].status);
        }
        close_all();
}
END_TEST

START_TEST(test_no_faults)
{
        static const char *const scripts[] = {NULL, ""};

        for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
                struct flight flight;

                open_with(&(struct device_settings){.sim_model = NPU_PHOENIX,
                                                    .sim_compute = SIM_COMPUTE_NEVER,
                                                    .sim_scale = 1,
                                                    .sim_faults = scripts[i]});
                flight_of(&flight, 1);
                ck_assert_uint_eq(run(&flight), TIME_NS(1));
                expect_status(&flight, STATUS_OK);
                close_all();
        }
}
END_TEST

/* ---- results ---- */

#define M 37
#define K 70
#define N 45

static int8_t a[2][M * K], b[K * N];
static int32_t c[2][M * N];

/* Two products of one B. */
static void flight_of_memory(struct flight *flight, struct resident *resident)
{
        rng_fill(&rng, a, sizeof a);
        rng_fill(&rng, b, sizeof b);
        memset(c, 0x55, sizeof c);
        resident_init(resident, b, K, N);
        flight_init(flight);
        for (int i = 0; i < 2; i++) {
                struct product *product = flight_add(flight, M, K, N, resident);

                product->a = a[i];
                product->b = b;
                product->c = c[i];
        }
        ck_assert_uint_eq(flight->batch.n_stacks, 1);
}

static void expect_results(void)
{
        for (int i = 0; i < 2; i++) {
                const struct oracle_product product = {
                        .m = M, .k = K, .n = N, .a = a[i], .lda = K, .b = b, .ldb = N};

                ck_assert(oracle_check(&product, 0, M, c[i], N));
        }
}

static void expect_untouched(void)
{
        for (size_t i = 0; i < sizeof c; i++)
                ck_assert_uint_eq(((const uint8_t *)c)[i], 0x55);
}

START_TEST(test_results_at_once)
{
        struct resident resident;
        struct flight flight;

        open_with(&(struct device_settings){.sim_model = NPU_PHOENIX,
                                            .sim_compute = SIM_COMPUTE_AT_ONCE,
                                            .sim_scale = 1,
                                            .sim_faults = "error@3"});
        for (int i = 0; i < 2; i++) {
                flight_of_memory(&flight, &resident);
                (void)run(&flight);
                expect_status(&flight, STATUS_OK);
                expect_results();
        }
        flight_of_memory(&flight, &resident);
        (void)run(&flight);
        expect_status(&flight, STATUS_DEVICE_ERROR);
        expect_untouched(); /* a device that fails has not written half of it */
        ck_assert_uint_eq(device->counters.overruns, 0);
        close_all();
}
END_TEST

START_TEST(test_never_computes)
{
        struct resident resident;
        struct flight flight;

        open_times(NPU_PHOENIX);
        flight_of_memory(&flight, &resident);
        (void)run(&flight);
        expect_status(&flight, STATUS_OK);
        expect_untouched();
        close_all();
}
END_TEST

/* ---- computing on the thread, while the model's time goes by ---- */

static void open_thread(const char *faults)
{
        open_with(&(struct device_settings){.sim_model = NPU_PHOENIX,
                                            .sim_compute = SIM_COMPUTE_ON_THREAD,
                                            .sim_scale = 1,
                                            .sim_faults = faults});
}

/* The CPU is done in time: results wait for the model. */
START_TEST(test_in_time)
{
        struct flight flight;

        open_thread(NULL);
        flight_init(&flight);
        *flight_add(&flight, M, K, N, NULL) = (struct product){
                .m = M, .k = K, .n = N, .a = a[0], .lda = K, .b = b, .ldb = N, .c = c[0], .ldc = N};
        submit(&flight);
        (void)uv_run(&loop, UV_RUN_ONCE); /* one slice, one word from the thread */
        ck_assert_uint_eq(flight.n_reported, 0);
        ck_assert(fake_timeline_step(&fake));
        ck_assert(flight.is_done);
        ck_assert_uint_eq(flight.done_ns, 108000 + 26112);
        ck_assert_uint_eq(flight.batch.device_ns, 108000 + 26112); /* the model's, not the CPU's */
        ck_assert_uint_eq(device->counters.overruns, 0);
        close_all();
}
END_TEST

/* It is not: the batch is late, is counted, and is reported as soon as it is done; the next one begins then. */
START_TEST(test_overrun)
{
        static __typeof__(c[0]) c_next;
        struct product *product;
        struct resident resident;
        struct flight flight, next;

        open_thread(NULL);
        flight_of_memory(&flight, &resident);
        flight_init(&next);
        product = flight_add(&next, M, K, N, NULL);
        *product = flight.products[0];
        product->c = c_next; /* the thread may be at it when the first one's is looked at */
        submit(&flight);
        submit(&next);
        ck_assert(fake_timeline_step(&fake)); /* the loop has not run: it cannot know that anything is done */
        ck_assert_uint_eq(flight.n_reported, 0);
        ck_assert_uint_eq(device->counters.overruns, 1);
        fake_timeline_advance(&fake, 500000);
        while (!flight.is_done)
                (void)uv_run(&loop, UV_RUN_ONCE);
        expect_results();
        ck_assert(!next.is_done);
        ck_assert_uint_eq(device->counters.overruns, 1);
        ck_assert_uint_eq(flight.done_ns, 108000 + 26112 + 500000);
        ck_assert_uint_eq(flight.batch.device_ns, 108000 + 26112);
        ck_assert(fake_timeline_step(&fake));
        while (!next.is_done)
                (void)uv_run(&loop, UV_RUN_ONCE);
        ck_assert_uint_eq(next.done_ns, flight.done_ns + 108000 + 26112);
        close_all();
}
END_TEST

/* Its time has passed, and before the alarm rings the thread says that it is done: reported once. */
START_TEST(test_done_before_the_alarm_rings)
{
        struct flight flight;

        open_thread(NULL);
        flight_init(&flight);
        *flight_add(&flight, M, K, N, NULL) = (struct product){
                .m = M, .k = K, .n = N, .a = a[0], .lda = K, .b = b, .ldb = N, .c = c[0], .ldc = N};
        submit(&flight);
        fake.now_ns += 1000000;
        (void)uv_run(&loop, UV_RUN_ONCE);
        ck_assert(flight.is_done);
        ck_assert_uint_eq(device->counters.overruns, 0);
        ck_assert(!fake_timeline_step(&fake));
        close_all();
}
END_TEST

/* A batch that fails does not reach the thread. */
START_TEST(test_error_on_the_thread)
{
        struct resident resident;
        struct flight failing, next;

        open_thread("error@1");
        flight_of_memory(&failing, &resident);
        (void)run(&failing);
        expect_status(&failing, STATUS_DEVICE_ERROR);
        expect_untouched();
        flight_of_memory(&next, &resident);
        submit(&next);
        while (!next.is_done) {
                (void)fake_timeline_step(&fake);
                (void)uv_run(&loop, UV_RUN_ONCE);
        }
        expect_status(&next, STATUS_OK);
        expect_results();
        close_all();
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("sim");

        tcase_add_loop_test(tcase, test_times, 0, ARRAY_SIZE(times));
        tcase_add_test(tcase, test_weights_that_cannot_stay);
        tcase_add_test(tcase, test_stack_costs_one);
        tcase_add_test(tcase, test_scale);
        tcase_add_test(tcase, test_traits);
        tcase_add_test(tcase, test_origin);
        tcase_add_test(tcase, test_one_after_the_other);
        tcase_add_test(tcase, test_begins_when_it_comes);
        tcase_add_test(tcase, test_not_early);
        tcase_add_test(tcase, test_counts_with_resident_weights);
        tcase_add_test(tcase, test_counts_with_own_operands);
        tcase_add_test(tcase, test_counts_of_a_stack);
        tcase_add_test(tcase, test_faults_by_script);
        tcase_add_test(tcase, test_no_faults);
        tcase_add_test(tcase, test_results_at_once);
        tcase_add_test(tcase, test_never_computes);
        tcase_add_test(tcase, test_in_time);
        tcase_add_test(tcase, test_overrun);
        tcase_add_test(tcase, test_done_before_the_alarm_rings);
        tcase_add_test(tcase, test_error_on_the_thread);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("sim");

        rng_start(&rng, "sim");
        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
