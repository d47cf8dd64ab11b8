/* SPDX-License-Identifier: MIT */
/* stream64-verify.c - see stream64-verify.h. */
#include "daemon/npu/stream64-verify.h"
#include "daemon/npu/stream64-progress.h"

#include <inttypes.h>

/* A range of a buffer object. */
struct run {
        uint32_t arg;
        uint64_t offset, bytes;
};

/* The lanes of a column: what they are called, and what they carry. */
enum lane_kind { LANE_A = 0, LANE_B, LANE_C, LANE_KINDS };

static const struct lane_traits {
        char name;
        enum txn_channel channel;
        uint64_t object_bytes;
} lane_traits[LANE_KINDS] = {
        [LANE_A] = {'A', TXN_MM2S0, STREAM64_A_OBJECT_BYTES},
        [LANE_B] = {'B', TXN_MM2S1, STREAM64_B_OBJECT_BYTES},
        [LANE_C] = {'C', TXN_S2MM0, STREAM64_C_OBJECT_BYTES},
};

struct verifier {
        const struct txn_check *check; /* borrowed, like all of them: the caller's */
        const struct stream64_buffers *buffers;
        const struct stream64_batch *batch;
        struct txn_fault *fault;
        uint64_t macro_tiles;
};

#define FAULT(verifier, word, ...) txn_fault_set((verifier)->fault, TXN_E_FAULT, word, __VA_ARGS__)

/* ---- the batch itself ---- */

/* Four lanes of so many bytes: aligned, apart from each other, inside their buffer object. */
static int verify_lanes(struct verifier *v, const char *what, const struct stream64_lanes *lanes,
                        uint64_t bytes)
{
        const bool is_weights = lanes->arg == STREAM64_ARG_WEIGHTS;
        uint64_t end;

        if (lanes->offset % 64 != 0 || lanes->lane_stride % 64 != 0)
                return FAULT(v, 0, "the batch: %s is not at a multiple of 64", what);
        if (is_weights && lanes->offset % 4096 != 0)
                return FAULT(v, 0, "the batch: %s is not at a multiple of 4096, where weights are", what);
        if (lanes->lane_stride < bytes)
                return FAULT(v, 0,
                             "the batch: lanes of %s overlap: %" PRIu64 " bytes at a distance of %" PRIu64,
                             what, bytes, lanes->lane_stride);
        if ((unsigned)lanes->arg >= STREAM64_ARG_MAX ||
            !checked_mul(lanes->lane_stride, STREAM64_COLUMNS - 1, &end) ||
            !checked_add(end, lanes->offset, &end) || !checked_add(end, bytes, &end) ||
            end > v->buffers->size_bytes[lanes->arg])
                return FAULT(v, 0, "the batch: %s is not inside its buffer object", what);
        if (end > (is_weights ? STREAM64_OFFSET_MAX : STREAM64_SLOT_BYTES))
                return FAULT(v, 0, "the batch: %s ends at byte %" PRIu64 ", beyond %s", what, end,
                             is_weights ? "4 GiB" : "a slot of 64 MiB");
        return 0;
}

static int verify_job(struct verifier *v, size_t index)
{
        const struct stream64_job *job = &v->batch->jobs[index];
        const struct stream64_size size = job->size;
        char what[32];
        int r;

        if (size.m < 1 || size.n < 1 || size.k < 1 || size.m > STREAM64_MACRO_TILES_MAX ||
            size.n > STREAM64_MACRO_TILES_MAX || size.k > STREAM64_KT_MAX)
                return FAULT(v, 0,
                             "the batch: job %zu has %" PRIu64 " x %" PRIu64 " macro-tiles of %" PRIu64
                             " steps",
                             index, size.m, size.n, size.k);
        (void)snprintf(what, sizeof what, "A of job %zu", index);
        if (job->a.arg != STREAM64_ARG_A)
                return FAULT(v, 0, "the batch: %s is in argument %d", what, job->a.arg);
        r = verify_lanes(v, what, &job->a, size.m * size.k * STREAM64_A_OBJECT_BYTES);
        if (r != 0)
                return r;
        what[0] = 'B';
        if (job->b.arg != STREAM64_ARG_WEIGHTS && job->b.arg != STREAM64_ARG_B)
                return FAULT(v, 0, "the batch: %s is in argument %d", what, job->b.arg);
        v->macro_tiles += size.m * size.n;
        return verify_lanes(v, what, &job->b, size.n * size.k * STREAM64_B_OBJECT_BYTES);
}

