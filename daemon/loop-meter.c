/* SPDX-License-Identifier: MIT */
/* loop-meter.c - see loop-meter.h. */
#include "daemon/loop-meter.h"

void loop_meter_pause(struct loop_meter *meter)
{
        const uint64_t now_ns = uv_hrtime();
        const uint64_t idle_ns = uv_metrics_idle_time(meter->turn.loop);
        const uint64_t turn_ns = now_ns - meter->last_ns, waited_ns = idle_ns - meter->last_idle_ns;

        if (meter->last_ns != 0 && turn_ns >= waited_ns)
                hold_meter_add(meter->hold, (turn_ns - waited_ns) / 1000);
        meter->last_ns = now_ns;
        meter->last_idle_ns = idle_ns;
        meter->n_turns++;
}

void loop_meter_resume(struct loop_meter *meter, uint64_t now_ns)
{
        meter->last_ns = now_ns;
}

static void on_turn(uv_prepare_t *turn)
{
        struct loop_meter *meter = container_of(turn, struct loop_meter, turn);

        loop_meter_pause(meter); /* and it goes on by itself: what the kernel counts as idle is left out */
}

int loop_meter_open(struct loop_meter *meter, uv_loop_t *loop, struct hold_meter *hold)
{
        int r;

        *meter = (struct loop_meter){.hold = hold};
        r = uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
        if (r < 0)
                return r;
        (void)uv_prepare_init(loop, &meter->turn);
        (void)uv_prepare_start(&meter->turn, on_turn);
        uv_unref((uv_handle_t *)&meter->turn);
        return 0;
}

void loop_meter_close(struct loop_meter *meter)
{
        uv_close((uv_handle_t *)&meter->turn, NULL);
}
