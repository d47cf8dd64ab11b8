/* SPDX-License-Identifier: MIT */
/*
 * client.h - one connection, as the files of this library see it.
 *
 * Role:   struct npumm_client; request ids; requests that wait for their one answer; waiting; the text of
 *         the last failure.
 * Thread: one at a time, the caller's.
 * Owns:   everything of one client. Nothing of another.
 * Never:  runs a callback of the program: jobs_deliver() does.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <sys/queue.h>
#include <sys/types.h>

#include "arenas.h"
#include "channel.h"
#include "home.h"
#include "matmul.h"
#include "npumm.h"
#include "proto/message.h"

#define CLIENT_ANSWER_TIMEOUT_MS 10000 /* the daemon's loop never waits: a live one answers in milliseconds */

struct call;

/*
 * The one answer to a call: of type call->answer, or ERROR, or NULL when the connection is lost. The call
 * has been unlinked; whoever made it owns it again.
 */
typedef void (*call_answer_fn)(struct npumm_client *client, struct call *call, const struct reply *reply);

/* A request other than MATMUL and CANCEL that has not been answered. Embedded in what it is made for. */
struct call {
        TAILQ_ENTRY(call) link; /* npumm_client::calls */
        uint64_t id;
        enum frame_type answer;
        call_answer_fn answer_fn;
        uint64_t payload_bytes_max; /* 0: the answer has no payload */
        char *payload;              /* owned: of the answer, with a 0 byte behind it; NULL: none */
};

struct npumm_client {
        struct home home; /* of the process that connected; in any other only npumm_close() may do anything */
        struct channel channel;
        uint64_t last_id;
        TAILQ_HEAD(, call) calls; /* call::link; oldest first */
        struct arenas arenas;
        struct jobs jobs;
        uint32_t version_minor; /* that the connection speaks; of WELCOME, as the limits */
        uint64_t features;
        struct limits limits;
        struct npumm_info info;
        struct message_text info_text; /* what `info` points to */
        struct reply reply;            /* the frame being received */
        struct message_text reply_text;
        bool in_callback;
        bool daemon_has_stopped; /* in order, with BYE: what is in the arenas stays there */
        bool loss_is_told;       /* npumm_dispatch() has returned the reason */
        char text[NPUMM_TEXT_MAX];
};

/* Sets the text and returns `result`. */
int client_fail(struct npumm_client *client, int result, const char *format, ...) _printf_(3, 4);

/* Sets the text to the reason for which the connection ended, and returns that reason. */
int client_fail_lost(struct npumm_client *client);

/* Ends the connection: the daemon has broken the protocol, by what the text says. */
void client_protocol_fault(struct npumm_client *client, const char *format, ...) _printf_(2, 3);

/* What a daemon's outcome is to the program: 0 or an npumm_status. */
int client_outcome_result(const struct reply_outcome *outcome);

/* The daemon's words for it, or ours where it has none. */
const char *client_outcome_text(const struct reply_outcome *outcome);

/*
 * Whether the daemon knows what minor version `minor` of the protocol brought: 0, or NPUMM_STATUS_VERSION
 * with a text that names the feature and what the program can do without it.
 */
int client_need_minor(struct npumm_client *client, uint32_t minor, const char *feature, const char *advice);

/*
 * Gives `request` its id and sends it, its payload in `views`; `call` (its answer, answer_fn,
 * payload_bytes_max filled in) waits for the answer. Returns 0 or -ENOMEM; then nothing was sent.
 */
int client_call(struct npumm_client *client, struct request *request, const struct channel_view *views,
                size_t n_views, struct call *call);

/* Finds the call that a reply is for; NULL: the daemon answers what nobody asked. */
struct call *client_find_call(const struct npumm_client *client, const struct reply *reply);

/* Hands `reply` to a call, or NULL when there will be none. */
void client_answer(struct npumm_client *client, struct call *call, const struct reply *reply);

/*
 * Waits until something can be sent or received, or a signal comes, and does it. Returns 0, -ETIMEDOUT when
 * the deadline has passed, or the reason for which the connection is lost.
 */
int client_step(struct npumm_client *client, uint64_t deadline_ns);

#endif
