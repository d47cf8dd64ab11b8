/* SPDX-License-Identifier: MIT */
/* timeline.c - see timeline.h. */
#include "tests/fake/timeline.h"

#define START_NS UINT64_C(1000000000000)

static uint64_t now_ns(const struct timeline *timeline)
{
        return container_of(timeline, const struct fake_timeline, timeline)->now_ns;
}

static void next_changed(struct timeline *timeline, uint64_t at_ns)
{
        struct fake_timeline *fake = container_of(timeline, struct fake_timeline, timeline);

        assert(at_ns != fake->next_ns);
        assert(at_ns == timeline_next_ns(timeline));
        fake->next_ns = at_ns;
}

static const struct timeline_ops fake_timeline_ops = {.now_ns = now_ns, .next_changed = next_changed};

void fake_timeline_init(struct fake_timeline *fake)
{
        *fake = (struct fake_timeline){.now_ns = START_NS, .next_ns = TIMELINE_NEVER};
        timeline_init(&fake->timeline, &fake_timeline_ops);
}

bool fake_timeline_step(struct fake_timeline *fake)
{
        assert(fake->next_ns == timeline_next_ns(&fake->timeline));
        if (fake->next_ns == TIMELINE_NEVER)
                return false;
        fake->now_ns = MAX(fake->now_ns, fake->next_ns);
        return timeline_ring(&fake->timeline, fake->now_ns);
}

void fake_timeline_advance(struct fake_timeline *fake, uint64_t ns)
{
        const uint64_t end_ns = fake->now_ns + ns;

        while (timeline_next_ns(&fake->timeline) <= end_ns)
                (void)fake_timeline_step(fake);
        fake->now_ns = end_ns;
}
