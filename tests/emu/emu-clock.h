/* SPDX-License-Identifier: MIT */
/*
 * emu-clock.h - the monotonic clock, which is the one that waits of the driver's are in.
 *
 * Thread: any; pure.
 */
#ifndef TESTS_EMU_EMU_CLOCK_H
#define TESTS_EMU_EMU_CLOCK_H

#include "proto/base.h"

#include <time.h>

#define EMU_NS_PER_S  UINT64_C(1000000000)
#define EMU_NS_PER_MS UINT64_C(1000000)

static inline uint64_t emu_now_ns(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * EMU_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline struct timespec emu_timespec(uint64_t ns)
{
        return (struct timespec){.tv_sec = (time_t)(ns / EMU_NS_PER_S), .tv_nsec = (long)(ns % EMU_NS_PER_S)};
}

#endif
