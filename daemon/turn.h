/* SPDX-License-Identifier: MIT */
/*
 * turn.h - does once, at the end of a turn of the loop, what many things in the turn ask for.
 *
 * Role:   batches are composed when all that has come in has been read: the jobs of a burst, and of all clients that
 *         woke the loop together, then meet in one.
 * In:     turn_ask, any number of times. Out: one call, after the turn's I/O; a turn that has asked for it does not
 * wait. Thread: loop.
 */
#ifndef DAEMON_TURN_H
#define DAEMON_TURN_H

#include "proto/base.h"

#include <uv.h>

struct turn {
        uv_check_t end; /* after I/O */
        uv_idle_t busy; /* while asked: keeps the loop from waiting before that */
        void (*fn)(void *userdata);
        void *userdata;
};

/* Does not keep the loop alive by itself. */
void turn_open(struct turn *turn, uv_loop_t *loop, void (*fn)(void *userdata), void *userdata);

/* Completes in the loop's next turn; what was asked for is forgotten. */
void turn_close(struct turn *turn);

void turn_ask(struct turn *turn);

/* Does it now, if it was asked for: this is the end of the turn. */
void turn_finish(struct turn *turn);

#endif