/* 250 ms less the prologue of 108 us, at 1.78 us a step: xclbin/README.md, sections 6 and 7. */
#define STEPS_MAX 140388

static_assert(TXN_CHECK_BYTES_MAX == STREAM64_STREAM_BYTES_MAX,
              "one limit, for any stream and for a batch's");

static int verify_batch(struct verifier *v)
{
        uint64_t steps = 0;

        if (v->batch->n_jobs < 1 || v->batch->n_jobs > STREAM64_JOBS_MAX)
                return FAULT(v, 0, "the batch: %zu jobs", v->batch->n_jobs);
        for (size_t i = 0; i < v->batch->n_jobs; i++) {
                const int r = verify_job(v, i);

                if (r != 0)
                        return r;
                steps += v->batch->jobs[i].size.m * v->batch->jobs[i].size.n * v->batch->jobs[i].size.k;
        }
        if (steps > STEPS_MAX || v->macro_tiles > STREAM64_MACRO_TILES_MAX)
                return FAULT(v, 0,
                             "the batch: %" PRIu64 " steps of %" PRIu64
                             " macro-tiles, and there may be %d of %d",
                             steps, v->macro_tiles, STEPS_MAX, (int)STREAM64_MACRO_TILES_MAX);
        if (v->batch->c.arg != STREAM64_ARG_C)
                return FAULT(v, 0, "the batch: C is in argument %d", v->batch->c.arg);
        return verify_lanes(v, "C", &v->batch->c, v->macro_tiles * STREAM64_C_OBJECT_BYTES);
}

/* ---- headers ---- */

static int verify_header(struct verifier *v, size_t job, uint64_t offset, uint64_t kt)
{
        uint8_t expected[STREAM64_HEADER_BYTES] = {0};

        put_le(expected, kt, 4);
        put_le(expected + 4, STREAM64_MAGIC, 4);
        if (memcmp(v->buffers->a + offset, expected, sizeof expected) == 0)
                return 0;
        return FAULT(v, 0,
                     "the A object at byte %" PRIu64 ", of job %zu, has the header %08" PRIx64 " %08" PRIx64
                     ", not %08" PRIx64 " %08x and zeros",
                     offset, job, get_le(v->buffers->a + offset, 4), get_le(v->buffers->a + offset + 4, 4),
                     kt, STREAM64_MAGIC);
}

static int verify_headers(struct verifier *v)
{
        for (size_t i = 0; i < v->batch->n_jobs; i++) {
                const struct stream64_job *job = &v->batch->jobs[i];

                for (unsigned lane = 0; lane < STREAM64_COLUMNS; lane++) {
                        const uint64_t base = job->a.offset + lane * job->a.lane_stride;

                        for (uint64_t object = 0; object < job->size.m * job->size.k; object++) {
                                const int r = verify_header(v, i, base + object * STREAM64_A_OBJECT_BYTES,
                                                            job->size.k);

                                if (r != 0)
                                        return r;
                        }
                }
        }
        return 0;
}

/* ---- transfers by themselves ---- */

