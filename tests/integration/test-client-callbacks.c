/* SPDX-License-Identifier: MIT */
/*
 * test-client-callbacks.c - what a program may do in libnpumm's callbacks, and what becomes of jobs that it
 * cancels or that are too many.
 *
 * usage: test-client-callbacks DAEMON
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>

#include "task.h"

#define JOBS_MAX 6u /* of a connection; jobs-per-connection */

/* ---- a chain of jobs ---- */

#define CHAIN_JOBS     200u
#define SETTLE_TRIES   200
#define SETTLE_TURN_MS 20

struct chain {
        struct npumm_client *client;
        struct rng *rng;
        struct task task, victim;
        unsigned n_submitted;
        unsigned n_victims, n_cancelled;
};

static void victim_ended(struct task *task)
{
        struct chain *chain = task->userdata;

        if (task->result == 0)
                task_check(task);
        else if (task->result != NPUMM_STATUS_CANCELLED)
                die(0, "a cancelled job ended with %d: %s", task->result, task->text);
        chain->n_cancelled += task->result == NPUMM_STATUS_CANCELLED;
        task_deinit(task);
        *task = (struct task){0};
}

/* Now and then a job that is cancelled in the same callback. */
static void victim_submit(struct chain *chain)
{
        const struct task_spec spec = task_spec_random(chain->rng);

        if (chain->victim.client) /* the one before has not ended */
                return;
        task_init(&chain->victim, chain->client, &spec, chain->rng);
        chain->victim.end_fn = victim_ended;
        chain->victim.userdata = chain;
        task_submit(&chain->victim);
        if (npumm_cancel(chain->client, chain->victim.job) != 0)
                die(0, "npumm_cancel: %s", npumm_text(chain->client));
        chain->n_victims++;
}

static void link_submit(struct chain *chain);

static void link_ended(struct task *task)
{
        struct chain *chain = task->userdata;

        task_check(task);
        task_deinit(task);
        if (chain->n_submitted < CHAIN_JOBS)
                link_submit(chain);
        if (chain->n_submitted % 4 == 0)
                victim_submit(chain);
}

static void link_submit(struct chain *chain)
{
        const struct task_spec spec = task_spec_random(chain->rng);

        task_init(&chain->task, chain->client, &spec, chain->rng);
        chain->task.end_fn = link_ended;
        chain->task.userdata = chain;
        chain->n_submitted++;
        task_submit(&chain->task);
}

/* How many arenas the daemon has: of this client, as no other is there. */
static json_int_t n_arenas(struct npumm_client *client)
{
        json_int_t n;
        json_t *status;
        char *text;

        if (npumm_daemon_status(client, &text) != 0)
                die(0, "%s", npumm_text(client));
        status = json_loads(text, 0, NULL);
        free(text);
        if (!json_is_integer(json_object_get(status, "arenas")))
                die(0, "status has no number \"arenas\"");
        n = json_integer_value(json_object_get(status, "arenas"));
        json_decref(status);
        return n;
}

/* All memory is freed: one empty arena is kept. The daemon frees its own, of inline jobs, in its own time. */
static void await_one_arena(struct npumm_client *client)
{
        for (int i = 0; n_arenas(client) > 1; i++) {
                if (i == SETTLE_TRIES)
                        die(0, "all memory is freed, but the daemon has more than one arena");
                (void)poll(NULL, 0, SETTLE_TURN_MS);
        }
}

/* Each job is submitted where the one before it ends, its memory taken, the other's freed. */
static void check_chain(struct npumm_client *client, struct rng *rng)
{
        struct chain chain = {.client = client, .rng = rng};

        link_submit(&chain);
        while (npumm_outstanding(client) > 0)
                task_dispatch(client);
        if (chain.n_submitted != CHAIN_JOBS || chain.n_victims < CHAIN_JOBS / 8)
                die(0, "%u jobs and %u to be cancelled were submitted", chain.n_submitted, chain.n_victims);
        await_one_arena(client);
        printf("chain: %u jobs, %u of %u others cancelled\n", chain.n_submitted, chain.n_cancelled,
               chain.n_victims);
}

/* ---- what a callback may not do ---- */

struct inside {
        struct rng *rng;
        struct task other;
        unsigned n_rows_callbacks, n_done_callbacks;
};

static void expect_deadlock(struct npumm_client *client, const char *what, int result)
{
        if (result != -EDEADLK || !strstr(npumm_text(client), "callback"))
                die(0, "%s in a callback gives %d: %s", what, result, npumm_text(client));
}

static void expect_no_blocking(struct task *task)
{
        const size_t n_outstanding = npumm_outstanding(task->client);
        char *json = NULL;
        uint64_t ns;

        expect_deadlock(task->client, "npumm_dispatch", npumm_dispatch(task->client, 0));
        expect_deadlock(task->client, "npumm_dispatch", npumm_dispatch(task->client, -1));
        expect_deadlock(task->client, "npumm_matmul", npumm_matmul(task->client, &task->matmul));
        expect_deadlock(task->client, "npumm_ping", npumm_ping(task->client, &ns));
        expect_deadlock(task->client, "npumm_daemon_status", npumm_daemon_status(task->client, &json));
        npumm_close(task->client); /* does nothing here */
        if (npumm_outstanding(task->client) != n_outstanding)
                die(0, "jobs have come or gone by calls that were refused");
}

static void inside_rows(struct task *task)
{
        struct inside *inside = task->userdata;
        const struct task_spec spec = {.way = TASK_ORDINARY, .m = 5, .k = 6, .n = 7};

        expect_no_blocking(task);
        if (inside->n_rows_callbacks++ > 0)
                return;
        task_init(&inside->other, task->client, &spec, inside->rng);
        task_submit(&inside->other);
}

