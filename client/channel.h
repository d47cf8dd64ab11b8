/* SPDX-License-Identifier: MIT */
/*
 * channel.h - the socket or the rings, the frames in them, and the queue of what is still to be sent.
 *
 * Role:   turns requests into bytes and bytes into heads of frames; moves payloads between the socket and
 *         the memory that the user of the channel names, without a copy of its own.
 * In:     struct request with views of its payload; bytes from the socket.
 * Out:    the callbacks of struct channel_ops, only from inside channel_pump (`lost`: wherever it ends).
 * Thread: the client's.
 * Owns:   socket, epoll, eventfd, bells of the rings; received descriptors until they are popped; heads of queued
 *         frames. Never the memory behind a view, or that of the rings.
 * Never:  waits, but in channel_open and channel_poll; knows what a frame means.
 *
 * Design notes. A frame that has begun must be finished, or the stream is torn; yet once a job is over
 * nobody may touch its memory, though the rest of its payload may still be queued (the daemon refused it
 * early). The daemon throws such bytes away, so any will do: channel_blank() lets zeros take their place.
 */
#ifndef CLIENT_CHANNEL_H
#define CLIENT_CHANNEL_H

#include <sys/queue.h>
#include <sys/un.h>

#include "npumm.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "proto/ring.h"
#include "proto/spin.h"
#include "view.h"

#define CHANNEL_VIEWS_MAX    9 /* of one payload: five inputs and the gaps between them */
#define CHANNEL_FDS_OF_FRAME 2 /* at most */
#define CHANNEL_FDS_MAX      4 /* a daemon sends no more at a time; the rest is there to tell that one does not */
#define CHANNEL_INPUT_BYTES  65536 /* many small frames in one call; large payloads pass it by */

struct channel_ops {
        /*
         * A frame's control part has come. If the header announces a payload, *ret_sink must name memory
         * for all of it, or the channel must have been ended.
         */
        void (*head)(void *userdata, const struct frame_header *header, const uint8_t *control,
                     struct channel_view *ret_sink);
        /* That frame is over, its payload in place. */
        void (*end)(void *userdata);
        /* channel_end() has run: nothing will be sent or received any more. */
        void (*lost)(void *userdata);
};

struct channel_item;

struct channel {
        int socket_fd; /* owned; -1 before it is open and once it has ended */
        int epoll_fd; /* owned; watches socket, wake_fd and bell_fd; readable when there is something to do */
        int wake_fd;  /* owned; an eventfd */
        int daemon_bell_fd;   /* owned; an eventfd, which wakes the daemon; -1: no rings */
        int bell_fd;          /* owned; a pipe, by which the daemon wakes us; -1: no rings */
        bool is_awake;        /* epoll_fd is readable whatever else there is */
        bool fd_is_used;      /* the program knows epoll_fd, and may wait at it when it is not in here */
        bool has_ring;        /* frames travel in `ring`, and not by the socket */
        bool is_asleep;       /* the daemon has been told to ring */
        bool socket_is_ready; /* with rings: it has something to be received */
        struct ring ring;
        struct spin spin;
        uint64_t
                yielded_ns; /* when others were last given this CPU, as one that never sleeps is given none back */
        bool watches_output;
        bool cannot_send;                 /* the daemon reads no more; what it said before is still to come */
        TAILQ_HEAD(, channel_item) queue; /* channel_item::link */
        struct frame_decoder decoder;
        struct channel_view sink; /* of the payload being received */
        int fds[CHANNEL_FDS_MAX]; /* owned; received, not yet popped; or -errno in place of one */
        size_t n_fds;
        const struct channel_ops *ops; /* borrowed: constant */
        void *userdata;                /* borrowed: embeds us */
        int result;                    /* why it ended: -errno or npumm_status; 0 while it lives */
        char text[NPUMM_TEXT_MAX];     /* the same for a person */
        char path[sizeof((struct sockaddr_un *)0)->sun_path];
        uint8_t input[CHANNEL_INPUT_BYTES];
};

/*
 * Connects to `path`, waiting until `deadline_ns` at most while the daemon's backlog is full. On failure
 * returns -errno, and channel->text explains. Either way channel_deinit() must follow some time.
 */
int channel_open(struct channel *channel, const char *path, uint64_t deadline_ns,
                 const struct channel_ops *ops, void *userdata);

/* Closes the descriptors and frees the queue. */
void channel_deinit(struct channel *channel);

/*
 * Ends the connection for a reason, at the daemon's side too; calls ops->lost. Only the first reason counts.
 */
void channel_end(struct channel *channel, int result, const char *format, ...) _printf_(3, 4);

/* The same in a forked child, for itself alone: the connection is its parent's and goes on. */
void channel_disown(struct channel *channel);

static inline bool channel_has_ended(const struct channel *channel)
{
        return channel->result != 0;
}

/*
 * Queues a frame. The payload's memory must stay as it is until the frame is out, or blanked. Returns 0 or
 * -ENOMEM, and then nothing is queued. channel_flush() sends it.
 */
int channel_push(struct channel *channel, const struct request *request, const struct channel_view *views,
                 size_t n_views);

/* Sends what the socket takes at once, as far as that does not keep our caller from its loop. */
void channel_flush(struct channel *channel);

/* Lets go of the payload memory of request `id`: what is not out yet goes out as zeros. */
void channel_blank(struct channel *channel, uint64_t id);

/*
 * Waits at most `timeout_ms` (-1: for ever) until there is something to send or receive. Returns 0, also
 * when there is nothing, or -EINTR.
 */
int channel_poll(struct channel *channel, int timeout_ms);

/*
 * Whether the daemon has closed its side, though what it said before may still be to be read. Only for a
 * channel that has not ended.
 */
bool channel_peer_has_left(struct channel *channel);

/* Sends and receives what is possible without waiting. */
void channel_pump(struct channel *channel);

/*
 * From now on frames travel in rings, which lie in `memory` (borrowed: until the channel has ended); takes over both
 * bells.
 */
void channel_ring_start(struct channel *channel, uint8_t *memory, uint32_t submission_bytes,
                        uint32_t completion_bytes, int daemon_bell_fd, int bell_fd);

/*
 * The program goes on by itself: what comes by the rings from now on makes epoll_fd readable. True: something has come
 * already, of which it does not tell.
 */
bool channel_ring_rest(struct channel *channel);

/* Whether epoll_fd is to be readable whatever the socket has. */
void channel_wake(struct channel *channel, bool wake);

/*
 * Hands out the oldest received descriptor, which the caller then owns; -errno when it could not be taken
 * from the socket; -ENOENT when none has come.
 */
int channel_pop_fd(struct channel *channel);

#endif
