/* SPDX-License-Identifier: MIT */
/*
 * test-client-resident.c - libnpumm against a real daemon, in what protocol 1.1 brought: weights that stay with it,
 * groups, deadlines.
 *
 * usage: test-client-resident DAEMON
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "task.h"

#define TASKS 60u

/* One number of the daemon's status. */
static uint64_t status_number(struct npumm_client *client, const char *key)
{
        json_t *status;
        uint64_t number;
        char *text;

        if (npumm_daemon_status(client, &text) != 0)
                die(0, "npumm_daemon_status: %s", npumm_text(client));
        status = json_loads(text, 0, NULL);
        if (!json_is_integer(json_object_get(status, key)))
                die(0, "the status has no whole number %s", key);
        number = (uint64_t)json_integer_value(json_object_get(status, key));
        json_decref(status);
        free(text);
        return number;
}

static void expect(struct npumm_client *client, const char *what, int result, int right, const char *words)
{
        if (result != right)
                die(0, "%s: %d, not %d: %s", what, result, right, npumm_text(client));
        if (right != 0 && !strstr(npumm_text(client), words))
                die(0, "%s: \"%s\" lacks \"%s\"", what, npumm_text(client), words);
}

/* ---- products ---- */

/* Of every form, way and orientation, with gaps and without: exact, though B is gone when they are submitted. */
static void check_products(const struct daemon_process *daemon, struct rng *rng)
{
        struct npumm_client *client = task_connect(daemon);
        static struct task tasks[TASKS];

        for (size_t i = 0; i < TASKS; i++) {
                struct task_spec spec = task_spec_random(rng);

                spec.way = (enum task_way)(i % TASK_WAY_MAX);
                spec.output = (enum npumm_output)(i / TASK_WAY_MAX % 4);
                spec.with_weights = true;
                task_init(&tasks[i], client, &spec, rng);
        }
        for (size_t i = 0; i < TASKS; i++) {
                const uint64_t b_rows = tasks[i].spec.b_transposed ? tasks[i].spec.n : tasks[i].spec.k;
                const uint64_t b_cols = tasks[i].spec.b_transposed ? tasks[i].spec.k : tasks[i].spec.n;
                const size_t b_bytes = b_rows * (b_cols + tasks[i].spec.gap);
                int8_t *kept = malloc(b_bytes);

                if (!kept)
                        die(0, "no memory");
                memcpy(kept, tasks[i].b, b_bytes);
                memset(tasks[i].b, 0x33, b_bytes); /* the daemon has a copy */
                task_submit(&tasks[i]);
                while (tasks[i].n_ends == 0)
                        task_dispatch(client);
                memcpy(tasks[i].b, kept, b_bytes);
                free(kept);
        }
        for (size_t i = 0; i < TASKS; i++) {
                task_check(&tasks[i]);
                expect(client, "a release", npumm_weights_release(client, tasks[i].matmul.weights), 0, "");
                task_deinit(&tasks[i]);
        }
        npumm_close(client);
        printf("products: %u with weights\n", TASKS);
}

/* ---- handles ---- */

static const struct task_spec small = {.way = TASK_ORDINARY, .m = 5, .k = 60, .n = 70, .with_weights = true};

/* Two clients with equal weights share one copy; each has a handle of its own, which is nothing to the other. */
static void check_sharing(const struct daemon_process *daemon, struct rng *rng)
{
        struct npumm_client *clients[2] = {task_connect(daemon), task_connect(daemon)};
        struct npumm_matmul theirs;
        struct rng same;
        struct task tasks[2];
        uint64_t n_before = status_number(clients[0], "weights");

        for (size_t i = 0; i < 2; i++) {
                same = *rng;
                task_init(&tasks[i], clients[i], &small, &same);
        }
        if (status_number(clients[0], "weights") != n_before + 1)
                die(0, "equal weights have not become one copy");
        if (tasks[0].matmul.weights == tasks[1].matmul.weights)
                die(0, "two clients have the same handle");
        theirs = tasks[0].matmul;
        theirs.weights = tasks[1].matmul.weights;
        expect(clients[0], "a matmul with another client's weights", npumm_matmul(clients[0], &theirs),
               NPUMM_STATUS_NOT_FOUND, "weights");
        expect(clients[0], "a release of them", npumm_weights_release(clients[0], theirs.weights),
               NPUMM_STATUS_NOT_FOUND, "weights");
        npumm_close(clients[1]); /* the first client's stay */
        task_submit(&tasks[0]);
        while (tasks[0].n_ends == 0)
                task_dispatch(clients[0]);
        task_check(&tasks[0]);
        for (size_t i = 0; i < 2; i++)
                task_deinit(&tasks[i]); /* of ordinary memory: its client need not be there */
        npumm_close(clients[0]);
        printf("sharing: one copy for two clients\n");
}

