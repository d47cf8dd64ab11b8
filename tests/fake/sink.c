/* SPDX-License-Identifier: MIT */
/* sink.c - see sink.h. */
#include "tests/fake/sink.h"

#include <fcntl.h>
#include <stdio.h>

void fake_sink_init(struct fake_sink *sink)
{
        *sink = (struct fake_sink){0};
        TAILQ_INIT(&sink->replies);
}

void fake_sink_deinit(struct fake_sink *sink)
{
        struct fake_reply *reply;

        while ((reply = fake_sink_take(sink)))
                (void)fake_reply_free(reply);
}

/* The session's strings are its own business once the call has returned. */
static const char *text_keep(const char *from, char to[FAULT_TEXT_MAX])
{
        (void)snprintf(to, FAULT_TEXT_MAX, "%s", from);
        return to;
}

static void texts_keep(struct fake_reply *kept)
{
        struct reply *reply = &kept->reply;

        switch (reply->type) {
        case FRAME_WELCOME:
                reply->welcome.daemon_version = text_keep(reply->welcome.daemon_version, kept->text[0]);
                reply->welcome.backend = text_keep(reply->welcome.backend, kept->text[1]);
                break;
        case FRAME_DONE:
        case FRAME_ERROR:
        case FRAME_BYE:
                assert(reply->outcome.text);
                reply->outcome.text = text_keep(reply->outcome.text, kept->text[0]);
                break;
        default:
                break;
        }
}

static void fake_send(void *userdata, const struct reply *reply, const struct connection_payload *payload,
                      int fd)
{
        struct fake_sink *sink = userdata;
        struct fake_reply *kept = calloc(1, sizeof *kept);

        assert(kept && !sink->is_closed);
        kept->reply = *reply;
        texts_keep(kept);
        kept->has_payload = payload && payload->n_bytes > 0;
        if (payload)
                kept->payload = *payload;
        kept->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
        assert(fd < 0 || kept->fd >= 0);
        TAILQ_INSERT_TAIL(&sink->replies, kept, link);
        sink->n_replies++;
        sink->n_sent++;
}

struct reply_sink fake_sink_for(struct fake_sink *sink)
{
        return (struct reply_sink){.send = fake_send, .userdata = sink};
}

struct fake_reply *fake_sink_take(struct fake_sink *sink)
{
        struct fake_reply *reply = TAILQ_FIRST(&sink->replies);

        if (reply) {
                TAILQ_REMOVE(&sink->replies, reply, link);
                sink->n_replies--;
        }
        return reply;
}

struct fake_reply *fake_reply_free(struct fake_reply *reply)
{
        if (!reply)
                return NULL;
        if (reply->payload.release_fn)
                reply->payload.release_fn(reply->payload.owner);
        closep(&reply->fd);
        free(reply);
        return NULL;
}
