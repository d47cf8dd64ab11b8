/* SPDX-License-Identifier: MIT */
/* send-queue.c - see send-queue.h. */
#include "daemon/send-queue.h"

#define ITEM_COST_BYTES (sizeof(struct send_item) + 32) /* and what the allocator adds */

static uint64_t item_bytes(const struct send_item *item)
{
        return item->head_bytes + item->payload.n_bytes;
}

void connection_payload_release(const struct connection_payload *payload)
{
        if (payload && payload->release_fn)
                payload->release_fn(payload->owner);
}

static void item_free(struct send_item *item)
{
        connection_payload_release(&item->payload);
        free(item);
}

void send_queue_init(struct send_queue *queue)
{
        *queue = (struct send_queue){0};
        TAILQ_INIT(&queue->items);
}

void send_queue_clear(struct send_queue *queue)
{
        struct send_item *item;

        while ((item = TAILQ_FIRST(&queue->items))) {
                TAILQ_REMOVE(&queue->items, item, link);
                item_free(item);
        }
        queue->n_bytes = 0;
        queue->n_items = 0;
}

bool send_queue_push(struct send_queue *queue, const uint8_t *head, size_t head_bytes,
                     const struct connection_payload *payload, const int *fds, size_t n_fds, bool by_ring)
{
        struct send_item *item = malloc(sizeof *item + head_bytes);

        if (!item) {
                connection_payload_release(payload);
                return false;
        }
        *item = (struct send_item){.n_fds = n_fds, .by_ring = by_ring, .head_bytes = head_bytes};
        memcpy(item->head, head, head_bytes);
        assert(n_fds <= SEND_FDS_MAX);
        for (size_t i = 0; i < n_fds; i++)
                item->fds[i] = fds[i];
        if (payload)
                item->payload = *payload;
        TAILQ_INSERT_TAIL(&queue->items, item, link);
        queue->n_bytes += item_bytes(item);
        queue->n_items++;
        return true;
}

size_t send_queue_gather(const struct send_queue *queue, struct iovec *iov, size_t n_max)
{
        const struct send_item *first = TAILQ_FIRST(&queue->items);
        struct send_item *item;
        size_t n = 0;

        TAILQ_FOREACH(item, &queue->items, link) {
                const uint64_t head_sent = MIN(item->sent, (uint64_t)item->head_bytes);
                const uint64_t payload_sent = item->sent - head_sent;

                if (n + 2 > n_max || (item->n_fds > 0 && n > 0) || item->by_ring != first->by_ring)
                        break;
                if (head_sent < item->head_bytes)
                        iov[n++] = (struct iovec){item->head + head_sent, item->head_bytes - head_sent};
                if (payload_sent < item->payload.n_bytes)
                        iov[n++] = (struct iovec){(void *)(uintptr_t)(item->payload.bytes + payload_sent),
                                                  item->payload.n_bytes - payload_sent};
        }
        return n;
}

void send_queue_sent(struct send_queue *queue, uint64_t n_bytes)
{
        queue->n_bytes -= n_bytes;
        while (n_bytes > 0) {
                struct send_item *item = TAILQ_FIRST(&queue->items);
                const uint64_t now = MIN(n_bytes, item_bytes(item) - item->sent);

                item->sent += now;
                n_bytes -= now;
                item->n_fds = 0; /* they went with the first byte */
                if (item->sent == item_bytes(item)) {
                        TAILQ_REMOVE(&queue->items, item, link);
                        queue->n_items--;
                        item_free(item);
                }
        }
}

uint64_t send_queue_cost_bytes(const struct send_queue *queue)
{
        return queue->n_bytes + queue->n_items * ITEM_COST_BYTES;
}