static int verify_transfer(struct verifier *v, const struct txn_transfer *transfer)
{
        const uint64_t size = transfer->arg < STREAM64_ARG_MAX ? v->buffers->size_bytes[transfer->arg] : 0;
        const bool is_output = txn_channel_is_output((enum txn_channel)transfer->channel);

        if (transfer->channel == TXN_S2MM1)
                return FAULT(v, transfer->word, "a transfer on S2MM1 of column %u, which is no lane",
                             transfer->column);
        if (is_output != (transfer->arg == STREAM64_ARG_C))
                return FAULT(v, transfer->word, "%s of column %u %s argument %u",
                             txn_channel_names[transfer->channel], transfer->column,
                             is_output ? "writes to" : "reads", transfer->arg);
        if (transfer->offset > size || transfer->bytes > size - transfer->offset)
                return FAULT(v, transfer->word,
                             "%s of column %u goes from byte %" PRIu64 " to %" PRIu64
                             " of argument %u, which has %" PRIu64,
                             txn_channel_names[transfer->channel], transfer->column, transfer->offset,
                             transfer->offset + transfer->bytes, transfer->arg, size);
        if (is_output && transfer->repeats > 1)
                return FAULT(v, transfer->word, "%s of column %u writes the same bytes of C %u times",
                             txn_channel_names[transfer->channel], transfer->column, transfer->repeats);
        return 0;
}

/* Outputs that overlap: few, or the stream is refused soon. */
static int verify_outputs_apart(struct verifier *v)
{
        const struct txn_transfer *transfers = v->check->transfers;

        for (size_t i = 0; i < v->check->n_transfers; i++) {
                if (transfers[i].channel != TXN_S2MM0)
                        continue;
                for (size_t j = 0; j < i; j++)
                        if (transfers[j].channel == TXN_S2MM0 &&
                            transfers[i].offset < transfers[j].offset + transfers[j].bytes &&
                            transfers[j].offset < transfers[i].offset + transfers[i].bytes)
                                return FAULT(v, transfers[i].word,
                                             "bytes of C are written twice: from %" PRIu64
                                             " on, by column %u and, at "
                                             "word %zu, by column %u",
                                             MAX(transfers[i].offset, transfers[j].offset),
                                             transfers[i].column, transfers[j].word, transfers[j].column);
        }
        return 0;
}

/* ---- what a lane has to carry ---- */

/* Walks through the runs that a lane has to carry, in their order. */
struct wanted {
        const struct stream64_batch *batch;
        enum lane_kind kind;
        unsigned column;
        size_t job;    /* the next run's, */
        uint64_t n, m; /* and its macro-tile */
};

/* False: there are no more. */
static bool wanted_next(struct wanted *wanted, uint64_t macro_tiles, struct run *ret_run)
{
        const struct stream64_lanes *lanes = &wanted->batch->c;
        uint64_t bytes = macro_tiles * STREAM64_C_OBJECT_BYTES, within = 0;
        const struct stream64_job *job;
        bool is_last = true; /* of the job */

        if (wanted->job >= (wanted->kind == LANE_C ? 1 : wanted->batch->n_jobs))
                return false;
        job = &wanted->batch->jobs[wanted->job];
        if (wanted->kind == LANE_A) { /* all rows of macro-tiles, for each column of them */
                lanes = &job->a;
                bytes = job->size.m * job->size.k * STREAM64_A_OBJECT_BYTES;
                is_last = ++wanted->n == job->size.n;
        } else if (wanted->kind == LANE_B) { /* one column of macro-tiles, for each row of them */
                lanes = &job->b;
                bytes = job->size.k * STREAM64_B_OBJECT_BYTES;
                within = wanted->n * bytes;
                wanted->m = (wanted->m + 1) % job->size.m;
                wanted->n += wanted->m == 0;
                is_last = wanted->n == job->size.n;
        }
        if (is_last) {
                wanted->n = 0;
                wanted->job++;
        }
        *ret_run =
                (struct run){lanes->arg, lanes->offset + wanted->column * lanes->lane_stride + within, bytes};
        return true;
}

/* And through those that its transfers do carry. */
struct carried {
        const struct txn_check *check;
        size_t transfer; /* the next run's */
        uint32_t again;
};

static bool carried_next(struct carried *carried, struct run *ret_run, size_t *ret_word)
{
        const struct txn_transfer *transfer;

        if (carried->transfer == TXN_NONE)
                return false;
        transfer = &carried->check->transfers[carried->transfer];
        *ret_run = (struct run){transfer->arg, transfer->offset, transfer->bytes};
        *ret_word = transfer->word;
        if (++carried->again == transfer->repeats) {
                carried->again = 0;
                carried->transfer = transfer->next;
        }
        return true;
}

