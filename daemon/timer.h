/* SPDX-License-Identifier: MIT */
/*
 * timer.h - the timeline of the machine's clock.
 *
 * Role:   rings alarms from a timerfd: libuv's own timers are no finer than a millisecond, and a hold is shorter.
 * In:     CLOCK_MONOTONIC. Out: alarms, on the loop.
 * Thread: loop.
 * Owns:   the timerfd.
 */
#ifndef DAEMON_TIMER_H
#define DAEMON_TIMER_H

#include "daemon/timeline.h"

#include <uv.h>

struct timer {
        struct timeline timeline;
        uv_poll_t poll;
        int fd; /* owned */
};

/* Does not keep the loop alive by itself. Returns 0 or -errno; then nothing is left behind. */
int timer_open(struct timer *timer, uv_loop_t *loop);

/* No alarm rings any more. Completes in the loop's next turn. */
void timer_close(struct timer *timer);

#endif
