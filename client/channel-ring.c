/* SPDX-License-Identifier: MIT */
/*
 * channel-ring.c - the channel's frames by rings in place of the socket, and the waiting for them.
 *
 * Role:   what channel.c does with sendmsg, recvmsg and poll, done in shared memory; by the socket come the daemon's
 *         end and descriptors alone.
 * Thread: the client's.
 * Owns:   nothing of its own: see channel.h.
 *
 * Design notes
 * - As long as both sides look no system call is made. Before a wait in the kernel, and before the program waits by
 *   itself at npumm_fd(), the daemon is told that its bell is needed.
 * - A program that never asked for npumm_fd() cannot wait at it, so the daemon need not ring for that.
 * - When the daemon lets go of the rings it may clear them at once. So bytes count only if the rings are found open
 *   after they were copied.
 */
#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "channel-internal.h"
#include "clock.h"

#define SPIN_LOOKS 32    /* between two looks at the clock, which take as long */
#define YIELD_NS   50000 /* awake for so long, others that want this CPU have it first */
#define SPIN_BUDGET_NS                                                                                       \
        50000 /* as the daemon's by default: more than a wake-up costs, and little of anybody's CPU */
/* In one call: a daemon that never stops talking or listening must not keep our caller from its loop. */
#define READS_COUNT 64
#define SENDS_COUNT 64

static uint32_t cpu_now(void)
{
        const int cpu = sched_getcpu();

        return cpu < 0 ? RING_CPU_UNKNOWN : (uint32_t)cpu;
}

/* The daemon has let go, or does what it may not. */
static void broken(struct channel *channel, const char *what)
{
        if (!ring_is_open(&channel->ring))
                channel_hangup(channel, -ECONNRESET);
        else
                channel_end(channel, NPUMM_STATUS_PROTOCOL, "the daemon at %s broke the protocol: %s",
                            channel->path, what);
}

static void publish(struct channel *channel)
{
        if (ring_publish(&channel->ring, cpu_now()))
                (void)eventfd_write(channel->daemon_bell_fd, 1);
}

/* ---- sending ---- */

/* False: it is broken, and the channel has ended. */
static bool room_find(struct channel *channel, uint32_t *ret_room)
{
        if (ring_room(&channel->ring, ret_room) == 0)
                return true;
        broken(channel, "the submission ring's head is not where bytes can have been read");
        return false;
}

static void pieces_write(struct channel *channel, const struct iovec *iov, size_t n_iov, uint64_t n_bytes)
{
        for (size_t i = 0; i < n_iov && n_bytes > 0; i++) {
                const uint32_t n = (uint32_t)MIN((uint64_t)iov[i].iov_len, n_bytes);

                ring_write(&channel->ring, iov[i].iov_base, n);
                n_bytes -= n;
        }
}

bool channel_ring_push(struct channel *channel, const uint8_t *head, size_t head_bytes,
                       const struct channel_view *views, size_t n_views)
{
        uint64_t whole_bytes = head_bytes;
        uint32_t room;

        for (size_t i = 0; i < n_views; i++)
                whole_bytes += views[i].bytes;
        if (!channel->has_ring || channel_has_ended(channel) || !TAILQ_EMPTY(&channel->queue) ||
            ring_room(&channel->ring, &room) != 0 || whole_bytes > room)
                return false;
        ring_write(&channel->ring, head, (uint32_t)head_bytes);
        for (size_t i = 0; i < n_views; i++)
                for (uint64_t offset = 0; offset < views[i].bytes;) {
                        struct iovec iov[VIEW_IOV_COUNT];
                        size_t n_iov = 0;

                        offset += view_gather(&views[i], offset, iov, &n_iov);
                        pieces_write(channel, iov, n_iov, UINT64_MAX);
                }
        return true;
}

void channel_ring_flush(struct channel *channel)
{
        for (unsigned i = 0; i < SENDS_COUNT && !TAILQ_EMPTY(&channel->queue); i++) {
                struct iovec iov[VIEW_IOV_COUNT];
                const size_t n_iov = channel_queue_gather(channel, iov);
                uint64_t n_bytes = 0;
                uint32_t room;

                if (!room_find(channel, &room))
                        return;
                if (room == 0)
                        break;
                for (size_t j = 0; j < n_iov; j++)
                        n_bytes += iov[j].iov_len;
                n_bytes = MIN(n_bytes, (uint64_t)room);
                pieces_write(channel, iov, n_iov, n_bytes);
                channel_queue_advance(channel, n_bytes);
                publish(channel); /* it may read while we go on */
        }
        publish(channel);
}

/* ---- receiving ---- */

/* Takes what the ring has, as much as fits into one call; false: nothing, or the channel has ended. */
static bool ring_receive(struct channel *channel)
{
        struct ring *ring = &channel->ring;
        struct iovec iov[VIEW_IOV_COUNT];
        uint64_t direct = 0;
        size_t n_iov = 0;
        uint32_t n, rest;

        if (ring_readable(ring, &n) != 0) {
                broken(channel, "the completion ring's tail is not where bytes can have been written");
                return false;
        }
        if (n == 0)
                return false;
        if (channel->decoder.state == FRAME_IN_PAYLOAD)
                direct = view_gather(&channel->sink, channel_payload_have(channel), iov, &n_iov);
        direct = MIN(direct, (uint64_t)n);
        rest = (uint32_t)direct;
        for (size_t i = 0; i < n_iov && rest > 0; i++) {
                const uint32_t part = (uint32_t)MIN(iov[i].iov_len, (size_t)rest);

                ring_read(ring, iov[i].iov_base, part);
                rest -= part;
        }
        rest = (uint32_t)MIN((uint64_t)n - direct, (uint64_t)sizeof channel->input);
        ring_read(ring, channel->input, rest);
        if (!ring_is_open(ring)) {
                channel_hangup(channel, -ECONNRESET);
                return false;
        }
        if (direct > 0)
                frame_decoder_skip_payload(&channel->decoder, direct);
        channel_decode(channel, channel->input, rest);
        return !channel_has_ended(channel);
}