/* Jobs that were submitted before a release have their weights; later ones, and other shapes, do not. */
static void check_release(const struct daemon_process *daemon, struct rng *rng)
{
        const uint64_t edge = task_is_slow_build() ? 256 : 1024;
        const struct task_spec big = {
                .way = TASK_IN_ARENA, .m = edge, .k = edge, .n = edge, .with_weights = true};
        struct npumm_client *client = task_connect(daemon);
        struct npumm_matmul matmul;
        struct task task;

        task_init(&task, client, &big, rng);
        matmul = task.matmul;
        matmul.k--;
        expect(client, "a matmul of another K", npumm_matmul(client, &matmul), NPUMM_STATUS_INVALID,
               "weights");
        task_submit(&task);
        expect(client, "a release", npumm_weights_release(client, task.matmul.weights), 0, "");
        expect(client, "a second release", npumm_weights_release(client, task.matmul.weights),
               NPUMM_STATUS_NOT_FOUND, "weights");
        while (task.n_ends == 0)
                task_dispatch(client);
        task_check(&task);
        expect(client, "a matmul behind the release", npumm_matmul(client, &task.matmul),
               NPUMM_STATUS_NOT_FOUND, "weights");
        task_deinit(&task);
        npumm_close(client);
        printf("release: a running job kept its weights\n");
}

/* ---- groups and deadlines ---- */

#define GROUP 6u

/* They are one submission, however long they take to come: the daemon looks at each before the next is sent. */
static void check_group(const struct daemon_process *daemon, struct rng *rng)
{
        struct npumm_client *client = task_connect(daemon);
        static struct task tasks[GROUP];
        uint64_t n_before;

        for (size_t i = 0; i < GROUP; i++)
                task_init(&tasks[i], client, &small, rng);
        n_before = status_number(client, "submissions");
        for (size_t i = 0; i < GROUP; i++) {
                tasks[i].matmul.flags |= i + 1 < GROUP ? NPUMM_MATMUL_MORE : 0u;
                task_submit(&tasks[i]);
                if (i + 1 < GROUP && status_number(client, "submissions") != n_before)
                        die(0, "job %zu of a group set out alone", i);
        }
        while (npumm_outstanding(client) > 0)
                task_dispatch(client);
        if (status_number(client, "submissions") != n_before + 1)
                die(0, "a group took %" PRIu64 " submissions",
                    status_number(client, "submissions") - n_before);
        for (size_t i = 0; i < GROUP; i++) {
                task_check(&tasks[i]);
                task_deinit(&tasks[i]);
        }
        npumm_close(client);
        printf("group: %u jobs in one submission\n", GROUP);
}

/* A job of a group that nobody ends can be cancelled, or be too late; a deadline that is far off does not matter. */
static void check_deadline(const struct daemon_process *daemon, struct rng *rng)
{
        struct npumm_client *client = task_connect(daemon);
        struct task task;

        task_init(&task, client, &small, rng);
        task.matmul.deadline_us = 3600000000;
        expect(client, "a matmul within an hour", npumm_matmul(client, &task.matmul), 0, "");
        task.matmul.deadline_us = 1000;
        task.matmul.flags |= NPUMM_MATMUL_MORE;
        task_submit(&task);
        while (task.n_ends == 0)
                task_dispatch(client);
        if (task.result != NPUMM_STATUS_DEADLINE || !strstr(task.text, "deadline"))
                die(0, "a job that had to wait for its group ended with %d: %s", task.result, task.text);
        task.n_ends = 0;
        task.matmul.deadline_us = 0;
        task_submit(&task);
        expect(client, "a cancel", npumm_cancel(client, task.job), 0, "");
        while (task.n_ends == 0)
                task_dispatch(client);
        if (task.result != NPUMM_STATUS_CANCELLED)
                die(0, "a cancelled job of a group ended with %d: %s", task.result, task.text);
        task_deinit(&task);
        npumm_close(client);
        printf("deadline: in time, too late, cancelled\n");
}

int main(int argc, char **argv)
{
        struct daemon_process daemon;
        struct rng rng;

        if (argc != 2)
                die(0, "usage: %s DAEMON", argv[0]);
        rng_start(&rng, "test-client-resident");
        daemon_process_start(&daemon, argv[1], NULL);
        check_products(&daemon, &rng);
        check_sharing(&daemon, &rng);
        check_release(&daemon, &rng);
        check_group(&daemon, &rng);
        check_deadline(&daemon, &rng);
        daemon_process_stop(&daemon);
        return 0;
}
