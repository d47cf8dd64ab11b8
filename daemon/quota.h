/* SPDX-License-Identifier: MIT */
/*
 * quota.h - what each user has taken, and what is left.
 *
 * Role:   every resource that a client can make the daemon hold is charged to its uid before it is taken. A
 *         charge is embedded in the object that it pays for and ends with it, so nothing is forgotten. Before a
 *         charge is refused, whoever keeps things that nobody needs is asked to give them up.
 * Thread: loop. Pure bookkeeping: no I/O, no clock.
 * Owns:   one record a uid, for as long as that uid is charged for anything.
 */
#ifndef DAEMON_QUOTA_H
#define DAEMON_QUOTA_H

#include "proto/status.h"

#include <sys/queue.h>
#include <sys/types.h>

enum quota_kind {
        QUOTA_CONNECTIONS = 0,
        QUOTA_BYTES,   /* arenas and loaded weights at their whole size, and staged inline operands */
        QUOTA_ARENAS,  /* arenas by number: each is a file descriptor and a mapping */
        QUOTA_WEIGHTS, /* loaded weights by number, and handles on them */
        QUOTA_JOBS,    /* accepted and not done */
        QUOTA_KIND_MAX
};

/* Positive results of quota_charge. */
enum {
        QUOTA_E_SUCCESS = 0,
        QUOTA_E_UID,   /* over the limit of one uid */
        QUOTA_E_TOTAL, /* over the limit of all together */
};

struct quota_limits {
        uint64_t per_uid[QUOTA_KIND_MAX];
        uint64_t total[QUOTA_KIND_MAX];
};

struct quota_user {
        uid_t uid;
        uint64_t used[QUOTA_KIND_MAX];
        TAILQ_ENTRY(quota_user) link; /* quota::users */
};

/*
 * Gives up things that are charged and not needed: `of_uid` of this kind from this user, and `of_all` from anybody,
 * those included; all of it, or nothing if there is not enough.
 */
typedef void (*quota_room_fn)(void *userdata, uid_t uid, enum quota_kind kind, uint64_t of_uid,
                              uint64_t of_all);

struct quota {
        struct quota_limits limits;
        uint64_t used[QUOTA_KIND_MAX];
        quota_room_fn room_fn; /* or NULL; discharges what it gives up */
        void *room_userdata;
        TAILQ_HEAD(, quota_user) users; /* owned; a handful on any real machine, so a list will do */
};

/* Zero-initialised: charged for nothing. Embedded in what it pays for. */
struct quota_charge {
        struct quota *quota;     /* borrowed: outlives every charge */
        struct quota_user *user; /* borrowed: lives as long as its charges */
        enum quota_kind kind;
        uint64_t amount;
};

void quota_init(struct quota *quota, const struct quota_limits *limits);

/* Everything must have been discharged. */
void quota_deinit(struct quota *quota);

/* Takes `amount` for `uid`, or nothing. Returns 0, -ENOMEM, QUOTA_E_UID or QUOTA_E_TOTAL. */
int quota_charge(struct quota *quota, uid_t uid, enum quota_kind kind, uint64_t amount,
                 struct quota_charge *ret_charge);

/*
 * Puts the result of a charge, or of making what it paid for, into words: the limit's name and value, or the
 * errno. Returns false.
 */
bool quota_fault(const struct quota *quota, uid_t uid, enum quota_kind kind, int r, struct fault *ret_fault);

/* Gives back; a charge for nothing is allowed. */
void quota_discharge(struct quota_charge *charge);

#endif
