/* SPDX-License-Identifier: MIT */
/*
 * listener.h - where connections come from.
 *
 * Role:   takes the socket that systemd passes, or binds one; accepts; says who is at the other end.
 * In:     a path. Out: accepted sockets, upward.
 * Thread: loop.
 * Owns:   the listening socket; where it bound itself, also the path and PATH.lock.
 *
 * Two daemons on one path are told apart by a lock on PATH.lock, not by connecting: a daemon with a full backlog
 * answers EAGAIN and is alive. What lies at the path and is no socket is never touched.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include "daemon/dispatch.h"

#define LISTENER_ERROR_MAX 256

struct listener_ops {
        /* A new connection; consumes `fd`. */
        void (*accepted)(void *userdata, int fd, const struct peer *peer);
        /* The process is out of file descriptors: one connection has been turned away. */
        void (*exhausted)(void *userdata);
};

struct listener {
        uv_poll_t poll;
        int fd;         /* owned */
        int lock_fd;    /* owned; -1: systemd's socket */
        int reserve_fd; /* owned; given up for a moment to turn a client away when fds are out */
        char *path;     /* owned; NULL: systemd's socket */
        const struct listener_ops *ops; /* borrowed: constant */
        void *userdata;
};

/*
 * Starts to listen: on systemd's socket if there is one, else at `path`. Returns 0, or -errno with one line in
 * ret_error; then nothing is left behind.
 */
int listener_open(struct listener *listener, uv_loop_t *loop, const char *path, const struct listener_ops *ops,
                  void *userdata, char ret_error[LISTENER_ERROR_MAX]);

/* Stops; removes the path if it was ours. Completes in the loop's next turn. */
void listener_close(struct listener *listener);

#endif
