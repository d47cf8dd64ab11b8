/* SPDX-License-Identifier: MIT */
/* connection.c - see connection.h. */
#include "daemon/connection-internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define RX_PAYLOAD_BYTES 262144 /* of one recvmsg: about 50 us of copying, so that the loop is not held */
#define RX_SCRATCH_BYTES 4096 /* of other bytes: some 50 small frames, so that a connection's turn is short */
#define TURN_NS          2000000 /* for reading from all sockets, and again from all rings; the rest comes again */
#define TURN_READS_LEAST 4 /* without a look at the clock, which costs as much as reading a small frame */
#define FDS_RETRY_MS     100
#define TX_IOVECS        64
#define TX_TURN_BYTES    4194304 /* of one flush; the socket's buffer is smaller, so it rarely decides */
#define TX_RING_BYTES                                                                                        \
        262144       /* the same where nothing else bounds it: as much as is read, for the same reason */
#define RX_FDS_MAX 4 /* enough to notice and close; the kernel closes the surplus */

/* ---- deadlines ---- */

static uint64_t deadline_in(const struct connection *connection, uint64_t ms)
{
        return uv_now(connection->set->loop) + MAX(ms, 1);
}

/* From now on the peer has this long to bring what its frame still lacks. */
static void frame_deadline_start(struct connection *connection, uint64_t payload_bytes)
{
        const struct connection_times *times = &connection->set->times;

        connection->frame_deadline_ms =
                deadline_in(connection, times->frame_ms + payload_bytes * 1000 / times->payload_bytes_per_s);
}

static void on_timer(uv_timer_t *timer);

/* Arms the timer for the earliest deadline; leaves it alone when that has not changed. */
void connection_timer_update(struct connection *connection)
{
        const uint64_t deadlines[] = {connection->hello_deadline_ms, connection->frame_deadline_ms,
                                      connection->stall_deadline_ms};
        const uint64_t now = uv_now(connection->set->loop);
        uint64_t next = 0;

        for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++)
                if (deadlines[i] != 0 && (next == 0 || deadlines[i] < next))
                        next = deadlines[i];
        if (next == connection->armed_ms || connection->closing)
                return;
        connection->armed_ms = next;
        if (next == 0)
                (void)uv_timer_stop(&connection->timer);
        else
                (void)uv_timer_start(&connection->timer, on_timer, next > now ? next - now : 0, 0);
}

void connection_fault(struct connection *connection, int r)
{
        connection->reads = false;
        connection->ops->fault(connection->userdata, r, &connection->decoder.header);
        assert(connection->finishing || connection->closing);
}

static void flush(struct connection *connection);

static bool is_due(uint64_t deadline_ms, uint64_t now_ms)
{
        return deadline_ms != 0 && deadline_ms <= now_ms;
}

/*
 * Whether the peer has taken nothing in all that time. The poll tells of room only when most of the socket's buffer
 * is free; a slow reader may not get that far, and a try to send moves the deadline on.
 */
static bool is_stalled(struct connection *connection, uint64_t now_ms)
{
        if (!is_due(connection->stall_deadline_ms, now_ms))
                return false;
        flush(connection);
        return !connection->closing && is_due(connection->stall_deadline_ms, now_ms);
}

static void on_timer(uv_timer_t *timer)
{
        struct connection *connection = container_of(timer, struct connection, timer);
        const uint64_t now = uv_now(connection->set->loop);
        bool stalled;

        connection->armed_ms = 0;
        stalled = is_stalled(connection, now);
        if (connection->closing) /* by the try to send */
                return;
        if (stalled) {
                if (connection->finishing) /* its last words found no ear */
                        connection_close(connection);
                else
                        connection_fault(connection, CONNECTION_E_STALL_TIME);
        } else if (is_due(connection->hello_deadline_ms, now)) {
                connection_fault(connection, CONNECTION_E_HELLO_TIME);
        } else if (is_due(connection->frame_deadline_ms, now)) {
                connection_fault(connection, CONNECTION_E_FRAME_TIME);
        }
        connection_timer_update(connection);
}

/* ---- what the poll watches ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

static bool above_high_water(const struct connection *connection)
{
        return send_queue_cost_bytes(&connection->tx) > connection->set->high_water_bytes;
}

bool connection_wants_input(const struct connection *connection)
{
        return connection->reads && !above_high_water(connection);
}

/* Reading stops and goes on as the queue grows and shrinks. A frame that waits meanwhile has time anew. */
static void pause_update(struct connection *connection)
{
        const bool pauses = !connection_wants_input(connection);

        if (pauses == connection->paused)
                return;
        connection->paused = pauses;
        if (pauses) {
                connection->frame_deadline_ms = 0;
                return;
        }
        if (frame_decoder_in_frame(&connection->decoder))
                frame_deadline_start(connection, connection->decoder.payload_left);
        if (connection->ring) /* what has come in the meantime rings no bell */
                ring_end_wake(connection->ring);
}

