/* SPDX-License-Identifier: MIT */
/* stream64-generate.c - see stream64-generate.h. */
#include "daemon/npu/stream64-generate.h"
#include "daemon/npu/txn-write.h"

#define RING      5 /* descriptors of a lane of A or B */
#define C_BD      10
#define IN_FLIGHT TXN_QUEUE_TASKS /* tasks that a lane pushes before it looks for room */

/* A lane of A or B. */
struct lane {
        unsigned column;
        enum txn_channel channel;
        unsigned first_bd;
        uint64_t n_pushed;
};

struct generator {
        struct txn txn;
        enum stream64_flow flow;
        struct lane a[STREAM64_COLUMNS], b[STREAM64_COLUMNS];
};

/* ---- what a stream can express ---- */

static bool lanes_fit(const struct stream64_lanes *lanes, uint64_t lane_bytes)
{
        uint64_t last;

        return lanes->lane_stride >= lane_bytes && lanes->offset % STREAM64_HEADER_BYTES == 0 &&
               lanes->lane_stride % STREAM64_HEADER_BYTES == 0 &&
               checked_mul(lanes->lane_stride, STREAM64_COLUMNS - 1, &last) &&
               checked_add(last, lanes->offset, &last) && checked_add(last, lane_bytes, &last) &&
               last <= STREAM64_OFFSET_MAX;
}

static bool job_fits(const struct stream64_job *job)
{
        const struct stream64_size size = job->size;

        return size.m >= 1 && size.n >= 1 && size.k >= 1 && size.m <= STREAM64_REPEAT_MAX &&
               size.n <= STREAM64_REPEAT_MAX && size.k <= STREAM64_KT_MAX &&
               lanes_fit(&job->a, size.m * size.k * STREAM64_A_OBJECT_BYTES) &&
               lanes_fit(&job->b, size.n * size.k * STREAM64_B_OBJECT_BYTES);
}

static bool batch_fits(const struct stream64_batch *batch)
{
        struct stream64_totals totals = {0};

        if (batch->n_jobs < 1 || batch->n_jobs > STREAM64_JOBS_MAX)
                return false;
        for (size_t i = 0; i < batch->n_jobs; i++) {
                if (!job_fits(&batch->jobs[i]))
                        return false;
                stream64_totals_add(&totals, batch->jobs[i].size);
        }
        return totals.macro_tiles <= STREAM64_MACRO_TILES_MAX &&
               lanes_fit(&batch->c, totals.macro_tiles * STREAM64_C_OBJECT_BYTES);
}

/* ---- tasks ---- */

/* Where lane `column` of a matrix begins. */
static uint64_t lane_offset(const struct stream64_lanes *lanes, unsigned column)
{
        return lanes->offset + column * lanes->lane_stride;
}

/*
 * The lane's n-th task takes the descriptor of its task n - 5. When it is known that at most three wait and one runs,
 * that one has ended.
 */
static void lane_wait(struct generator *g, const struct lane *lane)
{
        if (lane->n_pushed < IN_FLIGHT)
                return;
        if (g->flow == STREAM64_TOKEN)
                txn_wait_token(&g->txn, lane->column, lane->channel);
        else
                txn_wait_room(&g->txn, lane->column, lane->channel);
}

static void lane_push(struct generator *g, struct lane *lane, uint32_t arg, uint64_t offset, uint64_t bytes,
                      uint64_t repeats)
{
        lane_wait(g, lane);
        txn_push(&g->txn, &(struct txn_task){
                                  .column = lane->column,
                                  .channel = lane->channel,
                                  .bd = lane->first_bd + (unsigned)(lane->n_pushed % RING),
                                  .arg = arg,
                                  .offset = offset,
                                  .bytes = bytes,
                                  .repeats = (unsigned)repeats,
                                  .gives_token = g->flow == STREAM64_TOKEN,
                                  .sets_control = g->flow == STREAM64_TOKEN && lane->n_pushed == 0,
                          });
        lane->n_pushed++;
}

