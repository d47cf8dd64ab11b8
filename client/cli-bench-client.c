/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-client.c - one client process of a benchmark: see bench_client_run() in cli-bench.h.
 *
 * Role:   connects, loads weights, waits for the start, sends jobs when the scenario says so.
 * In:     the plan; the times in shared memory.
 * Out:    its tally (cli-bench-load.h).
 * Thread: one.
 * Owns:   its connection.
 */
#include "cli-bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli-bench-judge.h"
#include "cli-bench-load.h"

#define DRAIN_NS_MAX   UINT64_C(60000000000) /* for jobs that are outstanding at the end */
#define EVIDENCE_BYTES (4u << 20) /* rows of some thousand products; a machine may have a thousand clients */
#define BURST_MAX      8u         /* jobs that are due, sent before a look at what has ended */

/* ---- scenarios: each until the end, leaving jobs outstanding ---- */

static void run_single(struct load *load)
{
        uint64_t pause_end_ns = 0;

        while (!load_is_over(load)) {
                const uint64_t now_ns = bench_now_ns();

                if (now_ns < pause_end_ns) {
                        load_dispatch_until(load, pause_end_ns);
                        continue;
                }
                load_send(load, now_ns, false);
                while (npumm_outstanding(load->client) > 0 && !load_is_over(load))
                        load_dispatch(load, LOAD_WAIT_MS);
                if (load->plan->think_us > 0)
                        pause_end_ns = bench_now_ns() +
                                       (uint64_t)bench_random_gap(&load->random, load->plan->think_us * 1e3);
        }
}

static void run_multi(struct load *load)
{
        while (!load_is_over(load)) {
                load->group_due_ns = bench_now_ns();
                load->group_is_ok = true;
                for (uint64_t i = 1; i <= load->plan->depth && !load->is_broken; i++)
                        load_send(load, load->group_due_ns, i < load->plan->depth);
                while (npumm_outstanding(load->client) > 0 && !load_is_over(load))
                        load_dispatch(load, LOAD_WAIT_MS);
        }
}

static void run_offline(struct load *load)
{
        while (!load_is_over(load)) {
                while (npumm_outstanding(load->client) < load->plan->depth && !load->is_broken)
                        load_send(load, bench_now_ns(), false);
                if (!load->is_broken)
                        load_dispatch(load, LOAD_WAIT_MS);
        }
}

static void server_send(struct load *load, struct bench_arrivals *arrivals)
{
        const uint64_t due_ns = bench_arrivals_due_ns(arrivals);

        if (npumm_outstanding(load->client) < load->slots_max)
                load_send(load, due_ns, false);
        else
                load_refuse(load, due_ns);
        bench_arrivals_pop(arrivals);
}

/*
 * Jobs are due by the clock alone. Whoever comes late to send one counts that as the job's latency: it would have
 * waited, had it been somebody else's. A client that keeps up has no more than a burst left when the time is over,
 * and sends that too; the rest of one that does not would take as long again.
 */
static void run_server(struct load *load)
{
        struct bench_arrivals arrivals;

        bench_arrivals_init(&arrivals, load->plan->seed, load->options->number, load->plan->clients,
                            load->plan->rate, load->options->shared->start_ns);
        while (!load_is_over(load)) {
                for (unsigned i = 0; i < BURST_MAX && !load_is_over(load); i++) {
                        if (bench_arrivals_due_ns(&arrivals) > bench_now_ns())
                                break;
                        server_send(load, &arrivals);
                }
                if (!load->is_broken)
                        load_dispatch_until(load, bench_arrivals_due_ns(&arrivals));
        }
        for (unsigned i = 0; i < BURST_MAX && !load->is_broken; i++)
                if (bench_arrivals_due_ns(&arrivals) < load_end_ns(load))
                        server_send(load, &arrivals);
        load_leave(load, &arrivals);
}

static void (*const scenarios[BENCH_SCENARIO_MAX])(struct load *load) = {
        [BENCH_SINGLE] = run_single,
        [BENCH_MULTI] = run_multi,
        [BENCH_SERVER] = run_server,
        [BENCH_OFFLINE] = run_offline,
};

/* What is outstanding at the end is waited for, as its latency counts; but not for ever. */
static void drain(struct load *load)
{
        const uint64_t give_up_ns = bench_now_ns() + DRAIN_NS_MAX;

        while (npumm_outstanding(load->client) > 0 && !load->is_broken)
                if (bench_now_ns() < give_up_ns)
                        load_dispatch(load, LOAD_WAIT_MS);
                else
                        load_break(load, CLI_FAILED,
                                   "%zu jobs of client %zu did not end within %u s; the daemon's log may say "
                                   "why",
                                   npumm_outstanding(load->client), load->options->number,
                                   (unsigned)(DRAIN_NS_MAX / 1000000000));
}

/* ---- beginning ---- */

