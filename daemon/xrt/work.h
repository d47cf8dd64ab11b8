/* SPDX-License-Identifier: MIT */
/*
 * work.h - a batch of the daemon's while it is inside the worker.
 *
 * Role:   WIRE_BATCH, checked, as products with addresses; its stacks; which rows of which product a planned job is.
 * In:     a message of the daemon's, which is trusted to mean well: what does not add up is a fault, and no address is
 *         made of it.
 * Thread: main.
 * Owns:   nothing: addresses are in regions, which stay while a batch inside names them.
 */
#ifndef DAEMON_XRT_WORK_H
#define DAEMON_XRT_WORK_H

#include "daemon/device.h"
#include "daemon/npu/pack.h"
#include "daemon/npu/stream64-plan.h"
#include "daemon/xrt/mappings.h"

#define WORK_PLACES_MAX (6 * WIRE_SLICES_MAX) /* A, B, C and three vectors */

/* Slices that share their B, one under the other: one product to the device. */
struct work_stack {
        size_t first, n_slices;
        uint64_t rows;
        struct mapping *
                resident; /* ref, held by the batch: it holds B and nothing else, and is worth packing; or NULL */
        bool is_cpus;     /* sums that the NPU's program does not make */
        bool is_packed; /* `resident` has a place in the weights object until the batch is done */
};

struct work {
        uint64_t number;
        size_t n_slices, n_stacks, n_regions;
        struct product products[WIRE_SLICES_MAX];
        struct slice slices[WIRE_SLICES_MAX]; /* products[i] is that of slices[i] */
        struct work_stack stacks[WIRE_SLICES_MAX];
        uint64_t regions[WORK_PLACES_MAX]; /* that it names, some of them often */

        /* the engine's */
        struct stream64_product planned[WIRE_SLICES_MAX]; /* stacks that go to the device, */
        size_t planned_stacks[WIRE_SLICES_MAX];           /* and which each is */
        size_t n_planned;
        struct stream64_plan plan;
        size_t n_placed;        /* stacks whose B was looked at */
        bool is_begun, is_sent; /* planning, and after its last command has been started */
        size_t n_in_flight;     /* its commands */
        size_t cpu_slice;       /* the next for the CPU, */
        uint64_t cpu_row;       /* and how many of its rows are done */
        uint64_t cpu_col;       /* and of that row */
        uint64_t begin_ns, pack_ns, device_ns;
        struct wire_counts counts;
};

/* `bytes`: as many as the message has. 0, or XRT_E_FAULT and WIRE_CAUSE_WORKER. */
int work_read(struct work *work, const struct wire_batch *message, size_t bytes,
              const struct mappings *regions, struct xrt_fault *ret_fault);
/* Whether such a product may be in one stack with the last. Whoever composes a batch need not have it there. */
bool work_stacks_with_last(const struct work *work, const struct product *product);
/* Appends a slice of such a product, to the last stack or to a new one. */
void work_add(struct work *work, const struct product *product, uint64_t first_row, uint64_t rows,
              struct mapping *resident, bool begins_stack);

bool work_names_region(const struct work *work, uint64_t id);

/* What of the stack's slices the planned part is: at most as many as the stack has. */
size_t work_parts(const struct work *work, const struct work_stack *stack,
                  const struct stream64_part *planned, struct pack_part ret_parts[WIRE_SLICES_MAX]);

#endif
