/* SPDX-License-Identifier: MIT */
/*
 * question.h - a request other than a job, and the wait for its one answer.
 *
 * Role:   sends it, waits, runs the callbacks of jobs meanwhile; sees to what is left of a question whose
 *         answer comes too late for anybody to want it.
 * In:     a request that makes sense, its payload, arena memory that the daemon is to read.
 * Out:    the answer, or the failure.
 * Thread: the client's.
 * Owns:   the question until it is answered or the connection is lost, and the arena memory staged for it:
 *         the daemon may read it until then, whether anybody waits or not.
 */
#ifndef CLIENT_QUESTION_H
#define CLIENT_QUESTION_H

#include "channel.h"
#include "proto/message.h"

struct npumm_client;

struct question_options {
        struct request request;
        const struct channel_view
                *views; /* borrowed: of its payload; the memory behind them until it returns */
        size_t n_views;
        uint8_t *staged; /* consumed, whatever the outcome: of arenas_alloc(), or NULL */
        enum frame_type answer;
        uint64_t payload_bytes_max; /* of the answer */
        int timeout_ms;
};

struct question_answer {
        char *payload;    /* owned by who asked; with a 0 byte behind it; NULL: none */
        uint64_t weights; /* of WEIGHTS_LOADED */
};

/*
 * Returns 0, -errno or an npumm_status, with the client's text set. After -ETIMEDOUT the daemon may still do
 * what it was asked; weights that it then loads are released at once. `ret_answer` may be NULL where the
 * answer says nothing.
 */
int question_ask(struct npumm_client *client, struct question_options *options,
                 struct question_answer *ret_answer);

#endif