static void push_a(struct generator *g, unsigned column, const struct stream64_job *job)
{
        lane_push(g, &g->a[column], job->a.arg, lane_offset(&job->a, column),
                  job->size.m * job->size.k * STREAM64_A_OBJECT_BYTES, job->size.n);
}

/* `n_cols` columns of macro-tiles, from `n` on, for each row of macro-tiles. */
static void push_b(struct generator *g, unsigned column, const struct stream64_job *job, uint64_t n,
                   uint64_t n_cols)
{
        const uint64_t col_bytes = job->size.k * STREAM64_B_OBJECT_BYTES;

        lane_push(g, &g->b[column], job->b.arg, lane_offset(&job->b, column) + n * col_bytes,
                  n_cols * col_bytes, job->size.m);
}

/* In the order of the first macro-tile that each serves, by column, A before B. */
static void push_job(struct generator *g, const struct stream64_job *job)
{
        const uint64_t n_cols = job->size.m == 1 ? job->size.n : 1;

        for (unsigned column = 0; column < STREAM64_COLUMNS; column++) {
                push_a(g, column, job);
                push_b(g, column, job, 0, n_cols);
        }
        for (uint64_t n = n_cols; n < job->size.n; n++)
                for (unsigned column = 0; column < STREAM64_COLUMNS; column++)
                        push_b(g, column, job, n, 1);
}

static void push_c(struct generator *g, const struct stream64_batch *batch)
{
        uint64_t macro_tiles = 0;

        for (size_t i = 0; i < batch->n_jobs; i++)
                macro_tiles += batch->jobs[i].size.m * batch->jobs[i].size.n;
        for (unsigned column = 0; column < STREAM64_COLUMNS; column++)
                txn_push(&g->txn, &(struct txn_task){
                                          .column = column,
                                          .channel = TXN_S2MM0,
                                          .bd = C_BD,
                                          .arg = batch->c.arg,
                                          .offset = lane_offset(&batch->c, column),
                                          .bytes = macro_tiles * STREAM64_C_OBJECT_BYTES,
                                          .repeats = 1,
                                          .gives_token = true,
                                          .sets_control = true,
                                  });
}

/* No token may be left for the next stream to find. */
static void drain_tokens(struct generator *g, const struct lane *lane)
{
        const uint64_t n_left = MIN(lane->n_pushed, IN_FLIGHT);

        for (uint64_t i = 0; i < n_left; i++)
                txn_wait_token(&g->txn, lane->column, lane->channel);
}

int stream64_generate(const struct stream64_batch *batch, enum stream64_flow flow, uint32_t *words,
                      size_t n_words_max, size_t *ret_n_words)
{
        struct generator g = {.flow = flow};

        if (!batch_fits(batch))
                return STREAM64_E_LIMIT;
        txn_begin(&g.txn, words, n_words_max);
        for (unsigned column = 0; column < STREAM64_COLUMNS; column++) {
                g.a[column] = (struct lane){.column = column, .channel = TXN_MM2S0, .first_bd = 0};
                g.b[column] = (struct lane){.column = column, .channel = TXN_MM2S1, .first_bd = RING};
        }
        push_c(&g, batch);
        for (size_t i = 0; i < batch->n_jobs; i++)
                push_job(&g, &batch->jobs[i]);
        for (unsigned column = 0; flow == STREAM64_TOKEN && column < STREAM64_COLUMNS; column++) {
                drain_tokens(&g, &g.a[column]);
                drain_tokens(&g, &g.b[column]);
        }
        for (unsigned column = 0; column < STREAM64_COLUMNS; column++)
                txn_wait_token(&g.txn, column, TXN_S2MM0);
        if (!txn_end(&g.txn))
                return STREAM64_E_LONG;
        *ret_n_words = g.txn.n_words;
        return 0;
}
