/* SPDX-License-Identifier: MIT */
/*
 * ring-watch.h - the rings of all clients: which of them are looked at, which sleep until a bell rings.
 *
 * Role:   a ring whose client was heard of is awake: each turn of the loop looks at it. Before the loop waits it is put
 *         to sleep, or looked at a while longer where that is likely to pay (spinning).
 * In:     shared words, bells, the end of a turn. Out: ring_watch_ops, upward.
 * Thread: loop.
 * Owns:   bells, and the hold on each ring's memory.
 *
 * Design notes
 * - A client rings by writing to an eventfd, which the daemon never reads: all are in an epoll set of their own, edge-
 *   triggered. A client shares the eventfd's file, so that it could make a read wait for ever.
 * - The daemon rings by writing to a pipe, for the same reason: O_NONBLOCK of its own end is its own. It keeps the
 *   other end, too, so that the pipe never breaks.
 * - Nothing that a client says by the shared words does more than wake the daemon in vain, or keep it from spinning.
 */
#ifndef DAEMON_RING_WATCH_H
#define DAEMON_RING_WATCH_H

#include "daemon/loop-meter.h"
#include "proto/ring.h"
#include "proto/spin.h"

#include <sys/queue.h>
#include <uv.h>

struct ring_watch;

/* The daemon's end of one client's rings. */
struct ring_end {
        struct ring ring;
        struct ring_watch *watch; /* borrowed: outlives us */
        int bell_fd;              /* owned: an eventfd, the client rings */
        int client_bell_fds[2];   /* owned: a pipe; we ring the second, the client waits at the first */
        void (*release_fn)(void *owner); /* of the memory */
        void *owner;
        void *userdata;     /* borrowed: the connection's */
        uint64_t asleep_ns; /* since when */
        bool is_awake;      /* in ring_watch::awake */
        TAILQ_ENTRY(ring_end) link;
};

struct ring_watch_ops {
        /* What it would have to be woken for: RING_WANTS_*. */
        uint32_t (*wants)(struct ring_end *end);
        /* Whether there is something to do now. */
        bool (*has_work)(struct ring_end *end);
        /* All are about to be looked at: they have a turn of their own, whatever the sockets took of this one. */
        void (*start_turn)(void *userdata);
        /* Does it. False: the turn is over, and it was passed over; it comes first in the next one. */
        bool (*look)(struct ring_end *end);
        /* All have been looked at: what the loop does at the end of a turn, and before it waits. */
        void (*finish_turn)(void *userdata);
        /* Whether clients are likely to be heard of soon: nothing that they wait for is under way. */
        bool (*is_quiet)(void *userdata);
};

struct ring_watch {
        const struct ring_watch_ops *ops; /* borrowed: constant */
        void *userdata;
        struct loop_meter *meter; /* borrowed: told of the time spun; NULL: nobody is */
        struct spin spin;
        uint64_t *spun_ns;            /* borrowed: adds up the time spun; NULL: nobody asks */
        TAILQ_HEAD(, ring_end) awake; /* borrowed */
        int bells_fd;                 /* owned: the epoll set */
        bool has_bells;               /* they could be made */
        bool leaves_rings;            /* the daemon stops: what is in them stays there to be read */
        uv_poll_t bells;
        uv_check_t after_wait;
        uv_prepare_t before_wait;
        uv_idle_t busy; /* while active the loop does not wait */
};

/* Before whatever flushes is started, so that it runs after that. `spin_ns` 0: never. */
void ring_watch_open(struct ring_watch *watch, uv_loop_t *loop, uint64_t spin_ns,
                     const struct ring_watch_ops *ops, void *userdata);

/* No ring may be left. Completes in the loop's next turns. */
void ring_watch_close(struct ring_watch *watch);

/*
 * Clears the shared words and begins to watch. `release_fn` is called with `owner` when the memory is not used any more;
 * not on failure. Returns 0 or -errno.
 */
int ring_end_open(struct ring_end *end, struct ring_watch *watch, uint8_t *memory, uint32_t submission_bytes,
                  uint32_t completion_bytes, void (*release_fn)(void *owner), void *owner, void *userdata);

/* Unless rings are left, the client is told that what it reads from now on may be anything. */
void ring_end_close(struct ring_end *end);

/* It is to be looked at in the next turn. */
void ring_end_wake(struct ring_end *end);

/* Shows the client what was read and written, and wakes it if it sleeps. */
void ring_end_publish(struct ring_end *end);

#endif
