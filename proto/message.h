/* SPDX-License-Identifier: MIT */
/*
 * message.h - what the two sides say to each other, as plain C structs.
 *
 * Role:   protobuf <-> struct request and struct reply, and every check of a request that needs no state:
 *         dimensions, leading dimensions, sizes, alignment, overlap, output forms, classes, deadlines.
 * In:     a frame's type, request id, control part and payload length.
 * Out:    structs whose numbers can be trusted: all sizes below have been through checked arithmetic.
 * Thread: any.
 * Never:  lets a protobuf type out of message.c; allocates by what the peer says (unpacking has a fixed
 *         budget on the stack).
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include "base.h"
#include "frame.h"
#include "status.h"

#define MESSAGE_K_MAX           131071u     /* 131,071 * 128 * 128 < 2^31: int32 cannot overflow */
#define MESSAGE_DIM_MAX         0x7fffffffu /* M and N: keeps every product of two in 64 bits */
#define MESSAGE_SHIFT_MAX       31u
#define MESSAGE_DEADLINE_US_MAX 3600000000u /* an hour: whoever can wait longer has no deadline */
#define MESSAGE_CLIENT_NAME_MAX 64u
#define MESSAGE_KEY_MAX         32u
#define MESSAGE_VALUE_MAX       64u

/* Bits of HELLO and WELCOME. */
#define MESSAGE_FEATURE_RING      (UINT64_C(1) << 0)
#define MESSAGE_FEATURE_LAST_ROWS (UINT64_C(1) << 1) /* DONE with OK says that all rows are final */

enum output_form { OUTPUT_INT32 = 0, OUTPUT_INT8, OUTPUT_FLOAT32, OUTPUT_TILE16_SHIFT7, OUTPUT_MAX };

enum rounding { ROUNDING_FLOOR = 0, ROUNDING_NEAREST_EVEN, ROUNDING_MAX };

enum job_class { CLASS_NORMAL = 0, CLASS_INTERACTIVE, CLASS_BULK, CLASS_MAX };

/* Bytes of one element of C. */
size_t output_elem_bytes(enum output_form form);

/* Where an operand lies. `arena` 0 is the frame's payload, or for C the payloads of ROWS frames. */
struct place {
        uint32_t arena;
        uint64_t offset_bytes;
        uint64_t ld_elems;     /* at least the number of columns, once checked */
        uint64_t extent_bytes; /* first to last byte touched; derived by the check; 0: operand absent */
};

/* A vector is given where its extent is not 0; readers mark it so before the check derives the truth. */
static inline bool place_is_given(const struct place *place)
{
        return place->extent_bytes != 0;
}

struct request_hello {
        uint32_t version_minor;
        uint64_t features;
        char client_name[MESSAGE_CLIENT_NAME_MAX + 1]; /* printable ASCII; anything else has become '?' */
};

struct request_arena_create {
        uint64_t size_bytes;
};

struct request_arena_release {
        uint32_t arena;
};

/* A matmul: C[m x n] = form(A[m x k] . B[k x n]). */
struct request_matmul {
        uint64_t m, k, n;
        struct place a;
        bool b_is_weights;
        uint64_t weights;  /* b_is_weights; never 0 */
        struct place b;    /* !b_is_weights */
        bool b_transposed; /* !b_is_weights */
        struct place c;
        enum output_form form;
        uint32_t shift;
        enum rounding rounding;
        struct place row_scale, col_scale, bias; /* extent_bytes 0 where absent */
        enum job_class class;
        uint64_t deadline_us; /* from when the whole request is there; 0: none */
        bool more;            /* another job of the same group follows */
};

/* B to be kept: int8, K x N, or stored N x K. */
struct request_weights_load {
        uint64_t k, n;
        struct place b;
        bool b_transposed;
};

struct request_weights_release {
        uint64_t weights;
};

/* Both are printable ASCII; anything else has become '?'. */
struct request_set {
        char key[MESSAGE_KEY_MAX + 1];
        char value[MESSAGE_VALUE_MAX + 1];
};

/* From here on frames travel in rings: README.md section 15. The numbers have been checked, the arena has not. */
struct request_ring_start {
        uint32_t arena;
        uint64_t offset_bytes;
        uint32_t submission_bytes, completion_bytes;
};

struct request {
        enum frame_type type;
        uint64_t id;
        union {
                struct request_hello hello;
                struct request_arena_create arena_create;
                struct request_arena_release arena_release;
                struct request_matmul matmul;
                struct request_weights_load weights_load;
                struct request_weights_release weights_release;
                struct request_set set;
                struct request_ring_start ring_start;
        };
};

struct limits {
        uint32_t control_bytes;
        uint64_t payload_bytes;
        uint64_t arena_bytes;
        uint32_t arenas;
        uint64_t uid_bytes;
        uint32_t jobs;
};

struct reply_welcome {
        uint32_t version_minor;
        uint64_t features;
        const char *daemon_version; /* borrowed by writers; points into the reader's struct text below */
        const char *backend;
        struct limits limits;
};

struct reply_arena_created {
        uint32_t arena;
        uint64_t size_bytes;
};

struct reply_weights_loaded {
        uint64_t weights;       /* never 0 */
        uint64_t charged_bytes; /* 0 where an equal copy was there */
        bool shared;            /* an equal copy was there */
};

struct reply_rows {
        uint64_t first_row, rows;
};

struct reply_outcome {
        enum status status; /* what the peer sent; STATUS_MAX for a value that this version does not know */
        const char *text;
};

/* `id` is the request's; 0 for BYE. The strings live as long as the struct message_text of the reader. */
struct reply {
        enum frame_type type;
        uint64_t id;
        union {
                struct reply_welcome welcome;
                struct reply_arena_created arena_created;
                struct reply_weights_loaded weights_loaded;
                struct reply_rows rows;
                struct reply_outcome outcome; /* DONE, ERROR, BYE */
        };
};

/* Room for the strings of one reply. */
struct message_text {
        char text[2][FAULT_TEXT_MAX];
};

/* The largest control part that the writers below make. */
#define MESSAGE_WRITE_MAX 1024

/*
 * Reads and checks a request. False: ret_fault says what is wrong, status INVALID for a request that makes no
 * sense, PROTOCOL where the control part is not a message at all; *ret_request then has at least type and id,
 * and matmul.more where a MATMUL is INVALID.
 */
bool message_read_request(const struct frame_header *header, const uint8_t *control,
                          struct request *ret_request, struct fault *ret_fault);

/*
 * The stateless check of a matmul by itself: fills in leading dimensions that are 0, derives the extents.
 * `payload_bytes` is the length of the payload that inline inputs lie in.
 */
bool message_check_matmul(struct request_matmul *matmul, uint64_t payload_bytes, struct fault *ret_fault);

/* The same for weights to be loaded. */
bool message_check_weights_load(struct request_weights_load *load, uint64_t payload_bytes,
                                struct fault *ret_fault);

/* Reads a reply; unknown status values become STATUS_MAX. False: not a message of this type. */
bool message_read_reply(const struct frame_header *header, const uint8_t *control, struct message_text *text,
                        struct reply *ret_reply);

/* Both write the control part into `ret_control` and return its length. The struct must be valid. */
size_t message_write_request(const struct request *request, uint8_t ret_control[MESSAGE_WRITE_MAX]);
size_t message_write_reply(const struct reply *reply, uint8_t ret_control[MESSAGE_WRITE_MAX]);

#endif
