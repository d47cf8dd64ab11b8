/* SPDX-License-Identifier: MIT */
/*
 * bench.h - a device on a loop with the machine's clock, and batches on their way through it.
 *
 * Role:   opens and closes the device; puts batches together and hands them over; judges every event by device.h:
 *         what may come when, how often and in which order.
 * In:     slices of operands. Out: operands that can be checked.
 * Thread: the one that runs the loop.
 * Owns:   the loop, the timer, the device; flights and operands are the tests'.
 */
#ifndef TESTS_DEVICE_BENCH_H
#define TESTS_DEVICE_BENCH_H

#include "daemon/device.h"
#include "daemon/timer.h"
#include "tests/device/operands.h"

struct flight;

/* What a test wants to know as it happens; each may be NULL. */
struct flight_ops {
        void (*slice_done)(struct flight *flight, size_t index); /* its rows have been judged */
        void (*batch_done)(struct flight *flight);
};

/* A batch on its way, and what has been heard of it. */
struct flight {
        struct batch batch;
        struct operands *operands[BATCH_SLICES_MAX]; /* borrowed: of each slice */
        bool was_dropped[BATCH_SLICES_MAX];
        size_t n_reported;
        size_t n_cancelled; /* of them */
        bool is_inside;
        bool looks;                   /* judge each slice's rows as soon as they are reported */
        const struct flight_ops *ops; /* or NULL */
};

struct bench {
        const char *name;
        struct rng rng;
        uv_loop_t loop;
        struct timer timer;
        struct region_set regions; /* of operands, for devices in a process of their own */
        struct device *device;     /* NULL once closed */
        bool in_submit;
        bool is_closed;
};

/* The one that all tests of the program use; `name` and `rng` are set before the first. */
extern struct bench bench;

/* Returns what device_open does. */
int bench_try_open(const char **ret_reason);

/* Of the device alone. */
void bench_device_close(void);

/* Before and after each test: everything is opened, and closed in order. */
void bench_open(void);
void bench_close(void);

void flight_init(struct flight *flight);

/* The rows go into the stack of the slice before if they stack with it, else into a new one. */
void flight_add(struct flight *flight, struct operands *operands, uint64_t first_row, uint64_t rows);

/* Whether one more stack would be too many for this device. */
bool flight_is_full(const struct flight *flight);

void flight_submit(struct flight *flight);

/* Nobody wants this slice any more. For a device that cannot leave any out nothing happens. */
void flight_drop(struct flight *flight, size_t index);

/* Runs the loop until the batch is done. */
void flight_await(const struct flight *flight);

/* Lets something happen: what the device computes on the loop, or else whatever wakes it. */
void bench_turn(void);

/* A shape by chance in all that the caller does not care about. */
struct operands_shape shape_any(uint64_t m, uint64_t k, uint64_t n, enum output_form form);
enum output_form form_any(void);

#endif
