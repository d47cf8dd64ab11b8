/* SPDX-License-Identifier: MIT */
/*
 * home.h - whether this is still the process that a client belongs to.
 *
 * Role:   a page that a forked child finds empty: a look at it costs nothing, where asking the kernel who one is costs
 *         as much as a tenth of a small product.
 * Thread: the client's.
 * Owns:   the page.
 */
#ifndef CLIENT_HOME_H
#define CLIENT_HOME_H

#include "proto/base.h"

struct home {
        pid_t pid;     /* for people, and where the kernel has no such pages */
        uint8_t *mark; /* owned: 1 at home, 0 in a child; NULL: the kernel has none (before Linux 4.14) */
};

/* Home is here. */
void home_init(struct home *home);
void home_deinit(struct home *home);

static inline bool home_is_here(const struct home *home)
{
        return home->mark ? *home->mark != 0 : home->pid == getpid();
}

#endif
