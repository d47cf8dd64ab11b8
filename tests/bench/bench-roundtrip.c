/* SPDX-License-Identifier: MIT */
/*
 * bench-roundtrip.c - what one job costs through the daemon, next to the same product called in process.
 *
 *     bench-roundtrip [--json] [--smoke] [--seconds=S] [--daemon=PROGRAM]
 *
 * Role:   one client, one job at a time; weights are resident, A and C in the arena. Beside it the floor: 64 bytes
 *         through a bare socket, and by futex.
 * Places: the client, and whatever is called in process, on CPU 0; the other side, all of its threads, on CPU 0
 *         ("one CPU") or CPU 1 ("two CPUs").
 *
 * Everything about one shape takes turns, a few milliseconds each: the median of a turn's jobs is compared with that
 * of the product in process in the same round, and the ratio is the median over rounds.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/base.h"
#include "tests/bench/bench.h"
#include "tests/bench/load.h"
#include "tests/bench/pingpong.h"
#include "tests/bench/product.h"
#include "tests/lib/process.h"

#define TURN_NS 5000000u /* short beside what else the machine may do for a while; long beside one job */

enum { WARM_JOBS = 3, JOBS_LEAST = 5 };

enum place { ONE_CPU = 0, TWO_CPUS, PLACE_MAX };

static const char *const place_names[] = {[ONE_CPU] = "one CPU", [TWO_CPUS] = "two CPUs"};

enum way { IN_PROCESS = 0, RAW_SOCKET, FUTEX, SOCKET, RING, WAY_MAX };

static const char *const way_names[] = {
        [IN_PROCESS] = "in process", [RAW_SOCKET] = "64 B by bare socket",
        [FUTEX] = "futex",           [SOCKET] = "daemon by socket",
        [RING] = "daemon by ring",
};

static const struct shape {
        uint64_t m, k, n;
} shapes[] = {{1, 512, 512}, {4, 384, 384}, {8, 512, 512}, {500, 512, 512}};

/* One way to have one job done. */
struct variant {
        enum place place;
        enum way way;
        struct load *load; /* borrowed, one of these three */
        struct pingpong *pingpong;
        struct bench_product *product;
        struct samples all_us, rounds_us,
                ratios; /* each job; each round's median; and that over in process */
        double round_us;
};

struct floor {
        struct pingpong *pingpongs[PLACE_MAX][PINGPONG_KIND_MAX]; /* owned */
};

struct shape_bench {
        struct variant variants[PLACE_MAX * WAY_MAX];
        size_t n;
        struct samples
                over_floor; /* (1,512,512) by socket on one CPU over bare socket and product, a round each */
};

static void go(struct variant *variant, uint64_t n_jobs, uint64_t end_ns, struct samples *us)
{
        if (variant->load) {
                load_run(variant->load, n_jobs, end_ns, us);
                return;
        }
        for (uint64_t i = 0; i < n_jobs || now_ns() < end_ns; i++) {
                const uint64_t start_ns = now_ns();

                if (variant->pingpong)
                        pingpong_go(variant->pingpong);
                else
                        bench_product_run(variant->product);
                if (us)
                        samples_push(us, (double)(now_ns() - start_ns) / 1e3);
        }
}

static void take_turn(const struct bench *bench, struct variant *variant, struct samples *scratch)
{
        samples_clear(scratch);
        if (bench->smoke) {
                go(variant, 1, 0, scratch);
        } else {
                go(variant, WARM_JOBS, 0, NULL);
                go(variant, JOBS_LEAST, now_ns() + TURN_NS, scratch);
        }
        for (size_t i = 0; i < scratch->n; i++)
                samples_push(&variant->all_us, scratch->values[i]);
        variant->round_us = samples_median(scratch);
        samples_push(&variant->rounds_us, variant->round_us);
}

static struct variant *find(struct shape_bench *bench, enum place place, enum way way)
{
        for (size_t i = 0; i < bench->n; i++) {
                if (bench->variants[i].place == place && bench->variants[i].way == way)
                        return &bench->variants[i];
        }
        return NULL;
}

