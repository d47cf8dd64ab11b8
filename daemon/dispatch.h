/* SPDX-License-Identifier: MIT */
/*
 * dispatch.h - joins a connection to a session: frames in, requests out.
 *
 * Role:   one object a client. Unpacks and validates each frame, checks that the session's state allows it, hands
 *         it to the session; turns every breach of protocol into one BYE and a close.
 * In:     connection_ops. Out: session_request.
 * Thread: loop.
 * Owns:   the connection and the session, for as long as the connection's handles are open.
 */
#ifndef DAEMON_DISPATCH_H
#define DAEMON_DISPATCH_H

#include "daemon/connection.h"
#include "daemon/session.h"

struct dispatch;

/* The list of all clients, oldest first. Belongs to the daemon. */
TAILQ_HEAD(dispatch_list, dispatch);

/* What all clients of a daemon share. */
struct dispatch_context {
        struct connection_set *connections; /* borrowed: outlives all clients */
        struct session_context *sessions;   /* borrowed: same */
        struct stats *stats;                /* borrowed: same */
        struct dispatch_list clients;
        size_t n_clients;
        void (*client_gone)(void *userdata); /* after each end of a client */
        void *userdata;
};

/* Who is at the other end, as the kernel says. */
struct peer {
        uid_t uid;
        pid_t pid; /* for the log alone */
};

/*
 * Takes over `fd` (also on failure) and serves it until it closes; the object frees itself. `charge` pays for the
 * connection and is taken over too. Returns 0 or -errno.
 */
int dispatch_open(struct dispatch_context *context, int fd, const struct peer *peer,
                  const struct quota_charge *charge);

/* Says BYE, then closes once that has been sent. */
void dispatch_bye(struct dispatch *dispatch, enum status status, const char *text);

/* Sends a BYE on a socket that nobody will serve, if it can be sent at once, and closes it. */
void dispatch_turn_away(int fd, enum status status, const char *text);

/*
 * Drops the oldest client that has not said HELLO, of one user or (NULL) of any, and discharges it at once, to make
 * room. False if there is none.
 */
bool dispatch_shed(struct dispatch_context *context, const uid_t *uid);

/*
 * Describes the clients that have said HELLO, `n_max` at most; returns how many. Names are borrowed: they live as long
 * as their clients.
 */
size_t dispatch_report(const struct dispatch_context *context, struct stats_client *ret_clients,
                       size_t n_max);

/* Says BYE to all clients. */
void dispatch_bye_all(struct dispatch_context *context, enum status status, const char *text);

/* Closes all clients at once. */
void dispatch_close_all(struct dispatch_context *context);

#endif
