/* SPDX-License-Identifier: MIT */
/*
 * test-rows.c - a long job's rows arrive while it runs, and are final when they do.
 *
 * usage: test-rows DAEMON
 *
 * One 2048x1024 @ 1024x2048 product into poisoned memory. When the first rows are reported, the second half of C must
 * still be all poison (so it comes before half of the work is done), and the reported rows must already be exact.
 * Times are printed, not judged.
 */
#include <inttypes.h>
#include <npumm.h>
#include <stdio.h>
#include <time.h>

#include "tests/lib/oracle.h"
#include "tests/lib/process.h"
#include "tests/lib/rng.h"

#define SCALE  (NPUMM_TEST_SLOW ? 2 : 1) /* the oracle is slow with sanitizers; the kernel hardly */
#define M      (2048 / SCALE)
#define K      (1024 / SCALE)
#define N      (2048 / SCALE)
#define POISON 0x5a5a5a5a /* more than K * 128 * 128: no sum can be it */

struct state {
        const int8_t *a, *b;
        int32_t *c;
        int32_t *early; /* owned: a copy of C as far as it had been reported when the first report came */
        uint64_t early_first, early_rows;
        uint64_t rows_reported;
        uint64_t n_reports;
        double start_s, first_s, done_s;
        bool is_done;
        bool *seen; /* owned: M of them */
};

static double now_s(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void first_rows(struct state *state, uint64_t first_row, uint64_t rows)
{
        state->first_s = now_s() - state->start_s;
        for (size_t i = (size_t)M / 2 * N; i < (size_t)M * N; i++)
                if (state->c[i] != POISON)
                        die(0, "row %zu was written before the first report, of rows %" PRIu64 "..%" PRIu64,
                            i / N, first_row, first_row + rows - 1);
        memcpy(state->early + first_row * N, state->c + first_row * N, rows * N * sizeof *state->early);
        state->early_first = first_row;
        state->early_rows = rows;
}

static void on_rows(struct npumm_client *client, uint64_t job, uint64_t first_row, uint64_t rows,
                    void *userdata)
{
        struct state *state = userdata;

        (void)client;
        (void)job;
        if (rows == 0 || first_row > M || rows > M - first_row)
                die(0, "rows %" PRIu64 "+%" PRIu64 " are not in the product", first_row, rows);
        for (uint64_t row = first_row; row < first_row + rows; row++) {
                if (state->seen[row])
                        die(0, "row %" PRIu64 " was reported twice", row);
                state->seen[row] = true;
        }
        if (state->n_reports++ == 0)
                first_rows(state, first_row, rows);
        state->rows_reported += rows;
}

static void on_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        struct state *state = userdata;

        (void)job;
        if (result != 0)
                die(0, "the job ended with %d: %s", result, npumm_text(client));
        if (state->is_done || state->rows_reported != M)
                die(0, "done with %" PRIu64 " of %d rows reported", state->rows_reported, M);
        state->is_done = true;
        state->done_s = now_s() - state->start_s;
}

/* The judge of the rows reported first. */
static void early_check(const struct state *state)
{
        const struct oracle_product product = {.m = M,
                                               .k = K,
                                               .n = N,
                                               .a = state->a,
                                               .lda = K,
                                               .b = state->b,
                                               .ldb = N,
                                               .form = ORACLE_INT32};

        if (!oracle_check(&product, state->early_first, state->early_rows, state->early, N))
                die(0, "rows were not exact when they were reported");
}

/* The judge of the whole: C.r = A.(B.r) for a random r, in exact arithmetic; a wrong C passes with chance 2^-20. */
static void whole_check(const struct state *state, struct rng *rng)
{
        static int64_t r[N], br[K];

        for (size_t n = 0; n < N; n++)
                r[n] = (int64_t)rng_below(rng, 1 << 20) - (1 << 19); /* small enough that no sum overflows */
        for (size_t k = 0; k < K; k++) {
                br[k] = 0;
                for (size_t n = 0; n < N; n++)
                        br[k] += state->b[k * N + n] * r[n];
        }
        for (size_t m = 0; m < M; m++) {
                int64_t cr = 0, abr = 0;

                for (size_t n = 0; n < N; n++)
                        cr += state->c[m * N + n] * r[n];
                for (size_t k = 0; k < K; k++)
                        abr += state->a[m * K + k] * br[k];
                if (cr != abr)
                        die(0, "row %zu of the product is wrong", m);
        }
}

static void *alloc(struct npumm_client *client, size_t size_bytes)
{
        void *memory;

        if (npumm_alloc(client, size_bytes, &memory) != 0)
                die(0, "%s", npumm_text(client));
        return memory;
}

int main(int argc, char **argv)
{
        struct npumm_connect_options options = {.size = sizeof options};
        struct daemon_process daemon;
        struct npumm_client *client;
        struct state state = {0};
        struct rng rng;
        char text[NPUMM_TEXT_MAX];
        int8_t *a, *b;

        if (argc != 2)
                die(0, "usage: %s DAEMON", argv[0]);
        rng_start(&rng, "test-rows");
        /* The smaller product must still be many slices, by the daemon's first guess of what a row costs. */
        daemon_process_start(&daemon, argv[1],
                             NPUMM_TEST_SLOW ? "batch-bound-us = 50\n" : "batch-bound-us = 1000\n");
        options.socket_path = daemon.socket_path;
        if (npumm_connect(&options, &client, text) != 0)
                die(0, "%s", text);
        state.a = a = alloc(client, (size_t)M * K);
        state.b = b = alloc(client, (size_t)K * N);
        state.c = alloc(client, (size_t)M * N * sizeof *state.c);
        state.seen = calloc(M, sizeof *state.seen);
        state.early = calloc((size_t)M * N, sizeof *state.early);
        if (!state.seen || !state.early)
                die(0, "no memory");
        rng_fill(&rng, a, (size_t)M * K);
        rng_fill(&rng, b, (size_t)K * N);
        for (size_t i = 0; i < (size_t)M * N; i++)
                state.c[i] = POISON;
        state.start_s = now_s();
        if (npumm_submit(client,
                         &(struct npumm_matmul){.size = sizeof(struct npumm_matmul),
                                                .m = M,
                                                .k = K,
                                                .n = N,
                                                .a = a,
                                                .b = b,
                                                .c = state.c},
                         on_rows, on_done, &state, NULL) != 0)
                die(0, "%s", npumm_text(client));
        while (!state.is_done)
                if (npumm_dispatch(client, -1) != 0)
                        die(0, "%s", npumm_text(client));
        early_check(&state);
        whole_check(&state, &rng);
        printf("first %" PRIu64 " rows after %.1f ms of %.1f ms (%.3f), %" PRIu64 " reports\n",
               state.early_rows, state.first_s * 1e3, state.done_s * 1e3, state.first_s / state.done_s,
               state.n_reports);
        free(state.early);
        free(state.seen);
        npumm_close(client);
        daemon_process_stop(&daemon);
        return 0;
}
