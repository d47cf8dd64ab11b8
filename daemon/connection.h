/* SPDX-License-Identifier: MIT */
/*
 * connection.h - one client's socket, and its rings. Knows bytes, frames' borders and time; nothing of what they mean.
 *
 * Role:   receives, cuts into frames, puts payloads where the stage below wants them; queues and sends; keeps the
 *         clock on slow peers.
 * In:     an accepted socket. Out: connection_ops, upward.
 * Thread: loop. Never blocks: one recvmsg a turn, one gathered sendmsg a flush.
 * Owns:   the socket, the decoder, the send queue and what it holds.
 *
 * Design notes
 * - uv_poll_t with our own recvmsg and sendmsg: libuv's pipes either drop passed fds or queue foreign ones
 *   without bound. Clients may not pass any; the daemon passes one with each arena.
 * - Everything sent during a turn of the loop leaves in one flush before the next wait, so that what a finished
 *   batch has to say to a client costs one sendmsg.
 * - Once a client has rings its frames go through them, both ways, and nothing else changes: the same decoder, queue,
 *   bounds and deadlines. By the socket come the client's end and descriptors alone, each with a byte of its own.
 * - Above `high_water_bytes` in the send queue nothing more is read from that client until it is below again.
 *   What is queued is bounded all the same: by the jobs that were accepted.
 */
#ifndef DAEMON_CONNECTION_H
#define DAEMON_CONNECTION_H

#include "daemon/ring-watch.h"
#include "daemon/send-queue.h"
#include "proto/frame.h"

struct connection;

/* Why a connection cannot go on; FRAME_E_* and -errno besides. */
enum {
        CONNECTION_E_FIRST = 64,
        CONNECTION_E_FDS = CONNECTION_E_FIRST, /* the peer passed file descriptors */
        CONNECTION_E_HELLO_TIME,               /* not greeted in time */
        CONNECTION_E_FRAME_TIME,               /* a frame was begun and not finished in time */
        CONNECTION_E_STALL_TIME,               /* no reply byte accepted in time */
        CONNECTION_E_EOF,                      /* the peer has closed */
        CONNECTION_E_SOCKET,                   /* bytes came by the socket, though there are rings */
        CONNECTION_E_RING_TAIL,                /* the peer says to have written what it cannot have */
        CONNECTION_E_RING_HEAD,                /* or to have read: nothing can be said to it any more */
};

struct connection_ops {
        /*
         * A frame's header and control part are complete. If a payload follows, *ret_payload says where it goes:
         * payload_bytes of memory that stays valid until the end, or NULL to discard it (the initial value).
         */
        void (*head)(void *userdata, const struct frame_header *header, const uint8_t *control,
                     uint8_t **ret_payload);
        /* The frame is complete, payload included. */
        void (*end)(void *userdata);
        /*
         * The connection cannot go on. The upper side may queue last words and must call connection_finish or
         * connection_close. Not called for reasons that it gave itself.
         */
        void (*fault)(void *userdata, int fault, const struct frame_header *header);
        /* Everything is closed; the memory of the connection may go. The last call. */
        void (*closed)(void *userdata);
};

struct connection_times {
        uint64_t hello_ms;
        uint64_t frame_ms;
        uint64_t stall_ms;
        uint64_t payload_bytes_per_s; /* the slowest rate at which a payload may arrive */
};

/* What all connections of a daemon share. */
struct connection_set {
        uv_loop_t *loop;      /* borrowed: outlives all connections */
        uv_prepare_t flusher; /* flushes before each wait of the loop */
        struct ring_watch rings;
        void (*finish_turn_fn)(void *userdata); /* what else the end of a turn brings, or NULL */
        bool (*is_quiet_fn)(void *userdata);    /* nothing that clients wait for is under way; NULL: never */
        void *userdata;
        struct connection_times times;
        uint64_t payload_bytes_max;
        uint64_t high_water_bytes;
        TAILQ_HEAD(, connection) dirty; /* have something queued in this turn */
        unsigned n_reads;               /* in this turn */
        uint64_t turn_start_ns;         /* when the clock was looked at first in this turn; 0: not yet */
        uint8_t scratch[65536];         /* receive buffer: frames are consumed within the call */
};

struct connection {
        struct connection_set *set;       /* borrowed: outlives us */
        const struct connection_ops *ops; /* borrowed: constant */
        void *userdata;
        int fd;                /* owned */
        struct ring_end *ring; /* owned; NULL: by the socket */
        uv_poll_t poll;
        uv_timer_t timer; /* armed for the earliest of the three deadlines */
        unsigned n_open_handles;
        int poll_events; /* what `poll` watches for now */
        bool is_dirty;   /* in connection_set::dirty */
        bool reads;      /* false once last words are queued */
        bool paused;     /* nothing is read: too much waits to be sent */
        bool finishing;  /* close when the queue is empty */
        bool closing;    /* handles are being closed; nothing else happens any more */
        uint64_t armed_ms;
        uint64_t hello_deadline_ms, frame_deadline_ms, stall_deadline_ms; /* loop time; 0: none */
        struct frame_decoder decoder;
        uint8_t *payload; /* borrowed: where the next payload byte goes; NULL: discard */
        struct send_queue tx;
        TAILQ_ENTRY(connection) dirty_link; /* connection_set::dirty */
};

/* Starts the flusher. `spin_ns`: how long to look at rings before the loop waits, 0: not at all. */
void connection_set_open(struct connection_set *set, uv_loop_t *loop, const struct connection_times *times,
                         uint64_t payload_bytes_max, uint64_t high_water_bytes, uint64_t spin_ns);

/* Sends what is queued, as far as it goes without waiting: at the latest before each wait of the loop. */
void connection_flush_dirty(struct connection_set *set);

/* No connection may be left. Completes in the loop's next turns. */
void connection_set_close(struct connection_set *set);

/* Takes over `fd` (also on failure). `connection` stays where it is until ops->closed. Returns 0 or -errno; then
 * nothing is called. */
int connection_open(struct connection *connection, struct connection_set *set, int fd,
                    const struct connection_ops *ops, void *userdata);

/*
 * From now on frames travel in rings; the answer that says so is the last by the socket, and brings both bells. The
 * memory is held until the end: then `release_fn` is called with `owner`, but not on failure. Returns 0 or -errno.
 */
int connection_ring_start(struct connection *connection, uint8_t *memory, uint32_t submission_bytes,
                          uint32_t completion_bytes, void (*release_fn)(void *owner), void *owner,
                          const uint8_t *answer, size_t answer_bytes);

/* The peer has said HELLO: it may now be idle for ever. */
void connection_greeted(struct connection *connection);

/*
 * Queues a head (copied), a payload (consumed, whatever happens; NULL: none) and at most one fd (-1: none; borrowed
 * until the payload is released). A connection that memory cannot be found for is closed.
 */
void connection_send(struct connection *connection, const uint8_t *head, size_t head_bytes,
                     const struct connection_payload *payload, int fd);

/* Reads no more, sends what is queued, closes. */
void connection_finish(struct connection *connection);

/* Closes at once; what is queued is dropped. Safe to call again. */
void connection_close(struct connection *connection);

#endif
