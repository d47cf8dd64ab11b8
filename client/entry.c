/* SPDX-License-Identifier: MIT */
/* entry.c - see entry.h. */
#include "entry.h"

#include <errno.h>

#include "client.h"
#include "text.h"

#define STRUCT_BYTES_MAX 4096 /* of any version of a struct in npumm.h: a larger `size` was never set */

bool entry_read(const void *from, size_t from_bytes, size_t min_bytes, void *to, size_t to_bytes)
{
        const uint8_t *bytes = from;

        if (from_bytes < min_bytes || from_bytes > STRUCT_BYTES_MAX)
                return false;
        for (size_t i = to_bytes; i < from_bytes; i++)
                if (bytes[i] != 0)
                        return false;
        memset(to, 0, to_bytes);
        memcpy(to, from, MIN(from_bytes, to_bytes));
        return true;
}

int entry_begin(struct npumm_client *client, bool blocks)
{
        if (!home_is_here(&client->home))
                return client_fail(client, -EPERM,
                                   "this client belongs to process %jd: connect again after a fork",
                                   (intmax_t)client->home.pid);
        if (blocks && client->in_callback)
                return client_fail(client, -EDEADLK, "not from inside a callback: return from it first");
        if (channel_has_ended(&client->channel))
                return client_fail(client, -ENOTCONN, "not connected: %s", client->channel.text);
        return 0;
}

int entry_end(struct npumm_client *client, int r)
{
        const bool has_news = !TAILQ_EMPTY(&client->jobs.news);
        const bool has_loss = channel_has_ended(&client->channel) && !client->loss_is_told;

        if (!client->in_callback)
                channel_wake(&client->channel, channel_ring_rest(&client->channel) || has_news || has_loss);
        return r;
}

/* ---- waiting ---- */

void ending_set(struct ending *ending, int result, const char *text)
{
        ending->is_over = true;
        ending->result = result;
        text_copy(ending->text, text);
}

int ending_await(struct npumm_client *client, const struct ending *ending, uint64_t deadline_ns)
{
        while (!ending->is_over) {
                int r = client_step(client, deadline_ns);

                jobs_deliver(client);
                if (r == -ETIMEDOUT && !ending->is_over)
                        return r;
        }
        return 0;
}

int ending_result(struct npumm_client *client, const struct ending *ending)
{
        if (ending->result == 0)
                return 0;
        return client_fail(client, ending->result, "%s", ending->text);
}
