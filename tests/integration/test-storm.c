/* SPDX-License-Identifier: MIT */
/*
 * test-storm.c - many processes, many jobs in flight, round after round: exact, and nothing is left behind.
 *
 * usage: test-storm DAEMON
 *
 * Ten rounds. In each, four client processes connect, keep eight jobs in flight until each has done its share, check
 * every product, and leave. After each round the daemon must have no charges and no arenas; its file descriptors
 * after round 10 must be as many as after round 2, and its memory within 1 MiB (not judged in sanitized builds, whose
 * allocators keep what is freed).
 */
#include <inttypes.h>
#include <jansson.h>
#include <npumm.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>

#include "tests/lib/oracle.h"
#include "tests/lib/process.h"
#include "tests/lib/rng.h"

#define ROUNDS        10
#define CLIENTS       4
#define IN_FLIGHT     8
#define JOBS_A_CLIENT (NPUMM_TEST_SLOW ? 12 : 40)
#define RSS_SLACK     1048576
#define SETTLE_TRIES  200 /* of 20 ms: pages are freed behind the loop's back */

/* How a job's operands reach the daemon. */
enum way { IN_ARENA = 0, ORDINARY, INLINE, WAY_MAX };

struct task {
        struct storm *storm;
        enum way way;
        struct npumm_matmul matmul;
        int8_t *a, *b; /* owned */
        void *c;       /* owned */
        float *scale;  /* owned: for rows, columns and bias alike; FLOAT32 only */
        uint64_t rows_reported;
};

struct storm {
        struct npumm_client *client;
        struct rng rng;
        unsigned n_submitted, n_done;
        struct task tasks[IN_FLIGHT];
};

static void *take(struct task *task, size_t size_bytes)
{
        void *memory = NULL;

        if (task->way == IN_ARENA) {
                if (npumm_alloc(task->storm->client, size_bytes, &memory) != 0)
                        die(0, "%s", npumm_text(task->storm->client));
        } else {
                memory = malloc(size_bytes);
                if (!memory)
                        die(0, "no memory");
        }
        return memory;
}

static void give_back(struct task *task, void *memory)
{
        if (task->way == IN_ARENA)
                npumm_free(task->storm->client, memory);
        else
                free(memory);
}

/* Small, or one row, or wide: so that jobs of one slice and of many meet. */
static void shape_pick(struct rng *rng, struct npumm_matmul *matmul)
{
        static const uint64_t most[][3] = {{64, 200, 200}, {1, 600, 900}, {300, 40, 300}, {9, 2000, 20}};
        const uint64_t *limits = most[rng_below(rng, ARRAY_SIZE(most))];

        matmul->m = rng_between(rng, 1, limits[0]);
        matmul->k = rng_between(rng, 1, limits[1]);
        matmul->n = rng_between(rng, 1, limits[2]);
}

static void on_rows(struct npumm_client *client, uint64_t job, uint64_t first_row, uint64_t rows,
                    void *userdata)
{
        struct task *task = userdata;

        (void)client;
        (void)job;
        (void)first_row;
        task->rows_reported += rows;
}

static void check(const struct task *task)
{
        const struct npumm_matmul *p = &task->matmul;
        const struct oracle_product product = {
                .m = p->m,
                .k = p->k,
                .n = p->n,
                .a = p->a,
                .lda = p->lda,
                .b = p->b,
                .ldb = p->ldb,
                .b_transposed = (p->flags & NPUMM_MATMUL_B_TRANSPOSED) != 0,
                .form = (enum oracle_form)p->output,
                .shift = p->shift,
                .nearest_even = p->rounding == NPUMM_ROUNDING_NEAREST_EVEN,
                .row_scale = p->row_scale,
                .col_scale = p->col_scale,
                .bias = p->bias,
        };

        if (!oracle_check(&product, 0, p->m, p->c, p->ldc))
                die(0, "%" PRIu64 "x%" PRIu64 "x%" PRIu64 " is not exact", p->m, p->k, p->n);
}

