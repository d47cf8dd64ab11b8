/* SPDX-License-Identifier: MIT */
/* turn.c - see turn.h. */
#include "daemon/turn.h"

static void on_busy(uv_idle_t *busy)
{
        (void)busy; /* that it is there is enough */
}

void turn_finish(struct turn *turn)
{
        if (!uv_is_active((uv_handle_t *)&turn->busy))
                return;
        (void)uv_idle_stop(&turn->busy);
        turn->fn(turn->userdata); /* may ask again, for the next turn */
}

static void on_end(uv_check_t *end)
{
        turn_finish(container_of(end, struct turn, end));
}

void turn_open(struct turn *turn, uv_loop_t *loop, void (*fn)(void *userdata), void *userdata)
{
        turn->fn = fn;
        turn->userdata = userdata;
        (void)uv_idle_init(loop, &turn->busy);
        (void)uv_check_init(loop, &turn->end);
        (void)uv_check_start(&turn->end, on_end);
        uv_unref((uv_handle_t *)&turn->end);
        uv_unref((uv_handle_t *)&turn->busy);
}

void turn_close(struct turn *turn)
{
        uv_close((uv_handle_t *)&turn->end, NULL);
        uv_close((uv_handle_t *)&turn->busy, NULL);
}

void turn_ask(struct turn *turn)
{
        if (!uv_is_closing((uv_handle_t *)&turn->busy))
                (void)uv_idle_start(&turn->busy, on_busy); /* nothing new if it is active */
}
