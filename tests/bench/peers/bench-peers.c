/* SPDX-License-Identifier: MIT */
/*
 * bench-peers.c - npumatmuld beside what one would use instead: gRPC with oneDNN, NumPy, a loop over 16x16 tiles.
 *
 * Role:   for each place (one CPU, two), shape, way of B, number of clients and of outstanding jobs: all peers take
 *         turns in every round, each with client processes of its own that wait while others have theirs. Ratios are
 *         those of one round, their medians are reported.
 * In:     bench.h's options; programs beside this one.
 * Out:    bench.h's results. A product of ours that is not exact ends the program; one of a peer's is a figure.
 * Thread: one; its children do the work.
 */
#include "tests/bench/peers/peers.h"
#include "tests/lib/oracle.h"
#include "tests/lib/rng.h"

#include <errno.h>
#include <signal.h>

#define TURN_SMOKE_NS 2000000
#define TURN_ALONE_NS 30000000

/* ---- operands ---- */

static void write_file(const struct peers_bench *bench, const char *name, const void *bytes, size_t n_bytes)
{
        char path[128];
        FILE *file;

        (void)snprintf(path, sizeof path, "%s/%s", bench->folder, name);
        file = fopen(path, "we");
        if (!file || fwrite(bytes, 1, n_bytes, file) != n_bytes || fclose(file) != 0)
                die(errno, "%s", path);
}

/* Operands of this shape, and the product that the oracle says they have. */
static void write_operands(const struct peers_bench *bench, unsigned shape)
{
        const size_t m = shapes[shape].m, k = shapes[shape].k, n = shapes[shape].n;
        int8_t *a = malloc(m * k), *b = malloc(k * n);
        int32_t *c = malloc(m * n * sizeof *c);
        const struct oracle_product product = {
                .m = m, .k = k, .n = n, .a = a, .lda = k, .b = b, .ldb = n, .form = ORACLE_INT32};
        struct rng rng = {.state = 1 + shape}; /* whatever they hold, they take as long */

        if (!a || !b || !c)
                die(ENOMEM, "operands");
        rng_fill(&rng, a, m * k);
        rng_fill(&rng, b, k * n);
        oracle_rows(&product, 0, m, c, n);
        write_file(bench, "a", a, m * k);
        write_file(bench, "b", b, k * n);
        write_file(bench, "c", c, m * n * sizeof *c);
        free(a);
        free(b);
        free(c);
}

/* ---- measuring ---- */

static bool takes_part(const struct peers_bench *bench, const struct condition *condition, unsigned peer)
{
        const unsigned flags = peers[peer].flags;

        return bench->clients[peer][0].pid != 0 && (flags & (condition->is_alone ? ALONE : SERVED)) &&
               !((flags & ONE_AT_A_TIME) && condition->depth > 1);
}

static void give_task(struct peers_bench *bench, const struct condition *condition, unsigned peer)
{
        for (unsigned i = 0; i < condition->n_clients; i++) {
                struct child *client = &bench->clients[peer][i];

                child_tell(client, "task %ju %ju %ju %d %u %s\n", (uintmax_t)shapes[condition->shape].m,
                           (uintmax_t)shapes[condition->shape].k, (uintmax_t)shapes[condition->shape].n,
                           condition->is_resident, condition->depth, bench->folder);
                if (!child_await_ready(client))
                        die(0, "%s has ended", peers[peer].name);
        }
}

