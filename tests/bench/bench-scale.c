/* SPDX-License-Identifier: MIT */
/*
 * bench-scale.c - what becomes of the cost of a job as products, clients, weights and queues grow.
 *
 *     bench-scale [--json] [--smoke] [--seconds=S] [--daemon=PROGRAM]
 *
 * Role:   sweeps along one axis each, with everything else as it was: the product's size; idle clients, 1 to 64; resident
 *         weights, 1 to 10,000 small ones beside those in use; jobs outstanding, 1 to 64, stacked and not. And the
 *         memory that an idle client and a resident weight take.
 * Places: all of the daemon and the client on CPU 0, where the costs of both sides show and waking a CPU does not.
 *
 * A sweep goes up, then down, again and again. What a point costs is the median over sweeps, and its ratio to the first
 * point's the median of the ratio in a sweep. Cost: the median round trip of a job, or where several are outstanding the
 * time a job; and the daemon's CPU time a job.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/npumm.h"
#include "proto/base.h"
#include "tests/bench/bench.h"
#include "tests/bench/load.h"
#include "tests/lib/process.h"

#define TURN_NS       15000000u
#define TURN_SMOKE_NS 1000000u
#define FLAT_PERCENT  10.0

enum { K = 512, N = 512, SMALL = 64 /* rows and columns of weights that only lie there */, POINTS_MAX = 12 };
enum { IDLE_MAX = 64, RESIDENTS_MAX = 10000, RESIDENTS_SMOKE = 100 };

struct point {
        double x;
        struct samples us, cpu_us;             /* a job, a turn each */
        struct samples us_ratio, cpu_us_ratio; /* over the first point's in the same sweep */
};

/* One axis. */
struct sweep {
        const char *part; /* borrowed: literals, as all texts */
        const char *axis;
        double share; /* of the time */
        size_t n;
        struct point points[POINTS_MAX];
        /* Makes the world that of the point; returns who then works. */
        struct load *(*go_to)(void *world, size_t point);
        void *world; /* borrowed */
};

