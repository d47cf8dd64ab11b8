/* SPDX-License-Identifier: MIT */
/*
 * connection-ring.c - a connection's bytes by rings in place of its socket.
 *
 * Role:   what connection.c does with recvmsg and sendmsg, done in shared memory; what a ring's end is to be woken for.
 * In:     ring_watch_ops. Out: the same decoder and queue as the socket's.
 * Thread: loop.
 * Owns:   connection::ring.
 */
#include "daemon/connection-internal.h"

#include <errno.h>

#define RING_SEND_BYTES 65536 /* at once: connection.c bounds what is sent in one turn */

/* ---- receiving ---- */

/* Payload straight to its place, and some of what follows. */
static void ring_receive(struct connection *connection)
{
        struct ring *ring = &connection->ring->ring;
        const size_t direct = connection_direct_bytes(connection),
                     scratch = connection_scratch_bytes(connection, direct);
        uint32_t n, first;

        if (ring_readable(ring, &n) != 0) {
                connection_fault(connection, CONNECTION_E_RING_TAIL);
                return;
        }
        if (n == 0)
                return;
        connection_mark_dirty(connection); /* the client is to know what was read */
        first = (uint32_t)MIN((size_t)n, direct);
        if (first > 0) {
                ring_read(ring, connection->payload, first);
                connection_take_direct(connection, first);
                ring_end_publish(connection->ring); /* it may go on writing while we do */
        }
        n = (uint32_t)MIN((size_t)(n - first), scratch);
        ring_read(ring, connection->set->scratch, n);
        connection_feed(connection, connection->set->scratch, n, true);
}

/* ---- sending ---- */

/* Sends some of what is queued; descriptors go before, by the socket, with a byte that means nothing else. */
int connection_ring_send(struct connection *connection, const struct iovec *iov, size_t n_iov,
                         uint64_t *ret_n)
{
        struct ring *ring = &connection->ring->ring;
        struct send_item *item = send_queue_first(&connection->tx);
        uint32_t room;
        uint64_t n = 0;

        if (item->n_fds > 0) {
                struct iovec byte = {"", 1};
                int r = connection_socket_send(connection, &byte, 1, &n);

                if (r < 0)
                        return r;
                item->n_fds = 0;
        }
        if (ring_room(ring, &room) != 0)
                return CONNECTION_E_RING_HEAD;
        room = MIN(room, (uint32_t)RING_SEND_BYTES);
        n = 0;
        for (size_t i = 0; i < n_iov && room > 0; i++) {
                const uint32_t part = (uint32_t)MIN(iov[i].iov_len, (size_t)room);

                ring_write(ring, iov[i].iov_base, part);
                room -= part;
                n += part;
        }
        *ret_n = n;
        return n > 0 ? 0 : -EAGAIN;
}

/* What fits into the ring as a whole, with nothing before it, is written at once. */
bool connection_ring_send_whole(struct connection *connection, const uint8_t *head, size_t head_bytes,
                                const struct connection_payload *payload)
{
        const uint64_t payload_bytes = payload ? payload->n_bytes : 0;
        uint32_t room;

        if (!connection->ring || send_queue_first(&connection->tx) || payload_bytes > RING_BYTES_MAX ||
            ring_room(&connection->ring->ring, &room) != 0 || head_bytes + payload_bytes > room)
                return false;
        ring_write(&connection->ring->ring, head, (uint32_t)head_bytes);
        if (payload_bytes > 0)
                ring_write(&connection->ring->ring, payload->bytes, (uint32_t)payload_bytes);
        connection_payload_release(payload);
        return true;
}

/* Whether the last words have arrived, as far as that can be known: what is in a socket can still be read later. */
bool connection_has_finished(struct connection *connection)
{
        uint32_t room;

        if (!connection->finishing || send_queue_first(&connection->tx))
                return false;
        return !connection->ring || connection->set->rings.leaves_rings ||
               ring_room(&connection->ring->ring, &room) != 0 || room == connection->ring->ring.tx.size;
}

/* ---- watching ---- */

static struct connection *connection_of(struct ring_end *end)
{
        return end->userdata;
}

/* By the ring, and not by the socket. */
static bool waits_for_ring(const struct connection *connection)
{
        return send_queue_first(&connection->tx) && !connection_waits_for_socket(connection);
}

static uint32_t ring_wants(struct ring_end *end)
{
        const struct connection *connection = connection_of(end);
        const bool wants_room = waits_for_ring(connection) || connection->finishing;

        return (connection_wants_input(connection) ? RING_WANTS_DATA : 0) |
               (wants_room ? RING_WANTS_ROOM : 0);
}

static bool ring_has_work(struct ring_end *end)
{
        struct connection *connection = connection_of(end);
        uint32_t n;

        if (connection->closing)
                return false;
        ring_expect(&end->ring);
        if (connection_wants_input(connection) && (ring_readable(&end->ring, &n) != 0 || n > 0))
                return true;
        if (waits_for_ring(connection) && (ring_room(&end->ring, &n) != 0 || n > 0))
                return true;
        return connection_has_finished(connection);
}

static bool ring_look(struct ring_end *end)
{
        struct connection *connection = connection_of(end);

        if (connection->closing)
                return true;
        if (waits_for_ring(connection) || connection->finishing)
                connection_mark_dirty(connection);
        if (!connection_wants_input(connection))
                return true;
        if (connection_turn_is_over(connection->set))
                return false;
        ring_receive(connection);
        connection_timer_update(connection);
        return true;
}

static void start_turn(void *userdata)
{
        connection_turn_start(userdata);
}

static void finish_turn(void *userdata)
{
        struct connection_set *set = userdata;

        if (set->finish_turn_fn)
                set->finish_turn_fn(set->userdata);
        connection_flush_dirty(set);
}

static bool is_quiet(void *userdata)
{
        const struct connection_set *set = userdata;

        return set->is_quiet_fn && set->is_quiet_fn(set->userdata);
}

const struct ring_watch_ops connection_ring_ops = {
        .wants = ring_wants,
        .has_work = ring_has_work,
        .start_turn = start_turn,
        .look = ring_look,
        .finish_turn = finish_turn,
        .is_quiet = is_quiet,
};

int connection_ring_start(struct connection *connection, uint8_t *memory, uint32_t submission_bytes,
                          uint32_t completion_bytes, void (*release_fn)(void *owner), void *owner,
                          const uint8_t *answer, size_t answer_bytes)
{
        struct ring_end *end = malloc(sizeof *end);
        int r, fds[SEND_FDS_MAX];

        assert(!connection->ring && !connection->closing && !connection->finishing);
        if (!end)
                return -ENOMEM;
        r = ring_end_open(end, &connection->set->rings, memory, submission_bytes, completion_bytes,
                          release_fn, owner, connection);
        if (r < 0) {
                free(end);
                return r;
        }
        connection->ring = end;
        fds[0] = end->bell_fd;
        fds[1] = end->client_bell_fds[0];
        if (send_queue_push(&connection->tx, answer, answer_bytes, NULL, fds, ARRAY_SIZE(fds), false))
                connection_mark_dirty(connection);
        else
                connection_close(connection);
        return 0;
}

void connection_ring_free(struct connection *connection)
{
        if (!connection->ring)
                return;
        ring_end_close(connection->ring);
        free(connection->ring);
        connection->ring = NULL;
}
