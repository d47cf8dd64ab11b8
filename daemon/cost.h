/* SPDX-License-Identifier: MIT */
/*
 * cost.h - how long a device will take.
 *
 * Role:   predicts a submission's time as fixed + sum of work * per multiply-add, with a slope for each class of
 *         shapes; seeded by the device, corrected by what submissions took.
 * In:     work in multiply-adds as the device makes them, padding included; measured times.
 * Thread: loop. Pure: times are arguments.
 */
#ifndef DAEMON_COST_H
#define DAEMON_COST_H

#include "daemon/product.h"

/* K in four classes, N in four, B stored either way. */
#define COST_CLASSES 32

struct cost_model {
        double fixed_ns;
        double fixed_most_ns; /* it is never believed to be more */
        struct cost_slope {
                double ns_per_mac;
                double observed; /* how much it has been corrected so far */
        } slopes[COST_CLASSES];
        double observed;     /* the same of fixed_ns */
        bool is_fixed_given; /* fixed_ns is known, and not corrected */
};

/* What one submission does: multiply-adds by class. */
struct cost_work {
        double macs[COST_CLASSES];
};

/* Whole nanoseconds; UINT64_MAX for more than that holds. */
static inline uint64_t cost_whole_ns(double ns)
{
        return ns < 1.8e19 ? (uint64_t)ns : UINT64_MAX;
}

void cost_init(struct cost_model *cost, double fixed_ns, double ns_per_mac);

/* The class of a product's shape: what decides how much a multiply-add costs. */
unsigned cost_class(const struct product *product);

/* Predicted nanoseconds of one submission. */
double cost_predict_ns(const struct cost_model *cost, const struct cost_work *work);

/* Learns from a submission of `work` that took `took_ns`. */
void cost_observe(struct cost_model *cost, const struct cost_work *work, uint64_t took_ns);

#endif
