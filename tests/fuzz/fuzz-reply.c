/* SPDX-License-Identifier: MIT */
/* fuzz-reply.c - any bytes as a reply: what the reader accepts is safe to print and reads the same again. */
#include <inttypes.h>
#include <stdio.h>

#include "loose.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int fuzz_summary(uint64_t n_runs);

#define TYPE_FIRST FRAME_WELCOME
#define TYPES      (FRAME_RING_STARTED - FRAME_WELCOME + 1)

static uint64_t n_read[TYPES], n_refused;

/* A string of the reader lies in its caller's room for strings. */
static void text_verify(const char *string, const struct message_text *text)
{
        const char *begin = (const char *)text;

        assert(string >= begin && string < begin + sizeof *text);
        assert(loose_is_printable(string, (size_t)(begin + sizeof *text - string)));
}

static bool limits_equal(const struct limits *a, const struct limits *b)
{
        return a->control_bytes == b->control_bytes && a->payload_bytes == b->payload_bytes &&
               a->arena_bytes == b->arena_bytes && a->arenas == b->arenas && a->uid_bytes == b->uid_bytes &&
               a->jobs == b->jobs;
}

static bool reply_equal(const struct reply *a, const struct reply *b)
{
        if (a->type != b->type || a->id != b->id)
                return false;
        switch (a->type) {
        case FRAME_WELCOME:
                return a->welcome.version_minor == b->welcome.version_minor &&
                       a->welcome.features == b->welcome.features &&
                       strcmp(a->welcome.daemon_version, b->welcome.daemon_version) == 0 &&
                       strcmp(a->welcome.backend, b->welcome.backend) == 0 &&
                       limits_equal(&a->welcome.limits, &b->welcome.limits);
        case FRAME_ARENA_CREATED:
                return a->arena_created.arena == b->arena_created.arena &&
                       a->arena_created.size_bytes == b->arena_created.size_bytes;
        case FRAME_WEIGHTS_LOADED:
                return a->weights_loaded.weights == b->weights_loaded.weights &&
                       a->weights_loaded.charged_bytes == b->weights_loaded.charged_bytes &&
                       a->weights_loaded.shared == b->weights_loaded.shared;
        case FRAME_ROWS:
                return a->rows.first_row == b->rows.first_row && a->rows.rows == b->rows.rows;
        case FRAME_DONE:
        case FRAME_ERROR:
        case FRAME_BYE:
                return a->outcome.status == b->outcome.status &&
                       strcmp(a->outcome.text, b->outcome.text) == 0;
        default:
                return true;
        }
}

static void reply_verify(const struct reply *reply, const struct message_text *text)
{
        struct frame_header header = {.type = reply->type, .request_id = reply->id};
        uint8_t control[MESSAGE_WRITE_MAX];
        struct message_text text_again;
        struct reply again;

        if (reply->type == FRAME_WELCOME) {
                text_verify(reply->welcome.daemon_version, text);
                text_verify(reply->welcome.backend, text);
        } else if (reply->type == FRAME_ARENA_CREATED) {
                assert(reply->arena_created.arena != 0 && reply->arena_created.size_bytes != 0);
        } else if (reply->type == FRAME_WEIGHTS_LOADED) {
                assert(reply->weights_loaded.weights != 0);
        } else if (reply->type == FRAME_DONE || reply->type == FRAME_ERROR || reply->type == FRAME_BYE) {
                assert((unsigned)reply->outcome.status <= STATUS_MAX);
                text_verify(reply->outcome.text, text);
        }
        header.control_bytes = (uint32_t)message_write_reply(reply, control);
        assert(header.control_bytes <= sizeof control);
        assert(message_read_reply(&header, control, &text_again, &again));
        assert(reply_equal(reply, &again));
}

static void read_as(const struct loose_frame *frame, enum frame_type type)
{
        struct frame_header header = frame->header;
        struct message_text text;
        struct reply reply;

        header.type = type;
        memset(&text, 0xff, sizeof text);
        if (!message_read_reply(&header, frame->control, &text, &reply)) {
                n_refused++;
                return;
        }
        assert(reply.type == type && reply.id == header.request_id);
        n_read[type - TYPE_FIRST]++;
        reply_verify(&reply, &text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct loose_frame frame;

        while (loose_frame_next(&data, &size, &frame)) {
                const unsigned type = frame.header.type;
                const uint64_t other = (frame.header.request_id + type) % TYPES;

                if (type >= TYPE_FIRST && type < TYPE_FIRST + TYPES)
                        read_as(&frame, (enum frame_type)type);
                read_as(&frame, (enum frame_type)(TYPE_FIRST + other));
                free(frame.control);
        }
        return 0;
}

int fuzz_summary(uint64_t n_runs)
{
        bool all = n_refused > 0;

        (void)printf("replies read, by type:");
        for (int i = 0; i < TYPES; i++) {
                (void)printf(" %" PRIu64, n_read[i]);
                all = all && n_read[i] > 0;
        }
        (void)printf("; refused: %" PRIu64 "\n", n_refused);
        if (n_runs >= 10000 && (!all || n_read[0] < n_runs / 100)) {
                (void)fprintf(stderr, "some outcome hardly ever came: the inputs do not reach the code\n");
                return 1;
        }
        return 0;
}
