/* SPDX-License-Identifier: MIT */
/*
 * demo.c - the quick start: one daemon, two client processes, two exact products.
 *
 * usage: npumm-demo DAEMON
 *
 * Starts DAEMON on a private socket with the CPU device. Two processes, at the same time, multiply a 500x512 by a
 * 512x512 matrix of their own and compare each element of the product with a plain triple loop. Exit code: 0 if
 * both are exact.
 */
#include <inttypes.h>
#include <jansson.h>
#include <npumm.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/process.h"

#define CLIENTS 2
#define M       500
#define K       512
#define N       512

/* What a client process tells its parent. */
struct report {
        double seconds;
        uint64_t n_wrong;
};

static double now_s(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static struct npumm_client *connect_or_die(const char *socket_path, const char *name)
{
        const struct npumm_connect_options options = {
                .size = sizeof options, .socket_path = socket_path, .client_name = name};
        char text[NPUMM_TEXT_MAX];
        struct npumm_client *client;

        if (npumm_connect(&options, &client, text) != 0)
                die(0, "%s", text);
        return client;
}

static void *alloc_or_die(struct npumm_client *client, size_t size_bytes)
{
        void *memory;

        if (npumm_alloc(client, size_bytes, &memory) != 0)
                die(0, "%s", npumm_text(client));
        return memory;
}

static void fill(int8_t *matrix, size_t n, unsigned seed)
{
        uint32_t state = seed * 2654435761u + 1;

        for (size_t i = 0; i < n; i++) {
                state = state * 1664525u + 1013904223u;
                matrix[i] = (int8_t)(state >> 24);
        }
}

/* The judge: three loops and nothing of the product's own code. */
static uint64_t count_wrong(const int8_t *a, const int8_t *b, const int32_t *c)
{
        uint64_t n_wrong = 0;

        for (size_t m = 0; m < M; m++)
                for (size_t n = 0; n < N; n++) {
                        int64_t sum = 0;

                        for (size_t k = 0; k < K; k++)
                                sum += (int64_t)a[m * K + k] * b[k * N + n];
                        n_wrong += sum != c[m * N + n];
                }
        return n_wrong;
}

static void client_run(const char *socket_path, unsigned number, int report_fd)
{
        char name[] = "demo 0";
        struct npumm_client *client;
        struct report report;
        int8_t *a, *b;
        int32_t *c;
        double start_s;

        name[sizeof name - 2] = (char)('0' + number);
        client = connect_or_die(socket_path, name);
        a = alloc_or_die(client, (size_t)M * K);
        b = alloc_or_die(client, (size_t)K * N);
        c = alloc_or_die(client, (size_t)M * N * sizeof *c);
        fill(a, (size_t)M * K, number);
        fill(b, (size_t)K * N, number + CLIENTS);
        start_s = now_s();
        if (npumm_matmul(client, &(struct npumm_matmul){
                                         .size = sizeof(struct npumm_matmul),
                                         .m = M,
                                         .k = K,
                                         .n = N,
                                         .a = a,
                                         .b = b,
                                         .c = c,
                                 }) != 0)
                die(0, "%s", npumm_text(client));
        report.seconds = now_s() - start_s;
        report.n_wrong = count_wrong(a, b, c);
        npumm_close(client);
        if (write(report_fd, &report, sizeof report) != (ssize_t)sizeof report)
                die(0, "the client cannot report");
}

/* "on cpu (AVX-512 VNNI kernel, 1 thread), 8 submissions" */
static void print_device(const char *socket_path)
{
        struct npumm_client *client = connect_or_die(socket_path, "demo");
        char *text;
        json_t *status;

        if (npumm_daemon_status(client, &text) != 0)
                die(0, "%s", npumm_text(client));
        status = json_loads(text, 0, NULL);
        if (!status)
                die(0, "the daemon's status is not JSON");
        printf("device: %s (%s); submissions: %lld; jobs: %lld\n",
               json_string_value(json_object_get(status, "backend")),
               json_string_value(json_object_get(status, "device")),
               (long long)json_integer_value(json_object_get(status, "submissions")),
               (long long)json_integer_value(json_object_get(status, "jobs")));
        json_decref(status);
        free(text);
        npumm_close(client);
}

int main(int argc, char **argv)
{
        struct daemon_process daemon;
        pid_t pids[CLIENTS];
        int fds[CLIENTS][2];
        bool all_exact = true;

        if (argc != 2)
                die(0, "usage: %s DAEMON", argv[0]);
        daemon_process_start(&daemon, argv[1], NULL);
        for (unsigned i = 0; i < CLIENTS; i++) {
                if (pipe(fds[i]) < 0 || (pids[i] = fork()) < 0)
                        die(0, "cannot start a client process");
                if (pids[i] == 0) {
                        client_run(daemon.socket_path, i, fds[i][1]);
                        return 0;
                }
                (void)close(fds[i][1]);
        }
        for (unsigned i = 0; i < CLIENTS; i++) {
                struct report report;
                int status;

                if (read(fds[i][0], &report, sizeof report) != (ssize_t)sizeof report)
                        die(0, "client %u has not reported", i);
                (void)waitpid(pids[i], &status, 0);
                all_exact = all_exact && report.n_wrong == 0 && status == 0;
                printf("client %u: %dx%d @ %dx%d, %.1f ms, ", i, M, K, K, N, report.seconds * 1e3);
                if (report.n_wrong == 0)
                        printf("exact\n");
                else
                        printf("%" PRIu64 " of %d elements are WRONG\n", report.n_wrong, M * N);
        }
        print_device(daemon.socket_path);
        daemon_process_stop(&daemon);
        return all_exact ? 0 : 1;
}
