/* SPDX-License-Identifier: MIT */
/*
 * bench-stacking.c - what stacking along M gains on the CPU where jobs meet, and costs a client that is alone.
 *
 *     bench-stacking [--json] [--smoke] [--seconds=S] [--daemon=PROGRAM]
 *
 * Role:   one client sends jobs of (1,512,512) on one set of weights, one at a time, and in groups of sixteen that are
 *         queued together; each with stacking on, then off, turn and turn about.
 * Places: unpinned.
 *
 * Medians over rounds of microseconds a job, and of the ratio off / on in each round (above 1: stacking is faster).
 */
#include "client/npumm.h"
#include "tests/bench/bench.h"
#include "tests/bench/load.h"
#include "tests/lib/process.h"

enum { K = 512, N = 512, MEETING = 16, JOBS = 320, JOBS_SMOKE = 16 };

struct group {
        struct load load;
        size_t n_done;
};

static void check(const struct group *group, int r, const char *what)
{
        if (r != 0)
                die(0, "%s: %s", what, npumm_text(group->load.client));
}

static void on_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        struct group *group = userdata;

        (void)client;
        (void)job;
        check(group, result, "a job");
        group->n_done++;
}

/* `n_jobs` jobs, `together` at a time as one group; returns microseconds a job. */
static double run(struct group *group, size_t n_jobs, size_t together)
{
        const uint64_t start_ns = now_ns();

        for (size_t i = 0; i < n_jobs; i += together) {
                group->n_done = 0;
                for (size_t j = 0; j < together; j++) {
                        const struct npumm_matmul job = {
                                .size = sizeof job,
                                .m = 1,
                                .k = K,
                                .n = N,
                                .a = group->load.slots[j].a,
                                .c = group->load.slots[j].c,
                                .weights = group->load.weights,
                                .flags = j + 1 < together ? NPUMM_MATMUL_MORE : 0,
                        };

                        check(group, npumm_submit(group->load.client, &job, NULL, on_done, group, NULL),
                              "submit");
                }
                while (group->n_done < together)
                        check(group, npumm_dispatch(group->load.client, -1), "dispatch");
        }
        return (double)(now_ns() - start_ns) / 1e3 / (double)n_jobs;
}

static void report(struct bench *bench, const char *name, struct samples *on_us, struct samples *off_us,
                   struct samples *ratios)
{
        const struct summary on = samples_summarize(on_us), off = samples_summarize(off_us);
        const struct summary ratio = samples_summarize(ratios);
        json_t *row = json_pack("{s:s}", "jobs", name);

        bench_put(row, "on_us_job", &on, NULL);
        bench_put(row, "off_us_job", &off, NULL);
        bench_put(row, "x_off_over_on", &ratio, NULL);
        bench_row(bench, row);
}

static void compare(struct bench *bench, struct group *group, const char *name, size_t together)
{
        struct samples on_us = {0}, off_us = {0}, ratios = {0};
        const size_t n_jobs = bench->smoke ? JOBS_SMOKE : JOBS;

        for (struct rounds rounds = rounds_of(bench, 0.5); rounds_next(&rounds);) {
                double us[2]; /* off, on */

                for (size_t turn = 0; turn < 2; turn++) {
                        const bool is_on = (turn + rounds.n) % 2 == 0;

                        load_set(&group->load, "stacking", is_on ? "on" : "off");
                        us[is_on] = run(group, n_jobs, together);
                }
                samples_push(&off_us, us[false]);
                samples_push(&on_us, us[true]);
                samples_push(&ratios, us[false] / us[true]);
        }
        report(bench, name, &on_us, &off_us, &ratios);
        samples_free(&on_us);
        samples_free(&off_us);
        samples_free(&ratios);
}

int main(int argc, char **argv)
{
        static struct group group;
        struct daemon_process daemon;
        struct load_spec spec = {.socket_path = daemon.socket_path, .m = 1, .k = K, .n = N, .depth = MEETING};
        struct bench bench;

        bench_init(&bench, "stacking", "What stacking gains where jobs meet, and costs where they do not", 5,
                   argc, argv);
        bench_note(&bench,
                   "Placement: unpinned. One client, (1,512,512), resident weights, A and C in the arena.");
        bench_daemon_start(&bench, &daemon, BENCH_ANY_CPU, NULL);
        (void)load_open(&group.load, &spec);
        compare(&bench, &group, "one at a time", 1);
        compare(&bench, &group, "sixteen together", MEETING);
        load_close(&group.load);
        daemon_process_stop(&daemon);
        return bench_finish(&bench);
}
