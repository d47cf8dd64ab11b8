/* SPDX-License-Identifier: MIT */
/* timeline.c - see timeline.h. The list is short: a handful of alarms in the daemon. */
#include "daemon/timeline.h"

void timeline_init(struct timeline *timeline, const struct timeline_ops *ops)
{
        timeline->ops = ops;
        TAILQ_INIT(&timeline->alarms);
}

void alarm_init(struct alarm *alarm, void (*fn)(void *userdata), void *userdata)
{
        *alarm = (struct alarm){.fn = fn, .userdata = userdata, .at_ns = TIMELINE_NEVER};
}

uint64_t timeline_next_ns(const struct timeline *timeline)
{
        const struct alarm *first = TAILQ_FIRST(&timeline->alarms);

        return first ? first->at_ns : TIMELINE_NEVER;
}

static void insert(struct timeline *timeline, struct alarm *alarm)
{
        struct alarm *other;

        TAILQ_FOREACH(other, &timeline->alarms, link)
                if (other->at_ns > alarm->at_ns)
                        break;
        if (other)
                TAILQ_INSERT_BEFORE(other, alarm, link);
        else
                TAILQ_INSERT_TAIL(&timeline->alarms, alarm, link);
}

void alarm_set(struct timeline *timeline, struct alarm *alarm, uint64_t at_ns)
{
        const uint64_t next_ns = timeline_next_ns(timeline);

        if (alarm->at_ns == at_ns)
                return;
        if (alarm->at_ns != TIMELINE_NEVER)
                TAILQ_REMOVE(&timeline->alarms, alarm, link);
        alarm->at_ns = at_ns;
        if (at_ns != TIMELINE_NEVER)
                insert(timeline, alarm);
        if (timeline_next_ns(timeline) != next_ns)
                timeline->ops->next_changed(timeline, timeline_next_ns(timeline));
}

bool timeline_ring(struct timeline *timeline, uint64_t now_ns)
{
        struct alarm *alarm = TAILQ_FIRST(&timeline->alarms);

        if (!alarm || alarm->at_ns > now_ns)
                return false;
        alarm_set(timeline, alarm, TIMELINE_NEVER);
        alarm->fn(alarm->userdata);
        return true;
}
