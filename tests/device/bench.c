/* SPDX-License-Identifier: MIT */
/* bench.c - see bench.h. */
#include "tests/device/bench.h"

#include <check.h>

#define NOT_WRITTEN UINT64_C(0x5555555555555555) /* in fields that the device must set */

struct bench bench;

/* ---- events ---- */

static void status_judge(struct flight *flight, size_t index)
{
        const struct slice *slice = &flight->batch.slices[index];

        if (slice->status == STATUS_CANCELLED && flight->was_dropped[index]) {
                operands_forgo(flight->operands[index], slice->first_row, slice->rows);
                flight->n_cancelled++;
                return;
        }
        ck_assert_int_eq(slice->status, STATUS_OK);
        if (flight->looks)
                operands_check_rows(flight->operands[index], slice->first_row, slice->rows);
}

static void on_slice_done(void *userdata, struct batch *batch, size_t index)
{
        struct flight *flight = container_of(batch, struct flight, batch);

        ck_assert_ptr_eq(userdata, &bench);
        ck_assert_msg(!bench.in_submit, "slice_done from within submit");
        ck_assert(flight->is_inside);
        ck_assert_uint_eq(index, flight->n_reported); /* in order, each once */
        ck_assert_uint_lt(index, batch->n_slices);
        flight->n_reported++;
        status_judge(flight, index);
        if (flight->ops && flight->ops->slice_done)
                flight->ops->slice_done(flight, index);
}

static void on_batch_done(void *userdata, struct batch *batch)
{
        struct flight *flight = container_of(batch, struct flight, batch);

        ck_assert_ptr_eq(userdata, &bench);
        ck_assert_msg(!bench.in_submit, "batch_done from within submit");
        ck_assert_msg(flight->is_inside, "batch_done twice");
        ck_assert_uint_eq(flight->n_reported, batch->n_slices);
        ck_assert_uint_ne(batch->device_ns, NOT_WRITTEN);
        ck_assert_uint_ge(bench.device->free_slots, 1);
        flight->is_inside = false;
        if (flight->ops && flight->ops->batch_done)
                flight->ops->batch_done(flight);
}

/* What it is described by is looked at by the test of that alone. */
static void on_traits_changed(void *userdata)
{
        ck_assert_ptr_eq(userdata, &bench);
}

static const struct device_events events = {
        .slice_done = on_slice_done,
        .batch_done = on_batch_done,
        .traits_changed = on_traits_changed,
};

static void on_closed(void *userdata)
{
        ck_assert_ptr_eq(userdata, &bench);
        ck_assert_msg(!bench.is_closed, "closed twice");
        bench.is_closed = true;
}

/* ---- opening and closing ---- */

/* Of the worker process, where there is one to be tested: else the device is absent. */
static const char *environment(const char *name)
{
        const char *value = getenv(name);

        return value ? value : "";
}

/* Of the CPU's kernels, in the variants of its test. */
static uint64_t number(const char *name)
{
        return strtoull(environment(name), NULL, 10);
}

int bench_try_open(const char **ret_reason)
{
        /* Times of a real NPU: most batches take the CPU longer than that, and are then reported when it is done. */
        const struct device_settings settings = {
                .cpu =
                        {
                                .isa = getenv("NPUMM_ISA"),
                                .threads = (unsigned)number("NPUMM_TEST_THREADS"),
                                .here_ns = number("NPUMM_TEST_HERE_NS"),
                                .weights_bytes = UINT64_C(64) << 20,
                        },
                .sim_model = NPU_PHOENIX,
                .sim_scale = 1,
                .xrt =
                        {
                                .worker_path = environment("NPUMM_TEST_WORKER"),
                                .manifest_path = environment("NPUMM_TEST_MANIFEST"),
                                .check = "always",
                                .timeout_ns = UINT64_C(30000000000),
                                .retry_ns = UINT64_C(1000000000),
                                .weights_bytes = UINT64_C(64) << 20,
                                .regions = &bench.regions,
                        },
        };
        int r;

        bench.is_closed = false;
        r = device_open(bench.name, &bench.loop, &bench.timer.timeline, &settings, &events, &bench,
                        &bench.device, ret_reason);
        operands_regions = r == 0 && bench.device->health ? &bench.regions : NULL;
        /* One that is opened meanwhile would leave what comes too early to another. */
        while (operands_regions && bench.device->health->state == DEVICE_RECOVERING)
                (void)uv_run(&bench.loop, UV_RUN_ONCE);
        return r;
}

void bench_device_close(void)
{
        const struct device_ops *ops = bench.device->ops;
        struct device *device = steal(&bench.device);

        ops->close(device, on_closed, &bench);
        ck_assert_msg(!bench.is_closed, "closed from within close");
}

void bench_open(void)
{
        const char *reason;

        ck_assert_int_eq(uv_loop_init(&bench.loop), 0);
        ck_assert_int_eq(timer_open(&bench.timer, &bench.loop), 0);
        ck_assert_int_eq(bench_try_open(&reason), 0);
        ck_assert_ptr_eq(bench.device->events, &events);
        ck_assert_ptr_eq(bench.device->userdata, &bench);
}

