/* SPDX-License-Identifier: MIT */
/* xrt-breaker.c - see xrt-breaker.h. */
#include "daemon/device/xrt-breaker.h"

void xrt_breaker_init(struct xrt_breaker *breaker, uint64_t first_wait_ns)
{
        *breaker = (struct xrt_breaker){.first_wait_ns = MAX(first_wait_ns, UINT64_C(1))};
}

static bool is_frequent(const struct xrt_breaker *breaker, uint64_t now_ns)
{
        const uint64_t oldest_ns = breaker->faults_ns[breaker->n_faults % BREAKER_FAULTS];

        return breaker->n_faults >= BREAKER_FAULTS && now_ns - oldest_ns < BREAKER_WINDOW_NS;
}

struct xrt_verdict xrt_breaker_fault(struct xrt_breaker *breaker, enum wire_cause cause, uint64_t now_ns)
{
        const uint64_t most_ns = BREAKER_TIMES_MAX * breaker->first_wait_ns;
        const enum xrt_gravity gravity = xrt_cause_info(cause)->gravity;

        breaker->faults_ns[breaker->n_faults++ % BREAKER_FAULTS] = now_ns;
        if (gravity == XRT_PASSING && !is_frequent(breaker, now_ns))
                return (struct xrt_verdict){DEVICE_RECOVERING, now_ns};
        /* Nobody knows when it is right again: not soon. */
        if (gravity == XRT_GRAVE || cause == WIRE_CAUSE_WRONG)
                breaker->wait_ns = most_ns;
        else
                breaker->wait_ns =
                        breaker->wait_ns == 0 ? breaker->first_wait_ns : MIN(2 * breaker->wait_ns, most_ns);
        return (struct xrt_verdict){gravity == XRT_GRAVE ? DEVICE_FAILED : DEVICE_DEGRADED,
                                    now_ns + breaker->wait_ns};
}

void xrt_breaker_worked(struct xrt_breaker *breaker, uint64_t now_ns)
{
        const uint64_t last_ns =
                breaker->faults_ns[(breaker->n_faults + BREAKER_FAULTS - 1) % BREAKER_FAULTS];

        if (now_ns - last_ns >= BREAKER_WINDOW_NS)
                breaker->wait_ns = 0;
}