struct scene {
        struct bench *bench;
        struct daemon_process daemon;
        struct samples scratch;
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

/* ---- sweeping ---- */

static void take_turn(struct scene *scene, struct point *point, struct load *load)
{
        const uint64_t turn_ns = scene->bench->smoke ? TURN_SMOKE_NS : TURN_NS;
        uint64_t start_ns, cpu_start_ns;
        double n;

        load_run(load, load->depth, 0, NULL); /* warm */
        samples_clear(&scene->scratch);
        cpu_start_ns = cpu_ns(scene->daemon.pid);
        start_ns = now_ns();
        load_run(load, load->depth, start_ns + turn_ns, &scene->scratch);
        n = (double)scene->scratch.n;
        samples_push(&point->us, load->depth > 1 ? (double)(now_ns() - start_ns) / 1e3 / n
                                                 : samples_median(&scene->scratch));
        samples_push(&point->cpu_us, (double)(cpu_ns(scene->daemon.pid) - cpu_start_ns) / 1e3 / n);
}

/* Before samples are sorted: turn `at` of every point is of the same sweep. */
static void compare_with_first(struct sweep *sweep, size_t at)
{
        const struct point *first = &sweep->points[0];

        for (size_t i = 0; i < sweep->n; i++) {
                struct point *point = &sweep->points[i];

                samples_push(&point->us_ratio, point->us.values[at] / first->us.values[at]);
                samples_push(&point->cpu_us_ratio, point->cpu_us.values[at] / first->cpu_us.values[at]);
        }
}

static void sweep_run(struct scene *scene, struct sweep *sweep)
{
        for (struct rounds rounds = rounds_of(scene->bench, sweep->share); rounds_next(&rounds);) {
                for (size_t i = 0; i < sweep->n; i++) {
                        const size_t at = rounds.n % 2 ? i : sweep->n - 1 - i;

                        take_turn(scene, &sweep->points[at], sweep->go_to(sweep->world, at));
                }
                compare_with_first(sweep, rounds.n - 1);
        }
}

static void sweep_report(const struct scene *scene, struct sweep *sweep)
{
        for (size_t i = 0; i < sweep->n; i++) {
                struct point *point = &sweep->points[i];
                const struct summary us = samples_summarize(&point->us),
                                     cpu_us = samples_summarize(&point->cpu_us);
                const struct summary ratio = samples_summarize(&point->us_ratio);
                json_t *row = json_pack("{s:s, s:f}", "part", sweep->part, sweep->axis, point->x);

                bench_put(row, "us_job", &us, NULL);
                bench_put(row, "daemon_cpu_us_job", &cpu_us, NULL);
                bench_put(row, "x_first", &ratio, NULL);
                (void)json_object_set_new(row, "cpu_x_first",
                                          json_real(samples_median(&point->cpu_us_ratio)));
                bench_row(scene->bench, row);
        }
}

static void sweep_free(struct sweep *sweep)
{
        for (size_t i = 0; i < sweep->n; i++) {
                samples_free(&sweep->points[i].us);
                samples_free(&sweep->points[i].cpu_us);
                samples_free(&sweep->points[i].us_ratio);
                samples_free(&sweep->points[i].cpu_us_ratio);
        }
}

static double ratio_at(struct sweep *sweep, size_t point, bool is_cpu)
{
        return samples_median(is_cpu ? &sweep->points[point].cpu_us_ratio : &sweep->points[point].us_ratio);
}

/* How far any point lies from the first, in percent. */
static double deviation_of(struct sweep *sweep, bool is_cpu)
{
        double most = 0;

        for (size_t i = 1; i < sweep->n; i++)
                most = fmax(most, 100 * fabs(ratio_at(sweep, i, is_cpu) - 1));
        return most;
}

/* How far any point lies above one before it, in percent: costs may fall. */
static double rise_of(struct sweep *sweep, bool is_cpu)
{
        double least = 1, most = 0;

        for (size_t i = 1; i < sweep->n; i++) {
                const double ratio = ratio_at(sweep, i, is_cpu);

                most = fmax(most, 100 * (ratio / least - 1));
                least = fmin(least, ratio);
        }
        return most;
}

/* The line through a sweep, and whether it is flat. */
static void sweep_judge(const struct scene *scene, struct sweep *sweep, bool may_fall)
{
        double x[POINTS_MAX], y[POINTS_MAX], start, slope;
        char name[128];

        for (size_t i = 0; i < sweep->n; i++) {
                x[i] = sweep->points[i].x;
                y[i] = samples_median(&sweep->points[i].us) * 1e3;
        }
        fit_line(x, y, sweep->n, &start, &slope);
        for (int is_cpu = 0; is_cpu < 2; is_cpu++) {
                (void)snprintf(name, sizeof name, "%s, %g to %g: %s of %s a job in percent", sweep->part,
                               x[0], x[sweep->n - 1], may_fall ? "largest rise" : "largest deviation",
                               is_cpu ? "the daemon's CPU time" : "the time");
                bench_target(scene->bench, name,
                             may_fall ? rise_of(sweep, is_cpu) : deviation_of(sweep, is_cpu),
                             "<=", FLAT_PERCENT);
        }
        bench_note(scene->bench, "%s: slope %.3f ns a job for each of %s.", sweep->part, slope, sweep->axis);
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
        double x[POINTS_MAX], y[POINTS_MAX], weights[POINTS_MAX], start, slope;

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
        sweep_run(scene, &sweep);
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
        sweep_run(scene, &sweep);
        idlers_set(&idlers, 0);
        load_close(&idlers.load);
        sweep_report(scene, &sweep);
        sweep_judge(scene, &sweep, false);
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

static struct load *residents_go_to(void *world, size_t point)
{
        struct residents *residents = world;

        residents_set(residents, (size_t)residents->counts[point]);
        return &residents->load;
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
        sweep_run(scene, &sweep);
        residents_set(&residents, 0);
        load_close(&residents.load);
        sweep_report(scene, &sweep);
        sweep_judge(scene, &sweep, false);
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
                              .n = ARRAY_SIZE(queue.loads),
                              .go_to = queue_go_to,
                              .world = &queue};

        for (size_t i = 0; i < sweep.n; i++) {
                const struct load_spec spec = spec_of(scene, 1, K, N, (size_t)1 << i);

                load_open_or_die(&queue.loads[i], &spec);
                sweep.points[i].x = (double)spec.depth;
        }
        load_set(&queue.loads[0], "stacking", is_stacked ? "on" : "off");
        sweep_run(scene, &sweep);
        load_set(&queue.loads[0], "stacking", "on");
        for (size_t i = 0; i < sweep.n; i++)
                load_close(&queue.loads[i]);
        sweep_report(scene, &sweep);
        sweep_judge(scene, &sweep, true);
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
        bench_note(
                &bench,
                "Placement: daemon (all threads) and client on CPU 0, by socket. us_job: the median round "
                "trip; with several jobs outstanding, time a job. daemon_cpu_us_job: the daemon's CPU time a "
                "job. x_first: over the first point of the same sweep. Along depth costs may fall: what "
                "counts there is how far one "
                "lies above a smaller depth's. Memory: what the kernel keeps for "
                "sockets is not in it.");
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
        samples_free(&scene.scratch);
        daemon_process_stop(&scene.daemon);
        return bench_finish(&bench);
}
