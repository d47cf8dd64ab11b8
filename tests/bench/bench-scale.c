/* SPDX-License-Identifier: MIT */
/*
 * bench-scale.c - what becomes of the cost of a job as products, clients, weights and queues grow.
 *
 *     bench-scale [--json] [--smoke] [--seconds=S] [--daemon=PROGRAM]
 *
 * Role:   sweeps along one axis each, with everything else as it was: the product's size; idle clients, 1 to 64;
 *         resident weights, 1 to 10,000 small ones beside those in use, each used once; jobs outstanding, 1 to 64,
 *         stacked and not. And the memory that an idle client and a resident weight take.
 * Places: all of the daemon and the client on CPU 0, where the costs of both sides show and waking a CPU does not.
 *
 * The cost of a job: its median round trip, or where several are outstanding the time from answer to answer; and the
 * daemon's CPU time. sweep.h says how.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/npumm.h"
#include "proto/base.h"
#include "tests/bench/bench.h"
#include "tests/bench/load.h"
#include "tests/bench/sweep.h"
#include "tests/lib/process.h"

enum { K = 512, N = 512, SMALL = 64 /* rows and columns of weights that only lie there */ };
enum { IDLE_MAX = 64, RESIDENTS_MAX = 10000, RESIDENTS_SMOKE = 100 };

struct scene {
        struct bench *bench;
        struct daemon_process daemon;
};

static struct load_spec spec_of(const struct scene *scene, uint64_t m, uint64_t k, uint64_t n, size_t depth)
{
        return (struct load_spec){
                .socket_path = scene->daemon.socket_path, .m = m, .k = k, .n = n, .depth = depth};
}

static void load_open_or_die(struct load *load, const struct load_spec *spec)
{
        if (!load_open(load, spec))
                die(0, "no socket");
}

/* ---- the product's size ---- */

static const struct shape {
        uint64_t m, k, n;
} shapes[] = {{1, 512, 512},   {4, 512, 512},    {16, 512, 512},   {64, 512, 512},   {250, 512, 512},
              {500, 512, 512}, {1500, 512, 512}, {500, 512, 2048}, {500, 2048, 512}, {1500, 1280, 1280}};

static struct load *size_go_to(void *world, size_t point)
{
        struct load *loads = world;

        return &loads[point];
}

/* The line by relative errors, so that small products count as much as large ones. */
static void size_fit(const struct scene *scene, struct sweep *sweep)
{
        double x[SWEEP_POINTS_MAX], y[SWEEP_POINTS_MAX], weights[SWEEP_POINTS_MAX], start, slope;

        for (size_t i = 0; i < sweep->n; i++) {
                x[i] = sweep->points[i].x;
                y[i] = samples_median(&sweep->points[i].us);
                weights[i] = 1 / (y[i] * y[i]);
        }
        fit_line_weighted(x, y, weights, sweep->n, &start, &slope);
        bench_note(
                scene->bench,
                "size: by least squares of relative errors a job takes %.1f us and %.3f us for each million "
                "multiply-adds (%.0f GOP/s).",
                start, slope, 2e3 / slope);
        for (size_t i = 0; i < sweep->n; i++) {
                char shape[48];

                (void)snprintf(shape, sizeof shape, "%lu,%lu,%lu", shapes[i].m, shapes[i].k, shapes[i].n);
                bench_row(scene->bench,
                          json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "part", "size", "shape",
                                    shape, "million_macs", x[i], "us_job", y[i], "daemon_cpu_us_job",
                                    samples_median(&sweep->points[i].cpu_us), "line_us", start + slope * x[i],
                                    "off_line_percent", 100 * (y[i] / (start + slope * x[i]) - 1),
                                    "gop_per_s", 2e3 * x[i] / y[i]));
        }
}

