/* SPDX-License-Identifier: MIT */
/* client.c - see client.h. */
#include "client.h"

#include <errno.h>
#include <inttypes.h>

#include "clock.h"
#include "text.h"

int client_fail(struct npumm_client *client, int result, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        text_vset(client->text, format, args);
        va_end(args);
        return result;
}

int client_fail_lost(struct npumm_client *client)
{
        assert(channel_has_ended(&client->channel));
        return client_fail(client, client->channel.result, "%s", client->channel.text);
}

void client_protocol_fault(struct npumm_client *client, const char *format, ...)
{
        char fault[NPUMM_TEXT_MAX];
        va_list args;

        va_start(args, format);
        text_vset(fault, format, args);
        va_end(args);
        channel_end(&client->channel, NPUMM_STATUS_PROTOCOL, "the daemon at %s broke the protocol: %s",
                    client->channel.path, fault);
}

int client_outcome_result(const struct reply_outcome *outcome)
{
        /* A status of a newer daemon: the job did not succeed, and that is all we know. */
        return outcome->status < STATUS_MAX ? (int)outcome->status : NPUMM_STATUS_INTERNAL;
}

const char *client_outcome_text(const struct reply_outcome *outcome)
{
        return outcome->text[0] != '\0' ? outcome->text
                                        : status_text((unsigned)client_outcome_result(outcome));
}

int client_need_minor(struct npumm_client *client, uint32_t minor, const char *feature, const char *advice)
{
        if (client->version_minor >= minor)
                return 0;
        return client_fail(client, NPUMM_STATUS_VERSION,
                           "the daemon at %s speaks protocol %d.%" PRIu32
                           ", which has no %s: install a later one, or %s",
                           client->channel.path, FRAME_VERSION_MAJOR, client->version_minor, feature, advice);
}

int client_call(struct npumm_client *client, struct request *request, const struct channel_view *views,
                size_t n_views, struct call *call)
{
        int r;

        assert(!channel_has_ended(&client->channel));
        request->id = client->last_id + 1;
        call->id = request->id;
        call->payload = NULL;
        r = channel_push(&client->channel, request, views, n_views);
        if (r < 0)
                return r;
        client->last_id = request->id;
        TAILQ_INSERT_TAIL(&client->calls, call, link);
        channel_flush(&client->channel);
        return 0;
}

struct call *client_find_call(const struct npumm_client *client, const struct reply *reply)
{
        struct call *call;

        TAILQ_FOREACH(call, &client->calls, link)
                if (call->id == reply->id)
                        return reply->type == call->answer || reply->type == FRAME_ERROR ? call : NULL;
        return NULL;
}

void client_answer(struct npumm_client *client, struct call *call, const struct reply *reply)
{
        TAILQ_REMOVE(&client->calls, call, link);
        call->answer_fn(client, call, reply);
}

int client_step(struct npumm_client *client, uint64_t deadline_ns)
{
        int left_ms, r;

        if (channel_has_ended(&client->channel))
                return client_fail_lost(client);
        left_ms = clock_left_ms(deadline_ns);
        r = channel_poll(&client->channel, left_ms);
        if (r < 0 && r != -EINTR)
                channel_end(&client->channel, r, "cannot wait for the daemon at %s: %s", client->channel.path,
                            npumm_strerror(r));
        else
                channel_pump(&client->channel);
        if (channel_has_ended(&client->channel))
                return client_fail_lost(client);
        return left_ms == 0 ? -ETIMEDOUT : 0;
}
