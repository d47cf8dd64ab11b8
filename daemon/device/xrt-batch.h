/* SPDX-License-Identifier: MIT */
/*
 * xrt-batch.h - a batch as the worker is told of it.
 *
 * Role:   from addresses of this process to places in regions.
 * Thread: loop.
 */
#ifndef DAEMON_DEVICE_XRT_BATCH_H
#define DAEMON_DEVICE_XRT_BATCH_H

#include "daemon/device.h"
#include "daemon/xrt/wire.h"

typedef void (*xrt_region_fn)(void *userdata, struct region *region);

/*
 * Fills in `message`, and calls `region_fn` for each place that it names, before the message can be sent: the same
 * region may come again and again. Every operand of a product is in a region, as arenas and weights are.
 */
void xrt_batch_write(const struct batch *batch, const struct region_set *regions, uint64_t number,
                     xrt_region_fn region_fn, void *userdata, struct wire_batch *message);

/* Calls `region_fn` for the region of each result. */
void xrt_batch_results(const struct batch *batch, const struct region_set *regions, xrt_region_fn region_fn,
                       void *userdata);

#endif
