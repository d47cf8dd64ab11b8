/* SPDX-License-Identifier: MIT */
/*
 * frame.h - the fixed header in front of every message, and an incremental decoder for it.
 *
 * Role:   bytes <-> frames, without any I/O: bytes are given, events come out.
 * In:     pieces of a byte stream, cut anywhere.
 * Out:    a head (header and whole control part), then the payload as pieces of the input, then an end.
 * Thread: any; one decoder belongs to one thread.
 * Owns:   the control part of the frame being decoded; never the payload.
 * Never:  allocates from a length that has not been checked against the limits.
 *
 * The layout (README.md section 2), little-endian:
 *
 *   offset  bytes  field
 *        0      4  magic "NPMM"
 *        4      2  major version of the protocol
 *        6      2  type
 *        8      4  flags, 0 in version 1
 *       12      4  control_bytes
 *       16      8  payload_bytes
 *       24      8  request_id
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "base.h"

#define FRAME_MAGIC         "NPMM"
#define FRAME_VERSION_MAJOR 1
#define FRAME_VERSION_MINOR 2
#define FRAME_HEADER_BYTES  32

/* The largest message is below 1 KiB; the rest is room for fields that we do not know. */
#define FRAME_CONTROL_BYTES_MAX 65536u

/* clang-format off */
/*      name             wire  from the client?  may carry a payload? */
#define FRAME_TABLE(X)                                                                                       \
        X(HELLO,             1, true,  false)                                                                \
        X(ARENA_CREATE,      2, true,  false)                                                                \
        X(ARENA_RELEASE,     3, true,  false)                                                                \
        X(MATMUL,            4, true,  true)                                                                 \
        X(CANCEL,            5, true,  false)                                                                \
        X(STATUS,            6, true,  false)                                                                \
        X(PING,              7, true,  false)                                                                \
        X(WEIGHTS_LOAD,      8, true,  true)                                                                 \
        X(WEIGHTS_RELEASE,   9, true,  false)                                                                \
        X(SET,              10, true,  false)                                                                \
        X(RING_START,       11, true,  false)                                                                \
        X(WELCOME,          65, false, false)                                                                \
        X(ARENA_CREATED,    66, false, false)                                                                \
        X(ARENA_RELEASED,   67, false, false)                                                                \
        X(ROWS,             68, false, true)                                                                 \
        X(DONE,             69, false, false)                                                                \
        X(STATUS_REPORT,    70, false, true)                                                                 \
        X(PONG,             71, false, false)                                                                \
        X(ERROR,            72, false, false)                                                                \
        X(BYE,              73, false, false)                                                                \
        X(WEIGHTS_LOADED,   74, false, false)                                                                \
        X(WEIGHTS_RELEASED, 75, false, false)                                                                \
        X(SET_DONE,         76, false, false)                                                                \
        X(RING_STARTED,     77, false, false)
/* clang-format on */

enum frame_type {
        FRAME_NONE = 0,
#define X(name, wire, from_client, payload) FRAME_##name = wire,
        FRAME_TABLE(X)
#undef X
};

struct frame_header {
        unsigned version_major;
        unsigned type; /* enum frame_type, or a number that this version does not know */
        uint32_t flags;
        uint32_t control_bytes;
        uint64_t payload_bytes;
        uint64_t request_id;
};

/* The type's name, or "unknown". Never NULL. */
const char *frame_type_name(unsigned type);

/* Writes the 32 bytes of `header`. */
void frame_header_encode(const struct frame_header *header, uint8_t ret_bytes[FRAME_HEADER_BYTES]);

/* What one call of frame_decoder_feed came to. */
enum frame_event {
        FRAME_EVENT_MORE = 0, /* all bytes are consumed, nothing to say */
        FRAME_EVENT_HEAD,     /* decoder->header and decoder->control are complete */
        FRAME_EVENT_PAYLOAD,  /* the last bytes consumed are the next bytes of the payload */
        FRAME_EVENT_END,      /* the frame is over, payload included */
};

/* Positive results of frame_decoder_feed: the stream cannot be decoded any further. */
enum {
        FRAME_E_SUCCESS = 0,
        FRAME_E_MAGIC,      /* not this protocol at all */
        FRAME_E_VERSION,    /* another major version: decoder->header.version_major */
        FRAME_E_FLAGS,      /* a flag that version 1 does not know */
        FRAME_E_TYPE,       /* unknown type, or one that this side only sends */
        FRAME_E_CONTROL,    /* control part over FRAME_CONTROL_BYTES_MAX */
        FRAME_E_PAYLOAD,    /* payload over the limit */
        FRAME_E_NO_PAYLOAD, /* payload on a type that carries none */
};

struct frame_decoder {
        struct frame_header header; /* valid from HEAD to END, and for the message of an error */
        uint8_t *control;           /* header.control_bytes long; valid from HEAD to END; points at one of: */
        uint8_t *control_owned;     /* owned, for large ones; else NULL */
        uint8_t control_small[256]; /* enough for every request of version 1.2 without unknown fields */
        uint8_t header_bytes[FRAME_HEADER_BYTES];
        size_t header_have;
        size_t control_have;
        uint64_t payload_left;
        uint64_t payload_bytes_max; /* limit, set at init */
        bool from_client;           /* which side's frames we decode */
        enum { FRAME_IN_HEADER = 0, FRAME_IN_CONTROL, FRAME_IN_PAYLOAD, FRAME_AT_END } state;
};

/* `from_client`: decode what clients send (else what the daemon sends). */
void frame_decoder_init(struct frame_decoder *decoder, bool from_client, uint64_t payload_bytes_max);
void frame_decoder_deinit(struct frame_decoder *decoder);

/*
 * Consumes bytes up to and including the next event. Call again with the rest until FRAME_EVENT_MORE; END
 * comes by itself, without further bytes. Returns 0, -ENOMEM, or FRAME_E_*: then the stream is lost and only
 * deinit may follow.
 */
int frame_decoder_feed(struct frame_decoder *decoder, const uint8_t *bytes, size_t n_bytes,
                       size_t *ret_consumed, enum frame_event *ret_event);

/*
 * For a caller that received payload bytes straight to their place: takes `n_bytes` (at most
 * decoder->payload_left) as passed by.
 */
void frame_decoder_skip_payload(struct frame_decoder *decoder, uint64_t n_bytes);

/* True while a frame has begun and has not ended. */
bool frame_decoder_in_frame(const struct frame_decoder *decoder);

#endif