static void inside_done(struct task *task)
{
        struct inside *inside = task->userdata;

        expect_no_blocking(task);
        inside->n_done_callbacks++;
}

/* The same whichever call runs the callbacks: npumm_dispatch(), or one that waits for something else. */
static void check_no_blocking(struct npumm_client *client, struct rng *rng, bool by_ping)
{
        const struct task_spec spec = {.way = TASK_INLINE, .m = 50, .k = 60, .n = 70};
        struct inside inside = {.rng = rng};
        struct task task;

        task_init(&task, client, &spec, rng);
        task.rows_fn = inside_rows;
        task.end_fn = inside_done;
        task.userdata = &inside;
        task_submit(&task);
        while (npumm_outstanding(client) > 0)
                if ((by_ping ? npumm_ping(client, NULL) : npumm_dispatch(client, -1)) != 0)
                        die(0, "%s", npumm_text(client));
        task_check(&task);
        task_check(&inside.other);
        if (inside.n_rows_callbacks == 0 || inside.n_done_callbacks != 1)
                die(0, "%u and %u callbacks ran", inside.n_rows_callbacks, inside.n_done_callbacks);
        task_deinit(&task);
        task_deinit(&inside.other);
}

/* ---- cancelling ---- */

static void expect_not_found(struct npumm_client *client, uint64_t job)
{
        if (npumm_cancel(client, job) != NPUMM_STATUS_NOT_FOUND ||
            !strstr(npumm_text(client), "not outstanding"))
                die(0, "cancelling what is not outstanding: %s", npumm_text(client));
}

/*
 * A job of some 10^9 multiply-adds, others of every way behind it, all cancelled at once, some twice: each
 * ends once, as CANCELLED or, if it was faster, as done and exact. The daemon hears of the cancelling long
 * before the first can be done, so not all of them are.
 */
static void check_cancel(struct npumm_client *client, struct rng *rng)
{
        struct task tasks[JOBS_MAX];
        unsigned n_cancelled = 0;

        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++) {
                const uint64_t edge = i == 0 ? 1024 : 100;
                const struct task_spec spec = {.way = (enum task_way)(i % TASK_WAY_MAX),
                                               .m = edge,
                                               .k = edge,
                                               .n = edge,
                                               .gap = i % 2};

                task_init(&tasks[i], client, &spec, rng);
        }
        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
                task_submit(&tasks[i]);
        expect_not_found(client, tasks[ARRAY_SIZE(tasks) - 1].job + 1);
        for (size_t i = 0; i < ARRAY_SIZE(tasks) + 2; i++)
                if (npumm_cancel(client, tasks[i % ARRAY_SIZE(tasks)].job) != 0)
                        die(0, "npumm_cancel: %s", npumm_text(client));
        while (npumm_outstanding(client) > 0)
                task_dispatch(client);
        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++) {
                if (tasks[i].result == NPUMM_STATUS_CANCELLED)
                        task_check_rows(&tasks[i]); /* what has been reported of it is final */
                else
                        task_check(&tasks[i]);
                n_cancelled += tasks[i].result == NPUMM_STATUS_CANCELLED;
                expect_not_found(client, tasks[i].job);
                task_deinit(&tasks[i]);
        }
        if (n_cancelled == 0)
                die(0, "no job was cancelled");
        printf("cancel: %u of %zu\n", n_cancelled, ARRAY_SIZE(tasks));
}

/* ---- as many jobs as allowed ---- */

static void check_jobs_max(struct npumm_client *client, struct rng *rng)
{
        const struct task_spec spec = {.way = TASK_ORDINARY, .m = 20, .k = 30, .n = 40};
        struct task tasks[JOBS_MAX + 1], *last = &tasks[JOBS_MAX];

        if (npumm_info(client)->jobs_max != JOBS_MAX)
                die(0, "jobs_max is %" PRIu32, npumm_info(client)->jobs_max);
        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
                task_init(&tasks[i], client, &spec, rng);
        for (size_t i = 0; i < JOBS_MAX; i++)
                task_submit(&tasks[i]);
        if (npumm_submit(client, &last->matmul, NULL, NULL, NULL, NULL) != NPUMM_STATUS_BUSY ||
            !strstr(npumm_text(client), "jobs_max"))
                die(0, "job %u: %s", JOBS_MAX + 1, npumm_text(client));
        if (npumm_matmul(client, &last->matmul) != NPUMM_STATUS_BUSY)
                die(0, "npumm_matmul: %s", npumm_text(client));
        if (npumm_outstanding(client) != JOBS_MAX)
                die(0, "%zu jobs are outstanding", npumm_outstanding(client));
        while (npumm_outstanding(client) == JOBS_MAX)
                task_dispatch(client);
        task_submit(last);
        while (npumm_outstanding(client) > 0)
                task_dispatch(client);
        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++) {
                task_check(&tasks[i]);
                task_deinit(&tasks[i]);
        }
}

int main(int argc, char **argv)
{
        struct daemon_process daemon;
        struct npumm_client *client;
        char config[64];
        struct rng rng;

        if (argc != 2)
                die(0, "usage: %s DAEMON", argv[0]);
        rng_start(&rng, "test-client-callbacks");
        (void)snprintf(config, sizeof config, "jobs-per-connection = %u\n", JOBS_MAX);
        daemon_process_start(&daemon, argv[1], config);
        client = task_connect(&daemon);
        check_chain(client, &rng);
        check_no_blocking(client, &rng, false);
        check_no_blocking(client, &rng, true);
        check_cancel(client, &rng);
        check_jobs_max(client, &rng);
        npumm_close(client);
        daemon_process_stop(&daemon);
        return 0;
}
