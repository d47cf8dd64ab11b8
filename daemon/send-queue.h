/* SPDX-License-Identifier: MIT */
/*
 * send-queue.h - replies on their way: what a connection has to say and could not send yet.
 *
 * Role:   keeps heads (copied), payloads (sent from where they lie) and descriptors in order; hands them out as pieces,
 *         and forgets what is sent.
 * Thread: loop.
 * Owns:   the items; of a payload, the duty to release it.
 * Never:  sends.
 */
#ifndef DAEMON_SEND_QUEUE_H
#define DAEMON_SEND_QUEUE_H

#include "proto/base.h"

#include <sys/queue.h>
#include <sys/uio.h>

#define SEND_FDS_MAX 2 /* of one frame */

/* Bytes behind a head that are sent from where they lie. `release_fn` (or NULL) is called once, when the bytes
 * are sent or dropped. */
struct connection_payload {
        const uint8_t *bytes;
        uint64_t n_bytes;
        void (*release_fn)(void *owner);
        void *owner;
};

void connection_payload_release(const struct connection_payload *payload); /* NULL is allowed */

/* One reply on its way. */
struct send_item {
        TAILQ_ENTRY(send_item) link; /* send_queue::items */
        struct connection_payload payload;
        int fds[SEND_FDS_MAX]; /* borrowed: live as long as payload.owner; go out with the first byte */
        size_t n_fds;
        bool by_ring;  /* and not by the socket */
        uint64_t sent; /* bytes of head and payload together */
        size_t head_bytes;
        uint8_t head[];
};

struct send_queue {
        TAILQ_HEAD(, send_item) items; /* owned */
        uint64_t n_bytes;              /* in `items`, not yet sent */
        uint64_t n_items;
};

void send_queue_init(struct send_queue *queue);

/* Drops and releases all. */
void send_queue_clear(struct send_queue *queue);

/* `payload` (NULL: none) is consumed, whatever happens. False: memory is out. */
bool send_queue_push(struct send_queue *queue, const uint8_t *head, size_t head_bytes,
                     const struct connection_payload *payload, const int *fds, size_t n_fds, bool by_ring);

/* The oldest item; NULL: none. */
static inline struct send_item *send_queue_first(const struct send_queue *queue)
{
        return TAILQ_FIRST(&queue->items);
}

/*
 * What is to be sent next, as pieces: `n_max` at most (2 or more), up to the next item that brings descriptors or takes
 * the other way. Returns how many.
 */
size_t send_queue_gather(const struct send_queue *queue, struct iovec *iov, size_t n_max);

/* That many bytes of these pieces are sent. */
void send_queue_sent(struct send_queue *queue, uint64_t n_bytes);

/* What it takes in memory: small replies cost more than their bytes. */
uint64_t send_queue_cost_bytes(const struct send_queue *queue);

#endif
