/* SPDX-License-Identifier: MIT */
/* timer.c - see timer.h. */
#include "daemon/timer.h"

#include <errno.h>
#include <sys/timerfd.h>

static uint64_t now_ns(const struct timeline *timeline)
{
        (void)timeline;
        return uv_hrtime(); /* CLOCK_MONOTONIC, as the timerfd's */
}

static void next_changed(struct timeline *timeline, uint64_t at_ns)
{
        struct timer *timer = container_of(timeline, struct timer, timeline);
        struct itimerspec when = {0}; /* all 0: off */

        if (at_ns != TIMELINE_NEVER) {
                at_ns = MAX(at_ns, UINT64_C(1));
                when.it_value.tv_sec = (time_t)(at_ns / 1000000000);
                when.it_value.tv_nsec = (long)(at_ns % 1000000000);
        }
        (void)timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &when,
                              NULL); /* cannot fail: all of it is valid */
}

static const struct timeline_ops timer_ops = {.now_ns = now_ns, .next_changed = next_changed};

static void on_expired(uv_poll_t *poll, int status, int events)
{
        struct timer *timer = container_of(poll, struct timer, poll);
        const uint64_t now = uv_hrtime();
        uint64_t n_expired;

        (void)status;
        (void)events;
        (void)!read(timer->fd, &n_expired, sizeof n_expired);
        /* What is set for a time that has passed while others ring waits for the next turn: nobody holds the loop. */
        while (timeline_ring(&timer->timeline, now))
                ;
}

static void on_closed(uv_handle_t *handle)
{
        struct timer *timer = container_of((uv_poll_t *)handle, struct timer, poll);

        closep(&timer->fd);
        timer->fd = -1;
}

int timer_open(struct timer *timer, uv_loop_t *loop)
{
        int r;

        *timer = (struct timer){.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
        if (timer->fd < 0)
                return -errno;
        timeline_init(&timer->timeline, &timer_ops);
        r = uv_poll_init(loop, &timer->poll, timer->fd);
        if (r < 0) {
                closep(&timer->fd);
                return r;
        }
        (void)uv_poll_start(&timer->poll, UV_READABLE, on_expired);
        uv_unref((uv_handle_t *)&timer->poll);
        return 0;
}

void timer_close(struct timer *timer)
{
        uv_close((uv_handle_t *)&timer->poll, on_closed);
}
