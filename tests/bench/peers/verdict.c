/* SPDX-License-Identifier: MIT */
/* verdict.c - what comes of bench-peers' findings: see peers.h. */
#include "tests/bench/peers/peers.h"

#include <math.h>

static struct finding *find(struct peers_bench *bench, const struct condition *condition, unsigned peer)
{
        for (size_t i = 0; i < bench->n_findings; i++) {
                struct finding *finding = &bench->findings[i];
                const struct condition *its = &finding->condition;

                if (finding->peer == peer && its->place == condition->place &&
                    its->shape == condition->shape && its->is_resident == condition->is_resident &&
                    its->is_alone == condition->is_alone && its->n_clients == condition->n_clients &&
                    its->depth == condition->depth)
                        return finding;
        }
        return NULL;
}

/* How often ours, by SOCKET or RING, is as good as this peer. NAN: one of them was not there. */
static double ratio(struct peers_bench *bench, const struct condition *condition, unsigned peer,
                    unsigned ours, bool is_rate)
{
        struct finding *finding = find(bench, condition, peer);
        struct samples *samples = !finding  ? NULL
                                  : is_rate ? &finding->rate_under[ours]
                                            : &finding->latency_over[ours];

        return samples && samples->n > 0 ? samples_median(samples) : NAN;
}

/* What comes out best of all ways of using gRPC. */
static double best_ratio(struct peers_bench *bench, const struct condition *condition, unsigned ours,
                         bool is_rate)
{
        double best = NAN;

        for (unsigned i = 0; i < PEER_MAX; i++)
                if (peers[i].flags & ONEDNN)
                        best = fmin(best, ratio(bench, condition, i, ours, is_rate)); /* NAN loses */
        return best;
}

static void judge(struct peers_bench *bench, const struct condition *condition, unsigned ours, bool is_rate,
                  double bound)
{
        static const unsigned against[] = {GRPC_SYNC, GRPC, PEER_MAX};
        char name[160];

        for (size_t i = 0; i < ARRAY_SIZE(against); i++) {
                const bool is_best = against[i] == PEER_MAX;

                if (!is_best && (peers[against[i]].flags & ONE_AT_A_TIME) && condition->depth > 1)
                        continue;
                (void)snprintf(name, sizeof name, "(%s), %s, %u x %u jobs outstanding, %s: %s %s",
                               shapes[condition->shape].name, places[condition->place].name,
                               condition->n_clients, condition->depth,
                               is_best ? "gRPC at its best" : peers[against[i]].name,
                               is_rate ? "our jobs/s over its, by" : "its latency over ours, by",
                               ours == RING ? "ring" : "socket");
                bench_target(&bench->bench, name,
                             is_best ? best_ratio(bench, condition, ours, is_rate)
                                     : ratio(bench, condition, against[i], ours, is_rate),
                             ">=", bound);
        }
}