/* By the socket, and not by the ring: also of a ring's frame its descriptors. */
bool connection_waits_for_socket(const struct connection *connection)
{
        const struct send_item *item = send_queue_first(&connection->tx);

        return item && (!item->by_ring || item->n_fds > 0);
}

static void poll_update(struct connection *connection)
{
        int events;

        if (connection->closing)
                return;
        pause_update(connection);
        /* Where there are rings the socket tells of the peer's end, also while last words wait to be read. */
        if (connection->ring)
                events = connection->reads ? UV_READABLE : UV_DISCONNECT;
        else
                events = connection->paused ? 0 : UV_READABLE;
        if (connection_waits_for_socket(connection))
                events |= UV_WRITABLE;
        if (events != connection->poll_events) {
                connection->poll_events = events;
                if (events == 0)
                        (void)uv_poll_stop(&connection->poll);
                else
                        (void)uv_poll_start(&connection->poll, events, on_poll);
        }
        connection_timer_update(connection);
}

/* ---- receiving ---- */

void connection_mark_dirty(struct connection *connection)
{
        if (connection->is_dirty || connection->closing)
                return;
        connection->is_dirty = true;
        TAILQ_INSERT_TAIL(&connection->set->dirty, connection, dirty_link);
}

/* Passed fds are a fault; they are closed here, whatever else happens. */
static bool close_passed_fds(struct msghdr *msg)
{
        bool any = (msg->msg_flags & MSG_CTRUNC) != 0;

        for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
                if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t at = 0; at + sizeof(int) <= cmsg->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(cmsg) + at, sizeof fd);
                        (void)close(fd);
                }
                any = true;
        }
        return any;
}

static void frame_begun(struct connection *connection, const struct frame_header *header)
{
        connection->payload = NULL;
        if (header->payload_bytes > 0)
                frame_deadline_start(connection, header->payload_bytes);
        connection->ops->head(connection->userdata, header, connection->decoder.control,
                              &connection->payload);
}

/* Runs `n` received bytes through the decoder. */
void connection_feed(struct connection *connection, const uint8_t *bytes, size_t n, bool by_ring)
{
        struct frame_decoder *decoder = &connection->decoder;
        enum frame_event event;
        size_t consumed;
        int r;

        while (connection->reads) {
                r = frame_decoder_feed(decoder, bytes, n, &consumed, &event);
                if (r != 0) {
                        connection_fault(connection, r);
                        return;
                }
                if (event == FRAME_EVENT_MORE)
                        break;
                if (event == FRAME_EVENT_HEAD) {
                        frame_begun(connection, &decoder->header);
                } else if (event == FRAME_EVENT_PAYLOAD && connection->payload) {
                        memcpy(connection->payload, bytes, consumed);
                        connection->payload += consumed;
                } else if (event == FRAME_EVENT_END) {
                        connection->frame_deadline_ms = 0;
                        connection->ops->end(connection->userdata);
                }
                bytes += consumed;
                n -= consumed;
                if (connection->ring && !by_ring && event == FRAME_EVENT_END)
                        break; /* that was the last frame by the socket */
        }
        if (connection->reads && connection->ring && !by_ring && n > 0) {
                connection_fault(connection, CONNECTION_E_SOCKET);
                return;
        }
        if (connection->reads && frame_decoder_in_frame(decoder) && connection->frame_deadline_ms == 0)
                frame_deadline_start(connection, 0);
        if (!connection->reads)
                connection->frame_deadline_ms = 0;
}

/* Payload goes straight to its place, so much of it at once; what follows it, to the scratch buffer. */
size_t connection_direct_bytes(const struct connection *connection)
{
        return connection->payload ? (size_t)MIN(connection->decoder.payload_left, (uint64_t)RX_PAYLOAD_BYTES)
                                   : 0;
}

size_t connection_scratch_bytes(const struct connection *connection, size_t direct)
{
        const uint64_t payload_left = connection->decoder.payload_left;

        if (direct > 0 && direct < payload_left)
                return 0;
        return payload_left > 0 && !connection->payload ? sizeof connection->set->scratch : RX_SCRATCH_BYTES;
}

void connection_take_direct(struct connection *connection, size_t n)
{
        if (n == 0)
                return;
        connection->payload += n;
        frame_decoder_skip_payload(&connection->decoder, n);
}

