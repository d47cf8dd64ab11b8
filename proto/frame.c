/* SPDX-License-Identifier: MIT */
/* frame.c - see frame.h. */
#include "frame.h"

#include <errno.h>

/* By number; those that are none have no name. */
static const struct frame_type_info {
        const char *name;
        bool from_client;
        bool has_payload;
} frame_types[] = {
#define X(name, wire, from_client, payload) [wire] = {#name, from_client, payload},
        FRAME_TABLE(X)
#undef X
};

static const struct frame_type_info *type_find(unsigned type)
{
        return type < ARRAY_SIZE(frame_types) && frame_types[type].name ? &frame_types[type] : NULL;
}

const char *frame_type_name(unsigned type)
{
        const struct frame_type_info *info = type_find(type);
        return info ? info->name : "unknown";
}

void frame_header_encode(const struct frame_header *header, uint8_t ret_bytes[FRAME_HEADER_BYTES])
{
        memcpy(ret_bytes, FRAME_MAGIC, 4);
        put_le(ret_bytes + 4, header->version_major, 2);
        put_le(ret_bytes + 6, header->type, 2);
        put_le(ret_bytes + 8, header->flags, 4);
        put_le(ret_bytes + 12, header->control_bytes, 4);
        put_le(ret_bytes + 16, header->payload_bytes, 8);
        put_le(ret_bytes + 24, header->request_id, 8);
}

static void header_decode(const uint8_t bytes[FRAME_HEADER_BYTES], struct frame_header *ret_header)
{
        *ret_header = (struct frame_header){
                .version_major = (unsigned)get_le(bytes + 4, 2),
                .type = (unsigned)get_le(bytes + 6, 2),
                .flags = (uint32_t)get_le(bytes + 8, 4),
                .control_bytes = (uint32_t)get_le(bytes + 12, 4),
                .payload_bytes = get_le(bytes + 16, 8),
                .request_id = get_le(bytes + 24, 8),
        };
}

/* In the order in which a reader of the header stumbles; the version early, so that it is always named. */
static int header_check(const struct frame_decoder *decoder)
{
        const struct frame_header *header = &decoder->header;
        const struct frame_type_info *info;

        if (memcmp(decoder->header_bytes, FRAME_MAGIC, 4) != 0)
                return FRAME_E_MAGIC;
        if (header->version_major != FRAME_VERSION_MAJOR)
                return FRAME_E_VERSION;
        if (header->flags != 0)
                return FRAME_E_FLAGS;
        info = type_find(header->type);
        if (!info || info->from_client != decoder->from_client)
                return FRAME_E_TYPE;
        if (header->control_bytes > FRAME_CONTROL_BYTES_MAX)
                return FRAME_E_CONTROL;
        if (header->payload_bytes > 0 && !info->has_payload)
                return FRAME_E_NO_PAYLOAD;
        if (header->payload_bytes > decoder->payload_bytes_max)
                return FRAME_E_PAYLOAD;
        return 0;
}

void frame_decoder_init(struct frame_decoder *decoder, bool from_client, uint64_t payload_bytes_max)
{
        *decoder = (struct frame_decoder){
                .from_client = from_client,
                .payload_bytes_max = payload_bytes_max,
        };
}

void frame_decoder_deinit(struct frame_decoder *decoder)
{
        free(decoder->control_owned);
        decoder->control_owned = NULL;
        decoder->control = NULL;
}

static void frame_finish(struct frame_decoder *decoder)
{
        frame_decoder_deinit(decoder);
        decoder->header_have = 0;
        decoder->control_have = 0;
        decoder->state = FRAME_IN_HEADER;
}

/* Takes what `part` still lacks of its `want` bytes from the input; true when the part is complete. */
static bool part_fill(uint8_t *part, size_t want, size_t *have, const uint8_t *bytes, size_t n_bytes,
                      size_t *consumed)
{
        size_t n = MIN(want - *have, n_bytes - *consumed);

        if (n > 0)
                memcpy(part + *have, bytes + *consumed, n);
        *have += n;
        *consumed += n;
        return *have == want;
}

static int header_finish(struct frame_decoder *decoder)
{
        int r;

        header_decode(decoder->header_bytes, &decoder->header);
        r = header_check(decoder);
        if (r != 0)
                return r;
        if (decoder->header.control_bytes > sizeof decoder->control_small) {
                decoder->control_owned = malloc(decoder->header.control_bytes);
                if (!decoder->control_owned)
                        return -ENOMEM;
        }
        decoder->control = decoder->control_owned ? decoder->control_owned : decoder->control_small;
        decoder->state = FRAME_IN_CONTROL;
        return 0;
}

int frame_decoder_feed(struct frame_decoder *decoder, const uint8_t *bytes, size_t n_bytes,
                       size_t *ret_consumed, enum frame_event *ret_event)
{
        enum frame_event event = FRAME_EVENT_MORE;
        size_t consumed = 0;
        int r;

        if (decoder->state == FRAME_IN_HEADER) {
                if (part_fill(decoder->header_bytes, FRAME_HEADER_BYTES, &decoder->header_have, bytes,
                              n_bytes, &consumed)) {
                        r = header_finish(decoder);
                        if (r != 0)
                                return r;
                }
        }
        if (decoder->state == FRAME_IN_CONTROL) {
                if (part_fill(decoder->control, decoder->header.control_bytes, &decoder->control_have, bytes,
                              n_bytes, &consumed)) {
                        decoder->payload_left = decoder->header.payload_bytes;
                        decoder->state = decoder->payload_left > 0 ? FRAME_IN_PAYLOAD : FRAME_AT_END;
                        event = FRAME_EVENT_HEAD;
                }
        } else if (decoder->state == FRAME_IN_PAYLOAD) {
                consumed = (size_t)MIN(decoder->payload_left, (uint64_t)n_bytes);
                if (consumed > 0) {
                        frame_decoder_skip_payload(decoder, consumed);
                        event = FRAME_EVENT_PAYLOAD;
                }
        } else if (decoder->state == FRAME_AT_END) {
                frame_finish(decoder);
                event = FRAME_EVENT_END;
        }
        *ret_consumed = consumed;
        *ret_event = event;
        return 0;
}

void frame_decoder_skip_payload(struct frame_decoder *decoder, uint64_t n_bytes)
{
        assert(decoder->state == FRAME_IN_PAYLOAD && n_bytes <= decoder->payload_left);
        decoder->payload_left -= n_bytes;
        if (decoder->payload_left == 0)
                decoder->state = FRAME_AT_END;
}

bool frame_decoder_in_frame(const struct frame_decoder *decoder)
{
        return decoder->state != FRAME_IN_HEADER || decoder->header_have > 0;
}
