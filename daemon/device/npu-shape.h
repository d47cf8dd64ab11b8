/* SPDX-License-Identifier: MIT */
/*
 * npu-shape.h - a product in the terms of the NPU's batches: for the devices that make such batches.
 *
 * Role:   from struct product to what it takes of a submission.
 * Thread: any; pure.
 */
#ifndef DAEMON_DEVICE_NPU_SHAPE_H
#define DAEMON_DEVICE_NPU_SHAPE_H

#include "daemon/product.h"

/* Whether its B stays in the NPU's own layout. Weights that are too large for that are sent along each time. */
bool npu_b_resides(const struct product *product);

/* struct device::work_macs and ::share of a device that computes by stream64. */
double npu_work_macs(const struct product *product, uint64_t rows);
double npu_share(const struct product *product, uint64_t rows);

#endif