void channel_ring_drain(struct channel *channel)
{
        /* Nobody writes any more: no more than the ring holds can come. */
        while (!channel_has_ended(channel) && ring_receive(channel))
                ;
}

/* The daemon closes its socket before it lets go of the rings: if that is open somebody has written into them. */
static void let_go(struct channel *channel)
{
        while (!channel_has_ended(channel) && channel_socket_receive(channel))
                ;
        if (!channel_has_ended(channel))
                channel_end(channel, -ECONNRESET, "the rings shared with the daemon at %s were overwritten",
                            channel->path);
}

void channel_ring_pump(struct channel *channel)
{
        unsigned n = 0;

        while (n < READS_COUNT && ring_receive(channel))
                n++;
        if (channel_has_ended(channel))
                return;
        channel_ring_flush(channel); /* also shows what was read */
        while (channel->socket_is_ready && !channel_has_ended(channel))
                channel->socket_is_ready = channel_socket_receive(channel);
        if (n == 0 && !channel_has_ended(channel) && !ring_is_open(&channel->ring))
                let_go(channel);
}

/* ---- waiting ---- */

static uint32_t wanted(const struct channel *channel)
{
        return RING_WANTS_DATA | (TAILQ_EMPTY(&channel->queue) ? 0 : RING_WANTS_ROOM);
}

static bool has_news(struct channel *channel)
{
        uint32_t n;

        if (ring_readable(&channel->ring, &n) != 0 || n > 0)
                return true;
        return !TAILQ_EMPTY(&channel->queue) && (ring_room(&channel->ring, &n) != 0 || n > 0);
}

static void bell_drain(struct channel *channel)
{
        uint8_t rings[64];

        (void)!read(channel->bell_fd, rings, sizeof rings);
}

static void wake_up(struct channel *channel)
{
        if (!channel->is_asleep)
                return;
        channel->is_asleep = false;
        if (ring_wake(&channel->ring)) /* the daemon has rung, or will presently */
                bell_drain(channel);
}

/* Goes to sleep; false: there is something to do. */
static bool fall_asleep(struct channel *channel)
{
        channel->is_asleep = true;
        ring_sleep(&channel->ring, wanted(channel));
        if (!has_news(channel))
                return true;
        wake_up(channel);
        return false;
}

/* Looks for as long as that is likely to pay; true: something has come. */
static bool spin(struct channel *channel, int timeout_ms)
{
        const uint32_t daemon_cpu = ring_peer_cpu(&channel->ring);
        uint64_t now_ns, until_ns;

        if (timeout_ms == 0 || daemon_cpu == RING_CPU_UNKNOWN || daemon_cpu == cpu_now() ||
            !spin_try(&channel->spin))
                return false;
        now_ns = clock_now_ns();
        if (now_ns - channel->yielded_ns > YIELD_NS) {
                (void)sched_yield();
                channel->yielded_ns = now_ns;
        }
        until_ns = now_ns + channel->spin.budget_ns;
        do {
                for (unsigned i = 0; i < SPIN_LOOKS; i++) {
                        spin_relax();
                        ring_expect(&channel->ring);
                        if (has_news(channel)) {
                                spin_succeeded(&channel->spin);
                                return true;
                        }
                }
        } while (clock_now_ns() < until_ns);
        spin_failed(&channel->spin);
        return false;
}

int channel_ring_poll(struct channel *channel, int timeout_ms)
{
        struct pollfd fds[] = {
                {.fd = channel->socket_fd, .events = POLLIN},
                {.fd = channel->bell_fd, .events = POLLIN},
        };
        uint64_t slept_ns;
        int n;

        wake_up(channel);
        if (has_news(channel) || spin(channel, timeout_ms) || !fall_asleep(channel))
                return 0;
        slept_ns = timeout_ms == 0 ? 0 : clock_now_ns();
        n = poll(fds, ARRAY_SIZE(fds), timeout_ms);
        if (n < 0) {
                n = -errno;
                wake_up(channel);
                return n;
        }
        if (n > 0 && timeout_ms != 0)
                spin_rung(&channel->spin, clock_now_ns() - slept_ns);
        if (fds[1].revents != 0)
                bell_drain(channel);
        channel->is_asleep = false;
        (void)ring_wake(&channel->ring);
        channel->socket_is_ready = fds[0].revents != 0;
        return 0;
}

bool channel_ring_rest(struct channel *channel)
{
        if (!channel->has_ring || !channel->fd_is_used || channel_has_ended(channel))
                return false;
        return !fall_asleep(channel);
}

void channel_ring_start(struct channel *channel, uint8_t *memory, uint32_t submission_bytes,
                        uint32_t completion_bytes, int daemon_bell_fd, int bell_fd)
{
        struct epoll_event event = {.events = EPOLLIN, .data.fd = bell_fd};

        channel->daemon_bell_fd = daemon_bell_fd;
        channel->bell_fd = bell_fd;
        channel->spin = (struct spin){.budget_ns = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_BUDGET_NS : 0};
        ring_init_client(&channel->ring, memory, submission_bytes, completion_bytes);
        channel->has_ring = true;
        if (epoll_ctl(channel->epoll_fd, EPOLL_CTL_ADD, bell_fd, &event) < 0)
                channel_end(channel, -errno, "cannot watch the bell of the daemon at %s: %s", channel->path,
                            npumm_strerror(-errno));
}
