/* SPDX-License-Identifier: MIT */
/*
 * clock.h - deadlines on the monotonic clock.
 *
 * Role:   milliseconds of a caller -> a point in time -> milliseconds for poll(2). A point in time survives
 *         interrupted waits, a span of time does not.
 * Thread: any.
 */
#ifndef CLIENT_CLOCK_H
#define CLIENT_CLOCK_H

#include <limits.h>
#include <time.h>

#include "proto/base.h"

#define CLOCK_NEVER_NS UINT64_MAX

static inline uint64_t clock_now_ns(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock exists, the pointer is good */
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* -1: never. */
static inline uint64_t clock_deadline_ns(int timeout_ms)
{
        return timeout_ms < 0 ? CLOCK_NEVER_NS : clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
}

/* Rounded up, so that a wait never ends just before its deadline; -1: for ever. */
static inline int clock_left_ms(uint64_t deadline_ns)
{
        uint64_t now_ns, left_ms;

        if (deadline_ns == CLOCK_NEVER_NS)
                return -1;
        now_ns = clock_now_ns();
        left_ms = now_ns >= deadline_ns ? 0 : (deadline_ns - now_ns + 999999u) / 1000000u;
        return (int)MIN(left_ms, (uint64_t)INT_MAX);
}

#endif
