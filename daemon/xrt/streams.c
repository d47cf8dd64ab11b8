/* SPDX-License-Identifier: MIT */
/* streams.c - see streams.h. */
#include "daemon/xrt/streams.h"

#include "daemon/npu/stream64-generate.h"

void streams_init(struct streams *streams, uint32_t *const words[STREAMS_MAX])
{
        *streams = (struct streams){0};
        for (size_t i = 0; i < STREAMS_MAX; i++)
                streams->streams[i].words = words[i];
}

static bool lanes_equal(const struct stream64_lanes *a, const struct stream64_lanes *b)
{
        return a->arg == b->arg && a->offset == b->offset && a->lane_stride == b->lane_stride;
}

static bool jobs_equal(const struct stream64_job *a, const struct stream64_job *b)
{
        return a->size.m == b->size.m && a->size.n == b->size.n && a->size.k == b->size.k &&
               lanes_equal(&a->a, &b->a) && lanes_equal(&a->b, &b->b);
}

static bool batches_equal(const struct stream64_batch *a, const struct stream64_batch *b)
{
        if (a->n_jobs != b->n_jobs || !lanes_equal(&a->c, &b->c))
                return false;
        for (size_t i = 0; i < a->n_jobs; i++)
                if (!jobs_equal(&a->jobs[i], &b->jobs[i]))
                        return false;
        return true;
}

static struct stream *find(struct streams *streams, const struct stream64_batch *batch,
                           enum stream64_flow flow)
{
        for (size_t i = 0; i < STREAMS_MAX; i++) {
                struct stream *stream = &streams->streams[i];

                if (stream->n_words > 0 && stream->flow == flow && batches_equal(&stream->batch, batch))
                        return stream;
        }
        return NULL;
}

/* Of those that are not in flight. There is one: a command in flight has one, and there are fewer of those. */
static struct stream *idlest(struct streams *streams)
{
        struct stream *idlest = NULL;

        for (size_t i = 0; i < STREAMS_MAX; i++) {
                struct stream *stream = &streams->streams[i];

                if (stream->n_users == 0 && (!idlest || stream->used_at < idlest->used_at))
                        idlest = stream;
        }
        assert(idlest);
        return idlest;
}

int streams_take(struct streams *streams, const struct stream64_batch *batch, enum stream64_flow flow,
                 size_t *ret_index, bool *ret_is_new)
{
        struct stream *stream = find(streams, batch, flow);
        const bool is_new = stream == NULL;

        if (is_new) {
                size_t n_words;
                int r;

                stream = idlest(streams);
                stream->n_words = 0; /* what is in it from here on is neither */
                r = stream64_generate(batch, flow, stream->words, STREAM64_WORDS_MAX, &n_words);
                if (r != 0)
                        return r;
                stream->n_words = n_words;
                stream->batch = *batch;
                stream->flow = flow;
        }
        stream->n_users++;
        stream->used_at = ++streams->n_uses;
        *ret_index = (size_t)(stream - streams->streams);
        *ret_is_new = is_new;
        return 0;
}

void streams_give_back(struct streams *streams, size_t index)
{
        assert(streams->streams[index].n_users > 0);
        streams->streams[index].n_users--;
}