static void bench_size(struct scene *scene)
{
        static struct load loads[ARRAY_SIZE(shapes)];
        struct sweep sweep = {
                .part = "size", .axis = "million_macs", .share = 0.25, .go_to = size_go_to, .world = loads};

        sweep.n = scene->bench->smoke ? 5
                                      : ARRAY_SIZE(shapes); /* large ones take long where kernels are slow */
        for (size_t i = 0; i < sweep.n; i++) {
                const struct load_spec spec = spec_of(scene, shapes[i].m, shapes[i].k, shapes[i].n, 1);

                load_open_or_die(&loads[i], &spec);
                sweep.points[i].x = (double)(spec.m * spec.k * spec.n) / 1e6;
        }
        sweep_run(scene->bench, &sweep, scene->daemon.pid);
        size_fit(scene, &sweep);
        for (size_t i = 0; i < sweep.n; i++)
                load_close(&loads[i]);
        sweep_free(&sweep);
}

/* ---- idle clients ---- */

struct idlers {
        const struct scene *scene;
        const double *counts;
        struct load load;
        struct npumm_client *clients[IDLE_MAX];
        size_t n;
};

static void idlers_set(struct idlers *idlers, size_t n)
{
        const struct npumm_connect_options options = {.size = sizeof options,
                                                      .socket_path = idlers->scene->daemon.socket_path};
        char text[NPUMM_TEXT_MAX];

        while (idlers->n > n)
                npumm_close(idlers->clients[--idlers->n]);
        while (idlers->n < n) {
                if (npumm_connect(&options, &idlers->clients[idlers->n], text) != 0)
                        die(0, "%s", text);
                idlers->n++;
        }
}

static struct load *idlers_go_to(void *world, size_t point)
{
        struct idlers *idlers = world;

        idlers_set(idlers, (size_t)idlers->counts[point]);
        return &idlers->load;
}

static void bench_idlers(struct scene *scene)
{
        static const double counts[] = {1, 2, 4, 8, 16, 32, IDLE_MAX};
        static struct idlers idlers;
        const struct load_spec spec = spec_of(scene, 1, K, N, 1);
        struct sweep sweep = {.part = "idle clients",
                              .axis = "clients",
                              .share = 0.2,
                              .n = ARRAY_SIZE(counts),
                              .go_to = idlers_go_to,
                              .world = &idlers};

        idlers = (struct idlers){.scene = scene, .counts = counts};
        load_open_or_die(&idlers.load, &spec);
        for (size_t i = 0; i < sweep.n; i++)
                sweep.points[i].x = counts[i];
        sweep_run(scene->bench, &sweep, scene->daemon.pid);
        idlers_set(&idlers, 0);
        load_close(&idlers.load);
        sweep_report(scene->bench, &sweep);
        sweep_judge(scene->bench, &sweep);
        sweep_free(&sweep);
}

/* ---- resident weights ---- */

struct residents {
        struct load load; /* uses one; the others lie there */
        int8_t *b;        /* borrowed: the client's arena */
        double counts[5];
        uint64_t weights[RESIDENTS_MAX];
        size_t n;
};

static void check(struct npumm_client *client, int r, const char *what)
{
        if (r != 0)
                die(0, "%s: %s", what, npumm_text(client));
}

/* No two are equal, or they would be one. */
static void residents_set(struct residents *residents, size_t n)
{
        struct npumm_client *client = residents->load.client;

        while (residents->n > n)
                check(client, npumm_weights_release(client, residents->weights[--residents->n]), "release");
        while (residents->n < n) {
                const struct npumm_weights_spec spec = {
                        .size = sizeof spec, .k = SMALL, .n = SMALL, .b = residents->b};

                memcpy(residents->b, &residents->n, sizeof residents->n);
                check(client, npumm_weights_load(client, &spec, &residents->weights[residents->n]), "load");
                residents->n++;
        }
}

/* With a product each, so that the device has packed what it packs. */
static void residents_use(struct residents *residents)
{
        struct npumm_client *client = residents->load.client;
        struct npumm_matmul job = {.size = sizeof job, .m = 1, .k = SMALL, .n = SMALL};
        void *memory;

        check(client, npumm_alloc(client, SMALL + SMALL * sizeof(int32_t), &memory), "alloc");
        job.c = memory;
        job.a = (int8_t *)memory + SMALL * sizeof(int32_t);
        for (size_t i = 0; i < residents->n; i++) {
                job.weights = residents->weights[i];
                check(client, npumm_matmul(client, &job), "a job");
        }
        npumm_free(client, memory);
}

