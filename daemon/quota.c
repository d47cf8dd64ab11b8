/* SPDX-License-Identifier: MIT */
/* quota.c - see quota.h. */
#include "daemon/quota.h"

#include <errno.h>
#include <inttypes.h>

void quota_init(struct quota *quota, const struct quota_limits *limits)
{
        *quota = (struct quota){.limits = *limits};
        TAILQ_INIT(&quota->users);
}

void quota_deinit(struct quota *quota)
{
        assert(TAILQ_EMPTY(&quota->users));
}

static struct quota_user *user_find(struct quota *quota, uid_t uid)
{
        struct quota_user *user;

        TAILQ_FOREACH(user, &quota->users, link)
                if (user->uid == uid)
                        return user;
        return NULL;
}

static bool fits(uint64_t used, uint64_t amount, uint64_t limit)
{
        return used <= limit && amount <= limit - used;
}

/* How much must go before `amount` fits. */
static uint64_t excess(uint64_t used, uint64_t amount, uint64_t limit)
{
        uint64_t sum;

        if (fits(used, amount, limit))
                return 0;
        return checked_add(used, amount, &sum) ? sum - limit : UINT64_MAX;
}

/* 0 or why not; asks for room before it says no. */
static int admit(struct quota *quota, uid_t uid, enum quota_kind kind, uint64_t amount)
{
        uint64_t of_uid = 0, of_all = 0;

        for (int attempt = 0; attempt < 2; attempt++) {
                const struct quota_user *user = user_find(quota, uid); /* giving up its last thing ends it */

                of_uid = excess(user ? user->used[kind] : 0, amount, quota->limits.per_uid[kind]);
                of_all = excess(quota->used[kind], amount, quota->limits.total[kind]);
                if (of_uid == 0 && of_all == 0)
                        return 0;
                if (attempt == 0 && quota->room_fn)
                        quota->room_fn(quota->room_userdata, uid, kind, of_uid, of_all);
        }
        return of_uid > 0 ? QUOTA_E_UID : QUOTA_E_TOTAL;
}

int quota_charge(struct quota *quota, uid_t uid, enum quota_kind kind, uint64_t amount,
                 struct quota_charge *ret_charge)
{
        struct quota_user *user;
        int r;

        assert(amount > 0); /* a charge for nothing would not keep its user's record alive */
        r = admit(quota, uid, kind, amount);
        if (r != 0)
                return r;
        user = user_find(quota, uid);
        if (!user) {
                user = calloc(1, sizeof *user);
                if (!user)
                        return -ENOMEM;
                user->uid = uid;
                TAILQ_INSERT_TAIL(&quota->users, user, link);
        }
        user->used[kind] += amount;
        quota->used[kind] += amount;
        *ret_charge = (struct quota_charge){.quota = quota, .user = user, .kind = kind, .amount = amount};
        return 0;
}

void quota_discharge(struct quota_charge *charge)
{
        struct quota_user *user = charge->user;
        struct quota *quota = charge->quota;

        if (!user)
                return;
        assert(user->used[charge->kind] >= charge->amount);
        user->used[charge->kind] -= charge->amount;
        quota->used[charge->kind] -= charge->amount;
        *charge = (struct quota_charge){0};
        for (int kind = 0; kind < QUOTA_KIND_MAX; kind++)
                if (user->used[kind] != 0)
                        return;
        TAILQ_REMOVE(&quota->users, user, link);
        free(user);
}

bool quota_fault(const struct quota *quota, uid_t uid, enum quota_kind kind, int r, struct fault *ret_fault)
{
        /* The keys of the configuration, so that whoever reads the message knows what to raise. */
        static const char *const keys[] = {
                [QUOTA_CONNECTIONS] = "connections", [QUOTA_BYTES] = "bytes", [QUOTA_ARENAS] = "arenas",
                [QUOTA_WEIGHTS] = "weights",         [QUOTA_JOBS] = "jobs",
        };

        if (r == QUOTA_E_UID)
                return fault_set(ret_fault, STATUS_BUSY,
                                 "uid %u is at its limit %s-per-uid = %" PRIu64
                                 "; free some, wait, or have the limit raised",
                                 (unsigned)uid, keys[kind], quota->limits.per_uid[kind]);
        if (r == QUOTA_E_TOTAL)
                return fault_set(ret_fault, STATUS_BUSY,
                                 "all users together are at the limit %s = %" PRIu64
                                 "; wait, or have the limit raised",
                                 keys[kind], quota->limits.total[kind]);
        return fault_set(ret_fault, STATUS_BUSY, "the daemon is out of resources (%s); try again later",
                         strerror(-r));
}
