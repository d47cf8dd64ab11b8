/* SPDX-License-Identifier: MIT */
/*
 * device.h - a device that does nothing until the test says so.
 *
 * Role:   struct device_ops for the pipeline; the test chooses which batch goes on, and how each slice ends.
 * In:     batches, whose form it checks as strictly as device.h allows; drops, which it honours if told to.
 * Out:    device_events, from within fake_device_step.
 * Thread: one.
 * Owns:   each batch from submit to batch_done.
 */
#ifndef TESTS_FAKE_DEVICE_H
#define TESTS_FAKE_DEVICE_H

#include "daemon/device.h"

#define FAKE_SLOTS_MAX 4

struct fake_device {
        struct device device;
        struct batch *inside[FAKE_SLOTS_MAX]; /* oldest first; batch::n_finished slices are reported */
        size_t n_inside;
        uint64_t took_ns;   /* what each batch says it took; 0: what was predicted */
        bool computes;      /* writes the oracle's C; else touches no operand */
        bool drops;         /* leaves slices out that nobody wants; else goes on with them */
        uint64_t n_submits; /* so far */
        uint64_t n_slices;  /* reported so far */
};

/*
 * A device that takes `slots` batches at once, and each as early as it can get it. A submission costs 1 ns, and 1 ns
 * for each multiply-add, and nothing is padded: a bound in nanoseconds is one in multiply-adds, plus 1. Tests change
 * what they are about (padding, stacks_max, pack_ns, seeds) before the pipeline gets the device.
 */
void fake_device_init(struct fake_device *fake, size_t slots, uint64_t granule_rows,
                      const struct device_events *events, void *userdata);

/* No batch may be inside. */
void fake_device_deinit(struct fake_device *fake);

/*
 * One step of the batch inside[index]: reports its next slice with `status`, unless it was dropped, or the batch after
 * all slices.
 */
void fake_device_step(struct fake_device *fake, size_t index, enum status status);

/* Steps until nothing is inside, all well; also through what is submitted meanwhile. */
void fake_device_run(struct fake_device *fake);

#endif
