/* SPDX-License-Identifier: MIT */
/*
 * bench-clients.c - many client processes on one daemon: jobs a second, what the daemon pays for one, the worst client.
 *
 *     bench-clients [--json] [--smoke] [--seconds=S] [--daemon=PROGRAM]
 *
 * Role:   1 to 8 processes, each with 1 or 16 jobs of (1,512,512) outstanding, all on the same weights; stacking on,
 *         then off, and one process that calls the kernel by itself, turn and turn about on one daemon.
 * Places: "unpinned", or "pinned": the daemon on CPU 1, clients on CPU 0. The process that calls the kernel: on CPU 1.
 *
 * A turn is a fraction of a second. Ratios are medians over rounds of the ratio in a round; latencies those of all
 * jobs.
 */
#include <math.h>
#include <stdio.h>

#include "proto/base.h"
#include "tests/bench/bench.h"
#include "tests/bench/crew.h"
#include "tests/bench/product.h"
#include "tests/lib/process.h"

#define TURN_NS       80000000u /* some hundred jobs of each client at the least */
#define TURN_SMOKE_NS 3000000u

enum {
        K = 512,
        N = 512,
        CLIENTS_MAX = 8,
        KERNEL_TURNS = 4 /* of a turn: it needs no longer */,
        CALLS = 16 /* between looks at the clock */
};

enum mode { STACKED = 0, APART, MODE_MAX };

static const char *const mode_names[] = {[STACKED] = "on", [APART] = "off"};

enum place { UNPINNED = 0, PINNED, PLACE_MAX };

static const struct placement {
        const char *name;
        int daemon_cpu, client_cpu, kernel_cpu;
} placements[] = {
        [UNPINNED] = {"unpinned", BENCH_ANY_CPU, BENCH_ANY_CPU, BENCH_ANY_CPU},
        [PINNED] = {"pinned", 1, 0, 1},
};

static const size_t crew_sizes[] = {1, 2, 4, CLIENTS_MAX}, depths[] = {1, 16};

/* The kernel, called in a loop. */
struct alone {
        struct bench_product *product; /* owned */
        int8_t *a, *b;                 /* owned */
        int32_t c[N];
};

/* What all cells of one placement share. */
struct scene {
        struct bench *bench;
        const struct placement *placement;
        struct daemon_process daemon;
        struct load conductor; /* sets stacking */
        struct alone alone;
        double share; /* of the time, of a cell */
};

struct figures {
        struct samples jobs_per_s, daemon_ns, client_ns, over_kernel;
        struct crew_client clients[CLIENTS_MAX];
};

/* So many clients, so deep, by one transport. */
struct cell {
        size_t n_clients, depth;
        bool is_ring;
        struct figures figures[MODE_MAX];
        struct samples gain, p99_ratio; /* on over off, a round each */
};

/* Jobs a second. */
static double run_alone(struct alone *alone, int cpu, uint64_t turn_ns)
{
        uint64_t n = 0, start_ns, end_ns;

        cpu_pin(cpu);
        start_ns = now_ns();
        do {
                for (size_t i = 0; i < CALLS; i++)
                        bench_product_run(alone->product);
                n += CALLS;
        } while ((end_ns = now_ns()) < start_ns + turn_ns);
        cpu_pin(BENCH_ANY_CPU);
        return (double)n * 1e9 / (double)(end_ns - start_ns);
}

static struct crew_turn take_turn(struct scene *scene, struct cell *cell, struct crew *crew, enum mode mode,
                                  uint64_t turn_ns)
{
        struct figures *figures = &cell->figures[mode];
        struct crew_turn turn;
        uint64_t cpu_before_ns;

        load_set(&scene->conductor, "stacking", mode_names[mode]);
        cpu_before_ns = cpu_ns(scene->daemon.pid);
        turn = crew_work(crew, mode, turn_ns);
        samples_push(&figures->daemon_ns,
                     (double)(cpu_ns(scene->daemon.pid) - cpu_before_ns) / (double)turn.n_jobs);
        samples_push(&figures->client_ns, (double)turn.client_cpu_ns / (double)turn.n_jobs);
        samples_push(&figures->jobs_per_s, (double)turn.n_jobs / turn.seconds);
        return turn;
}

