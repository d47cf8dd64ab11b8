/* SPDX-License-Identifier: MIT */
/* reply.c - see reply.h. */
#include "daemon/reply.h"

size_t reply_encode(const struct reply *reply, uint64_t payload_bytes, uint8_t ret_bytes[REPLY_BYTES_MAX])
{
        const size_t control_bytes = message_write_reply(reply, ret_bytes + FRAME_HEADER_BYTES);
        const struct frame_header header = {
                .version_major = FRAME_VERSION_MAJOR,
                .type = reply->type,
                .control_bytes = (uint32_t)control_bytes,
                .payload_bytes = payload_bytes,
                .request_id = reply->id,
        };

        frame_header_encode(&header, ret_bytes);
        return FRAME_HEADER_BYTES + control_bytes;
}

static void send_on_connection(void *userdata, const struct reply *reply,
                               const struct connection_payload *payload, int fd)
{
        uint8_t bytes[REPLY_BYTES_MAX];
        const size_t n_bytes = reply_encode(reply, payload ? payload->n_bytes : 0, bytes);

        connection_send(userdata, bytes, n_bytes, payload, fd);
}

struct reply_sink reply_sink_for(struct connection *connection)
{
        return (struct reply_sink){.send = send_on_connection, .userdata = connection};
}