/* The total first: a lane that is out of balance is the commonest fault, and its bytes tell it best. */
static int verify_lane_balance(struct verifier *v, enum lane_kind kind, unsigned column)
{
        const struct lane_traits *traits = &lane_traits[kind];
        const size_t last = v->check->lanes[column][traits->channel].last;
        struct wanted wanted = {.batch = v->batch, .kind = kind, .column = column};
        uint64_t due = 0, sent = 0;
        struct run run;

        while (wanted_next(&wanted, v->macro_tiles, &run))
                due += run.bytes;
        for (size_t i = v->check->lanes[column][traits->channel].first; i != TXN_NONE;
             i = v->check->transfers[i].next)
                sent += v->check->transfers[i].bytes * v->check->transfers[i].repeats;
        if (sent == due)
                return 0;
        return FAULT(v, last == TXN_NONE ? 0 : v->check->transfers[last].word,
                     "lane %c%u is out of balance: it carries %g objects, and the batch needs %" PRIu64,
                     traits->name, column, (double)sent / (double)traits->object_bytes,
                     due / traits->object_bytes);
}

static int verify_lane(struct verifier *v, enum lane_kind kind, unsigned column)
{
        const struct lane_traits *traits = &lane_traits[kind];
        struct wanted wanted = {.batch = v->batch, .kind = kind, .column = column};
        struct carried carried = {.check = v->check,
                                  .transfer = v->check->lanes[column][traits->channel].first};
        struct run due = {0}, sent = {0};
        uint64_t n_bytes = 0;
        size_t word = 0;
        int r;

        r = verify_lane_balance(v, kind, column);
        if (r != 0)
                return r;
        for (;;) {
                uint64_t n;

                if (due.bytes == 0 && !wanted_next(&wanted, v->macro_tiles, &due))
                        return 0; /* both end here: they have as many bytes */
                if (sent.bytes == 0 && !carried_next(&carried, &sent, &word))
                        return 0;
                if (due.arg != sent.arg || due.offset != sent.offset)
                        return FAULT(v, word,
                                     "lane %c%u: object %" PRIu64 " comes from byte %" PRIu64
                                     " of argument %u, where byte %" PRIu64 " of argument %u is due",
                                     traits->name, column, n_bytes / traits->object_bytes, sent.offset,
                                     sent.arg, due.offset, due.arg);
                n = MIN(due.bytes, sent.bytes);
                due = (struct run){due.arg, due.offset + n, due.bytes - n};
                sent = (struct run){sent.arg, sent.offset + n, sent.bytes - n};
                n_bytes += n;
        }
}

static int verify_transfers(struct verifier *v)
{
        int r;

        for (size_t i = 0; i < v->check->n_transfers; i++) {
                r = verify_transfer(v, &v->check->transfers[i]);
                if (r != 0)
                        return r;
        }
        r = verify_outputs_apart(v);
        for (unsigned column = 0; r == 0 && column < STREAM64_COLUMNS; column++)
                for (unsigned kind = 0; r == 0 && kind < LANE_KINDS; kind++)
                        r = verify_lane(v, (enum lane_kind)kind, column);
        return r;
}

int stream64_verify(struct txn_check *check, const uint32_t *words, size_t n_words,
                    const struct stream64_buffers *buffers, const struct stream64_batch *batch,
                    struct txn_fault *ret_fault)
{
        struct verifier v = {.check = check, .buffers = buffers, .batch = batch, .fault = ret_fault};
        int r;

        r = txn_check(check, words, n_words, ret_fault);
        if (r == 0)
                r = verify_batch(&v);
        if (r == 0)
                r = verify_transfers(&v);
        if (r == 0)
                r = verify_headers(&v);
        if (r == 0)
                r = stream64_progress(check, batch, ret_fault);
        return r;
}
