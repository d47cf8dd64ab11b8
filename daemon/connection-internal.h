/* SPDX-License-Identifier: MIT */
/* connection-internal.h - what the connection's own files share. Nobody else includes it. */
#ifndef DAEMON_CONNECTION_INTERNAL_H
#define DAEMON_CONNECTION_INTERNAL_H

#include "daemon/connection.h"

/* The connection cannot go on. */
void connection_fault(struct connection *connection, int r);

/* Arms the timer for the earliest deadline. */
void connection_timer_update(struct connection *connection);

/* Whether more is read from it for now. */
bool connection_wants_input(const struct connection *connection);

/* Reading begins: by sockets, or by rings. */
void connection_turn_start(struct connection_set *set);

/* Reading from all connections has taken long enough: what is not read now comes again. */
bool connection_turn_is_over(struct connection_set *set);

/* Of the next bytes so many go straight to the payload's place, and behind these so many to the scratch buffer. */
size_t connection_direct_bytes(const struct connection *connection);
size_t connection_scratch_bytes(const struct connection *connection, size_t direct);
void connection_take_direct(struct connection *connection, size_t n);

/* Runs `n` received bytes through the decoder. */
void connection_feed(struct connection *connection, const uint8_t *bytes, size_t n, bool by_ring);

/* It is to be flushed before the loop waits. */
void connection_mark_dirty(struct connection *connection);

/* What is queued waits for the socket, and not for the ring: also a ring's frame with its descriptors. */
bool connection_waits_for_socket(const struct connection *connection);

/* Sends pieces by the socket, with the descriptors of the first item. Returns 0 or -errno. */
int connection_socket_send(const struct connection *connection, struct iovec *iov, size_t n_iov,
                           uint64_t *ret_n);

/* connection-ring.c */
extern const struct ring_watch_ops connection_ring_ops;

/* Sends some of what is queued, `iov`. Returns 0, -errno or CONNECTION_E_RING_HEAD. */
int connection_ring_send(struct connection *connection, const struct iovec *iov, size_t n_iov,
                         uint64_t *ret_n);

/* Writes a whole frame at once, if nothing is before it and it fits. */
bool connection_ring_send_whole(struct connection *connection, const uint8_t *head, size_t head_bytes,
                                const struct connection_payload *payload);

/* Whether the last words have arrived, as far as that can be known: what is in a socket can still be read later. */
bool connection_has_finished(struct connection *connection);

void connection_ring_free(struct connection *connection);

#endif