static struct load *residents_go_to(void *world, size_t point)
{
        struct residents *residents = world;

        residents_set(residents, (size_t)residents->counts[point]);
        residents_use(residents);
        return &residents->load;
}

static void residents_open(struct scene *scene, struct residents *residents)
{
        const struct load_spec spec = spec_of(scene, 1, K, N, 1);
        void *memory;

        residents->n = 0;
        load_open_or_die(&residents->load, &spec);
        check(residents->load.client, npumm_alloc(residents->load.client, SMALL * SMALL, &memory), "alloc");
        residents->b = memset(memory, 1, SMALL * SMALL);
}

static void bench_residents(struct scene *scene)
{
        static struct residents residents;
        struct sweep sweep = {.part = "resident weights",
                              .axis = "weights",
                              .share = 0.2,
                              .go_to = residents_go_to,
                              .world = &residents};
        const double most = scene->bench->smoke ? RESIDENTS_SMOKE : RESIDENTS_MAX;

        residents_open(scene, &residents);
        for (double count = 1; count <= most; count *= 10) {
                residents.counts[sweep.n] = count;
                sweep.points[sweep.n++].x = count;
        }
        sweep_run(scene->bench, &sweep, scene->daemon.pid);
        residents_set(&residents, 0);
        load_close(&residents.load);
        sweep_report(scene->bench, &sweep);
        sweep_judge(scene->bench, &sweep);
        sweep_free(&sweep);
}

/* ---- jobs outstanding ---- */

struct queue {
        struct load loads[7];
};

static struct load *queue_go_to(void *world, size_t point)
{
        struct queue *queue = world;

        return &queue->loads[point];
}

static void bench_depth(struct scene *scene, bool is_stacked)
{
        static struct queue queue;
        struct sweep sweep = {.part = is_stacked ? "depth, stacked" : "depth, not stacked",
                              .axis = "depth",
                              .share = 0.15,
                              .by_pace = true,
                              .may_fall = true,
                              .n = ARRAY_SIZE(queue.loads),
                              .go_to = queue_go_to,
                              .world = &queue};

        for (size_t i = 0; i < sweep.n; i++) {
                const struct load_spec spec = spec_of(scene, 1, K, N, (size_t)1 << i);

                load_open_or_die(&queue.loads[i], &spec);
                sweep.points[i].x = (double)spec.depth;
        }
        load_set(&queue.loads[0], "stacking", is_stacked ? "on" : "off");
        sweep_run(scene->bench, &sweep, scene->daemon.pid);
        load_set(&queue.loads[0], "stacking", "on");
        for (size_t i = 0; i < sweep.n; i++)
                load_close(&queue.loads[i]);
        sweep_report(scene->bench, &sweep);
        sweep_judge(scene->bench, &sweep);
        sweep_free(&sweep);
}

/* ---- memory ---- */

struct memory {
        double rss_kib, pss_kib;
};

static struct memory memory_of(pid_t pid)
{
        char path[64], line[256];
        struct memory memory = {0};
        FILE *file;

