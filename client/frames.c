/* SPDX-License-Identifier: MIT */
/* frames.c - see frames.h. */
#include "frames.h"

#include <errno.h>
#include <inttypes.h>

#include "client.h"

/* The payload of an answer goes into memory of its own, which the caller of the call will own. */
static void answer_head(struct npumm_client *client, const struct frame_header *header,
                        struct channel_view *ret_sink)
{
        struct call *call = client_find_call(client, &client->reply);

        if (!call) {
                client_protocol_fault(client, "%s for request %" PRIu64 ", which does not ask for it",
                                      frame_type_name(header->type), header->request_id);
                return;
        }
        if (header->payload_bytes > call->payload_bytes_max) {
                client_protocol_fault(
                        client, "%s with a payload of %" PRIu64 " bytes; at most %" PRIu64 " make sense",
                        frame_type_name(header->type), header->payload_bytes, call->payload_bytes_max);
                return;
        }
        if (header->payload_bytes == 0)
                return;
        call->payload = calloc(1, header->payload_bytes + 1);
        if (!call->payload) {
                channel_end(&client->channel, -ENOMEM, "no memory for %s of the daemon at %s",
                            frame_type_name(header->type), client->channel.path);
                return;
        }
        *ret_sink = (struct channel_view){
                .memory = (uint8_t *)call->payload,
                .bytes = header->payload_bytes,
                .row_bytes = header->payload_bytes,
        };
}

static void frame_head(void *userdata, const struct frame_header *header, const uint8_t *control,
                       struct channel_view *ret_sink)
{
        struct npumm_client *client = userdata;

        if (!message_read_reply(header, control, &client->reply_text, &client->reply)) {
                client_protocol_fault(client,
                                      "the control part of %s (%" PRIu32 " bytes) is not a valid message",
                                      frame_type_name(header->type), header->control_bytes);
                return;
        }
        if (client->reply.type == FRAME_ERROR && client->reply.outcome.status == STATUS_OK) {
                client_protocol_fault(client, "ERROR for request %" PRIu64 " with status OK",
                                      header->request_id);
                return;
        }
        switch (client->reply.type) {
        case FRAME_BYE:
        case FRAME_DONE:
                break;
        case FRAME_ROWS:
                jobs_take_rows_head(client, &client->reply, header->payload_bytes, ret_sink);
                break;
        default:
                answer_head(client, header, ret_sink);
                break;
        }
}

/* A daemon that stops is no fault of ours: it is gone, as if it had died. */
static void bye(struct npumm_client *client, const struct reply_outcome *outcome)
{
        const int result = client_outcome_result(outcome);

        client->daemon_has_stopped = result == 0;
        channel_end(&client->channel, result == 0 ? -ECONNRESET : result,
                    "the daemon at %s ended the connection: %s", client->channel.path,
                    client_outcome_text(outcome));
}

static void frame_end(void *userdata)
{
        struct npumm_client *client = userdata;
        const struct reply *reply = &client->reply;

        switch (reply->type) {
        case FRAME_BYE:
                bye(client, &reply->outcome);
                break;
        case FRAME_ROWS:
                jobs_take_rows(client, reply);
                break;
        case FRAME_DONE:
                jobs_take_done(client, reply);
                break;
        default: /* frame_head has found it */
                client_answer(client, client_find_call(client, reply), reply);
                break;
        }
}

static void connection_lost(void *userdata)
{
        struct npumm_client *client = userdata;
        struct call *call;

        while ((call = TAILQ_FIRST(&client->calls)))
                client_answer(client, call, NULL);
        jobs_take_loss(client);
}

const struct channel_ops frames_ops = {.head = frame_head, .end = frame_end, .lost = connection_lost};
