/* SPDX-License-Identifier: MIT */
/*
 * cost.c - see cost.h.
 *
 * A prediction is a sum of parts: the fixed one, and one for each class of work. When it was wrong, each part takes
 * blame for the difference in proportion to the square of its share (normalised least squares, every part being as
 * uncertain as it is large). So a submission that is nearly all of one class corrects that class alone, small ones
 * teach the fixed part, large ones the slopes, and mixed ones do not spoil either.
 *
 * A part moves by an eighth of its blame: fast enough to follow a change of clock or power within ten submissions, slow
 * enough that one preempted run matters little. The first few observations of a part count for more, as the seed knows
 * nothing of the class. No single submission counts as more than twice or less than half of what was expected, and no
 * part of it moves by more than that either, for the difference may be many times a small part: everybody's slices are
 * cut by this model.
 */
#include "daemon/cost.h"

#define LEARN_LEAST      8.0
#define WEIGHT_LEAST     1e-3
#define STEP_MOST        2.0
#define FIXED_MIN_NS     1.0
#define FIXED_TIMES_MOST 4.0  /* a clock at a quarter; beyond that somebody teaches it nonsense */
#define SLOPE_MIN_NS     1e-6 /* 10^6 GMAC/s: nothing is faster; keeps the model invertible */

void cost_init(struct cost_model *cost, double fixed_ns, double ns_per_mac)
{
        *cost = (struct cost_model){
                .fixed_ns = MAX(fixed_ns, FIXED_MIN_NS),
                .fixed_most_ns = FIXED_TIMES_MOST * MAX(fixed_ns, FIXED_MIN_NS),
        };
        for (size_t i = 0; i < COST_CLASSES; i++)
                cost->slopes[i].ns_per_mac = MAX(ns_per_mac, SLOPE_MIN_NS);
}

/* 0..3, at bounds where kernels and macro-tiles begin to be filled. */
static unsigned size_class(uint64_t n)
{
        return n < 16 ? 0 : n < 64 ? 1 : n < 384 ? 2 : 3;
}

unsigned cost_class(const struct product *product)
{
        return size_class(product->k) << 3 | size_class(product->n) << 1 | product->b_transposed;
}

double cost_predict_ns(const struct cost_model *cost, const struct cost_work *work)
{
        double ns = cost->fixed_ns;

        for (size_t i = 0; i < COST_CLASSES; i++)
                if (work->macs[i] != 0)
                        ns += cost->slopes[i].ns_per_mac * work->macs[i];
        return ns;
}

/*
 * How far a part of `part_ns` moves that bears `weight` (0..1) of the blame: by all of it at first, by 1 / LEARN_LEAST
 * once it has been corrected that often. A part too small to be told from chance stays.
 */
static double move(double *observed, double part_ns, double weight, double error_ns)
{
        const double moved_ns = error_ns * weight / MIN(1 + *observed, LEARN_LEAST);

        if (weight < WEIGHT_LEAST)
                return 0;
        *observed = MIN(*observed + weight, LEARN_LEAST);
        return MAX(part_ns / STEP_MOST - part_ns, MIN(moved_ns, part_ns * STEP_MOST - part_ns));
}

/* The classes that a submission has work of: mostly one. */
static size_t classes_of(const struct cost_work *work, size_t ret_classes[COST_CLASSES])
{
        size_t n = 0;

        for (size_t i = 0; i < COST_CLASSES; i++)
                if (work->macs[i] != 0)
                        ret_classes[n++] = i;
        return n;
}

void cost_observe(struct cost_model *cost, const struct cost_work *work, uint64_t took_ns)
{
        size_t classes[COST_CLASSES];
        const size_t n = classes_of(work, classes);
        double shares_ns[COST_CLASSES];
        double predicted_ns = cost->fixed_ns, squares = cost->fixed_ns * cost->fixed_ns;
        double counted_ns, error_ns, fixed_weight;

        for (size_t i = 0; i < n; i++) {
                shares_ns[i] = cost->slopes[classes[i]].ns_per_mac * work->macs[classes[i]];
                predicted_ns += shares_ns[i];
                squares += shares_ns[i] * shares_ns[i];
        }
        counted_ns = MAX(predicted_ns / STEP_MOST, MIN(predicted_ns * STEP_MOST, (double)took_ns));
        error_ns = counted_ns - predicted_ns;
        fixed_weight = cost->fixed_ns * cost->fixed_ns / squares;
        for (size_t i = 0; i < n; i++) {
                struct cost_slope *slope = &cost->slopes[classes[i]];
                const double weight = shares_ns[i] * shares_ns[i] / squares;

                slope->ns_per_mac +=
                        move(&slope->observed, shares_ns[i], weight, error_ns) / work->macs[classes[i]];
                slope->ns_per_mac = MAX(slope->ns_per_mac, SLOPE_MIN_NS);
        }
        if (cost->is_fixed_given)
                return;
        cost->fixed_ns += move(&cost->observed, cost->fixed_ns, fixed_weight, error_ns);
        cost->fixed_ns = MAX(FIXED_MIN_NS, MIN(cost->fixed_ns, cost->fixed_most_ns));
}
