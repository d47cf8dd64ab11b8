/* SPDX-License-Identifier: MIT */
/* worker.c - see worker.h. */
#include "tests/bench/peers/worker.h"

#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct worker {
        const struct worker_ops *ops;
        void *peer; /* borrowed, of the caller's */
        struct worker_task task;
        int8_t *a, *b;          /* owned */
        int32_t *c;             /* owned; what must come */
        uint64_t end_ns;        /* of this run, like all that follows */
        struct samples took_us; /* its jobs */
        size_t n_in_time;
        unsigned n_out; /* outstanding */
        uint64_t since_ns[WORKER_DEPTH_MAX];
};

static void fail(const char *what)
{
        (void)fprintf(stderr, "worker: %s: %s\n", what, strerror(errno));
        exit(1);
}

static void *read_file(const char *folder, const char *name, size_t n_bytes)
{
        char path[512];
        void *bytes = malloc(n_bytes);
        FILE *file;

        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        file = fopen(path, "re");
        if (!bytes || !file || fread(bytes, 1, n_bytes, file) != n_bytes)
                fail(path);
        (void)fclose(file);
        return bytes;
}

static void take_task(struct worker *worker, const char *line)
{
        struct worker_task *task = &worker->task;
        char folder[256];
        int is_resident;

        free(worker->a);
        free(worker->b);
        free(worker->c);
        if (sscanf(line, "task %" SCNu64 " %" SCNu64 " %" SCNu64 " %d %u %255s", &task->m, &task->k, &task->n,
                   &is_resident, &task->depth, folder) != 6 ||
            task->depth < 1 || task->depth > WORKER_DEPTH_MAX)
                fail(line);
        task->is_resident = is_resident;
        task->a = worker->a = read_file(folder, "a", task->m * task->k);
        task->b = worker->b = read_file(folder, "b", task->k * task->n);
        worker->c = read_file(folder, "c", task->m * task->n * sizeof *worker->c);
        worker->ops->prepare(worker->peer, task);
        (void)printf("ready\n");
}

static void sleep_until(uint64_t when_ns)
{
        const struct timespec when = {.tv_sec = (time_t)(when_ns / 1000000000u),
                                      .tv_nsec = (long)(when_ns % 1000000000u)};

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
                ;
}

static unsigned count_wrong(struct worker *worker)
{
        const size_t n_bytes = worker->task.m * worker->task.n * sizeof *worker->c;
        unsigned n_wrong = 0;

        for (unsigned slot = 0; slot < worker->task.depth; slot++) {
                int32_t *product = worker->ops->product(worker->peer, slot);

                n_wrong += memcmp(product, worker->c, n_bytes) != 0;
                memset(product, 0x5a, n_bytes); /* the next one has to be computed */
        }
        return n_wrong;
}

static void submit(struct worker *worker, unsigned slot, uint64_t now)
{
        worker->since_ns[slot] = now;
        worker->ops->submit(worker->peer, slot);
}

void worker_done(struct worker *worker, unsigned slot)
{
        const uint64_t now = now_ns();
        const bool is_in_time = now < worker->end_ns;

        worker->n_in_time += is_in_time;
        /* One that is slower than the run counts all the same: there is nothing else. */
        if (is_in_time || worker->took_us.n == 0)
                samples_push(&worker->took_us, (double)(now - worker->since_ns[slot]) / 1e3);
        if (is_in_time)
                submit(worker, slot, now);
        else
                worker->n_out--;
}

static void run(struct worker *worker, const char *line)
{
        uint64_t start_ns;
        struct summary took;

        if (sscanf(line, "run %" SCNu64 " %" SCNu64, &start_ns, &worker->end_ns) != 2)
                fail(line);
        samples_clear(&worker->took_us);
        worker->n_in_time = 0;
        worker->n_out = worker->task.depth;
        sleep_until(start_ns);
        for (unsigned slot = 0; slot < worker->task.depth; slot++)
                submit(worker, slot, now_ns());
        while (worker->n_out > 0)
                worker->ops->wait(worker->peer, worker);
        took = samples_summarize(&worker->took_us);
        (void)printf("done %zu %.3f %.3f %u\n", worker->n_in_time, took.median, took.p99,
                     count_wrong(worker));
}

void worker_run(const struct worker_ops *ops, void *peer)
{
        struct worker worker = {.ops = ops, .peer = peer};
        char line[512];

        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        (void)printf("ready\n");
        while (fgets(line, sizeof line, stdin)) {
                if (strncmp(line, "task ", 5) == 0)
                        take_task(&worker, line);
                else
                        run(&worker, line);
        }
        free(worker.a);
        free(worker.b);
        free(worker.c);
        samples_free(&worker.took_us);
}
