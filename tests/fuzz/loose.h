/* SPDX-License-Identifier: MIT */
/*
 * loose.h - takes any bytes for frames, so that a mutated golden stream still reaches the reader of messages.
 *
 * Role: believes in a header wherever one would begin and in its lengths as far as there are bytes; knows no
 *       wrong magic, version or type. fuzz-frame.c is for those.
 */
#ifndef TESTS_FUZZ_LOOSE_H
#define TESTS_FUZZ_LOOSE_H

#include "proto/frame.h"

struct loose_frame {
        struct frame_header header; /* control_bytes is what there is */
        uint8_t *control;           /* owned; of exactly that size */
};

/* Takes the next frame off the front of *data; false: nothing is left. */
static inline bool loose_frame_next(const uint8_t **data, size_t *size, struct loose_frame *ret_frame)
{
        uint8_t header[FRAME_HEADER_BYTES] = {0};
        const size_t n_header = MIN(*size, sizeof header);
        const size_t left = *size - n_header;
        size_t n_control, n_payload;

        if (*size == 0)
                return false;
        memcpy(header, *data, n_header);
        n_control = (size_t)MIN(get_le(header + 12, 4), (uint64_t)MIN(left, (size_t)FRAME_CONTROL_BYTES_MAX));
        n_payload = (size_t)MIN(get_le(header + 16, 8), (uint64_t)(left - n_control));
        ret_frame->header = (struct frame_header){
                .version_major = 1,
                .type = (unsigned)get_le(header + 6, 2),
                .control_bytes = (uint32_t)n_control,
                .payload_bytes = get_le(header + 16, 8),
                .request_id = get_le(header + 24, 8),
        };
        ret_frame->control = malloc(n_control > 0 ? n_control : 1);
        assert(ret_frame->control);
        if (n_control > 0)
                memcpy(ret_frame->control, *data + n_header, n_control);
        *data += n_header + n_control + n_payload;
        *size -= n_header + n_control + n_payload;
        return true;
}

/* What the readers may put into a text: printable, and ended. */
static inline bool loose_is_printable(const char *text, size_t n_bytes)
{
        for (size_t i = 0; i < n_bytes; i++) {
                if (text[i] == '\0')
                        return true;
                if (text[i] < ' ' || text[i] > '~')
                        return false;
        }
        return false;
}

#endif