        (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
        file = fopen(path, "re");
        while (file && fgets(line, sizeof line, file)) {
                (void)sscanf(line, "Rss: %lf", &memory.rss_kib);
                (void)sscanf(line, "Pss: %lf", &memory.pss_kib);
        }
        if (!file || fclose(file) != 0 || memory.pss_kib <= 0)
                die(0, "%s says nothing", path);
        return memory;
}

static void memory_row(const struct scene *scene, const char *what, size_t n, const struct memory *before)
{
        const struct memory after = memory_of(scene->daemon.pid);

        bench_row(scene->bench,
                  json_pack("{s:s, s:s, s:I, s:f, s:f}", "part", "memory of the daemon", "for each", what,
                            "n", (json_int_t)n, "rss_kib", (after.rss_kib - before->rss_kib) / (double)n,
                            "pss_kib", (after.pss_kib - before->pss_kib) / (double)n));
}

/* An arena that nobody has written to yet, and weights that all share; inline, or they would go by that arena. */
static void idlers_settle(struct idlers *idlers, size_t first)
{
        for (size_t i = first; i < idlers->n; i++) {
                const struct npumm_weights_spec spec = {.size = sizeof spec,
                                                        .k = K,
                                                        .n = N,
                                                        .b = idlers->load.b,
                                                        .flags = NPUMM_WEIGHTS_INLINE};
                uint64_t weights;
                void *memory;

                check(idlers->clients[i], npumm_weights_load(idlers->clients[i], &spec, &weights), "load");
                check(idlers->clients[i], npumm_alloc(idlers->clients[i], K * N, &memory), "alloc");
        }
}

static void bench_memory(struct scene *scene)
{
        static struct idlers idlers;
        static struct residents residents;
        const struct load_spec spec = spec_of(scene, 1, K, N, 1);
        const size_t n = scene->bench->smoke ? RESIDENTS_SMOKE : RESIDENTS_MAX;
        struct memory before;

        idlers = (struct idlers){.scene = scene};
        load_open_or_die(&idlers.load, &spec);
        idlers_set(&idlers, 1);
        before = memory_of(scene->daemon.pid);
        idlers_set(&idlers, IDLE_MAX);
        memory_row(scene, "idle client", IDLE_MAX - 1, &before);
        before = memory_of(scene->daemon.pid);
        idlers_settle(&idlers, 1);
        memory_row(scene, "its arena and handle of shared weights, besides", IDLE_MAX - 1, &before);
        idlers_set(&idlers, 0);
        load_close(&idlers.load);
        residents_open(scene, &residents);
        before = memory_of(scene->daemon.pid);
        residents_set(&residents, n);
        memory_row(scene, "resident weight of 64x64 (4 KiB)", n, &before);
        before = memory_of(scene->daemon.pid);
        residents_use(&residents);
        memory_row(scene, "the same once it was used, besides", n, &before);
        load_close(&residents.load);
}

/* ---- all of it ---- */

static void chart(struct bench *bench, const char *part, const char *title, const char *axis,
                  const char *label)
{
        bench_chart(bench,
                    json_pack("{s:s, s:s, s:s, s:s, s:{s:s}, s:s, s:s, s:b, s:b}", "title", title, "kind",
                              "line", "x", axis, "y", "us_job", "where", "part", part, "x_label", label,
                              "y_label", "µs a job", "log_x", true, "log_y", strcmp(part, "size") == 0));
}

int main(int argc, char **argv)
{
        struct bench bench;
        struct scene scene = {.bench = &bench};

        bench_init(&bench, "scale", "What a job costs as products, clients, weights and queues grow", 60,
                   argc, argv);
        bench_note(&bench, "Placement: daemon (all threads) and client on CPU 0, by socket.");
        bench_note(&bench,
                   "us_job: the median round trip; along depth, the time from answer to answer, median over "
                   "stretches of %d. daemon_cpu_us_job: the daemon's CPU time a job. x_first: over the first "
                   "point of the same sweep.",
                   LOAD_STRETCH);
        bench_note(
                &bench,
                "Along depth costs may fall: what counts there is how far one lies above that of a smaller "
                "depth. Memory: what the kernel keeps for sockets is not in it.");
        bench_daemon_start(&bench, &scene.daemon, 0, "weights-kept-bytes = 0\n");
        cpu_pin(0);
        bench_memory(&scene); /* first: of a fresh daemon */
        bench_size(&scene);
        bench_idlers(&scene);
        bench_residents(&scene);
        bench_depth(&scene, true);
        bench_depth(&scene, false);
        chart(&bench, "size", "A job by the size of its product", "million_macs", "million multiply-adds");
        chart(&bench, "idle clients", "A job of (1,512,512) beside idle clients", "clients", "idle clients");
        chart(&bench, "resident weights", "A job of (1,512,512) beside resident weights", "weights",
              "resident weights");
        chart(&bench, "depth, stacked", "A job of (1,512,512) among others, stacked", "depth",
              "jobs outstanding");
        chart(&bench, "depth, not stacked", "A job of (1,512,512) among others, not stacked", "depth",
              "jobs outstanding");
        daemon_process_stop(&scene.daemon);
        return bench_finish(&bench);
}