static void measure(struct scene *scene, struct cell *cell, struct crew *crew)
{
        const uint64_t turn_ns = scene->bench->smoke ? TURN_SMOKE_NS : TURN_NS;

        for (struct rounds rounds = rounds_of(scene->bench, scene->share); rounds_next(&rounds);) {
                struct crew_turn turns[MODE_MAX];
                double kernel_per_s = 0, per_s[MODE_MAX];

                for (size_t i = 0; i < MODE_MAX + 1; i++) {
                        const size_t which = (i + rounds.n) % (MODE_MAX + 1);

                        if (which == MODE_MAX)
                                kernel_per_s = run_alone(&scene->alone, scene->placement->kernel_cpu,
                                                         turn_ns / KERNEL_TURNS);
                        else
                                turns[which] = take_turn(scene, cell, crew, (enum mode)which, turn_ns);
                }
                for (size_t mode = 0; mode < MODE_MAX; mode++) {
                        per_s[mode] = (double)turns[mode].n_jobs / turns[mode].seconds;
                        samples_push(&cell->figures[mode].over_kernel, per_s[mode] / kernel_per_s);
                }
                samples_push(&cell->gain, per_s[STACKED] / per_s[APART]);
                samples_push(&cell->p99_ratio, turns[STACKED].p99_us / turns[APART].p99_us);
        }
        for (size_t mode = 0; mode < MODE_MAX; mode++)
                crew_ask(crew, mode, cell->figures[mode].clients);
}

/* The client whose p99 is longest by its own p50. */
static struct crew_client worst_of(const struct cell *cell, enum mode mode)
{
        const struct crew_client *clients = cell->figures[mode].clients;
        struct crew_client worst = clients[0];

        for (size_t i = 1; i < cell->n_clients; i++) {
                if (clients[i].p99_us / clients[i].p50_us > worst.p99_us / worst.p50_us)
                        worst = clients[i];
        }
        return worst;
}

static void report(const struct scene *scene, struct cell *cell)
{
        for (enum mode mode = 0; mode < MODE_MAX; mode++) {
                struct figures *figures = &cell->figures[mode];
                const struct crew_client worst = worst_of(cell, mode);
                const struct summary jobs_per_s = samples_summarize(&figures->jobs_per_s);
                const struct summary over_kernel = samples_summarize(&figures->over_kernel);
                json_t *row = json_pack("{s:s, s:s, s:I, s:I, s:s}", "placement", scene->placement->name,
                                        "transport", cell->is_ring ? "ring" : "socket", "clients",
                                        (json_int_t)cell->n_clients, "depth", (json_int_t)cell->depth,
                                        "stacking", mode_names[mode]);

                bench_put(row, "jobs_per_s", &jobs_per_s, NULL);
                bench_put(row, "x_kernel", &over_kernel, NULL);
                (void)json_object_set_new(row, "daemon_cpu_ns",
                                          json_real(samples_median(&figures->daemon_ns)));
                (void)json_object_set_new(row, "client_cpu_ns",
                                          json_real(samples_median(&figures->client_ns)));
                (void)json_object_set_new(row, "worst_us_p50", json_real(worst.p50_us));
                (void)json_object_set_new(row, "worst_us_p99", json_real(worst.p99_us));
                (void)json_object_set_new(row, "worst_p99_over_p50", json_real(worst.p99_us / worst.p50_us));
                (void)json_object_set_new(row, "x_stacking",
                                          json_real(mode == STACKED ? samples_median(&cell->gain) : 1));
                bench_row(scene->bench, row);
        }
}

static void judge_one(const struct scene *scene, const struct cell *cell, const char *what, double measured,
                      const char *op, double bound)
{
        char name[160];

        (void)snprintf(name, sizeof name, "4 clients, depth 16, by %s, %s: %s",
                       cell->is_ring ? "ring" : "socket", scene->placement->name, what);
        bench_target(scene->bench, name, measured, op, bound);
}

static double median_or_nan(struct samples *samples)
{
        return samples->n > 0 ? samples_median(samples) : NAN;
}

/* Also of a cell that was not measured: its targets are there and say so. */
static void judge(const struct scene *scene, struct cell *cell)
{
        const struct crew_client worst = worst_of(cell, STACKED);

        if (cell->n_clients != 4 || cell->depth != 16)
                return;
        judge_one(scene, cell, "jobs/s with stacking over without", median_or_nan(&cell->gain), ">=", 2);
        judge_one(scene, cell, "worst client's p99 with stacking over without",
                  median_or_nan(&cell->p99_ratio), "<=", 1);
        judge_one(scene, cell, "jobs/s over one process that calls the kernel",
                  median_or_nan(&cell->figures[STACKED].over_kernel), ">=", 0.7);
        judge_one(scene, cell, "worst client's p99 over its p50",
                  worst.p50_us > 0 ? worst.p99_us / worst.p50_us : NAN, "<=", 3);
}