static void submit(struct task *task);

static void on_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        struct task *task = userdata;

        (void)job;
        if (result != 0)
                die(0, "a job ended with %d: %s", result, npumm_text(client));
        if (task->rows_reported != task->matmul.m)
                die(0, "done with %" PRIu64 " of %" PRIu64 " rows reported", task->rows_reported,
                    task->matmul.m);
        check(task);
        give_back(task, task->a);
        give_back(task, task->b);
        give_back(task, task->c);
        give_back(task, task->scale);
        task->storm->n_done++;
        if (task->storm->n_submitted < JOBS_A_CLIENT)
                submit(task);
}

/* Every form in its turn, each with all that belongs to it. */
static void form_pick(struct task *task)
{
        struct npumm_matmul *p = &task->matmul;
        struct rng *rng = &task->storm->rng;
        const size_t n_scales = MAX(p->m, p->n);

        p->output = (enum npumm_output)rng_below(rng, 4);
        task->scale = NULL;
        if (p->output == NPUMM_OUTPUT_INT8) {
                p->shift = (uint32_t)rng_between(rng, 0, 31);
                p->rounding = (enum npumm_rounding)rng_below(rng, 2);
        } else if (p->output == NPUMM_OUTPUT_FLOAT32) {
                task->scale = take(task, n_scales * sizeof *task->scale);
                rng_floats(rng, task->scale, n_scales);
                p->row_scale = rng_once_in(rng, 4) ? NULL : task->scale;
                p->col_scale = rng_once_in(rng, 4) ? NULL : task->scale;
                p->bias = rng_once_in(rng, 4) ? NULL : task->scale;
        }
}

static void submit(struct task *task)
{
        struct storm *storm = task->storm;
        struct npumm_matmul *p = &task->matmul;
        struct rng *rng = &storm->rng;
        const bool transposed = rng_once_in(rng, 2);
        uint64_t b_rows, b_cols;

        *p = (struct npumm_matmul){.size = sizeof *p};
        shape_pick(rng, p);
        task->way = (enum way)rng_below(rng, WAY_MAX);
        task->rows_reported = 0;
        form_pick(task);
        p->flags = (transposed ? NPUMM_MATMUL_B_TRANSPOSED : 0) |
                   (task->way == INLINE ? NPUMM_MATMUL_INLINE : 0);
        b_rows = transposed ? p->n : p->k;
        b_cols = transposed ? p->k : p->n;
        p->lda = p->k + rng_below(rng, 4);
        p->ldb = b_cols + rng_below(rng, 4);
        p->ldc = p->n + rng_below(rng, 4);
        p->a = task->a = take(task, p->m * p->lda);
        p->b = task->b = take(task, b_rows * p->ldb);
        p->c = task->c = take(task, p->m * p->ldc * oracle_elem_bytes((enum oracle_form)p->output));
        rng_fill(rng, task->a, p->m * p->lda);
        rng_fill(rng, task->b, b_rows * p->ldb);
        if (npumm_submit(storm->client, p, on_rows, on_done, task, NULL) != 0)
                die(0, "%s", npumm_text(storm->client));
        storm->n_submitted++;
}

static struct npumm_client *connect_to(const struct daemon_process *daemon, uint32_t flags)
{
        const struct npumm_connect_options options = {
                .size = sizeof options, .socket_path = daemon->socket_path, .flags = flags};
        char text[NPUMM_TEXT_MAX];
        struct npumm_client *client;

        if (npumm_connect(&options, &client, text) != 0)
                die(0, "%s", text);
        return client;
}

static void client_run(const struct daemon_process *daemon, struct rng rng)
{
        struct storm storm = {.rng = rng};

        storm.client = connect_to(daemon, 0);
        for (size_t i = 0; i < IN_FLIGHT; i++) {
                storm.tasks[i].storm = &storm;
                submit(&storm.tasks[i]);
        }
        while (storm.n_done < JOBS_A_CLIENT)
                if (npumm_dispatch(storm.client, -1) != 0)
                        die(0, "%s", npumm_text(storm.client));
        npumm_close(storm.client);
}

