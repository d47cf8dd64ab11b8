/* SPDX-License-Identifier: MIT */
/* stream64.c - see stream64.h. */
#include "stream64.h"

/* Bytes of the stream, by ../xclbin/README.md, section 4. */
#define HEADER_BYTES     16
#define TASK_BYTES       120 /* descriptor, patch, push */
#define MASKWRITE_BYTES  28
#define POLL_BYTES       28
#define TOKEN_WAIT_BYTES 16

#define QUEUE_TASKS 4 /* that a lane pushes before it has to look for room */

static uint64_t tiles(uint64_t n, uint64_t tile)
{
        return n / tile + (n % tile != 0);
}

struct stream64_size stream64_size_of(uint64_t m, uint64_t k, uint64_t n)
{
        return (struct stream64_size){.m = tiles(m, STREAM64_MACRO_ROWS),
                                      .n = tiles(n, STREAM64_MACRO_COLS),
                                      .k = tiles(k, STREAM64_TILE)};
}

void stream64_totals_add(struct stream64_totals *totals, struct stream64_size size)
{
        totals->steps += size.m * size.n * size.k;
        totals->macro_tiles += size.m * size.n;
        totals->a_tasks++;
        totals->b_tasks += size.m > 1 ? size.n : 1; /* one row: all its columns stand side by side */
}

uint64_t stream64_tasks(const struct stream64_totals *totals)
{
        return STREAM64_COLUMNS * (1 + totals->a_tasks + totals->b_tasks);
}

/* Of what one lane waits for. */
static uint64_t lane_wait_bytes(uint64_t tasks, enum stream64_flow flow)
{
        if (flow == STREAM64_TOKEN)
                return MASKWRITE_BYTES + tasks * TOKEN_WAIT_BYTES;
        return tasks > QUEUE_TASKS ? (tasks - QUEUE_TASKS) * POLL_BYTES : 0;
}

uint64_t stream64_stream_bytes(const struct stream64_totals *totals, enum stream64_flow flow)
{
        return HEADER_BYTES + stream64_tasks(totals) * TASK_BYTES +
               STREAM64_COLUMNS *
                       (MASKWRITE_BYTES + TOKEN_WAIT_BYTES + /* C's */
                        lane_wait_bytes(totals->a_tasks, flow) + lane_wait_bytes(totals->b_tasks, flow));
}

uint64_t stream64_job_stream_bytes(const struct stream64_totals *totals)
{
        return STREAM64_COLUMNS * (totals->a_tasks + totals->b_tasks) * (TASK_BYTES + POLL_BYTES);
}
