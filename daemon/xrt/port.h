/* SPDX-License-Identifier: MIT */
/*
 * port.h - packets of the daemon's socket, in and out.
 *
 * Role:   bytes of a message and the descriptor that may come with it; nothing of what they mean.
 * Thread: main.
 * Owns:   nothing.
 */
#ifndef DAEMON_XRT_PORT_H
#define DAEMON_XRT_PORT_H

#include "proto/base.h"

/* Positive results. */
enum { PORT_E_SUCCESS = 0, PORT_E_CLOSED /* the other end is */ };

/*
 * The next packet; waits for it. 0, -errno or PORT_E_CLOSED. `ret_n` may be more than `size`: it was cut then.
 * `ret_fd` is the caller's to close, or -1.
 */
int port_receive(int socket, void *message, size_t size, size_t *ret_n, int *ret_fd);
/* 0, -errno or PORT_E_CLOSED. */
int port_send(int socket, const void *message, size_t n);

#endif
