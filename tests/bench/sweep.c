/* SPDX-License-Identifier: MIT */
/* sweep.c - see sweep.h. */
#include "tests/bench/sweep.h"

#include <math.h>
#include <stdio.h>

#define TURN_NS       20000000u
#define TURN_SMOKE_NS 1000000u
#define FLAT_PERCENT  10.0

/* Microseconds a job; `us` are those of the turn's round trips. */
static double cost_of(const struct sweep *sweep, struct load *load, struct samples *us, double turn_us)
{
        if (!sweep->by_pace)
                return samples_median(us);
        return load->pace_us.n > 0 ? samples_median(&load->pace_us) : turn_us / (double)us->n;
}

static void take_turn(const struct bench *bench, const struct sweep *sweep, struct sweep_point *point,
                      struct load *load, pid_t daemon)
{
        const uint64_t turn_ns = bench->smoke ? TURN_SMOKE_NS : TURN_NS;
        struct samples us = {0};
        uint64_t start_ns, cpu_start_ns;

        load_run(load, load->depth, 0, NULL); /* warm */
        cpu_start_ns = cpu_ns(daemon);
        start_ns = now_ns();
        load_run(load, load->depth, start_ns + turn_ns, &us);
        samples_push(&point->us, cost_of(sweep, load, &us, (double)(now_ns() - start_ns) / 1e3));
        samples_push(&point->cpu_us, (double)(cpu_ns(daemon) - cpu_start_ns) / 1e3 / (double)us.n);
        samples_free(&us);
}

/* Before samples are sorted: turn `at` of every point is of the same sweep. */
static void compare_with_first(struct sweep *sweep, size_t at)
{
        const struct sweep_point *first = &sweep->points[0];

        for (size_t i = 0; i < sweep->n; i++) {
                struct sweep_point *point = &sweep->points[i];

                samples_push(&point->us_ratio, point->us.values[at] / first->us.values[at]);
                samples_push(&point->cpu_us_ratio, point->cpu_us.values[at] / first->cpu_us.values[at]);
        }
}

void sweep_run(const struct bench *bench, struct sweep *sweep, pid_t daemon)
{
        for (struct rounds rounds = rounds_of(bench, sweep->share); rounds_next(&rounds);) {
                for (size_t i = 0; i < sweep->n; i++) {
                        const size_t at = rounds.n % 2 ? i : sweep->n - 1 - i;

                        take_turn(bench, sweep, &sweep->points[at], sweep->go_to(sweep->world, at), daemon);
                }
                compare_with_first(sweep, rounds.n - 1);
        }
}

void sweep_report(struct bench *bench, struct sweep *sweep)
{
        for (size_t i = 0; i < sweep->n; i++) {
                struct sweep_point *point = &sweep->points[i];
                const struct summary us = samples_summarize(&point->us),
                                     cpu_us = samples_summarize(&point->cpu_us);
                const struct summary ratio = samples_summarize(&point->us_ratio);
                json_t *row = json_pack("{s:s, s:f}", "part", sweep->part, sweep->axis, point->x);

                bench_put(row, "us_job", &us, NULL);
                bench_put(row, "daemon_cpu_us_job", &cpu_us, NULL);
                bench_put(row, "x_first", &ratio, NULL);
                (void)json_object_set_new(row, "cpu_x_first",
                                          json_real(samples_median(&point->cpu_us_ratio)));
                bench_row(bench, row);
        }
}

void sweep_free(struct sweep *sweep)
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

void sweep_judge(struct bench *bench, struct sweep *sweep)
{
        double x[SWEEP_POINTS_MAX], y[SWEEP_POINTS_MAX], start, slope;
        char name[128];

        for (size_t i = 0; i < sweep->n; i++) {
                x[i] = sweep->points[i].x;
                y[i] = samples_median(&sweep->points[i].us) * 1e3;
        }
        fit_line(x, y, sweep->n, &start, &slope);
        for (int is_cpu = 0; is_cpu < 2; is_cpu++) {
                (void)snprintf(name, sizeof name, "%s, %g to %g: %s of %s a job in percent", sweep->part,
                               x[0], x[sweep->n - 1], sweep->may_fall ? "largest rise" : "largest deviation",
                               is_cpu ? "the daemon's CPU time" : "the time");
                bench_target(bench, name,
                             sweep->may_fall ? rise_of(sweep, is_cpu) : deviation_of(sweep, is_cpu),
                             "<=", FLAT_PERCENT);
        }
        bench_note(bench, "%s: slope %.3f ns a job for each of %s.", sweep->part, slope, sweep->axis);
}