static void bench_cell(struct scene *scene, size_t n_clients, size_t depth, bool is_ring)
{
        const struct load_spec spec = {
                .socket_path = scene->daemon.socket_path,
                .is_ring = is_ring,
                .m = 1,
                .k = K,
                .n = N,
                .depth = depth,
        };
        struct cell cell = {.n_clients = n_clients, .depth = depth, .is_ring = is_ring};
        struct crew crew;

        if (!crew_start(&crew, n_clients, scene->placement->client_cpu, &spec)) {
                judge(scene, &cell);
                return;
        }
        measure(scene, &cell, &crew);
        crew_stop(&crew);
        report(scene, &cell);
        judge(scene, &cell);
        for (size_t mode = 0; mode < MODE_MAX; mode++) {
                samples_free(&cell.figures[mode].jobs_per_s);
                samples_free(&cell.figures[mode].daemon_ns);
                samples_free(&cell.figures[mode].client_ns);
                samples_free(&cell.figures[mode].over_kernel);
        }
        samples_free(&cell.gain);
        samples_free(&cell.p99_ratio);
}

static void bench_place(struct bench *bench, const struct placement *placement, double share)
{
        struct scene scene = {.bench = bench, .placement = placement};
        struct alone *alone = &scene.alone;
        struct load_spec conductor = {
                .socket_path = scene.daemon.socket_path, .m = 1, .k = K, .n = N, .depth = 1};

        scene.share = share / (2 * ARRAY_SIZE(crew_sizes) * ARRAY_SIZE(depths));
        alone->a = load_rows_new(1, K);
        alone->b = load_weights_new(K, N);
        alone->product = bench_product_new(1, K, N, alone->a, alone->b, alone->c);
        bench_daemon_start(bench, &scene.daemon, placement->daemon_cpu, NULL);
        (void)load_open(&scene.conductor, &conductor);
        for (int ring = 0; ring < 2; ring++) {
                for (size_t depth = 0; depth < ARRAY_SIZE(depths); depth++) {
                        for (size_t i = 0; i < ARRAY_SIZE(crew_sizes); i++)
                                bench_cell(&scene, crew_sizes[i], depths[depth], ring == 1);
                }
        }
        load_close(&scene.conductor);
        daemon_process_stop(&scene.daemon);
        (void)bench_product_free(alone->product);
        free(alone->a);
        free(alone->b);
}

/* There are not the CPUs for it. */
static void skip_place(struct bench *bench, const struct placement *placement)
{
        const struct scene scene = {.bench = bench, .placement = placement};

        bench_note(bench, "There is only one CPU to use: nothing was measured %s.", placement->name);
        for (int ring = 0; ring < 2; ring++)
                judge(&scene, &(struct cell){.n_clients = 4, .depth = 16, .is_ring = ring == 1});
}

static void charts(struct bench *bench)
{
        bench_chart(bench,
                    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:i, s:s}, s:s, s:s, s:b}", "title",
                              "Jobs a second at depth 16", "kind", "line", "x", "clients", "y", "jobs_per_s",
                              "by", "stacking", "split", "placement", "where", "depth", 16, "transport",
                              "socket", "x_label", "client processes", "y_label", "jobs/s", "log_x", true));
        bench_chart(bench, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:i, s:s}, s:s, s:s, s:b}", "title",
                                     "The daemon's CPU time for a job at depth 16", "kind", "line", "x",
                                     "clients", "y", "daemon_cpu_ns", "by", "stacking", "split", "placement",
                                     "where", "depth", 16, "transport", "socket", "x_label",
                                     "client processes", "y_label", "ns", "log_x", true));
}

int main(int argc, char **argv)
{
        struct bench bench;
        size_t n_places;

        bench_init(&bench, "clients", "Many client processes on one daemon, (1,512,512) on shared weights",
                   100, argc, argv);
        n_places = cpu_count() < 2 ? 1 : PLACE_MAX;
        bench_note(
                &bench,
                "Placement: unpinned, or pinned: all of the daemon on CPU 1, all clients on CPU 0. Every "
                "client keeps `depth` jobs outstanding; weights resident and shared, A and C in the arena.");
        bench_note(
                &bench,
                "x_kernel: over one process that calls the kernel (%s) in a loop, on any CPU or on CPU 1, in "
                "the same round. daemon_cpu_ns, client_cpu_ns: CPU time a job. worst: the client whose p99 "
                "is longest by its own p50.",
                bench_product_kernel());
        for (size_t place = 0; place < PLACE_MAX; place++) {
                if (place < n_places)
                        bench_place(&bench, &placements[place], 1.0 / (double)n_places);
                else
                        skip_place(&bench, &placements[place]);
        }
        charts(&bench);
        return bench_finish(&bench);
}
