/* SPDX-License-Identifier: MIT */
/* connection.c - see connection.h. */
#include "daemon/connection.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define RX_PAYLOAD_BYTES   262144 /* of one recvmsg: about 50 us of copying, so that the loop is not held */
#define RX_SCRATCH_BYTES   4096 /* of other bytes: some 50 small frames, so that a connection's turn is short */
#define TURN_NS            2000000 /* for reading from all connections together; what is not read comes again */
#define FDS_RETRY_MS       100
#define TX_ITEM_COST_BYTES (sizeof(struct tx_item) + 32) /* and what the allocator adds */
#define TX_IOVECS          64
#define TX_TURN_BYTES      4194304 /* of one flush; the socket's buffer is smaller, so it rarely decides */
#define RX_FDS_MAX         4       /* enough to notice and close; the kernel closes the surplus */

/* One reply on its way: `head` is copied, the payload is sent from where it lies. */
struct tx_item {
        TAILQ_ENTRY(tx_item) link; /* connection::tx */
        struct connection_payload payload;
        int fd;        /* borrowed: lives as long as payload.owner; goes out with the first byte; -1: none */
        uint64_t sent; /* bytes of head and payload together */
        size_t head_bytes;
        uint8_t head[];
};

static uint64_t item_bytes(const struct tx_item *item)
{
        return item->head_bytes + item->payload.n_bytes;
}

static void item_free(struct tx_item *item)
{
        if (item->payload.release_fn)
                item->payload.release_fn(item->payload.owner);
        free(item);
}

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
static void timer_update(struct connection *connection)
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

static void fault(struct connection *connection, int r)
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
                        fault(connection, CONNECTION_E_STALL_TIME);
        } else if (is_due(connection->hello_deadline_ms, now)) {
                fault(connection, CONNECTION_E_HELLO_TIME);
        } else if (is_due(connection->frame_deadline_ms, now)) {
                fault(connection, CONNECTION_E_FRAME_TIME);
        }
        timer_update(connection);
}

/* ---- what the poll watches ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

/* Small replies cost more than their bytes: 64 KiB of PING would otherwise leave seven times as much queued. */
static bool above_high_water(const struct connection *connection)
{
        return connection->tx_bytes + connection->tx_items * TX_ITEM_COST_BYTES >
               connection->set->high_water_bytes;
}

static bool wants_input(const struct connection *connection)
{
        return connection->reads && !above_high_water(connection);
}

static void poll_update(struct connection *connection, bool tx_blocked)
{
        int events = (wants_input(connection) ? UV_READABLE : 0) | (tx_blocked ? UV_WRITABLE : 0);

        if (connection->closing || events == connection->poll_events)
                return;
        if ((events & UV_READABLE) && !(connection->poll_events & UV_READABLE) &&
            frame_decoder_in_frame(&connection->decoder)) /* it was us who did not read: begin anew */
                frame_deadline_start(connection, connection->decoder.payload_left);
        if (!(events & UV_READABLE))
                connection->frame_deadline_ms = 0;
        connection->poll_events = events;
        if (events == 0)
                (void)uv_poll_stop(&connection->poll);
        else
                (void)uv_poll_start(&connection->poll, events, on_poll);
        timer_update(connection);
}

