/* SPDX-License-Identifier: MIT */
/*
 * stream64.h - the geometry of the NPU's batch format, and what a submission in it amounts to.
 *
 * Role:   constants of ../xclbin/README.md, which says what they mean and where they come from; and, by counting, the
 *         tasks and bytes of the instruction stream of a batch, for the model of time, the scheduler's predictions and
 *         whoever generates the stream.
 * Thread: any; pure arithmetic.
 */
#ifndef PROTO_STREAM64_H
#define PROTO_STREAM64_H

#include "base.h"

/* ---- the array ---- */

#define STREAM64_COLUMNS    4
#define STREAM64_CORE_ROWS  4
#define STREAM64_TILE       64 /* rows, depth and columns of a core's step */
#define STREAM64_MACRO_ROWS (STREAM64_CORE_ROWS * STREAM64_TILE) /* of C, by the whole array */
#define STREAM64_MACRO_COLS (STREAM64_COLUMNS * STREAM64_TILE)

/* The kernel's mmul: blocks of a tile, row-major in the tile and in themselves. */
#define STREAM64_MMUL_M 4
#define STREAM64_MMUL_K 8
#define STREAM64_MMUL_N 8

/* ---- what moves ---- */

#define STREAM64_HEADER_BYTES   64 /* before every A tile */
#define STREAM64_A_OBJECT_BYTES (STREAM64_HEADER_BYTES + STREAM64_TILE * STREAM64_TILE)
#define STREAM64_B_OBJECT_BYTES (STREAM64_TILE * STREAM64_TILE)
#define STREAM64_C_TILE_BYTES   (STREAM64_TILE * STREAM64_TILE * 4)          /* a core's, int32 */
#define STREAM64_C_OBJECT_BYTES (STREAM64_CORE_ROWS * STREAM64_C_TILE_BYTES) /* a column's: its four cores' */
#define STREAM64_MAGIC          0x34365453u /* word 1 of a header: "ST64" in memory */

/* ---- limits ---- */

#define STREAM64_JOBS_MAX         16
#define STREAM64_KT_MAX           2048 /* K <= 131,072: int32 sums cannot overflow at 131,071 (proto/README.md) */
#define STREAM64_REPEAT_MAX       256
#define STREAM64_STREAM_BYTES_MAX 65536
#define STREAM64_SLOT_BYTES       (UINT64_C(64) << 20) /* of A, of C, of streamed B */
#define STREAM64_MACRO_TILES_MAX  (STREAM64_SLOT_BYTES / (STREAM64_COLUMNS * STREAM64_C_OBJECT_BYTES))
#define STREAM64_OFFSET_MAX       (UINT64_C(1) << 32) /* a patch's offset into its buffer object wraps there */

/*
 * What a batch may take by the model, at the nominal clock: the slowest clock is 2.25 times slower, and the driver ends
 * a command after 2 s.
 */
#define STREAM64_BATCH_NS_MAX 250e6

/* The most words that a stream may have. */
#define STREAM64_WORDS_MAX (STREAM64_STREAM_BYTES_MAX / 4)

/* How a push waits for room in its queue. */
enum stream64_flow {
        STREAM64_POLL = 0, /* reads the queue's status */
        STREAM64_TOKEN,    /* waits for the token of an earlier task */
        STREAM64_FLOW_MAX
};

/* A product in macro-tiles, all at least 1: m and n of 256 rows and columns, k of 64. */
struct stream64_size {
        uint64_t m, n, k;
};

/* What m x k x n elements come to, padded. */
struct stream64_size stream64_size_of(uint64_t m, uint64_t k, uint64_t n);

/* Of a batch, or of one job of it. */
struct stream64_totals {
        uint64_t steps;       /* of 64 along K, by the whole array: objects through each lane of A and B */
        uint64_t macro_tiles; /* of C: objects through each lane of C */
        uint64_t a_tasks, b_tasks; /* of each lane */
};

/* Adds a job. Of the largest that the protocol knows (M and N below 2^31), 64 can be added. */
void stream64_totals_add(struct stream64_totals *totals, struct stream64_size size);

/* Tasks of the whole batch, C's included. */
uint64_t stream64_tasks(const struct stream64_totals *totals);
/* Bytes of its instruction stream, all included. */
uint64_t stream64_stream_bytes(const struct stream64_totals *totals, enum stream64_flow flow);
/* And those that it adds at most to a batch that has others already: every task of it has to wait for room. */
uint64_t stream64_job_stream_bytes(const struct stream64_totals *totals);

#endif
