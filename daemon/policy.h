/* SPDX-License-Identifier: MIT */
/*
 * policy.h - when the next batch is composed.
 *
 * Role:   the device could take a batch and jobs wait: now, or is it worth a moment for more of them to come?
 * In:     submissions, answers and completions as they happen; what waits. Out: now, or when to ask again.
 * Thread: loop. Pure: no clock, no I/O; time is an argument.
 *
 * natural  When the device is idle, at once. Clients that send, wait, and send again then never meet: each batch finds
 *          those that the one before it did not answer, for ever.
 * hold     After a completion the idle device is held for the clients that were just answered, as long as that is
 *          expected to be worth it: only for those whose resubmit gap (upper quartile of the last 31) is below
 *          0.7 of what a submission costs by itself; for three such gaps, but for half of that cost at least, and all
 *          of it at most. It ends when all of them are back, the batch is full, or a deadline presses. Where a
 *          submission costs next to nothing it is natural, and nobody's gaps are looked at (policy_can_hold).
 * window   When the oldest job has waited for so long, or the batch is full. To compare with.
 *
 * With a second slot a batch is composed ahead only when the first is about to end, so that it stays open as long as
 * possible; and under hold not at all for clients that will be back at once.
 */
#ifndef DAEMON_POLICY_H
#define DAEMON_POLICY_H

#include "daemon/timeline.h"

enum policy_kind { POLICY_NATURAL = 0, POLICY_HOLD, POLICY_WINDOW, POLICY_MAX };

/* "natural", "hold", "window", NULL. */
extern const char *const policy_names[];

#define POLICY_GAPS 31 /* odd, so that quartiles are elements; some seconds of a busy client */

/* What is known of how one connection goes on when it has its answer. */
struct policy_client {
        uint64_t gaps_ns[POLICY_GAPS];   /* a ring; from an answer to the next submission */
        uint64_t sorted_ns[POLICY_GAPS]; /* the same, smallest first */
        size_t n_gaps;                   /* so far; beyond POLICY_GAPS the oldest are overwritten */
        uint64_t q75_ns;                 /* upper quartile of them; TIMELINE_NEVER until there are enough */
        uint64_t answered_ns;            /* when, if it has not sent anything since; else 0 */
        uint64_t expected_for; /* the composition that it is expected back for; see policy::n_composed */
};

struct policy {
        enum policy_kind kind;
        uint64_t window_ns;
        uint64_t n_composed;      /* batches so far, from 1: which one clients are expected for */
        size_t n_expected;        /* clients that the next batch is or will be held for */
        uint64_t expected_gap_ns; /* the longest gap of those */
        uint64_t hold_until_ns;   /* 0: no hold */
};

/* How things stand when a batch could be composed. */
struct policy_view {
        uint64_t now_ns;
        uint64_t oldest_ns;       /* when the oldest job that waits came */
        uint64_t latest_start_ns; /* of a batch, so that no deadline is missed; TIMELINE_NEVER: any time */
        bool is_full;             /* more waits than one batch may hold */
        size_t n_inside;          /* batches in the device */
        uint64_t idle_ns;         /* when the last of them is predicted to end */
        uint64_t pack_ns;         /* struct device */
        bool is_swift_inside;     /* one of them holds a job of a client that will be back at once */
};

void policy_init(struct policy *policy, enum policy_kind kind, uint64_t window_ns);

void policy_client_init(struct policy_client *client);

/* The connection has closed. */
void policy_client_deinit(struct policy *policy, struct policy_client *client);

/* One of its jobs, or a group of them, waits now. */
void policy_submitted(struct policy *policy, struct policy_client *client, uint64_t now_ns);

/* A round trip by socket: no client is back sooner, but one by ring, and no timer rings more exactly. */
#define POLICY_HOLD_LEAST_NS 10000

/* Whether anybody could be worth waiting for; else policy_answered and policy_idle need not be called. */
static inline bool policy_can_hold(uint64_t fixed_ns)
{
        return fixed_ns >= POLICY_HOLD_LEAST_NS;
}

/* A job of its has ended well. `fixed_ns` is what a submission costs by itself. */
void policy_answered(struct policy *policy, struct policy_client *client, uint64_t fixed_ns, uint64_t now_ns);

/* The device has no batch any more: a hold begins, if one does. After the answers that the last one brought. */
void policy_idle(struct policy *policy, uint64_t fixed_ns, uint64_t now_ns);

/* A batch has been composed: whoever was expected has missed it. */
void policy_composed(struct policy *policy);

/* Whether the gap of this client is short enough to wait for it. */
bool policy_is_swift(const struct policy_client *client, uint64_t fixed_ns);

/*
 * When the next batch shall be composed: view->now_ns or before: now. Otherwise ask again then (TIMELINE_NEVER: not
 * before something happens). Jobs wait.
 */
uint64_t policy_when_ns(const struct policy *policy, const struct policy_view *view);

#endif
