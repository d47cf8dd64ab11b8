/* SPDX-License-Identifier: MIT */
/*
 * job.h - one job, as matmul.c sends it and results.c collects it.
 *
 * Role:   struct job, and rows from one stride to another.
 * Thread: the client's.
 * Owns:   its lists of rows, and the arena memory that is staged for it.
 */
#ifndef CLIENT_JOB_H
#define CLIENT_JOB_H

#include <sys/queue.h>

#include "channel.h"
#include "npumm.h"

struct range {
        uint64_t first_row, rows;
};

struct ranges {
        struct range *all; /* owned, but where it is `few`; NULL: none yet */
        size_t n, n_room;
        struct range few[2]; /* most jobs need no more */
};

struct job {
        TAILQ_ENTRY(job) link;      /* jobs::list */
        TAILQ_ENTRY(job) news_link; /* jobs::news, while has_news */
        bool has_news;
        uint64_t id;
        bool is_inline;
        uint64_t m;
        struct channel_view c;  /* the caller's */
        uint8_t *staged;        /* owned: arena memory for operands of ordinary memory; NULL: none */
        uint8_t *staged_c;      /* borrowed: the part of it that becomes C; NULL: written in place */
        struct ranges reported; /* final, by ascending row; neighbours are merged, so this is mostly one */
        struct ranges news;     /* the same as they came; the caller has been told of the first `told` */
        size_t told;
        bool is_over; /* the daemon has let go of it */
        int result;
        char text[NPUMM_TEXT_MAX];
        npumm_rows_fn rows_fn;
        npumm_done_fn done_fn;
        void *userdata; /* borrowed: the caller's affair */
};

void job_free(struct job *job);

/* The job that is outstanding under this id; NULL: none. */
struct job *job_find(const struct npumm_client *client, uint64_t id);

static inline struct channel_view rows_view(uint8_t *memory, uint64_t rows, uint64_t row_bytes,
                                            uint64_t stride_bytes)
{
        const bool are_adjacent = stride_bytes == row_bytes || rows == 1;

        return (struct channel_view){
                .memory = memory,
                .bytes = rows * row_bytes,
                .row_bytes = are_adjacent ? rows * row_bytes : row_bytes,
                .stride_bytes = stride_bytes,
        };
}

static inline void rows_copy(uint8_t *to, uint64_t to_stride_bytes, const uint8_t *from,
                             uint64_t from_stride_bytes, uint64_t rows, uint64_t row_bytes)
{
        if (to_stride_bytes == row_bytes && from_stride_bytes == row_bytes) {
                memcpy(to, from, rows * row_bytes);
                return;
        }
        for (uint64_t i = 0; i < rows; i++)
                memcpy(to + i * to_stride_bytes, from + i * from_stride_bytes, row_bytes);
}

#endif
