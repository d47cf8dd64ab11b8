/* SPDX-License-Identifier: MIT */
/* rings.c - see rings.h. */
#include "rings.h"

#include <errno.h>

#include "client.h"

/* Hundreds of small frames, and little of a cache of the second level, where weights are to stay. */
#define RING_BYTES 65536u

struct start {
        struct call call;
        uint8_t *memory;
        bool is_over;
};

static void started(struct npumm_client *client, struct call *call, const struct reply *reply)
{
        struct start *start = container_of(call, struct start, call);
        int bells[2];

        start->is_over = true;
        if (!reply || reply->type == FRAME_ERROR)
                return; /* lost, or no rings: the socket serves */
        for (size_t i = 0; i < ARRAY_SIZE(bells); i++)
                bells[i] = channel_pop_fd(&client->channel);
        if (bells[0] >= 0 && bells[1] >= 0) {
                channel_ring_start(&client->channel, start->memory, RING_BYTES, RING_BYTES, bells[0],
                                   bells[1]);
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(bells); i++)
                closep(&bells[i]);
        /* The daemon has changed over, and we cannot follow. */
        if (bells[0] == -EMFILE || bells[1] == -EMFILE)
                channel_end(&client->channel, -EMFILE, "no free file descriptors for the bells of rings");
        else
                client_protocol_fault(client, "RING_STARTED came without its two file descriptors");
}

void rings_start(struct npumm_client *client, uint64_t deadline_ns)
{
        struct request request = {.type = FRAME_RING_START};
        struct request_ring_start *ring = &request.ring_start;
        struct start start = {.call = {.answer = FRAME_RING_STARTED, .answer_fn = started}};

        if (arenas_alloc(client, ring_extent_bytes(RING_BYTES, RING_BYTES), &start.memory) != 0)
                return; /* no room, or lost */
        (void)arenas_find(client, start.memory, 1, &ring->arena, &ring->offset_bytes);
        ring->submission_bytes = RING_BYTES;
        ring->completion_bytes = RING_BYTES;
        if (client_call(client, &request, NULL, 0, &start.call) < 0) {
                (void)arenas_free(client, start.memory);
                return;
        }
        while (!start.is_over)
                if (client_step(client, deadline_ns) == -ETIMEDOUT && !start.is_over)
                        channel_end(&client->channel, -ETIMEDOUT,
                                    "the daemon at %s did not make rings in time", client->channel.path);
        if (!client->channel.has_ring)
                (void)arenas_free(client, start.memory);
}
