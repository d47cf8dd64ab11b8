/* SPDX-License-Identifier: MIT */
/*
 * timeline.h - time that stands still until the test lets it go on.
 *
 * Role:   the timeline of everything that takes one, without a clock: alarms ring when the test says so, at exactly
 *         their times.
 * In:     steps and spans of time. Out: alarms, from within these calls.
 * Thread: one.
 */
#ifndef TESTS_FAKE_TIMELINE_H
#define TESTS_FAKE_TIMELINE_H

#include "daemon/timeline.h"

struct fake_timeline {
        struct timeline timeline;
        uint64_t now_ns;
        uint64_t next_ns; /* as timeline_ops::next_changed has said: checked whenever time goes on */
};

/* It begins at some time that is not 0. */
void fake_timeline_init(struct fake_timeline *fake);

/* Goes on to the next alarm and rings it; false: none is set. One in the past rings now. */
bool fake_timeline_step(struct fake_timeline *fake);

/* Goes on by `ns`, ringing all that is due on the way, what is set on the way included. */
void fake_timeline_advance(struct fake_timeline *fake, uint64_t ns);

#endif
