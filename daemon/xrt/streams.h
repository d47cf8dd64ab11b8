/* SPDX-License-Identifier: MIT */
/*
 * streams.h - instruction streams that were made already.
 *
 * Role:   the same batch has the same stream, so the last few are kept where the device finds them: it is made,
 *         and transferred, only when it is new. Of those that no command in flight has, the one that was not used for
 *         longest makes room.
 * Thread: main.
 * Owns:   nothing: words are in instruction objects of the engine's, one for each.
 */
#ifndef DAEMON_XRT_STREAMS_H
#define DAEMON_XRT_STREAMS_H

#include "daemon/npu/stream64.h"

/* At least one more than commands in flight; 512 KiB of the device's heap. */
#define STREAMS_MAX 8

struct stream {
        uint32_t *words; /* borrowed: room for STREAM64_WORDS_MAX, as long as the cache */
        size_t n_words;  /* 0: nothing is in it */
        struct stream64_batch batch;
        enum stream64_flow flow;
        unsigned n_users; /* commands in flight */
        uint64_t used_at; /* streams::n_uses then */
};

struct streams {
        struct stream streams[STREAMS_MAX];
        uint64_t n_uses;
};

void streams_init(struct streams *streams, uint32_t *const words[STREAMS_MAX]);
/*
 * The stream of a batch, for one command in flight, until it is given back; its index is that of its words. Returns 0
 * or what stream64_generate does. `ret_is_new`: it was made just now, and the device has not seen it.
 */
int streams_take(struct streams *streams, const struct stream64_batch *batch, enum stream64_flow flow,
                 size_t *ret_index, bool *ret_is_new);
void streams_give_back(struct streams *streams, size_t index);

#endif
