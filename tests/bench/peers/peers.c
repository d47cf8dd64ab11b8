/* SPDX-License-Identifier: MIT */
/* peers.c - see peers.h. */
#include "tests/bench/peers/peers.h"

const struct peer peers[PEER_MAX] = {
        [SOCKET] = {"ours, socket", SERVER_NPUMM, "worker-npumm", {"socket"}, SERVED | ALONE},
        [RING] = {"ours, ring", SERVER_NPUMM, "worker-npumm", {"ring"}, SERVED},
        [GRPC_SYNC] = {"gRPC, defaults",
                       SERVER_GRPC_SYNC,
                       "worker-grpc",
                       {"sync", "protobuf"},
                       SERVED | ONEDNN | ONE_AT_A_TIME},
        [GRPC] = {"gRPC, tuned", SERVER_GRPC, "worker-grpc", {"unary", "protobuf"}, SERVED | ONEDNN},
        [GRPC_RAW] = {"gRPC, raw", SERVER_GRPC, "worker-grpc", {"unary", "raw"}, SERVED | ONEDNN},
        [GRPC_STREAM] = {"gRPC, stream", SERVER_GRPC, "worker-grpc", {"stream", "raw"}, SERVED | ONEDNN},
        [GRPC_OURS] = {"gRPC, our kernel", SERVER_GRPC_OURS, "worker-grpc", {"unary", "protobuf"}, SERVED},
        [PYTHON_TILES] = {"Python, tiles", SERVER_NONE, PEERS_PYTHON, {PEERS_TILE_LOOP, "tiles"}, ALONE},
        [C_TILES] = {"C, tiles", SERVER_NONE, "worker-tiles", {NULL}, ALONE},
        [NUMPY_INT32] = {"NumPy, int32", SERVER_NONE, PEERS_PYTHON, {PEERS_TILE_LOOP, "numpy-int32"}, ALONE},
        [NUMPY_FLOAT32] =
                {"NumPy, float32", SERVER_NONE, PEERS_PYTHON, {PEERS_TILE_LOOP, "numpy-float32"}, ALONE},
};

const struct place_cpus places[PLACE_MAX] = {[ONE_CPU] = {"one CPU", 0, 0}, [TWO_CPUS] = {"two CPUs", 1, 0}};

const struct shape shapes[SHAPE_MAX] = {
        [TINY] = {"16,16,16", 16, 16, 16, 50},
        [ROW] = {"1,512,512", 1, 512, 512, 50},
        [LARGE] = {"500,512,512", 500, 512, 512, 200},
};

static bool peer_is_built(const struct peer *peer)
{
        return PEERS_HAVE_GRPC || peer->server == SERVER_NONE || peer->server == SERVER_NPUMM;
}

static void program_path(const char *program, char *ret_path, size_t size)
{
        if (program[0] == '/')
                (void)snprintf(ret_path, size, "%s", program);
        else
                (void)snprintf(ret_path, size, "%s/%s", PEERS_PROGRAMS, program);
}

void peers_address(const struct peers_bench *bench, enum server server, char *ret_text, size_t size)
{
        (void)snprintf(ret_text, size, "unix:%s/server-%d", bench->folder, server);
}

static void start_servers(struct peers_bench *bench, enum place place)
{
        static const char *const arguments[SERVER_MAX][2] = {[SERVER_GRPC] = {"onednn"},
                                                             [SERVER_GRPC_SYNC] = {"onednn", "sync"},
                                                             [SERVER_GRPC_OURS] = {"ours"}};
        char path[512], address[128];

        bench_daemon_start(&bench->bench, &bench->daemon, places[place].server_cpu, NULL);
        program_path("grpc-server", path, sizeof path);
        for (enum server server = 0; server < SERVER_MAX && PEERS_HAVE_GRPC; server++) {
                if (!arguments[server][0])
                        continue;
                peers_address(bench, server, address, sizeof address);
                child_start(&bench->servers[server], places[place].server_cpu,
                            (const char *const[]){path, address, arguments[server][0], arguments[server][1],
                                                  NULL});
                if (!child_await_ready(&bench->servers[server]))
                        die(0, "grpc-server has ended");
        }
}

static void start_client(struct peers_bench *bench, enum place place, unsigned index, unsigned client)
{
        const struct peer *peer = &peers[index];
        char path[512], address[128];
        const char *argv[5] = {path};
        size_t n = 1;

        program_path(peer->program, path, sizeof path);
        if (peer->server == SERVER_NPUMM)
                (void)snprintf(address, sizeof address, "%s", bench->daemon.socket_path);
        else
                peers_address(bench, peer->server, address, sizeof address);
        if (peer->server != SERVER_NONE)
                argv[n++] = address;
        for (size_t i = 0; i < 2 && peer->arguments[i]; i++)
                argv[n++] = peer->arguments[i];
        child_start(&bench->clients[index][client], places[place].client_cpu, argv);
}

void peers_start(struct peers_bench *bench, enum place place)
{
        start_servers(bench, place);
        for (unsigned i = 0; i < PEER_MAX; i++) {
                const unsigned n_clients = peers[i].flags & SERVED ? CLIENTS_MAX : 1;

                for (unsigned j = 0; j < n_clients && peer_is_built(&peers[i]); j++) {
                        start_client(bench, place, i, j);
                        if (!child_await_ready(&bench->clients[i][j]))
                                break;
                }
        }
}

void peers_stop(struct peers_bench *bench)
{
        for (unsigned i = 0; i < PEER_MAX; i++)
                for (unsigned j = 0; j < CLIENTS_MAX; j++)
                        child_stop(&bench->clients[i][j]);
        for (enum server server = 0; server < SERVER_MAX; server++)
                child_stop(&bench->servers[server]);
        daemon_process_stop(&bench->daemon);
}
