/* SPDX-License-Identifier: MIT */
/* channel.c - see channel.h. */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "channel-internal.h"
#include "clock.h"
#include "text.h"

#define PATH_SHOWN 128 /* bytes of a path that may be far too long for a socket */
/* In one call: a daemon that never stops talking or listening must not keep our caller from its loop. */
#define READS_COUNT 64
#define SENDS_COUNT 64

/* ---- opening and ending ---- */

static int socket_connect(int fd, const struct sockaddr_un *address, uint64_t deadline_ns)
{
        int r, flags;

        /* A blocking connect: the kernel waits for room in the backlog, which no poll can be told to do. */
        assert(deadline_ns != CLOCK_NEVER_NS);
        do {
                const int left_ms = clock_left_ms(deadline_ns);
                const struct timeval left = {left_ms / 1000, left_ms % 1000 * 1000};

                if (left_ms == 0)
                        return -ETIMEDOUT;
                if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left) < 0)
                        return -errno;
                r = connect(fd, (const struct sockaddr *)address, sizeof *address);
        } while (r < 0 && errno == EINTR);
        if (r < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;
        flags = fcntl(fd, F_GETFL);
        return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int epoll_watch(const struct channel *channel, int operation, int fd, uint32_t events)
{
        struct epoll_event event = {.events = events, .data.fd = fd};

        return epoll_ctl(channel->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

static int watchers_open(struct channel *channel)
{
        int r;

        channel->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (channel->epoll_fd < 0)
                return -errno;
        channel->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (channel->wake_fd < 0)
                return -errno;
        r = epoll_watch(channel, EPOLL_CTL_ADD, channel->wake_fd, EPOLLIN);
        return r < 0 ? r : epoll_watch(channel, EPOLL_CTL_ADD, channel->socket_fd, EPOLLIN);
}

/* What a person can do about a failed connect; "" where the words of the errno say it all. */
static const char *connect_advice(int r)
{
        switch (r) {
        case -ENOENT:
        case -ECONNREFUSED:
                return "; is npumatmuld running?";
        case -EACCES:
                return "; join the group of that socket (npumatmul, unless configured otherwise) and log in "
                       "again";
        case -ENAMETOOLONG:
                return "; the path of a socket has at most 107 bytes";
        case -ETIMEDOUT:
                return "; the daemon accepts no connections, its log may say why";
        default:
                return "";
        }
}

int channel_open(struct channel *channel, const char *path, uint64_t deadline_ns,
                 const struct channel_ops *ops, void *userdata)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int r = 0;

        *channel = (struct channel){
                .socket_fd = -1,
                .epoll_fd = -1,
                .wake_fd = -1,
                .daemon_bell_fd = -1,
                .bell_fd = -1,
                .ops = ops,
                .userdata = userdata,
        };
        TAILQ_INIT(&channel->queue);
        frame_decoder_init(&channel->decoder, false, UINT64_MAX); /* `head` knows what payload is expected */
        if (strlen(path) >= sizeof address.sun_path)
                r = -ENAMETOOLONG;
        if (r == 0) {
                memcpy(address.sun_path, path, strlen(path) + 1);
                memcpy(channel->path, path, strlen(path) + 1);
                channel->socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                r = channel->socket_fd < 0 ? -errno
                                           : socket_connect(channel->socket_fd, &address, deadline_ns);
        }
        if (r == 0)
                r = watchers_open(channel);
        if (r < 0)
                channel_end(channel, r, "cannot connect to %.*s: %s%s", PATH_SHOWN, path, npumm_strerror(r),
                            connect_advice(r));
        return r;
}

static void queue_clear(struct channel *channel)
{
        struct channel_item *item;

        while ((item = TAILQ_FIRST(&channel->queue))) {
                TAILQ_REMOVE(&channel->queue, item, link);
                free(item);
        }
}

static void fds_close(struct channel *channel)
{
        for (size_t i = 0; i < channel->n_fds; i++)
                closep(&channel->fds[i]);
        channel->n_fds = 0;
}

void channel_deinit(struct channel *channel)
{
        queue_clear(channel);
        fds_close(channel);
        frame_decoder_deinit(&channel->decoder);
        closep(&channel->socket_fd);
        closep(&channel->epoll_fd);
        closep(&channel->wake_fd);
        closep(&channel->daemon_bell_fd);
        closep(&channel->bell_fd);
}

void channel_end(struct channel *channel, int result, const char *format, ...)
{
        va_list args;

        assert(result != 0);
        if (channel_has_ended(channel))
                return;
        va_start(args, format);
        text_vset(channel->text, format, args);
        va_end(args);
        channel->result = result;
        if (channel->has_ring) /* what it still has to say is of no use */
                (void)epoll_watch(channel, EPOLL_CTL_DEL, channel->bell_fd, 0);
        if (channel->socket_fd >= 0) {
                /* A forked child may hold the socket too: closing our descriptor alone would end nothing. */
                (void)epoll_watch(channel, EPOLL_CTL_DEL, channel->socket_fd, 0);
                (void)shutdown(channel->socket_fd, SHUT_RDWR);
                (void)close(channel->socket_fd);
                channel->socket_fd = -1;
        }
        queue_clear(channel);
        fds_close(channel);
        channel->ops->lost(channel->userdata);
}

void channel_disown(struct channel *channel)
{
        if (channel_has_ended(channel))
                return;
        /* No shutdown, and no change to the epoll set either: both are shared with the parent. */
        channel->result = -EPERM;
        channel->ops->lost(channel->userdata);
}

/* ---- sending ---- */

int channel_push(struct channel *channel, const struct request *request, const struct channel_view *views,
                 size_t n_views)
{
        struct channel_item *item;
        uint8_t head[FRAME_HEADER_BYTES + MESSAGE_WRITE_MAX];
        struct frame_header header = {
                .version_major = FRAME_VERSION_MAJOR,
                .type = request->type,
                .request_id = request->id,
        };
        size_t head_bytes;

        assert(n_views <= CHANNEL_VIEWS_MAX);
        for (size_t i = 0; i < n_views; i++)
                header.payload_bytes += views[i].bytes;
        header.control_bytes = (uint32_t)message_write_request(request, head + FRAME_HEADER_BYTES);
        frame_header_encode(&header, head);
        head_bytes = FRAME_HEADER_BYTES + header.control_bytes;
        if (channel_ring_push(channel, head, head_bytes, views, n_views))
                return 0;
        item = malloc(sizeof *item);
        if (!item)
                return -ENOMEM;
        item->id = request->id;
        item->n_parts = 1 + n_views;
        item->at = 0;
        item->offset = 0;
        memcpy(item->head, head, head_bytes);
        item->parts[0] = (struct channel_view){
                .memory = item->head,
                .bytes = head_bytes,
                .row_bytes = sizeof item->head,
        };
        for (size_t i = 0; i < n_views; i++)
                item->parts[1 + i] = views[i];
        TAILQ_INSERT_TAIL(&channel->queue, item, link);
        return 0;
}

size_t channel_queue_gather(const struct channel *channel, struct iovec *iov)
{
        const struct channel_item *item;
        size_t n_iov = 0;

        TAILQ_FOREACH(item, &channel->queue, link) {
                uint64_t offset = item->offset;

                for (size_t i = item->at; i < item->n_parts && n_iov < VIEW_IOV_COUNT; i++, offset = 0)
                        (void)view_gather(&item->parts[i], offset, iov, &n_iov);
                if (n_iov == VIEW_IOV_COUNT)
                        break;
        }
        return n_iov;
}

void channel_queue_advance(struct channel *channel, uint64_t n_bytes)
{
        struct channel_item *item;

        while ((item = TAILQ_FIRST(&channel->queue))) {
                const uint64_t left = item->parts[item->at].bytes - item->offset;

                if (n_bytes < left) {
                        item->offset += n_bytes;
                        return;
                }
                n_bytes -= left;
                item->at++;
                item->offset = 0;
                if (item->at == item->n_parts) {
                        TAILQ_REMOVE(&channel->queue, item, link);
                        free(item);
                }
        }
}

/* Sends once; false: no more for now. */
static bool queue_send(struct channel *channel)
{
        struct iovec iov[VIEW_IOV_COUNT];
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = channel_queue_gather(channel, iov)};
        ssize_t n = sendmsg(channel->socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
                channel_queue_advance(channel, (uint64_t)n);
                return true;
        }
        switch (errno) {
        case EINTR:
                return true;
        case EAGAIN:
        case ENOBUFS:
        case ENOMEM: /* the kernel's, which passes */
                return false;
        case EPIPE:
        case ECONNRESET: /* what the daemon said before it hung up tells why: it is still to be read */
                channel->cannot_send = true;
                queue_clear(channel);
                return false;
        default:
                channel_end(channel, -errno, "cannot send to the daemon at %s: %s", channel->path,
                            npumm_strerror(-errno));
                return false;
        }
}

void channel_flush(struct channel *channel)
{
        bool watch_output;

        if (channel_has_ended(channel) || channel->cannot_send)
                queue_clear(channel);
        for (unsigned i = 0; i < SENDS_COUNT && !TAILQ_EMPTY(&channel->queue) && !channel->has_ring; i++)
                if (!queue_send(channel))
                        break;
        if (channel_has_ended(channel))
                return;
        if (channel->has_ring) {
                channel_ring_flush(channel);
                return;
        }
        watch_output = !TAILQ_EMPTY(&channel->queue);
        if (watch_output != channel->watches_output) {
                /* Cannot fail: the socket is in the set, and a change needs no memory. */
                (void)epoll_watch(channel, EPOLL_CTL_MOD, channel->socket_fd,
                                  watch_output ? EPOLLIN | EPOLLOUT : EPOLLIN);
                channel->watches_output = watch_output;
        }
}

void channel_blank(struct channel *channel, uint64_t id)
{
        struct channel_item *item;

        TAILQ_FOREACH(item, &channel->queue, link) {
                if (item->id != id)
                        continue;
                for (size_t i = MAX(item->at, (size_t)1); i < item->n_parts; i++)
                        item->parts[i] = channel_zeros(item->parts[i].bytes);
        }
}

/* ---- receiving ---- */

static void decoder_fault(struct channel *channel, int r)
{
        const struct frame_header *header = &channel->decoder.header;
        const char *name = frame_type_name(header->type);

        switch (r) {
        case -ENOMEM:
                channel_end(channel, r, "no memory for a frame of the daemon at %s", channel->path);
                break;
        case FRAME_E_MAGIC:
                channel_end(channel, NPUMM_STATUS_PROTOCOL, "what listens at %s is not npumatmuld",
                            channel->path);
                break;
        case FRAME_E_VERSION:
                channel_end(channel, NPUMM_STATUS_VERSION,
                            "the daemon at %s speaks protocol version %u, this library version %u: install "
                            "versions "
                            "that belong together",
                            channel->path, header->version_major, FRAME_VERSION_MAJOR);
                break;
        default:
                channel_end(channel, NPUMM_STATUS_PROTOCOL,
                            "the daemon at %s broke the protocol: header with type %u (%s), flags %#" PRIx32
                            ", control part %" PRIu32 ", payload %" PRIu64,
                            channel->path, header->type, name, header->flags, header->control_bytes,
                            header->payload_bytes);
                break;
        }
}

void channel_decode(struct channel *channel, const uint8_t *bytes, size_t n_bytes)
{
        struct frame_decoder *decoder = &channel->decoder;
        enum frame_event event;

        do {
                size_t consumed;
                int r = frame_decoder_feed(decoder, bytes, n_bytes, &consumed, &event);

                if (r != 0) {
                        decoder_fault(channel, r);
                        return;
                }
                if (event == FRAME_EVENT_HEAD) {
                        channel->sink = (struct channel_view){0};
                        channel->ops->head(channel->userdata, &decoder->header, decoder->control,
                                           &channel->sink);
                        assert(channel_has_ended(channel) ||
                               channel->sink.bytes == decoder->header.payload_bytes);
                } else if (event == FRAME_EVENT_PAYLOAD) {
                        view_write(&channel->sink, channel_payload_have(channel) - consumed, bytes, consumed);
                } else if (event == FRAME_EVENT_END) {
                        channel->ops->end(channel->userdata);
                }
                bytes += consumed;
                n_bytes -= consumed;
        } while (event != FRAME_EVENT_MORE && !channel_has_ended(channel));
        /* A descriptor comes with the first byte of the frame that it belongs to, and that frame pops it. */
        if (channel->n_fds > (frame_decoder_in_frame(decoder) ? CHANNEL_FDS_OF_FRAME : 0) &&
            !channel->has_ring)
                channel_end(channel, NPUMM_STATUS_PROTOCOL,
                            "the daemon at %s broke the protocol: a file descriptor that belongs to no reply",
                            channel->path);
}

/* Keeps the descriptors of a received message, and a word about those that this process had no room for. */
static void fds_take(struct channel *channel, struct msghdr *message)
{
        bool any = false, too_many = false;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
                        any = true;
                        if (channel->n_fds < CHANNEL_FDS_MAX) {
                                channel->fds[channel->n_fds++] = fd;
                        } else {
                                too_many = true;
                                (void)close(fd);
                        }
                }
        }
        /* Cut off with nothing in it: the kernel found no free descriptor number in this process. */
        if ((message->msg_flags & MSG_CTRUNC) && !any && channel->n_fds < CHANNEL_FDS_MAX)
                channel->fds[channel->n_fds++] = -EMFILE;
        else if ((message->msg_flags & MSG_CTRUNC) || too_many)
                channel_end(channel, NPUMM_STATUS_PROTOCOL,
                            "the daemon at %s broke the protocol: too many file descriptors at once",
                            channel->path);
}