static void receive(struct connection *connection)
{
        struct connection_set *set = connection->set;
        union {
                char bytes[CMSG_SPACE(RX_FDS_MAX * sizeof(int))];
                struct cmsghdr align;
        } ancillary;
        struct iovec iov[2];
        struct msghdr msg = {.msg_iov = iov, .msg_control = &ancillary, .msg_controllen = sizeof ancillary};
        size_t direct = connection->ring ? 0 : connection_direct_bytes(connection);
        const size_t scratch = connection_scratch_bytes(connection, direct);
        ssize_t n;

        if (direct > 0)
                iov[msg.msg_iovlen++] = (struct iovec){connection->payload, direct};
        if (scratch > 0)
                iov[msg.msg_iovlen++] = (struct iovec){set->scratch, scratch};
        n = recvmsg(connection->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        connection_fault(connection, -errno);
                return;
        }
        if (close_passed_fds(&msg)) {
                connection_fault(connection, CONNECTION_E_FDS);
                return;
        }
        if (n == 0 || connection->ring) {
                connection_fault(connection, n == 0 ? CONNECTION_E_EOF : CONNECTION_E_SOCKET);
                return;
        }
        direct = MIN(direct, (size_t)n);
        connection_take_direct(connection, direct);
        connection_feed(connection, set->scratch, (size_t)n - direct, false);
}

/* ---- sending ---- */

