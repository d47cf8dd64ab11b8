/* SPDX-License-Identifier: MIT */
/*
 * worker-tiles.c - the product as 16x16x16 tiles, one call each, in C: what is left of the original's way when it has
 * neither Python nor a device in it.
 *
 * Role:   in its own process and thread, without a daemon: A and B are cut into padded tiles first (not once a call),
 *         a call multiplies two of them and adds to a third.
 * Thread: one.
 */
#include "tests/bench/peers/worker.h"
#include "tests/lib/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 16 };

struct peer {
        struct worker_task task;
        int8_t *a, *b; /* owned; in tiles */
        int32_t *c;    /* owned */
};

static void tile(const int8_t *restrict a, const int8_t *restrict b, int32_t *restrict c)
{
        for (size_t i = 0; i < T; i++)
                for (size_t k = 0; k < T; k++)
                        for (size_t j = 0; j < T; j++)
                                c[i * T + j] += a[i * T + k] * b[k * T + j];
}

/* Called by its address, as a driver's would be: the compiler does not see the loops around it. */
static void (*volatile call_tile)(const int8_t *, const int8_t *, int32_t *) = tile;

static void *zeros(size_t n_bytes)
{
        void *memory = calloc(1, n_bytes);

        if (!memory)
                die(0, "worker-tiles: no memory");
        return memory;
}

static size_t tiles_of(uint64_t n)
{
        return (size_t)(n + T - 1) / T;
}

/* Row-major to tiles, those of a row of tiles one after the other, padded with zeros. */
static int8_t *cut(const int8_t *matrix, uint64_t rows, uint64_t cols)
{
        const size_t across = tiles_of(cols);
        int8_t *tiles = zeros(tiles_of(rows) * across * T * T);

        for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < cols; j++)
                        tiles[(i / T * across + j / T) * T * T + i % T * T + j % T] = matrix[i * cols + j];
        return tiles;
}

static void prepare(void *userdata, const struct worker_task *task)
{
        struct peer *peer = userdata;

        free(peer->a);
        free(peer->b);
        free(peer->c);
        peer->task = *task;
        peer->a = cut(task->a, task->m, task->k);
        peer->b = cut(task->b, task->k, task->n);
        peer->c = zeros(task->m * task->n * sizeof *peer->c);
}

static void submit(void *userdata, unsigned slot)
{
        const struct peer *peer = userdata;
        const struct worker_task *task = &peer->task;
        const size_t tm = tiles_of(task->m), tk = tiles_of(task->k), tn = tiles_of(task->n);
        const int8_t *a = peer->a, *b = peer->b;

        (void)slot;
        for (size_t i = 0; i < tm; i++)
                for (size_t j = 0; j < tn; j++) {
                        int32_t c[T * T] = {0};

                        for (size_t k = 0; k < tk; k++)
                                call_tile(a + (i * tk + k) * T * T, b + (k * tn + j) * T * T, c);
                        for (size_t r = i * T; r < (i + 1) * T && r < task->m; r++)
                                for (size_t s = j * T; s < (j + 1) * T && s < task->n; s++)
                                        peer->c[r * task->n + s] = c[r % T * T + s % T];
                }
}

static void wait(void *userdata, struct worker *worker)
{
        (void)userdata;
        worker_done(worker, 0); /* submit() has done it */
}

static int32_t *product(void *userdata, unsigned slot)
{
        (void)slot;
        return ((struct peer *)userdata)->c;
}

int main(void)
{
        static const struct worker_ops ops = {prepare, submit, wait, product};
        struct peer peer = {0};

        worker_run(&ops, &peer);
        free(peer.a);
        free(peer.b);
        free(peer.c);
        return 0;
}