void channel_hangup(struct channel *channel, int r)
{
        const char *where = frame_decoder_in_frame(&channel->decoder) ? " in the middle of a frame" : "";

        if (r == -ECONNRESET)
                channel_end(channel, r, "the daemon at %s closed the connection%s; its log may say why",
                            channel->path, where);
        else
                channel_end(channel, r, "cannot receive from the daemon at %s: %s", channel->path,
                            npumm_strerror(r));
}

/* Receives once: payload straight to its place, whatever follows it into `input`. False: no more for now. */
bool channel_socket_receive(struct channel *channel)
{
        union {
                struct cmsghdr align;
                uint8_t bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
        } ancillary;
        struct iovec iov[VIEW_IOV_COUNT + 1];
        struct msghdr message = {
                .msg_iov = iov,
                .msg_control = ancillary.bytes,
                .msg_controllen = sizeof ancillary.bytes,
        };
        uint64_t direct = 0;
        size_t n_iov = 0;
        ssize_t n;

        if (channel->decoder.state == FRAME_IN_PAYLOAD && !channel->has_ring)
                direct = view_gather(&channel->sink, channel_payload_have(channel), iov, &n_iov);
        iov[n_iov++] = (struct iovec){channel->input, sizeof channel->input};
        message.msg_iovlen = n_iov;
        n = recvmsg(channel->socket_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return errno == EINTR;
        if (n <= 0) {
                if (channel->has_ring) /* what the daemon said before is still to be read */
                        channel_ring_drain(channel);
                channel_hangup(channel, n == 0 ? -ECONNRESET : -errno);
                return false;
        }
        fds_take(channel, &message);
        if (channel->has_ring) /* the byte that brought the descriptor */
                return !channel_has_ended(channel);
        direct = MIN(direct, (uint64_t)n);
        if (direct > 0)
                frame_decoder_skip_payload(&channel->decoder, direct);
        if (!channel_has_ended(channel))
                channel_decode(channel, channel->input, (size_t)n - direct);
        return !channel_has_ended(channel);
}

/* ---- waiting ---- */

int channel_poll(struct channel *channel, int timeout_ms)
{
        struct pollfd socket = {
                .fd = channel->socket_fd,
                .events = TAILQ_EMPTY(&channel->queue) ? POLLIN : POLLIN | POLLOUT,
        };

        if (channel->has_ring)
                return channel_ring_poll(channel, timeout_ms);
        return poll(&socket, 1, timeout_ms) < 0 ? -errno : 0;
}

bool channel_peer_has_left(struct channel *channel)
{
        struct pollfd socket = {.fd = channel->socket_fd, .events = POLLRDHUP};

        if (channel->has_ring) { /* it says so there, after it has closed the socket, and without a call */
                const bool has_left = !ring_is_open(&channel->ring);

                channel->socket_is_ready = channel->socket_is_ready || has_left;
                return has_left;
        }
        return poll(&socket, 1, 0) > 0;
}

void channel_pump(struct channel *channel)
{
        if (channel->has_ring && !channel_has_ended(channel)) {
                channel_ring_pump(channel);
                return;
        }
        channel_flush(channel);
        for (unsigned i = 0; i < READS_COUNT && !channel_has_ended(channel); i++)
                if (!channel_socket_receive(channel))
                        break;
}

void channel_wake(struct channel *channel, bool wake)
{
        eventfd_t count;

        if (wake == channel->is_awake)
                return;
        /* Neither can fail or block: the counter goes from 0 to 1 and back. */
        (void)(wake ? eventfd_write(channel->wake_fd, 1) : eventfd_read(channel->wake_fd, &count));
        channel->is_awake = wake;
}

int channel_pop_fd(struct channel *channel)
{
        int fd;

        if (channel->n_fds == 0 && channel->has_ring && !channel_has_ended(channel))
                (void)channel_socket_receive(channel); /* it was sent before the frame that asks for it */
        if (channel->n_fds == 0)
                return -ENOENT;
        fd = channel->fds[0];
        channel->n_fds--;
        memmove(channel->fds, channel->fds + 1, channel->n_fds * sizeof fd);
        return fd;
}
