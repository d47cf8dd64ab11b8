/* SPDX-License-Identifier: MIT */
/*
 * timeline.h - what time it is, and alarms.
 *
 * Role:   the one way in which the pipeline and devices learn of time, so that the same code runs on the machine's
 *         clock (timer.h) and on a virtual one (tests).
 * In:     times in nanoseconds of one clock that never goes back.
 * Out:    alarms that ring, each once, at or after their time, earliest first.
 * Thread: loop.
 * Owns:   nothing: alarms are embedded in what they are for.
 */
#ifndef DAEMON_TIMELINE_H
#define DAEMON_TIMELINE_H

#include "proto/base.h"

#include <sys/queue.h>

#define TIMELINE_NEVER UINT64_MAX

struct timeline;

struct alarm {
        void (*fn)(void *userdata);
        void *userdata;
        uint64_t at_ns;          /* TIMELINE_NEVER: not set */
        TAILQ_ENTRY(alarm) link; /* timeline::alarms, while set */
};

struct timeline_ops {
        uint64_t (*now_ns)(const struct timeline *timeline);
        /* The earliest alarm is another one now, or none (TIMELINE_NEVER). */
        void (*next_changed)(struct timeline *timeline, uint64_t at_ns);
};

struct timeline {
        const struct timeline_ops *ops; /* borrowed: constant */
        TAILQ_HEAD(, alarm) alarms; /* set, earliest first; equal times in the order in which they were set */
};

void timeline_init(struct timeline *timeline, const struct timeline_ops *ops);

static inline uint64_t timeline_now_ns(const struct timeline *timeline)
{
        return timeline->ops->now_ns(timeline);
}

void alarm_init(struct alarm *alarm, void (*fn)(void *userdata), void *userdata);

/* Sets, moves or (TIMELINE_NEVER) takes back an alarm. */
void alarm_set(struct timeline *timeline, struct alarm *alarm, uint64_t at_ns);

/* When the next alarm is due; TIMELINE_NEVER: none is set. */
uint64_t timeline_next_ns(const struct timeline *timeline);

/* Rings the earliest alarm if its time has come; false: there was none to ring. For those who keep the time. */
bool timeline_ring(struct timeline *timeline, uint64_t now_ns);

#endif