static void connect_client(struct load *load)
{
        const struct npumm_connect_options options = {
                .size = sizeof options,
                .socket_path = load->options->common->socket_path,
                .client_name = "npumm-client bench",
        };
        char text[NPUMM_TEXT_MAX] = "";
        const int r = npumm_connect(&options, &load->client, text);

        if (r != 0) {
                load_break(load, CLI_UNREACHABLE, "%s", *text ? text : npumm_strerror(r));
                return;
        }
        load->slots_max = npumm_info(load->client)->jobs_max;
        if (load->plan->depth > load->slots_max)
                load_break(load, CLI_FAILED,
                           "--depth=%" PRIu64 " is over the %" PRIu64 " jobs that the daemon allows a client",
                           load->plan->depth, load->slots_max);
}

/* Through the socket or by way of an arena, as the jobs' other operands go. */
static void weights_load(struct load *load, size_t number)
{
        const struct npumm_weights_spec spec = {
                .size = sizeof spec,
                .k = load->plan->shapes.bs[number].k,
                .n = load->plan->shapes.bs[number].n,
                .b = load->options->bs[number],
                .flags = load->plan->is_inline ? NPUMM_WEIGHTS_INLINE : 0u,
        };
        const int r = npumm_weights_load(load->client, &spec, &load->weights[number]);

        if (r != 0)
                load_break_by(load, r,
                              &(struct cli_asked){
                                      .is_inline = load->plan->is_inline,
                                      .for_weights = true,
                                      .memory_bytes = load->plan->is_inline ? 0 : spec.k * spec.n,
                              });
}

/* Ordinary memory will do for what goes through the socket; else each client has a copy that the daemon sees. */
static void own_b_place(struct load *load, size_t number)
{
        const uint64_t n_bytes = load->plan->shapes.bs[number].k * load->plan->shapes.bs[number].n;
        void *memory;

        load->bs[number] = load->options->bs[number];
        if (load->plan->is_inline)
                return;
        memory = load_take_memory(load, n_bytes);
        if (memory)
                load->bs[number] = memcpy(memory, load->options->bs[number], n_bytes);
}

static void prepare(struct load *load)
{
        const struct bench_shapes *shapes = &load->plan->shapes;
        uint64_t n_max = 0;

        for (size_t i = 0; i < shapes->n; i++)
                n_max = MAX(n_max, shapes->all[i].n);
        load->weights = calloc(shapes->n_bs, sizeof *load->weights);
        load->bs = calloc(shapes->n_bs, sizeof *load->bs);
        load->is_seen = calloc(shapes->n, sizeof *load->is_seen);
        load->room = malloc(bench_judge_room(n_max) * sizeof *load->room);
        if (!load->weights || !load->bs || !load->is_seen || !load->room)
                load_break(load, CLI_FAILED, "out of memory; use fewer clients or smaller shapes");
        else if (load->plan->verify != BENCH_VERIFY_NONE &&
                 bench_evidence_init(&load->evidence, EVIDENCE_BYTES) < 0)
                load_break(load, CLI_FAILED, "out of memory; use fewer clients");
        else
                connect_client(load);
        for (size_t i = 0; i < shapes->n_bs && !load->is_broken; i++)
                if (load->plan->own_b)
                        own_b_place(load, i);
                else
                        weights_load(load, i);
        /* So many will be outstanding, unless jobs come by the clock. */
        for (uint64_t i = 0; i < load->plan->depth && !load->is_broken; i++)
                load_add_slot(load);
}

/* Says that we are ready, and waits until the gate and the time to start have come. */
static void await_start(struct load *load)
{
        const uint64_t one = 1;
        struct timespec start;
        uint8_t byte;
        ssize_t n;

        load->tally->state = BENCH_READY;
        n = write(load->options->ready_fd, &one, sizeof one);
        assert(n == (ssize_t)sizeof one);
        do
                n = read(load->options->gate_fd, &byte, 1);
        while (n < 0 && errno == EINTR);
        start = (struct timespec){
                .tv_sec = (time_t)(load->options->shared->start_ns / 1000000000),
                .tv_nsec = (long)(load->options->shared->start_ns % 1000000000),
        };
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL) == EINTR)
                ;
}

void bench_client_run(const struct bench_client_options *options)
{
        struct load load = {
                .options = options,
                .plan = options->plan,
                .tally = &options->shared->tallies[options->number],
                .random = bench_random_of(options->plan->seed, BENCH_RANDOM_TIMES, options->number, 0),
        };

        SLIST_INIT(&load.idle);
        prepare(&load);
        if (!load.is_broken) {
                await_start(&load);
                scenarios[load.plan->scenario](&load);
                drain(&load);
                load_judge(&load);
        }
        npumm_close(load.client);
        load.tally->state = load.is_broken ? BENCH_FAILED : BENCH_FINISHED;
        /* Memory goes with the process, which ends now. */
}