static void measure(const struct bench *bench, struct shape_bench *shape)
{
        struct samples scratch = {0};
        const struct variant *product = find(shape, ONE_CPU, IN_PROCESS);

        for (struct rounds rounds = rounds_of(bench, 1.0 / ARRAY_SIZE(shapes)); rounds_next(&rounds);) {
                for (size_t i = 0; i < shape->n; i++)
                        take_turn(bench, &shape->variants[(i + rounds.n) % shape->n], &scratch);
                for (size_t i = 0; i < shape->n; i++)
                        samples_push(&shape->variants[i].ratios,
                                     shape->variants[i].round_us / product->round_us);
                samples_push(&shape->over_floor,
                             find(shape, ONE_CPU, SOCKET)->round_us /
                                     (find(shape, ONE_CPU, RAW_SOCKET)->round_us + product->round_us));
        }
        samples_free(&scratch);
}

static void report_one(struct bench *bench, const char *shape, enum place place, struct variant *variant)
{
        const struct summary us = samples_summarize(&variant->rounds_us);
        const struct summary ratio = samples_summarize(&variant->ratios);
        json_t *row = json_pack("{s:s, s:s, s:s}", "shape", shape, "placement", place_names[place], "way",
                                way_names[variant->way]);

        bench_put(row, "us_p50", &us, NULL);
        (void)json_object_set_new(row, "us_p99", json_real(samples_quantile(&variant->all_us, 0.99)));
        bench_put(row, "x_in_process", &ratio, NULL);
        (void)json_object_set_new(row, "jobs", json_integer((json_int_t)variant->all_us.n));
        bench_row(bench, row);
}

/* What is in process stands among those of each placement. */
static void report(struct bench *bench, const struct shape *size, struct shape_bench *shape, size_t n_places)
{
        char text[64];

        (void)snprintf(text, sizeof text, "%lu,%lu,%lu", size->m, size->k, size->n);
        for (enum place place = 0; place < n_places; place++) {
                for (size_t i = 0; i < shape->n; i++) {
                        struct variant *variant = &shape->variants[i];

                        if (variant->place == place || variant->way == IN_PROCESS)
                                report_one(bench, text, place, variant);
                }
        }
}

static double ratio_of(struct shape_bench *shape, enum place place, enum way way)
{
        struct variant *variant = find(shape, place, way);

        return variant ? samples_median(&variant->ratios) : NAN;
}

static void judge(struct bench *bench, const struct shape *size, struct shape_bench *shape)
{
        if (size->m == 500) {
                bench_target(bench, "(500,512,512) by socket over in process, one CPU",
                             ratio_of(shape, ONE_CPU, SOCKET), "<=", 1.07);
                bench_target(bench, "(500,512,512) by ring over in process, one CPU",
                             ratio_of(shape, ONE_CPU, RING), "<=", 1.06);
                bench_target(bench, "(500,512,512) by socket over in process, two CPUs",
                             ratio_of(shape, TWO_CPUS, SOCKET), "<=", 1.20);
                bench_target(bench, "(500,512,512) by ring over in process, two CPUs",
                             ratio_of(shape, TWO_CPUS, RING), "<=", 1.12);
        } else if (size->m == 1) {
                bench_target(bench, "(1,512,512) by socket over bare socket and product, one CPU",
                             samples_median(&shape->over_floor), "<=", 1.4);
                bench_target(bench, "(1,512,512) by ring over in process, two CPUs",
                             ratio_of(shape, TWO_CPUS, RING), "<=", 1.5);
        }
}

static void add(struct shape_bench *shape, const struct variant *variant)
{
        shape->variants[shape->n++] = *variant;
}

/* The clients of one shape. */
struct crowd {
        struct load loads[PLACE_MAX][2]; /* by socket, by ring */
        bool is_open[PLACE_MAX][2];
};

static void crowd_open(struct crowd *crowd, const struct shape *size, const struct daemon_process *daemons,
                       size_t n_places)
{
        for (size_t place = 0; place < n_places; place++) {
                for (size_t ring = 0; ring < 2; ring++) {
                        const struct load_spec spec = {
                                .socket_path = daemons[place].socket_path,
                                .is_ring = ring == 1,
                                .m = size->m,
                                .k = size->k,
                                .n = size->n,
                                .depth = 1,
                        };

                        crowd->is_open[place][ring] = load_open(&crowd->loads[place][ring], &spec);
                }
        }
}

static void crowd_close(struct crowd *crowd)
{
        for (size_t place = 0; place < PLACE_MAX; place++) {
                for (size_t ring = 0; ring < 2; ring++) {
                        if (crowd->is_open[place][ring])
                                load_close(&crowd->loads[place][ring]);
                }
        }
}