/* It was the device itself that computed, and not what stands in its place. */
static void health_judge(const struct device_health *health)
{
        ck_assert_msg(health->counters.faults == 0, "%s", health->reason);
        ck_assert_uint_eq(health->counters.cpu_batches, 0);
}

void bench_close(void)
{
        if (bench.device && bench.device->health)
                health_judge(bench.device->health);
        if (bench.device)
                bench_device_close();
        ck_assert_int_eq(uv_run(&bench.loop, UV_RUN_DEFAULT), 0);
        ck_assert_msg(bench.is_closed, "the loop ran empty and closed was not called");
        timer_close(&bench.timer);
        ck_assert_int_eq(uv_run(&bench.loop, UV_RUN_DEFAULT), 0);
        ck_assert_int_eq(uv_loop_close(&bench.loop), 0);
}

/* ---- flights ---- */

void flight_init(struct flight *flight)
{
        *flight = (struct flight){
                .batch = {.device_ns = NOT_WRITTEN, .n_begun = SIZE_MAX, .n_finished = SIZE_MAX}};
}

static bool joins_last_stack(const struct batch *batch, const struct product *product)
{
        return batch->n_slices > 0 &&
               product_stacks_with(batch->slices[batch->n_slices - 1].product, product);
}

void flight_add(struct flight *flight, struct operands *operands, uint64_t first_row, uint64_t rows)
{
        struct batch *batch = &flight->batch;
        struct stack *stack;

        ck_assert_uint_lt(batch->n_slices, BATCH_SLICES_MAX);
        if (!joins_last_stack(batch, &operands->product)) {
                ck_assert(!flight_is_full(flight));
                batch->stacks[batch->n_stacks++] = (struct stack){.first = batch->n_slices};
        }
        stack = &batch->stacks[batch->n_stacks - 1];
        stack->n_slices++;
        stack->rows += rows;
        stack->padded_macs += (double)rows * (double)operands->product.k * (double)operands->product.n;
        operands_expect(operands, first_row, rows);
        flight->operands[batch->n_slices] = operands;
        batch->slices[batch->n_slices++] = (struct slice){
                .job = NULL, /* devices do not look inside */
                .product = &operands->product,
                .first_row = first_row,
                .rows = rows,
                .status = STATUS_MAX,
        };
}

bool flight_is_full(const struct flight *flight)
{
        return flight->batch.n_stacks == bench.device->stacks_max;
}

void flight_submit(struct flight *flight)
{
        const size_t free_slots = bench.device->free_slots;

        ck_assert_uint_ge(free_slots, 1);
        flight->is_inside = true;
        bench.in_submit = true;
        bench.device->ops->submit(bench.device, &flight->batch);
        bench.in_submit = false;
        ck_assert_uint_eq(bench.device->free_slots, free_slots - 1);
}

void flight_drop(struct flight *flight, size_t index)
{
        ck_assert(flight->is_inside);
        flight->was_dropped[index] = true;
        if (bench.device->ops->drop)
                bench.device->ops->drop(bench.device, &flight->batch, index);
}

void bench_turn(void)
{
        const struct device_ops *ops = bench.device->ops;

        if (!ops->compute || !ops->compute(bench.device))
                (void)uv_run(&bench.loop, UV_RUN_ONCE);
}

void flight_await(const struct flight *flight)
{
        while (flight->is_inside) /* a device that never ends meets the test's timeout */
                bench_turn();
}

/* ---- shapes ---- */

struct operands_shape shape_any(uint64_t m, uint64_t k, uint64_t n, enum output_form form)
{
        struct rng *rng = &bench.rng;
        struct operands_shape shape = {
                .m = m,
                .k = k,
                .n = n,
                .b_transposed = rng_once_in(rng, 2),
                .gap_a = rng_once_in(rng, 2) ? rng_below(rng, 70) : 0,
                .gap_b = rng_once_in(rng, 2) ? rng_below(rng, 70) : 0,
                .gap_c = rng_once_in(rng, 2) ? rng_below(rng, 70) : 0,
                .form = form,
                .fill = rng_once_in(rng, 4) ? FILL_EXTREMES : FILL_RANDOM,
        };

        if (form == OUTPUT_INT8) {
                shape.shift = (uint32_t)rng_below(rng, MESSAGE_SHIFT_MAX + 1);
                shape.rounding = (enum rounding)rng_below(rng, ROUNDING_MAX);
        }
        if (form == OUTPUT_FLOAT32) {
                shape.row_scale = rng_once_in(rng, 2);
                shape.col_scale = rng_once_in(rng, 2);
                shape.bias = rng_once_in(rng, 2);
        }
        return shape;
}

enum output_form form_any(void)
{
        return (enum output_form)rng_below(&bench.rng, OUTPUT_MAX);
}
