/* SPDX-License-Identifier: MIT */
/*
 * policy.c - see policy.h.
 *
 * Why 0.7, three gaps, and an upper quartile: two half-cohorts of K clients need 2 fixed + K work for a round, one held
 * cohort fixed + K work + gap, so that holding pays as long as gap < fixed; the rest is margin. A mean would be spoilt
 * for long by one pause. Whoever just misses a held batch waits for all of it and for the next, so letting go too early
 * raises the tail of latencies, while waiting in vain costs little: three quartiles, where 1.4 were too few, and half
 * of fixed at least, as a client that mostly needs a few microseconds now and then needs many more. (Measured with
 * tests/drive: with exponential gaps of 5 us mean, two clients' p99 is 19% below natural's so, and 25% above without.)
 */
#include "daemon/policy.h"

#define SWIFT_SHARE 0.7
#define HOLD_GAPS   3
#define GAPS_LEAST  4 /* before a client's gap is anything to go by */

const char *const policy_names[] = {"natural", "hold", "window", NULL};
static_assert(ARRAY_SIZE(policy_names) == POLICY_MAX + 1, "a name each");

void policy_init(struct policy *policy, enum policy_kind kind, uint64_t window_ns)
{
        *policy = (struct policy){.kind = kind, .window_ns = window_ns, .n_composed = 1};
}

void policy_client_init(struct policy_client *client)
{
        *client = (struct policy_client){.q75_ns = TIMELINE_NEVER};
}

static void expect_no_longer(struct policy *policy, struct policy_client *client)
{
        if (client->expected_for == policy->n_composed)
                policy->n_expected--;
        client->expected_for = 0;
}

void policy_client_deinit(struct policy *policy, struct policy_client *client)
{
        expect_no_longer(policy, client);
}

/* Of n sorted values takes `old` out (UINT64_MAX: there are only n - 1), and puts `new` in its place among them. */
static void sorted_replace(uint64_t *sorted, size_t n, uint64_t old, uint64_t new)
{
        size_t at = n - 1;

        while (old != UINT64_MAX && sorted[at] != old)
                at--;
        for (; at + 1 < n && sorted[at + 1] < new; at++)
                sorted[at] = sorted[at + 1];
        for (; at > 0 && sorted[at - 1] > new; at--)
                sorted[at] = sorted[at - 1];
        sorted[at] = new;
}

/* The quartile is the element that three quarters of the others are not above. */
static void gap_add(struct policy_client *client, uint64_t gap_ns)
{
        uint64_t *place = &client->gaps_ns[client->n_gaps % POLICY_GAPS];
        const uint64_t old_ns = client->n_gaps < POLICY_GAPS ? UINT64_MAX : *place;
        const size_t n = MIN(client->n_gaps + 1, (size_t)POLICY_GAPS);

        client->n_gaps++;
        *place = gap_ns;
        sorted_replace(client->sorted_ns, n, old_ns, gap_ns);
        if (n >= GAPS_LEAST)
                client->q75_ns = client->sorted_ns[n * 3 / 4];
}

void policy_submitted(struct policy *policy, struct policy_client *client, uint64_t now_ns)
{
        if (client->answered_ns != 0)
                gap_add(client, now_ns - client->answered_ns);
        client->answered_ns = 0;
        expect_no_longer(policy, client);
}

bool policy_is_swift(const struct policy_client *client, uint64_t fixed_ns)
{
        return (double)client->q75_ns <= SWIFT_SHARE * (double)fixed_ns;
}

void policy_answered(struct policy *policy, struct policy_client *client, uint64_t fixed_ns, uint64_t now_ns)
{
        client->answered_ns = now_ns;
        if (client->expected_for == policy->n_composed || !policy_is_swift(client, fixed_ns))
                return;
        client->expected_for = policy->n_composed;
        policy->n_expected++;
        policy->expected_gap_ns = MAX(policy->expected_gap_ns, client->q75_ns);
}

void policy_idle(struct policy *policy, uint64_t fixed_ns, uint64_t now_ns)
{
        const uint64_t gaps_ns = HOLD_GAPS * policy->expected_gap_ns;

        policy->hold_until_ns = 0;
        if (policy->kind == POLICY_HOLD && policy->n_expected > 0)
                policy->hold_until_ns = now_ns + MIN(MAX(gaps_ns, fixed_ns / 2), fixed_ns);
}

void policy_composed(struct policy *policy)
{
        policy->n_composed++;
        policy->n_expected = 0;
        policy->expected_gap_ns = 0;
        policy->hold_until_ns = 0;
}

/* The first slot is taken: a second batch stays open until it must be packed. */
static uint64_t when_ahead_ns(const struct policy *policy, const struct policy_view *view)
{
        const uint64_t ahead_ns = view->idle_ns - MIN(view->pack_ns, view->idle_ns);

        if (policy->kind == POLICY_HOLD && view->is_swift_inside)
                return TIMELINE_NEVER;
        if (policy->kind == POLICY_WINDOW && !view->is_full)
                return MAX(ahead_ns, view->oldest_ns + policy->window_ns);
        return ahead_ns;
}

uint64_t policy_when_ns(const struct policy *policy, const struct policy_view *view)
{
        if (view->n_inside > 0)
                return when_ahead_ns(policy, view);
        if (view->is_full)
                return view->now_ns;
        if (policy->kind == POLICY_HOLD && policy->n_expected > 0 && policy->hold_until_ns != 0)
                return MIN(policy->hold_until_ns, view->latest_start_ns);
        if (policy->kind == POLICY_WINDOW)
                return MIN(view->oldest_ns + policy->window_ns, view->latest_start_ns);
        return view->now_ns;
}