/* ---- receiving ---- */

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
static void feed(struct connection *connection, const uint8_t *bytes, size_t n)
{
        struct frame_decoder *decoder = &connection->decoder;
        enum frame_event event;
        size_t consumed;
        int r;

        while (connection->reads) {
                r = frame_decoder_feed(decoder, bytes, n, &consumed, &event);
                if (r != 0) {
                        fault(connection, r);
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
        }
        if (connection->reads && frame_decoder_in_frame(decoder) && connection->frame_deadline_ms == 0)
                frame_deadline_start(connection, 0);
        if (!connection->reads)
                connection->frame_deadline_ms = 0;
}

static void receive(struct connection *connection)
{
        struct connection_set *set = connection->set;
        struct frame_decoder *decoder = &connection->decoder;
        union {
                char bytes[CMSG_SPACE(RX_FDS_MAX * sizeof(int))];
                struct cmsghdr align;
        } ancillary;
        struct iovec iov[2];
        struct msghdr msg = {.msg_iov = iov, .msg_control = &ancillary, .msg_controllen = sizeof ancillary};
        const bool is_discarding = decoder->payload_left > 0 && !connection->payload;
        size_t direct = 0;
        ssize_t n;

        /* Payload goes straight to its place; what follows it, to the scratch buffer, in the same call. */
        if (decoder->payload_left > 0 && connection->payload) {
                direct = (size_t)MIN(decoder->payload_left, (uint64_t)RX_PAYLOAD_BYTES);
                iov[msg.msg_iovlen++] = (struct iovec){connection->payload, direct};
        }
        if (direct == decoder->payload_left || direct == 0)
                iov[msg.msg_iovlen++] =
                        (struct iovec){set->scratch, is_discarding ? sizeof set->scratch : RX_SCRATCH_BYTES};
        n = recvmsg(connection->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        fault(connection, -errno);
                return;
        }
        if (close_passed_fds(&msg)) {
                fault(connection, CONNECTION_E_FDS);
                return;
        }
        if (n == 0) {
                fault(connection, CONNECTION_E_EOF);
                return;
        }
        direct = MIN(direct, (size_t)n);
        if (direct > 0) {
                connection->payload += direct;
                frame_decoder_skip_payload(decoder, direct);
        }
        feed(connection, set->scratch, (size_t)n - direct);
}

/* ---- sending ---- */

/* Gathers what is queued, from the head of the queue to the next item that brings an fd. */
static size_t gather(struct connection *connection, struct iovec iov[TX_IOVECS], int *ret_fd)
{
        struct tx_item *item;
        size_t n = 0;
        int fd = -1;

        TAILQ_FOREACH(item, &connection->tx, link) {
                const uint64_t head_sent = MIN(item->sent, (uint64_t)item->head_bytes);
                const uint64_t payload_sent = item->sent - head_sent;

                if (n + 2 > TX_IOVECS || (item->fd >= 0 && n > 0))
                        break;
                if (item->fd >= 0)
                        fd = item->fd;
                if (head_sent < item->head_bytes)
                        iov[n++] = (struct iovec){item->head + head_sent, item->head_bytes - head_sent};
                if (payload_sent < item->payload.n_bytes)
                        iov[n++] = (struct iovec){(void *)(uintptr_t)(item->payload.bytes + payload_sent),
                                                  item->payload.n_bytes - payload_sent};
        }
        *ret_fd = fd;
        return n;
}

static void sent(struct connection *connection, uint64_t n)
{
        connection->tx_bytes -= n;
        while (n > 0) {
                struct tx_item *item = TAILQ_FIRST(&connection->tx);
                const uint64_t now = MIN(n, item_bytes(item) - item->sent);

                item->sent += now;
                n -= now;
                item->fd = -1; /* it went with the first byte */
                if (item->sent == item_bytes(item)) {
                        TAILQ_REMOVE(&connection->tx, item, link);
                        connection->tx_items--;
                        item_free(item);
                }
        }
}

static ssize_t send_some(struct connection *connection)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } ancillary = {{0}};
        struct iovec iov[TX_IOVECS];
        struct msghdr msg = {.msg_iov = iov};
        ssize_t n;
        int fd;

        msg.msg_iovlen = gather(connection, iov, &fd);
        if (fd >= 0) {
                struct cmsghdr *cmsg;

                msg.msg_control = &ancillary;
                msg.msg_controllen = sizeof ancillary;
                cmsg = CMSG_FIRSTHDR(&msg);
                cmsg->cmsg_level = SOL_SOCKET;
                cmsg->cmsg_type = SCM_RIGHTS;
                cmsg->cmsg_len = CMSG_LEN(sizeof fd);
                memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
        }
        do
                n = sendmsg(connection->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

static void flush(struct connection *connection)
{
        uint64_t turn_bytes = 0;
        ssize_t n = 0;

        while (!TAILQ_EMPTY(&connection->tx) && turn_bytes < TX_TURN_BYTES) {
                n = send_some(connection);
                if (n < 0)
                        break;
                sent(connection, (uint64_t)n);
                turn_bytes += (uint64_t)n;
        }
        if (n ==
            -ETOOMANYREFS) { /* fds that others have not taken yet: it passes, and is not this peer's fault */
                connection->stall_deadline_ms = deadline_in(connection, FDS_RETRY_MS);
                poll_update(connection, false);
                timer_update(connection);
                return;
        }
        if (n < 0 && n != -EAGAIN) {
                if (connection->finishing)
                        connection_close(connection);
                else
                        fault(connection, (int)n);
                return;
        }
        if (connection->finishing && TAILQ_EMPTY(&connection->tx)) {
                connection_close(connection);
                return;
        }
        if (!above_high_water(connection) && !connection->finishing)
                connection->stall_deadline_ms = 0;
        else if (turn_bytes > 0 || connection->stall_deadline_ms == 0)
                connection->stall_deadline_ms = deadline_in(connection, connection->set->times.stall_ms);
        poll_update(connection, !TAILQ_EMPTY(&connection->tx));
        timer_update(connection);
}

static void mark_dirty(struct connection *connection)
{
        if (connection->is_dirty || connection->closing)
                return;
        connection->is_dirty = true;
        TAILQ_INSERT_TAIL(&connection->set->dirty, connection, dirty_link);
}

void connection_send(struct connection *connection, const uint8_t *head, size_t head_bytes,
                     const struct connection_payload *payload, int fd)
{
        struct tx_item *item;

        if (connection->closing || connection->finishing) { /* nothing comes after the last words */
                if (payload && payload->release_fn)
                        payload->release_fn(payload->owner);
                return;
        }
        item = malloc(sizeof *item + head_bytes);
        if (!item) {
                if (payload && payload->release_fn)
                        payload->release_fn(payload->owner);
                connection_close(connection); /* memory is out: it dies alone */
                return;
        }
        *item = (struct tx_item){.fd = fd, .head_bytes = head_bytes};
        memcpy(item->head, head, head_bytes);
        if (payload)
                item->payload = *payload;
        TAILQ_INSERT_TAIL(&connection->tx, item, link);
        connection->tx_bytes += item_bytes(item);
        connection->tx_items++;
        mark_dirty(connection);
}

static void on_flush(uv_prepare_t *prepare)
{
        struct connection_set *set = container_of(prepare, struct connection_set, flusher);
        struct connection *connection;

        while ((connection = TAILQ_FIRST(&set->dirty))) {
                TAILQ_REMOVE(&set->dirty, connection, dirty_link);
                connection->is_dirty = false;
                flush(connection);
        }
        set->turn_start_ns = 0;
}

/* ---- life ---- */

/* The poll is level-triggered: who is passed over now comes first in the next turn. */
static bool turn_is_over(struct connection_set *set)
{
        const uint64_t now_ns = uv_hrtime();

        if (set->turn_start_ns == 0)
                set->turn_start_ns = now_ns;
        return now_ns - set->turn_start_ns > TURN_NS;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
        struct connection *connection = container_of(poll, struct connection, poll);

        if (status < 0) {
                fault(connection, status);
                return;
        }
        if (events & UV_WRITABLE)
                mark_dirty(connection);
        if ((events & UV_READABLE) && wants_input(connection) && !turn_is_over(connection->set)) {
                receive(connection);
                timer_update(connection);
        }
}

void connection_set_open(struct connection_set *set, uv_loop_t *loop, const struct connection_times *times,
                         uint64_t payload_bytes_max, uint64_t high_water_bytes)
{
        set->loop = loop;
        set->times = *times;
        set->payload_bytes_max = payload_bytes_max;
        set->high_water_bytes = high_water_bytes;
        TAILQ_INIT(&set->dirty);
        (void)uv_prepare_init(loop, &set->flusher);
        (void)uv_prepare_start(&set->flusher, on_flush);
        uv_unref((uv_handle_t *)&set->flusher);
}

void connection_set_close(struct connection_set *set)
{
        assert(TAILQ_EMPTY(&set->dirty));
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
                .n_open_handles = 2,
        };
        TAILQ_INIT(&connection->tx);
        r = uv_poll_init(set->loop, &connection->poll, fd);
        if (r < 0) {
                (void)close(fd);
                return r;
        }
        (void)uv_timer_init(set->loop, &connection->timer);
        frame_decoder_init(&connection->decoder, true, set->payload_bytes_max);
        connection->hello_deadline_ms = deadline_in(connection, set->times.hello_ms);
        timer_update(connection);
        poll_update(connection, false);
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
        mark_dirty(connection);
}

static void on_handle_closed(uv_handle_t *handle)
{
        struct connection *connection = handle->data;

        if (--connection->n_open_handles > 0)
                return;
        (void)close(connection->fd);
        frame_decoder_deinit(&connection->decoder);
        connection->ops->closed(connection->userdata);
}

void connection_close(struct connection *connection)
{
        struct tx_item *item;

        if (connection->closing)
                return;
        connection->closing = true;
        connection->reads = false;
        if (connection->is_dirty) {
                TAILQ_REMOVE(&connection->set->dirty, connection, dirty_link);
                connection->is_dirty = false;
        }
        while ((item = TAILQ_FIRST(&connection->tx))) {
                TAILQ_REMOVE(&connection->tx, item, link);
                item_free(item);
        }
        connection->poll.data = connection;
        connection->timer.data = connection;
        uv_close((uv_handle_t *)&connection->poll, on_handle_closed);
        uv_close((uv_handle_t *)&connection->timer, on_handle_closed);
}
