/* SPDX-License-Identifier: MIT */
/* cost.c - see cost.h. */
#include "daemon/cost.h"

/*
 * A submission teaches the slope only where work outweighs the fixed part (which devices report their times without),
 * and moves it by an eighth: fast enough to follow a clock or power change within ten submissions, slow enough that one
 * preempted run matters little. No single one, of however odd a shape, counts as more than twice or less than half of
 * what was expected: everybody's slices are cut by this model.
 */
#define LEARN_SHARE  0.125
#define STEP_MOST    2.0
#define SLOPE_MIN_NS 1e-6 /* 10^6 GMAC/s: nothing is faster; keeps the model invertible */
#define MACS_MAX     9e18

uint64_t cost_predict_ns(const struct cost_model *cost, uint64_t work_macs)
{
        return (uint64_t)(cost->fixed_ns + cost->ns_per_mac * (double)work_macs);
}

uint64_t cost_macs_within(const struct cost_model *cost, uint64_t bound_ns)
{
        double macs = ((double)bound_ns - cost->fixed_ns) / cost->ns_per_mac;

        return macs < 1 ? 1 : macs > MACS_MAX ? (uint64_t)MACS_MAX : (uint64_t)macs;
}

void cost_observe(struct cost_model *cost, uint64_t work_macs, uint64_t took_ns)
{
        const double expected_ns = cost->ns_per_mac * (double)work_macs;
        double measured_ns = (double)took_ns;

        if (expected_ns < cost->fixed_ns) /* too short to tell the slope from chance */
                return;
        measured_ns = MAX(expected_ns / STEP_MOST, MIN(expected_ns * STEP_MOST, measured_ns));
        cost->ns_per_mac += LEARN_SHARE * (measured_ns / (double)work_macs - cost->ns_per_mac);
        cost->ns_per_mac = MAX(cost->ns_per_mac, SLOPE_MIN_NS);
}