static void round_run(const struct daemon_process *daemon, struct rng *rng)
{
        pid_t pids[CLIENTS];

        (void)fflush(stdout); /* or each child prints it again */
        for (unsigned i = 0; i < CLIENTS; i++) {
                const struct rng own = {.state = rng_next(rng) | 1};

                pids[i] = fork();
                if (pids[i] < 0)
                        die(0, "fork failed");
                if (pids[i] == 0) {
                        client_run(daemon, own);
                        exit(0);
                }
        }
        for (unsigned i = 0; i < CLIENTS; i++) {
                int status;

                if (waitpid(pids[i], &status, 0) < 0 || status != 0)
                        die(0, "client %u ended with wait status 0x%x", i, (unsigned)status);
        }
}

static json_int_t status_number(const json_t *status, const char *key)
{
        const json_t *value = json_object_get(status, key);

        if (!json_is_integer(value))
                die(0, "status has no number %s", key);
        return json_integer_value(value);
}

/* Waits until the daemon holds nothing for anybody but us, then reads its usage. */
static void settle(const struct daemon_process *daemon, struct process_usage *ret_usage)
{
        struct npumm_client *client = connect_to(daemon, NPUMM_CONNECT_SOCKET); /* no arena for rings */
        json_int_t bytes = -1, connections = -1, inside = -1;

        for (int i = 0; i < SETTLE_TRIES; i++) {
                json_t *status;
                char *text;

                if (npumm_daemon_status(client, &text) != 0)
                        die(0, "%s", npumm_text(client));
                status = json_loads(text, 0, NULL);
                free(text);
                bytes = status_number(status, "arena_bytes");
                connections = status_number(status, "connections");
                inside = status_number(status, "jobs_inside");
                json_decref(status);
                if (bytes == 0 && connections == 1 && inside == 0) {
                        process_usage_read(daemon->pid, ret_usage);
                        npumm_close(client);
                        return;
                }
                (void)poll(NULL, 0, 20);
        }
        die(0,
            "the daemon still has %" JSON_INTEGER_FORMAT " bytes, %" JSON_INTEGER_FORMAT
            " connections, %" JSON_INTEGER_FORMAT " jobs",
            bytes, connections, inside);
}

int main(int argc, char **argv)
{
        struct process_usage usage[ROUNDS + 1] = {{0}};
        struct daemon_process daemon;
        struct rng rng;

        if (argc != 2)
                die(0, "usage: %s DAEMON", argv[0]);
        rng_start(&rng, "test-storm");
        daemon_process_start(&daemon, argv[1], NULL);
        for (unsigned i = 1; i <= ROUNDS; i++) {
                round_run(&daemon, &rng);
                settle(&daemon, &usage[i]);
                printf("round %u: %" PRIu64 " KiB of its own, %" PRIu64 " KiB shared, %u fds\n", i,
                       usage[i].rss_bytes / 1024, usage[i].shmem_bytes / 1024, usage[i].n_fds);
        }
        if (usage[ROUNDS].n_fds != usage[2].n_fds)
                die(0, "%u fds after round %d, %u after round 2", usage[ROUNDS].n_fds, ROUNDS,
                    usage[2].n_fds);
        if (NPUMM_TEST_SLOW)
                printf("memory is not judged: this build keeps what is freed\n");
        else if (usage[ROUNDS].rss_bytes + usage[ROUNDS].shmem_bytes >
                 usage[2].rss_bytes + usage[2].shmem_bytes + RSS_SLACK)
                die(0, "resident memory grew by more than %d bytes between rounds 2 and %d", RSS_SLACK,
                    ROUNDS);
        printf("%d jobs, all exact\n", ROUNDS * CLIENTS * JOBS_A_CLIENT);
        daemon_process_stop(&daemon);
        return 0;
}