/* One peer's turn: all its clients at the same time. */
static void take_turn(struct peers_bench *bench, struct finding *finding, uint64_t turn_ns)
{
        const uint64_t start_ns = now_ns() + 2000000, end_ns = start_ns + turn_ns;
        struct child *clients = bench->clients[finding->peer];
        struct samples us_p50 = {0}, us_p99 = {0};
        struct child_result result;
        double n_jobs = 0;

        for (unsigned i = 0; i < finding->condition.n_clients; i++)
                child_tell(&clients[i], "run %ju %ju\n", (uintmax_t)start_ns, (uintmax_t)end_ns);
        for (unsigned i = 0; i < finding->condition.n_clients; i++) {
                child_await_result(&clients[i], &result);
                samples_push(&us_p50, result.us_p50);
                samples_push(&us_p99, result.us_p99);
                n_jobs += (double)result.n_jobs;
                finding->is_exact = finding->is_exact && result.n_wrong == 0;
        }
        if (!finding->is_exact && peers[finding->peer].server == SERVER_NPUMM)
                die(0, "a product of %s is not exact", peers[finding->peer].name);
        finding->this_us = samples_median(&us_p50);
        finding->this_per_s = n_jobs / ((double)turn_ns / 1e9);
        samples_push(&finding->us_p50, finding->this_us);
        samples_push(&finding->us_p99, samples_quantile(&us_p99, 1)); /* of the client that fared worst */
        samples_push(&finding->per_s, finding->this_per_s);
        samples_free(&us_p50);
        samples_free(&us_p99);
}

static void compare(struct finding *findings, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const struct finding *ours = &findings[i];

                if (ours->peer != SOCKET && ours->peer != RING)
                        continue;
                for (size_t j = 0; j < n; j++) {
                        samples_push(&findings[j].latency_over[ours->peer],
                                     findings[j].this_us / ours->this_us);
                        if (findings[j].this_per_s > 0) /* none in time: a smoke run */
                                samples_push(&findings[j].rate_under[ours->peer],
                                             ours->this_per_s / findings[j].this_per_s);
                }
        }
}

static void put_ratio(json_t *row, const char *key, struct samples *samples)
{
        if (samples->n > 0 && json_object_set_new(row, key, json_real(samples_median(samples))) < 0)
                die(ENOMEM, "a result");
}

static void report(struct peers_bench *bench, struct finding *finding)
{
        const struct condition *condition = &finding->condition;
        const struct summary us_p50 = samples_summarize(&finding->us_p50);
        const struct summary per_s = samples_summarize(&finding->per_s);
        json_t *row = json_pack(
                "{s:s, s:s, s:s, s:s, s:i, s:i, s:s}", "part", condition->is_alone ? "alone" : "served",
                "placement", places[condition->place].name, "shape", shapes[condition->shape].name, "b",
                condition->is_resident ? "resident" : "sent", "clients", (int)condition->n_clients,
                "outstanding", (int)condition->depth, "peer", peers[finding->peer].name);

        if (!row)
                die(ENOMEM, "a result");
        bench_put(row, "us_p50", &us_p50, NULL);
        (void)json_object_set_new(row, "us_p99", json_real(samples_median(&finding->us_p99)));
        if (!condition->is_alone)
                bench_put(row, "jobs_per_s", &per_s, NULL);
        put_ratio(row, "latency_over_socket", &finding->latency_over[SOCKET]);
        put_ratio(row, "latency_over_ring", &finding->latency_over[RING]);
        if (!condition->is_alone) {
                put_ratio(row, "socket_rate_over", &finding->rate_under[SOCKET]);
                put_ratio(row, "ring_rate_over", &finding->rate_under[RING]);
        }
        (void)json_object_set_new(row, "exact", json_boolean(finding->is_exact));
        bench_row(&bench->bench, row);
}

/* Those without a server take long enough for a few jobs, or for the one that they have begun. */
static uint64_t turn_ns_of(const struct peers_bench *bench, const struct finding *finding)
{
        if (bench->bench.smoke)
                return TURN_SMOKE_NS;
        return peers[finding->peer].server == SERVER_NONE
                       ? TURN_ALONE_NS
                       : shapes[finding->condition.shape].turn_ms * UINT64_C(1000000);
}

