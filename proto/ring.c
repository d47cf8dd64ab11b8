/* SPDX-License-Identifier: MIT */
/* ring.c - see ring.h. */
#include "ring.h"

static_assert(ATOMIC_INT_LOCK_FREE == 2, "the words are shared between processes");

bool ring_size_is_valid(uint64_t bytes)
{
        return bytes >= RING_BYTES_MIN && bytes <= RING_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

static struct ring_header *header_at(uint8_t *memory)
{
        assert((uintptr_t)memory % RING_ALIGN_BYTES == 0);
        return (struct ring_header *)(void *)memory;
}

void ring_init_daemon(struct ring *ring, uint8_t *memory, uint32_t submission_bytes,
                      uint32_t completion_bytes)
{
        struct ring_header *header = header_at(memory);

        assert(ring_size_is_valid(submission_bytes) && ring_size_is_valid(completion_bytes));
        *ring = (struct ring){
                .own = &header->daemon,
                .peer = &header->client,
                .open = &header->open,
                .rx = {.bytes = memory + RING_HEADER_BYTES, .size = submission_bytes},
                .tx = {.bytes = memory + RING_HEADER_BYTES + submission_bytes, .size = completion_bytes},
                .cpu = RING_CPU_UNKNOWN,
        };
        for (struct ring_side *side = &header->client; side <= &header->daemon; side++) {
                atomic_store(&side->tail, 0);
                atomic_store(&side->head, 0);
                atomic_store(&side->wants, 0);
                atomic_store(&side->cpu, RING_CPU_UNKNOWN);
        }
        atomic_store(&header->open, 1);
}

void ring_init_client(struct ring *ring, uint8_t *memory, uint32_t submission_bytes,
                      uint32_t completion_bytes)
{
        struct ring_header *header = header_at(memory);

        *ring = (struct ring){
                .own = &header->client,
                .peer = &header->daemon,
                .open = &header->open,
                .tx = {.bytes = memory + RING_HEADER_BYTES, .size = submission_bytes},
                .rx = {.bytes = memory + RING_HEADER_BYTES + submission_bytes, .size = completion_bytes},
                .cpu = RING_CPU_UNKNOWN,
        };
}

int ring_readable(struct ring *ring, uint32_t *ret_bytes)
{
        struct ring_half *rx = &ring->rx;
        const uint32_t tail = atomic_load(&ring->peer->tail); /* once */

        /* Forward from where it was, and not past what we have not read: one unsigned comparison for both. */
        if (tail - rx->tail > rx->size - (rx->tail - rx->head))
                return RING_E_TAIL;
        rx->tail = tail;
        *ret_bytes = tail - rx->head;
        return 0;
}

void ring_read(struct ring *ring, uint8_t *to, uint32_t n_bytes)
{
        struct ring_half *rx = &ring->rx;
        const uint32_t at = rx->head & (rx->size - 1);
        const uint32_t first = MIN(n_bytes, rx->size - at);

        assert(n_bytes <= rx->tail - rx->head);
        memcpy(to, rx->bytes + at, first);
        memcpy(to + first, rx->bytes, n_bytes - first);
        rx->head += n_bytes;
}

int ring_room(struct ring *ring, uint32_t *ret_bytes)
{
        struct ring_half *tx = &ring->tx;
        const uint32_t head = atomic_load(&ring->peer->head); /* once */

        /* What is written and not published it cannot have read either. */
        if (head - tx->head > tx->published - tx->head)
                return RING_E_HEAD;
        tx->head = head;
        *ret_bytes = tx->size - (tx->tail - head);
        return 0;
}

void ring_write(struct ring *ring, const uint8_t *bytes, uint32_t n_bytes)
{
        struct ring_half *tx = &ring->tx;
        const uint32_t at = tx->tail & (tx->size - 1);
        const uint32_t first = MIN(n_bytes, tx->size - at);

        assert(n_bytes <= tx->size - (tx->tail - tx->head));
        memcpy(tx->bytes + at, bytes, first);
        memcpy(tx->bytes, bytes + first, n_bytes - first);
        tx->tail += n_bytes;
}

bool ring_is_drained(struct ring *ring)
{
        return atomic_load(&ring->peer->head) == ring->tx.tail;
}

/* Lines of the cache that are wanted presently, on their way meanwhile. */
#define LINE_BYTES 64

static void expect_to_write(const struct ring_half *tx)
{
        for (uint32_t i = 0; i < 2; i++)
                __builtin_prefetch(tx->bytes + ((tx->tail + i * LINE_BYTES) & (tx->size - 1)), 1);
}

void ring_expect(const struct ring *ring)
{
        const struct ring_half *rx = &ring->rx;

        for (uint32_t i = 0; i < 2; i++)
                __builtin_prefetch(rx->bytes + ((rx->head + i * LINE_BYTES) & (rx->size - 1)), 0);
}

bool ring_publish(struct ring *ring, uint32_t cpu)
{
        uint32_t moved = 0;

        if (cpu != ring->cpu) {
                ring->cpu = cpu;
                atomic_store_explicit(&ring->own->cpu, cpu, memory_order_relaxed);
        }
        if (ring->rx.published != ring->rx.head) {
                ring->rx.published = ring->rx.head;
                atomic_store(&ring->own->head, ring->rx.head);
                moved |= RING_WANTS_ROOM;
        }
        if (ring->tx.published != ring->tx.tail) {
                ring->tx.published = ring->tx.tail;
                atomic_store(&ring->own->tail, ring->tx.tail);
                moved |= RING_WANTS_DATA;
        }
        expect_to_write(&ring->tx);
        return (atomic_load(&ring->peer->wants) & moved) != 0 && atomic_exchange(&ring->peer->wants, 0) != 0;
}

void ring_sleep(struct ring *ring, uint32_t wants)
{
        atomic_store(&ring->own->wants, wants);
}

bool ring_wake(struct ring *ring)
{
        return atomic_exchange(&ring->own->wants, 0) == 0;
}

uint32_t ring_peer_cpu(const struct ring *ring)
{
        return atomic_load_explicit(&ring->peer->cpu, memory_order_relaxed);
}

void ring_shut(struct ring *ring)
{
        atomic_store(ring->open, 0);
}

bool ring_is_open(const struct ring *ring)
{
        /* Changes nothing, but keeps what was copied before from being read after it, as a load would not. */
        return atomic_fetch_or(ring->open, 0) != 0;
}
