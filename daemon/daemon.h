/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - the whole of it: wires the stages, runs the loop, stops in order.
 *
 * Role:   composition root.
 * Thread: the one that calls daemon_run becomes the loop thread.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "daemon/config.h"

struct daemon;

/*
 * Opens the device and the socket. `config` is taken over as soon as anything that depends on it is made, and left
 * empty. Returns 0 or -errno (the reason has been logged).
 */
int daemon_new(struct config *config, struct daemon **ret_daemon);

/* After daemon_run, or instead of it. Returns NULL; NULL is allowed. */
struct daemon *daemon_free(struct daemon *daemon);

/* Serves until SIGTERM or SIGINT, then drains. Returns 0 or -errno. */
int daemon_run(struct daemon *daemon);

#endif
