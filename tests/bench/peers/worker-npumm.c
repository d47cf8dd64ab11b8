/* SPDX-License-Identifier: MIT */
/*
 * worker-npumm.c - a client process of npumatmuld, by socket or by ring.
 *
 *     worker-npumm SOCKET socket|ring        exits with 77 where there are no rings
 *
 * Role:   npumm.h as a program uses it that minds latency: operands and products in arena memory, one connection.
 * Thread: one.
 */
#include "client/npumm.h"
#include "tests/bench/peers/worker.h"
#include "tests/lib/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer {
        struct npumm_client *client; /* owned */
        struct worker_task task;
        uint64_t weights;
        int8_t *a[WORKER_DEPTH_MAX]; /* of npumm_alloc(), like all of these */
        int32_t *c[WORKER_DEPTH_MAX];
        int8_t *b;             /* NULL with weights */
        struct worker *worker; /* borrowed, in wait() */
        size_t n_ended;
};

struct slot {
        struct peer *peer; /* borrowed: there is one */
        unsigned index;
};
static struct slot slots[WORKER_DEPTH_MAX];

static void check(const struct peer *peer, int r, const char *what)
{
        if (r != 0)
                die(0, "worker-npumm: %s: %s: %s", what, npumm_strerror(r), npumm_text(peer->client));
}

static void *alloc(struct peer *peer, size_t n_bytes)
{
        void *memory;

        check(peer, npumm_alloc(peer->client, n_bytes, &memory), "alloc");
        return memory;
}

static void release(struct peer *peer)
{
        if (peer->weights)
                check(peer, npumm_weights_release(peer->client, peer->weights), "release");
        for (unsigned i = 0; i < peer->task.depth; i++) {
                npumm_free(peer->client, peer->a[i]);
                npumm_free(peer->client, peer->c[i]);
        }
        npumm_free(peer->client, peer->b);
        peer->weights = 0;
        peer->b = NULL;
}

static void prepare(void *userdata, const struct worker_task *task)
{
        struct peer *peer = userdata;
        struct npumm_weights_spec spec = {.size = sizeof spec, .k = task->k, .n = task->n, .b = task->b};

        release(peer);
        peer->task = *task;
        for (unsigned i = 0; i < task->depth; i++) {
                peer->a[i] = alloc(peer, task->m * task->k);
                memcpy(peer->a[i], task->a, task->m * task->k);
                peer->c[i] = alloc(peer, task->m * task->n * sizeof *peer->c[i]);
        }
        if (task->is_resident) {
                check(peer, npumm_weights_load(peer->client, &spec, &peer->weights), "weights");
        } else {
                peer->b = alloc(peer, task->k * task->n);
                memcpy(peer->b, task->b, task->k * task->n);
        }
}

static void on_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        const struct slot *slot = userdata;
        struct peer *peer = slot->peer;

        (void)client;
        (void)job;
        check(peer, result, "a job");
        peer->n_ended++;
        worker_done(peer->worker, slot->index);
}

static void submit(void *userdata, unsigned slot)
{
        struct peer *peer = userdata;
        const struct npumm_matmul job = {
                .size = sizeof job,
                .m = peer->task.m,
                .k = peer->task.k,
                .n = peer->task.n,
                .a = peer->a[slot],
                .b = peer->b,
                .c = peer->c[slot],
                .weights = peer->weights,
        };

        slots[slot] = (struct slot){.peer = peer, .index = slot};
        check(peer, npumm_submit(peer->client, &job, NULL, on_done, &slots[slot], NULL), "submit");
}

static void wait(void *userdata, struct worker *worker)
{
        struct peer *peer = userdata;

        peer->worker = worker;
        peer->n_ended = 0;
        while (peer->n_ended == 0)
                check(peer, npumm_dispatch(peer->client, -1), "dispatch");
}

static int32_t *product(void *userdata, unsigned slot)
{
        return ((struct peer *)userdata)->c[slot];
}

int main(int argc, char **argv)
{
        static const struct worker_ops ops = {prepare, submit, wait, product};
        struct npumm_connect_options options = {.size = sizeof options};
        struct peer peer = {0};
        char text[NPUMM_TEXT_MAX];
        bool is_there;

        if (argc != 3)
                die(0, "usage: worker-npumm SOCKET socket|ring");
        options.socket_path = argv[1];
        if (setenv("NPUMM_TRANSPORT", argv[2], 1) < 0)
                die(errno, "setenv");
        if (npumm_connect(&options, &peer.client, text) != 0)
                die(0, "worker-npumm: %s", text);
        is_there = strcmp(npumm_info(peer.client)->transport, argv[2]) == 0;
        if (is_there)
                worker_run(&ops, &peer);
        npumm_close(peer.client);
        return is_there ? 0 : 77;
}