static void add_all(struct shape_bench *shape, struct crowd *crowd, const struct floor *floor,
                    struct bench_product *product, size_t n_places)
{
        add(shape, &(struct variant){.way = IN_PROCESS, .product = product});
        for (enum place place = 0; place < n_places; place++) {
                for (enum pingpong_kind kind = 0; kind < PINGPONG_KIND_MAX; kind++)
                        add(shape, &(struct variant){.place = place,
                                                     .way = kind == PINGPONG_SOCKET ? RAW_SOCKET : FUTEX,
                                                     .pingpong = floor->pingpongs[place][kind]});
                for (size_t ring = 0; ring < 2; ring++) {
                        if (crowd->is_open[place][ring])
                                add(shape, &(struct variant){.place = place,
                                                             .way = ring ? RING : SOCKET,
                                                             .load = &crowd->loads[place][ring]});
                }
        }
}

static void shape_bench_free(struct shape_bench *shape)
{
        for (size_t i = 0; i < shape->n; i++) {
                samples_free(&shape->variants[i].all_us);
                samples_free(&shape->variants[i].rounds_us);
                samples_free(&shape->variants[i].ratios);
        }
        samples_free(&shape->over_floor);
}

static void bench_shape(struct bench *bench, const struct shape *size, const struct floor *floor,
                        const struct daemon_process *daemons, size_t n_places)
{
        static struct crowd crowd;
        const struct load *first = &crowd.loads[ONE_CPU][0];
        struct shape_bench shape = {0};
        int32_t *c = calloc(size->m * size->n, sizeof *c);
        struct bench_product *product;

        if (!c)
                die(0, "no memory");
        crowd_open(&crowd, size, daemons, n_places);
        product = bench_product_new(size->m, size->k, size->n, first->slots[0].a, first->b, c);
        add_all(&shape, &crowd, floor, product, n_places);
        measure(bench, &shape);
        report(bench, size, &shape, n_places);
        judge(bench, size, &shape);
        if (memcmp(c, first->slots[0].c, size->m * size->n * sizeof *c) != 0)
                die(0, "the daemon's product is not that in process");
        shape_bench_free(&shape);
        (void)bench_product_free(product);
        free(c);
        crowd_close(&crowd);
}

int main(int argc, char **argv)
{
        struct bench bench;
        struct floor floor = {0};
        struct daemon_process daemons[PLACE_MAX];
        size_t n_places;

        bench_init(&bench, "roundtrip", "One job through the daemon, next to the same product in process", 40,
                   argc, argv);
        n_places = cpu_count() < 2 ? 1 : PLACE_MAX;
        for (size_t place = 0; place < n_places; place++) {
                for (enum pingpong_kind kind = 0; kind < PINGPONG_KIND_MAX; kind++)
                        floor.pingpongs[place][kind] = pingpong_new(kind, (int)place);
                bench_daemon_start(&bench, &daemons[place], (int)place, NULL);
        }
        cpu_pin(0);
        bench_note(
                &bench,
                "Placement: client and in process on CPU 0; the other side, all threads, on CPU 0 (one CPU) "
                "or CPU 1 (two CPUs); what is in process stands in both. Weights resident, A and C in the "
                "arena, int32 out.");
        bench_note(
                &bench,
                "In process: the daemon's kernel (%s), one thread. x_in_process: median over rounds of the "
                "ratio of medians in a round.",
                bench_product_kernel());
        if (n_places < PLACE_MAX)
                bench_note(&bench, "There is only one CPU to use: nothing was measured on two.");
        for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
                bench_shape(&bench, &shapes[i], &floor, daemons, n_places);
        bench_chart(&bench,
                    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s}", "title", "One job, median",
                              "kind", "bar", "x", "shape", "y", "us_p50", "by", "way", "x_label", "M,K,N",
                              "y_label", "microseconds", "log_y", true, "split", "placement"));
        for (size_t place = 0; place < n_places; place++) {
                daemon_process_stop(&daemons[place]);
                for (enum pingpong_kind kind = 0; kind < PINGPONG_KIND_MAX; kind++)
                        (void)pingpong_free(floor.pingpongs[place][kind]);
        }
        return bench_finish(&bench);
}
