/* SPDX-License-Identifier: MIT */
/*
 * cost.h - how long a device will take.
 *
 * Role:   predicts a submission's time as fixed + work * per multiply-add, seeded by the device and corrected by
 *         what submissions took.
 * Thread: loop. Pure: times are arguments.
 */
#ifndef DAEMON_COST_H
#define DAEMON_COST_H

#include "proto/base.h"

struct cost_model {
        double fixed_ns;
        double ns_per_mac;
};

/* Predicted nanoseconds of `work_macs` multiply-adds in one submission. */
uint64_t cost_predict_ns(const struct cost_model *cost, uint64_t work_macs);

/* The most multiply-adds that one submission may have to stay within `bound_ns`; at least 1. */
uint64_t cost_macs_within(const struct cost_model *cost, uint64_t bound_ns);

/* Learns from a submission of `work_macs` that took `took_ns`. */
void cost_observe(struct cost_model *cost, uint64_t work_macs, uint64_t took_ns);

#endif
