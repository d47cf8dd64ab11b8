/* SPDX-License-Identifier: MIT */
/*
 * entry.h - what every entry point of the library begins and ends with.
 *
 * Role:   may it be called now, which fields did the program fill in; waiting for one end, and the callbacks
 *         that become due meanwhile; npumm_fd() readable as long as there is something to tell.
 * Thread: the client's.
 * Owns:   nothing.
 */
#ifndef CLIENT_ENTRY_H
#define CLIENT_ENTRY_H

#include "npumm.h"
#include "proto/base.h"

/* Where a struct would end if `field` were its last. */
#define END_OF(type, field) (offsetof(type, field) + sizeof((type *)0)->field)

/*
 * Copies a struct of the program, which may be of an older version (fields that it does not have are 0) or
 * of a newer one (fields that we do not know must be 0, as we cannot do what they ask for).
 */
bool entry_read(const void *from, size_t from_bytes, size_t min_bytes, void *to, size_t to_bytes);

/*
 * Whether a function may do anything now: 0, -EPERM, -EDEADLK or -ENOTCONN. `blocks`: it runs callbacks, and
 * so must not be called from one.
 */
int entry_begin(struct npumm_client *client, bool blocks);

/* Returns `r`. */
int entry_end(struct npumm_client *client, int r);

/* What a blocking function waits for. The text is kept: callbacks that run before it returns set others. */
struct ending {
        bool is_over;
        int result;
        char text[NPUMM_TEXT_MAX];
};

void ending_set(struct ending *ending, int result, const char *text);

/* Runs callbacks meanwhile. Returns -ETIMEDOUT, or 0 when `ending` is over. */
int ending_await(struct npumm_client *client, const struct ending *ending, uint64_t deadline_ns);

/* Its result, and its text as the client's. */
int ending_result(struct npumm_client *client, const struct ending *ending);

#endif