static void measure(struct peers_bench *bench, const struct condition *condition, double share)
{
        struct finding *findings =
                realloc(bench->findings, (bench->n_findings + PEER_MAX) * sizeof *bench->findings);
        size_t n = 0;

        if (!findings)
                die(ENOMEM, "results");
        bench->findings = findings;
        findings += bench->n_findings;
        for (unsigned i = 0; i < PEER_MAX; i++)
                if (takes_part(bench, condition, i))
                        findings[n++] =
                                (struct finding){.condition = *condition, .peer = i, .is_exact = true};
        bench->n_findings += n;
        for (size_t i = 0; i < n; i++)
                give_task(bench, condition, findings[i].peer);
        for (size_t i = 0; i < n && !bench->bench.smoke; i++) {
                struct finding warm = findings[i];

                take_turn(bench, &warm, turn_ns_of(bench, &warm) / 4);
                samples_free(&warm.us_p50);
                samples_free(&warm.us_p99);
                samples_free(&warm.per_s);
        }
        for (struct rounds rounds = rounds_of(&bench->bench, share); rounds_next(&rounds);) {
                for (size_t i = 0; i < n; i++) {
                        struct finding *finding = &findings[(i + rounds.n) % n];

                        take_turn(bench, finding, turn_ns_of(bench, finding));
                }
                compare(findings, n);
        }
        for (size_t i = 0; i < n; i++)
                report(bench, &findings[i]);
}

static void measure_place(struct peers_bench *bench, enum place place, double share)
{
        static const unsigned n_clients[] = {1, CLIENTS_MAX}, depths[] = {1, DEPTH_MAX};
        const double each = share / (SHAPE_MAX * 2 * 2 * 2);

        peers_start(bench, place);
        for (unsigned shape = 0; shape < SHAPE_MAX; shape++) {
                write_operands(bench, shape);
                /* Bits: B is resident, one client, one job at a time, last. */
                for (unsigned i = 0; i < (bench->bench.smoke && shape == LARGE ? 1 : 8); i++)
                        measure(bench,
                                &(struct condition){.place = place,
                                                    .shape = shape,
                                                    .is_resident = !(i & 4),
                                                    .n_clients = n_clients[i >> 1 & 1],
                                                    .depth = depths[i & 1]},
                                each);
        }
        measure(bench,
                &(struct condition){.place = place,
                                    .shape = LARGE,
                                    .is_resident = true,
                                    .is_alone = true,
                                    .n_clients = 1,
                                    .depth = 1},
                each);
        peers_stop(bench);
}

/* ---- all of it ---- */

static void folder_open(struct peers_bench *bench)
{
        (void)snprintf(bench->folder, sizeof bench->folder, "/tmp/npumm-peers.XXXXXX");
        if (!mkdtemp(bench->folder))
                die(errno, "%s", bench->folder);
}

static void folder_remove(const struct peers_bench *bench)
{
        char path[128];

        for (const char *const *name = (const char *const[]){"a", "b", "c", NULL}; *name; name++) {
                (void)snprintf(path, sizeof path, "%s/%s", bench->folder, *name);
                (void)unlink(path);
        }
        for (enum server server = 0; server < SERVER_MAX; server++) {
                peers_address(bench, server, path, sizeof path);
                (void)unlink(path + strlen("unix:"));
        }
        if (rmdir(bench->folder) < 0)
                die(errno, "%s", bench->folder);
}

static void findings_free(struct peers_bench *bench)
{
        for (size_t i = 0; i < bench->n_findings; i++) {
                struct finding *finding = &bench->findings[i];

                samples_free(&finding->us_p50);
                samples_free(&finding->us_p99);
                samples_free(&finding->per_s);
                for (int ours = 0; ours < 2; ours++) {
                        samples_free(&finding->latency_over[ours]);
                        samples_free(&finding->rate_under[ours]);
                }
        }
        free(bench->findings);
}

int main(int argc, char **argv)
{
        struct peers_bench bench = {0};
        unsigned n_places;

        bench_init(&bench.bench, "peers",
                   "npumatmuld beside gRPC with oneDNN, NumPy, and loops over 16x16 tiles", 300, argc, argv);
        n_places = cpu_count() < 2 ? 1 : PLACE_MAX;
        (void)signal(SIGPIPE, SIG_IGN); /* a child that has ended is found out when it is read from */
        folder_open(&bench);
        for (enum place place = 0; place < n_places; place++)
                measure_place(&bench, place, 1.0 / n_places);
        if (n_places < PLACE_MAX)
                bench_note(&bench.bench, "This process may use one CPU: two were not measured.");
        verdict_add(&bench);
        folder_remove(&bench);
        findings_free(&bench);
        return bench_finish(&bench.bench);
}
