/* SPDX-License-Identifier: MIT */
/*
 * loop-meter.h - how long the loop runs between two waits.
 *
 * Role:   measures what "the loop never waits" means in practice, for `loop_held_*` in status.
 * Thread: loop.
 */
#ifndef DAEMON_LOOP_METER_H
#define DAEMON_LOOP_METER_H

#include "daemon/stats.h"

#include <uv.h>

struct loop_meter {
        uv_prepare_t turn;        /* once a turn, right before the wait */
        struct hold_meter *hold;  /* borrowed: outlives us */
        uint64_t last_ns, last_idle_ns;
        uint64_t n_turns; /* so far: tells one turn from the next */
};

/* Before the loop runs: it must be told to count its idle time. Returns 0 or -errno. */
int loop_meter_open(struct loop_meter *meter, uv_loop_t *loop, struct hold_meter *hold);
void loop_meter_close(struct loop_meter *meter);

/* From now until loop_meter_resume() the loop waits, though not in the kernel. */
void loop_meter_pause(struct loop_meter *meter);
void loop_meter_resume(struct loop_meter *meter, uint64_t now_ns);

#endif
