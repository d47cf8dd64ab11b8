/* SPDX-License-Identifier: MIT */
/*
 * bench-stacking.c - what stacking along M gains on the CPU where jobs meet, and costs a client that is alone.
 *
 *     bench-stacking DAEMON [ROUNDS]
 *
 * Both ways in one run, turn and turn about, so that whatever else the machine does hits both: a round sends the same
 * jobs of (1,512,512) on one set of weights with stacking on, then off. Prints one line of JSON: medians over rounds of
 * microseconds a job, and of the ratio off / on in each round (above 1: stacking is faster).
 */
#include <stdio.h>

#include "client/npumm.h"
#include "tests/bench/median.h"
#include "tests/lib/process.h"
#include "tests/lib/rng.h"

#include <time.h>

enum { K = 512, N = 512, MEETING = 16 };

struct bench {
        struct npumm_client *client;
        uint64_t weights;
        int8_t *a;
        int32_t *c;
        size_t n_done;
};

static double now_us(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void check(const struct bench *bench, int r, const char *what)
{
        if (r != 0)
                die(0, "%s: %s", what, bench->client ? npumm_text(bench->client) : npumm_strerror(r));
}

static void on_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        struct bench *bench = userdata;

        (void)client;
        (void)job;
        check(bench, result, "a job");
        bench->n_done++;
}

/* `n_jobs` jobs, `together` at a time as one group; returns microseconds a job. */
static double run(struct bench *bench, size_t n_jobs, size_t together)
{
        const double start_us = now_us();

        for (size_t i = 0; i < n_jobs; i += together) {
                bench->n_done = 0;
                for (size_t j = 0; j < together; j++) {
                        const struct npumm_matmul job = {
                                .size = sizeof job,
                                .m = 1,
                                .k = K,
                                .n = N,
                                .a = bench->a + j * K,
                                .c = bench->c + j * N,
                                .weights = bench->weights,
                                .flags = j + 1 < together ? NPUMM_MATMUL_MORE : 0,
                        };

                        check(bench, npumm_submit(bench->client, &job, NULL, on_done, bench, NULL), "submit");
                }
                while (bench->n_done < together)
                        check(bench, npumm_dispatch(bench->client, -1), "dispatch");
        }
        return (now_us() - start_us) / (double)n_jobs;
}

static void compare_both(struct bench *bench, const char *name, size_t n_rounds, size_t n_jobs,
                         size_t together)
{
        double *on_us = calloc(n_rounds, sizeof *on_us), *off_us = calloc(n_rounds, sizeof *off_us);
        double *ratio = calloc(n_rounds, sizeof *ratio);

        if (!on_us || !off_us || !ratio)
                die(0, "no memory");
        for (size_t i = 0; i < n_rounds; i++) {
                const bool on_first = i % 2 == 0;

                for (int turn = 0; turn < 2; turn++) {
                        const bool is_on = (turn == 0) == on_first;

                        check(bench, npumm_set(bench->client, "stacking", is_on ? "on" : "off"), "set");
                        *(is_on ? &on_us[i] : &off_us[i]) = run(bench, n_jobs, together);
                }
                ratio[i] = off_us[i] / on_us[i];
        }
        (void)printf("\"%s\": {\"on_us\": %.2f, \"off_us\": %.2f, \"off_over_on\": %.3f}", name,
                     median(on_us, n_rounds), median(off_us, n_rounds), median(ratio, n_rounds));
        free(on_us);
        free(off_us);
        free(ratio);
}

static void bench_open(struct bench *bench, const char *socket_path)
{
        const struct npumm_connect_options options = {.size = sizeof options, .socket_path = socket_path};
        struct npumm_weights_spec spec = {.size = sizeof spec, .k = K, .n = N};
        char text[NPUMM_TEXT_MAX];
        struct rng rng = {.state = 1}; /* whatever they hold, they take as long */
        void *memory;

        if (npumm_connect(&options, &bench->client, text) != 0)
                die(0, "%s", text);
        check(bench, npumm_alloc(bench->client, MEETING * K, &memory), "alloc");
        bench->a = memory;
        check(bench, npumm_alloc(bench->client, MEETING * N * sizeof *bench->c, &memory), "alloc");
        bench->c = memory;
        check(bench, npumm_alloc(bench->client, K * N, &memory), "alloc");
        spec.b = memory;
        rng_fill(&rng, bench->a, MEETING * K);
        rng_fill(&rng, memory, K * N);
        check(bench, npumm_weights_load(bench->client, &spec, &bench->weights), "weights");
}

int main(int argc, char **argv)
{
        const size_t n_rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 41;
        struct daemon_process daemon;
        struct bench bench = {0};

        if (argc < 2 || n_rounds < 1)
                die(0, "usage: bench-stacking DAEMON [ROUNDS]");
        daemon_process_start(&daemon, argv[1], NULL);
        bench_open(&bench, daemon.socket_path);
        (void)run(&bench, 200, 1); /* warm */
        (void)printf("{\"bench\": \"stacking\", \"shape\": [1, %d, %d], \"rounds\": %zu, ", K, N, n_rounds);
        compare_both(&bench, "alone", n_rounds, 200, 1);
        (void)printf(", ");
        compare_both(&bench, "sixteen_together", n_rounds, 320, MEETING);
        (void)printf("}\n");
        npumm_close(bench.client);
        daemon_process_stop(&daemon);
        return 0;
}
