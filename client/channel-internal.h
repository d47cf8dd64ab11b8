/* SPDX-License-Identifier: MIT */
/* channel-internal.h - what the channel's own files share. Nobody else includes it. */
#ifndef CLIENT_CHANNEL_INTERNAL_H
#define CLIENT_CHANNEL_INTERNAL_H

#include "channel.h"

/* A frame to be sent: its head and its payload, as parts in a row. */
struct channel_item {
        TAILQ_ENTRY(channel_item) link; /* channel::queue */
        uint64_t id;
        struct channel_view parts[1 + CHANNEL_VIEWS_MAX]; /* the first is `head` below */
        size_t n_parts;
        size_t at;       /* the part that is being sent */
        uint64_t offset; /* how much of that part is out */
        uint8_t head[FRAME_HEADER_BYTES + MESSAGE_WRITE_MAX];
};

/* Pieces of what is to be sent next; returns how many. */
size_t channel_queue_gather(const struct channel *channel, struct iovec *iov);

/* Moves on by `n_bytes` that went out; frees what is out as a whole. */
void channel_queue_advance(struct channel *channel, uint64_t n_bytes);

/* How much of the payload of the frame being received is in place. */
static inline uint64_t channel_payload_have(const struct channel *channel)
{
        return channel->decoder.header.payload_bytes - channel->decoder.payload_left;
}

/* Runs received bytes through the decoder. */
void channel_decode(struct channel *channel, const uint8_t *bytes, size_t n_bytes);

/* The daemon has gone, or (another errno) cannot be reached any more. */
void channel_hangup(struct channel *channel, int r);

/* Takes what the socket has at once; false: nothing, or the channel has ended. */
bool channel_socket_receive(struct channel *channel);

/* The same things as channel.c does, by the rings; channel-ring.c. */
bool channel_ring_push(struct channel *channel, const uint8_t *head, size_t head_bytes,
                       const struct channel_view *views, size_t n_views);
void channel_ring_flush(struct channel *channel);
void channel_ring_pump(struct channel *channel);
void channel_ring_drain(struct channel *channel); /* the daemon has gone */
int channel_ring_poll(struct channel *channel, int timeout_ms);

#endif
