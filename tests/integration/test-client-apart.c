/* SPDX-License-Identifier: MIT */
/*
 * test-client-apart.c - clients of libnpumm that must not touch each other: in a forked child and its parent,
 * and on two threads.
 *
 * usage: test-client-apart DAEMON
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

#include "task.h"

/* ---- fork ---- */

/* In the child: of the parent's client nothing but closing it. */
static void expect_not_ours(const struct task *task)
{
        struct npumm_client *client = task->client;
        const struct npumm_weights_spec spec = {.size = sizeof spec, .k = 1, .n = 1, .b = task->b};
        uint64_t weights;
        void *memory;
        char *json;
        const struct {
                const char *name;
                int result;
        } calls[] = {
                {"npumm_dispatch", npumm_dispatch(client, -1)},
                {"npumm_submit", npumm_submit(client, &task->matmul, NULL, NULL, NULL, NULL)},
                {"npumm_matmul", npumm_matmul(client, &task->matmul)},
                {"npumm_cancel", npumm_cancel(client, task->job)},
                {"npumm_alloc", npumm_alloc(client, 1, &memory)},
                {"npumm_ping", npumm_ping(client, NULL)},
                {"npumm_daemon_status", npumm_daemon_status(client, &json)},
                {"npumm_weights_load", npumm_weights_load(client, &spec, &weights)},
                {"npumm_weights_release", npumm_weights_release(client, 1)},
                {"npumm_set", npumm_set(client, "policy", "hold")},
        };

        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                if (calls[i].result != -EPERM)
                        die(0, "%s returns %d in a forked child", calls[i].name, calls[i].result);
        if (!strstr(npumm_text(client), "connect again after a fork"))
                die(0, "-EPERM has the text \"%s\"", npumm_text(client));
        if (npumm_fd(client) != -1 || npumm_outstanding(client) != 0)
                die(0, "a forked child has fd %d and %zu jobs", npumm_fd(client), npumm_outstanding(client));
        npumm_free(client, task->a); /* leaves it alone */
}

static void child_run(const struct daemon_process *daemon, struct task *theirs, struct rng rng)
{
        const struct task_spec spec = {.way = TASK_IN_ARENA, .m = 30, .k = 40, .n = 50};
        struct npumm_client *client;
        struct task task;

        expect_not_ours(theirs);
        npumm_close(theirs->client);
        client = task_connect(daemon); /* one of its own is fine */
        task_init(&task, client, &spec, &rng);
        task_submit(&task);
        while (npumm_outstanding(client) > 0)
                task_dispatch(client);
        task_check(&task);
        task_deinit(&task);
        npumm_close(client);
}

/*
 * Jobs are outstanding in the parent, one of them with a payload that is not all out, while the child does
 * and ends all of the above; they end as if nothing had been.
 */
static void check_fork(const struct daemon_process *daemon, struct rng *rng)
{
        struct npumm_client *client = task_connect(daemon);
        struct task tasks[TASK_WAY_MAX];
        int status;
        pid_t pid;

        for (unsigned i = 0; i < TASK_WAY_MAX; i++) {
                const struct task_spec spec = {
                        .way = (enum task_way)i, .m = 2048, .k = 2048, .n = 4, .gap = 3};

                task_init(&tasks[i], client, &spec, rng);
        }
        for (unsigned i = 0; i < TASK_WAY_MAX; i++)
                task_submit(&tasks[i]);
        (void)fflush(stdout); /* or the child prints it again */
        pid = fork();
        if (pid < 0)
                die(errno, "fork");
        if (pid == 0) {
                child_run(daemon, &tasks[TASK_IN_ARENA], *rng);
                _exit(0);
        }
        if (waitpid(pid, &status, 0) < 0 || status != 0)
                die(0, "the child ended with wait status 0x%x", (unsigned)status);
        if (npumm_outstanding(client) != TASK_WAY_MAX)
                die(0, "%zu jobs are outstanding after the child's end", npumm_outstanding(client));
        while (npumm_outstanding(client) > 0)
                task_dispatch(client);
        if (npumm_ping(client, NULL) != 0)
                die(0, "%s", npumm_text(client));
        for (unsigned i = 0; i < TASK_WAY_MAX; i++) {
                task_check(&tasks[i]);
                task_deinit(&tasks[i]);
        }
        npumm_close(client);
        printf("fork: %d jobs of the parent, one of the child\n", TASK_WAY_MAX);
}

/* ---- threads ---- */

#define THREADS          2u
#define THREAD_JOBS      60u
#define THREAD_IN_FLIGHT 6u

struct crowd {
        const struct daemon_process *daemon;
        struct rng rng;
        struct npumm_client *client;
        unsigned n_submitted, n_checked;
        struct task tasks[THREAD_IN_FLIGHT];
};

static void crowd_submit(struct crowd *crowd, struct task *task);

static void crowd_ended(struct task *task)
{
        struct crowd *crowd = task->userdata;

        task_check(task);
        task_deinit(task);
        crowd->n_checked++;
        if (crowd->n_submitted < THREAD_JOBS)
                crowd_submit(crowd, task);
}

static void crowd_submit(struct crowd *crowd, struct task *task)
{
        const struct task_spec spec = task_spec_random(&crowd->rng);

        task_init(task, crowd->client, &spec, &crowd->rng);
        task->end_fn = crowd_ended;
        task->userdata = crowd;
        crowd->n_submitted++;
        task_submit(task);
}

static void *thread_main(void *userdata)
{
        struct crowd *crowd = userdata;

        crowd->client = task_connect(crowd->daemon);
        for (size_t i = 0; i < ARRAY_SIZE(crowd->tasks); i++)
                crowd_submit(crowd, &crowd->tasks[i]);
        while (npumm_outstanding(crowd->client) > 0)
                task_dispatch(crowd->client);
        npumm_close(crowd->client);
        return NULL;
}

/* What the library shared between clients without a lock, ThreadSanitizer would see here. */
static void check_threads(const struct daemon_process *daemon, struct rng *rng)
{
        static struct crowd crowds[THREADS];
        pthread_t threads[THREADS];

        for (size_t i = 0; i < THREADS; i++) {
                crowds[i] = (struct crowd){.daemon = daemon, .rng = {.state = rng_next(rng)}};
                if (pthread_create(&threads[i], NULL, thread_main, &crowds[i]) != 0)
                        die(0, "no thread");
        }
        for (size_t i = 0; i < THREADS; i++) {
                if (pthread_join(threads[i], NULL) != 0)
                        die(0, "pthread_join");
                if (crowds[i].n_checked != THREAD_JOBS)
                        die(0, "thread %zu has seen %u of %u jobs end", i, crowds[i].n_checked, THREAD_JOBS);
        }
        printf("threads: %u of %u jobs each\n", THREADS, THREAD_JOBS);
}

int main(int argc, char **argv)
{
        struct daemon_process daemon;
        struct rng rng;

        if (argc != 2)
                die(0, "usage: %s DAEMON", argv[0]);
        rng_start(&rng, "test-client-apart");
        daemon_process_start(&daemon, argv[1], NULL);
        check_fork(&daemon, &rng);
        check_threads(&daemon, &rng);
        daemon_process_stop(&daemon);
        return 0;
}