/* Sends some of what is queued by the socket, with the descriptors of the first item. Returns 0 or -errno. */
int connection_socket_send(const struct connection *connection, struct iovec *iov, size_t n_iov,
                           uint64_t *ret_n)
{
        const struct send_item *item = send_queue_first(&connection->tx);
        union {
                char bytes[CMSG_SPACE(SEND_FDS_MAX * sizeof(int))];
                struct cmsghdr align;
        } ancillary = {{0}};
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
        const size_t fds_bytes = item->n_fds * sizeof(int);
        ssize_t n;

        if (fds_bytes > 0) {
                struct cmsghdr *cmsg;

                msg.msg_control = &ancillary;
                msg.msg_controllen = CMSG_SPACE(fds_bytes);
                cmsg = CMSG_FIRSTHDR(&msg);
                cmsg->cmsg_level = SOL_SOCKET;
                cmsg->cmsg_type = SCM_RIGHTS;
                cmsg->cmsg_len = CMSG_LEN(fds_bytes);
                memcpy(CMSG_DATA(cmsg), item->fds, fds_bytes);
        }
        do
                n = sendmsg(connection->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        *ret_n = (uint64_t)n;
        return 0;
}

static int send_some(struct connection *connection, uint64_t *ret_n)
{
        struct iovec iov[TX_IOVECS];
        const size_t n_iov = send_queue_gather(&connection->tx, iov, TX_IOVECS);

        return send_queue_first(&connection->tx)->by_ring
                       ? connection_ring_send(connection, iov, n_iov, ret_n)
                       : connection_socket_send(connection, iov, n_iov, ret_n);
}

static void flush(struct connection *connection)
{
        const uint64_t turn_bytes_max = connection->ring ? TX_RING_BYTES : TX_TURN_BYTES;
        uint64_t turn_bytes = 0, n;
        int r = 0;

        while (send_queue_first(&connection->tx) && turn_bytes < turn_bytes_max) {
                r = send_some(connection, &n);
                if (r != 0)
                        break;
                send_queue_sent(&connection->tx, n);
                turn_bytes += n;
        }
        if (connection->ring) {
                ring_end_publish(connection->ring);
                ring_end_wake(connection->ring); /* who was answered is soon back; or has room to make */
        }
        if (r ==
            -ETOOMANYREFS) { /* fds that others have not taken yet: it passes, and is not this peer's fault */
                connection->stall_deadline_ms = deadline_in(connection, FDS_RETRY_MS);
                pause_update(connection);
                connection_timer_update(connection);
                return;
        }
        if (r != 0 && r != -EAGAIN) {
                if (connection->finishing)
                        connection_close(connection);
                else
                        connection_fault(connection, r);
                return;
        }
        if (connection_has_finished(connection)) {
                connection_close(connection);
                return;
        }
        if (!above_high_water(connection) && !connection->finishing)
                connection->stall_deadline_ms = 0;
        else if (turn_bytes > 0 || connection->stall_deadline_ms == 0)
                connection->stall_deadline_ms = deadline_in(connection, connection->set->times.stall_ms);
        poll_update(connection);
}

void connection_send(struct connection *connection, const uint8_t *head, size_t head_bytes,
                     const struct connection_payload *payload, int fd)
{
        if (connection->closing || connection->finishing) { /* nothing comes after the last words */
                connection_payload_release(payload);
                return;
        }
        if ((fd < 0 && connection_ring_send_whole(connection, head, head_bytes, payload)) ||
            send_queue_push(&connection->tx, head, head_bytes, payload, &fd, fd < 0 ? 0 : 1,
                            connection->ring))
                connection_mark_dirty(connection);
        else
                connection_close(connection); /* memory is out: it dies alone */
}

void connection_turn_start(struct connection_set *set)
{
        set->turn_start_ns = 0;
        set->n_reads = 0;
}

void connection_flush_dirty(struct connection_set *set)
{
        struct connection *connection;

        while ((connection = TAILQ_FIRST(&set->dirty))) {
                TAILQ_REMOVE(&set->dirty, connection, dirty_link);
                connection->is_dirty = false;
                flush(connection);
        }
}

static void on_flush(uv_prepare_t *prepare)
{
        struct connection_set *set = container_of(prepare, struct connection_set, flusher);

        connection_flush_dirty(set);
        connection_turn_start(set);
}

/* ---- life ---- */

/* The poll is level-triggered: who is passed over now comes first in the next turn. */
bool connection_turn_is_over(struct connection_set *set)
{
        uint64_t now_ns;

        if (set->n_reads++ < TURN_READS_LEAST)
                return false;
        now_ns = uv_hrtime();
        if (set->turn_start_ns == 0)
                set->turn_start_ns = now_ns;
        return now_ns - set->turn_start_ns > TURN_NS;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
        struct connection *connection = container_of(poll, struct connection, poll);

        if (connection->finishing && (status < 0 || (events & UV_DISCONNECT))) {
                connection_close(connection);
                return;
        }
        if (status < 0) {
                connection_fault(connection, status);
                return;
        }
        if (events & UV_WRITABLE)
                connection_mark_dirty(connection);
        if (!(events & UV_READABLE) || connection_turn_is_over(connection->set))
                return;
        if (connection->ring ? connection->reads : connection_wants_input(connection)) {
                receive(connection);
                connection_timer_update(connection);
        }
}

void connection_set_open(struct connection_set *set, uv_loop_t *loop, const struct connection_times *times,
                         uint64_t payload_bytes_max, uint64_t high_water_bytes, uint64_t spin_ns)
{
        set->loop = loop;
        set->times = *times;
        set->payload_bytes_max = payload_bytes_max;
        set->high_water_bytes = high_water_bytes;
        TAILQ_INIT(&set->dirty);
        ring_watch_open(&set->rings, loop, spin_ns, &connection_ring_ops, set);
        (void)uv_prepare_init(loop, &set->flusher);
        (void)uv_prepare_start(&set->flusher, on_flush);
        uv_unref((uv_handle_t *)&set->flusher);
}

void connection_set_close(struct connection_set *set)
{
        assert(TAILQ_EMPTY(&set->dirty));
        ring_watch_close(&set->rings);
        uv_close((uv_handle_t *)&set->flusher, NULL);
}

int connection_open(struct connection *connection, struct connection_set *set, int fd,
                    const struct connection_ops *ops, void *userdata)
{
        int r;

        *connection = (struct connection){
                .set = set,
                .ops = ops,
                .userdata = userdata,
                .fd = fd,
                .reads = true,
                .paused = true,
                .n_open_handles = 2,
        };
        send_queue_init(&connection->tx);
        r = uv_poll_init(set->loop, &connection->poll, fd);
        if (r < 0) {
                (void)close(fd);
                return r;
        }
        (void)uv_timer_init(set->loop, &connection->timer);
        frame_decoder_init(&connection->decoder, true, set->payload_bytes_max);
        connection->hello_deadline_ms = deadline_in(connection, set->times.hello_ms);
        poll_update(connection);
        return 0;
}

void connection_greeted(struct connection *connection)
{
        connection->hello_deadline_ms = 0;
}

void connection_finish(struct connection *connection)
{
        if (connection->closing || connection->finishing)
                return;
        connection->reads = false;
        connection->finishing = true;
        connection->hello_deadline_ms = 0;
        connection->frame_deadline_ms = 0;
        connection_mark_dirty(connection);
}

static void on_handle_closed(uv_handle_t *handle)
{
        struct connection *connection = handle->data;

        if (--connection->n_open_handles > 0)
                return;
        (void)close(connection->fd);
        connection_ring_free(
                connection); /* after the socket: what the client finds cleared has been closed */
        frame_decoder_deinit(&connection->decoder);
        connection->ops->closed(connection->userdata);
}

void connection_close(struct connection *connection)
{
        if (connection->closing)
                return;
        connection->closing = true;
        connection->reads = false;
        if (connection->is_dirty) {
                TAILQ_REMOVE(&connection->set->dirty, connection, dirty_link);
                connection->is_dirty = false;
        }
        send_queue_clear(&connection->tx);
        connection->poll.data = connection;
        connection->timer.data = connection;
        uv_close((uv_handle_t *)&connection->poll, on_handle_closed);
        uv_close((uv_handle_t *)&connection->timer, on_handle_closed);
}