static void judge_all(struct peers_bench *bench)
{
        static const struct {
                struct condition condition;
                unsigned ours;
                bool is_rate;
                double bound;
        } targets[] = {
                {{ONE_CPU, LARGE, true, false, 1, 1}, SOCKET, false, 2},
                {{TWO_CPUS, LARGE, true, false, 1, 1}, SOCKET, false, 2},
                {{ONE_CPU, ROW, true, false, 1, 1}, SOCKET, false, 7},
                {{TWO_CPUS, ROW, true, false, 1, 1}, RING, false, 40},
                {{ONE_CPU, LARGE, true, false, CLIENTS_MAX, 1}, SOCKET, true, 2},
                {{TWO_CPUS, LARGE, true, false, CLIENTS_MAX, 1}, SOCKET, true, 2},
                {{ONE_CPU, ROW, true, false, CLIENTS_MAX, 1}, SOCKET, true, 10},
                {{ONE_CPU, ROW, true, false, CLIENTS_MAX, 1}, RING, true, 10},
                {{ONE_CPU, ROW, true, false, CLIENTS_MAX, DEPTH_MAX}, SOCKET, true, 10},
                {{TWO_CPUS, ROW, true, false, CLIENTS_MAX, DEPTH_MAX}, SOCKET, true, 10},
                {{TWO_CPUS, ROW, true, false, CLIENTS_MAX, DEPTH_MAX}, RING, true, 10},
        };
        static const struct condition alone = {ONE_CPU, LARGE, true, true, 1, 1};
        bool is_exact = true;

        for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
                judge(bench, &targets[i].condition, targets[i].ours, targets[i].is_rate, targets[i].bound);
        bench_target(&bench->bench,
                     "Python's tile loop, (500,512,512): its time over ours by socket, one CPU",
                     ratio(bench, &alone, PYTHON_TILES, SOCKET, false), ">=", 200);
        for (size_t i = 0; i < bench->n_findings; i++)
                is_exact = is_exact && bench->findings[i].is_exact;
        bench_target(&bench->bench, "all products of all peers are exact (1) or not (0)", is_exact, ">=", 1);
}

static void add_notes(struct bench *bench)
{
        bench_note(bench,
                   "One CPU: daemon or server and all clients on CPU 0. Two CPUs: daemon or server, with "
                   "all of its threads, on CPU 1, all clients on CPU 0.");
        bench_note(bench,
                   "outstanding: jobs of each client. Latency is from submit to the product; us_p99 that "
                   "of the client that fared worst.");
        bench_note(bench,
                   "latency_over_X: this peer's latency over ours by X; X_rate_over: our jobs/s by X over "
                   "this peer's. Medians of ratios, each of one round.");
        bench_note(bench,
                   "Ours: A, C, and B where it is sent with each job, are in the arena, where the daemon "
                   "reads them.");
        if (!PEERS_HAVE_GRPC) {
                bench_note(bench, "gRPC and oneDNN 2 were not there when this was built: not measured.");
                return;
        }
        bench_note(bench, "gRPC computes by oneDNN's matmul primitive, one thread, B packed where resident. "
                          "defaults: synchronous server, blocking unary calls, protobuf, every setting as it "
                          "comes.");
        bench_note(bench,
                   "tuned: server and clients with one thread each on a completion queue, unary calls, "
                   "protobuf, settings of codec.h. raw: the same with bytes for protobuf, put together "
                   "without a copy. stream: these bytes on one bidirectional stream.");
        bench_note(bench, "our kernel: as tuned, but with the daemon's kernel for oneDNN. At its best: "
                          "whichever way, with oneDNN, does best under that condition.");
}

static void add_charts(struct bench *bench)
{
        for (unsigned shape = 0; shape < SHAPE_MAX; shape++) {
                bench_chart(bench,
                            json_pack("{s:s+, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:i, s:i}, s:s, s:s, s:s}",
                                      "title", "Latency, B resident, one client: ", shapes[shape].name, "x",
                                      "peer", "y", "us_p50", "by", "placement", "where", "part", "served",
                                      "shape", shapes[shape].name, "b", "resident", "clients", 1,
                                      "outstanding", 1, "x_label", "peer", "y_label", "us", "kind", "bar"));
                bench_chart(bench,
                            json_pack("{s:s+, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:i, s:i}, s:s, s:s, s:s}",
                                      "title", "Jobs/s, B resident, four clients with 16 jobs each: ",
                                      shapes[shape].name, "x", "peer", "y", "jobs_per_s", "by", "placement",
                                      "where", "part", "served", "shape", shapes[shape].name, "b", "resident",
                                      "clients", CLIENTS_MAX, "outstanding", DEPTH_MAX, "x_label", "peer",
                                      "y_label", "jobs/s", "kind", "bar"));
        }
}

void verdict_add(struct peers_bench *bench)
{
        add_notes(&bench->bench);
        add_charts(&bench->bench);
        judge_all(bench);
}
