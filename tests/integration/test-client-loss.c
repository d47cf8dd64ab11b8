/* SPDX-License-Identifier: MIT */
/*
 * test-client-loss.c - libnpumm when its daemon dies or is stopped while jobs run.
 *
 * usage: test-client-loss DAEMON
 *
 * Both times jobs of every way are outstanding, 10^9 multiply-adds each (less in a slow build). The daemon is
 * killed when it reports the first rows of any of them; it is told to stop when it has all of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "task.h"

#define JOBS 6u

/* Rows are reported often, so that the first come early; a sanitized daemon gets the time that it needs. */
#define CONFIG "batch-bound-us = 1000\ndrain-timeout-ms = 600000\n"

#define STOPPING_TIMEOUT_MS 60000

struct scene {
        struct daemon_process *daemon;
        struct npumm_client *client;
        bool is_killed;
        struct task tasks[JOBS];
};

static void scene_init(struct scene *scene, struct daemon_process *daemon, struct rng *rng)
{
        const uint64_t edge = task_is_slow_build() ? 256 : 1024;

        *scene = (struct scene){.daemon = daemon, .client = task_connect(daemon)};
        for (size_t i = 0; i < JOBS; i++) {
                const struct task_spec spec = {
                        .way = (enum task_way)(i % TASK_WAY_MAX), .m = edge, .k = edge, .n = edge};

                task_init(&scene->tasks[i], scene->client, &spec, rng);
                scene->tasks[i].userdata = scene;
        }
}

/* Dispatches until the connection is lost, for the reason that it should be. */
static void await_loss(struct npumm_client *client, const char *words)
{
        int r;

        while ((r = npumm_dispatch(client, -1)) == 0)
                ;
        if (r != -ECONNRESET || !strstr(npumm_text(client), words))
                die(0, "the connection ended with %d: %s", r, npumm_text(client));
        if (npumm_outstanding(client) != 0)
                die(0, "%zu jobs are outstanding without a connection", npumm_outstanding(client));
}

static void expect_not_connected(const struct scene *scene)
{
        struct npumm_client *client = scene->client;
        const struct npumm_matmul *matmul = &scene->tasks[0].matmul;
        const struct npumm_weights_spec spec = {.size = sizeof spec, .k = 1, .n = 1, .b = scene->tasks[0].b};
        uint64_t weights;
        void *memory;
        char *json;
        const struct {
                const char *name;
                int result;
        } calls[] = {
                {"npumm_dispatch", npumm_dispatch(client, -1)},
                {"npumm_submit", npumm_submit(client, matmul, NULL, NULL, NULL, NULL)},
                {"npumm_matmul", npumm_matmul(client, matmul)},
                {"npumm_cancel", npumm_cancel(client, scene->tasks[0].job)},
                {"npumm_alloc", npumm_alloc(client, 1, &memory)},
                {"npumm_ping", npumm_ping(client, NULL)},
                {"npumm_daemon_status", npumm_daemon_status(client, &json)},
                {"npumm_weights_load", npumm_weights_load(client, &spec, &weights)},
                {"npumm_weights_release", npumm_weights_release(client, 1)},
                {"npumm_set", npumm_set(client, "policy", "hold")},
        };

        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                if (calls[i].result != -ENOTCONN)
                        die(0, "%s returns %d without a connection", calls[i].name, calls[i].result);
}

static void scene_deinit(struct scene *scene)
{
        for (size_t i = 0; i < JOBS; i++)
                task_deinit(&scene->tasks[i]);
        npumm_close(scene->client);
}

/* ---- killed ---- */

/* In place of daemon_process_stop(): the daemon is dead and could not tidy up. */
static void killed_clean_up(struct daemon_process *daemon)
{
        static const char *const names[] = {"socket", "socket.lock", "notify", "conf"};
        int status;

        if (waitpid(daemon->pid, &status, 0) < 0 || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
                die(0, "the daemon did not die of SIGKILL");
        (void)close(daemon->notify_fd);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                char path[128];

                (void)snprintf(path, sizeof path, "%s/%s", daemon->directory, names[i]);
                (void)unlink(path);
        }
        if (rmdir(daemon->directory) < 0)
                die(errno, "%s", daemon->directory);
}

static void kill_daemon(struct task *task)
{
        struct scene *scene = task->userdata;

        if (!scene->is_killed && kill(scene->daemon->pid, SIGKILL) < 0)
                die(errno, "kill");
        scene->is_killed = true;
}

/* FNV-1a of what lies in A and B of all jobs. */
static uint64_t inputs_hash(const struct scene *scene)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < JOBS; i++)
                for (size_t at = 0; at < scene->tasks[i].spec.m * scene->tasks[i].spec.k; at++) {
                        hash = (hash ^ (uint8_t)scene->tasks[i].a[at]) * UINT64_C(0x100000001b3);
                        hash = (hash ^ (uint8_t)scene->tasks[i].b[at]) * UINT64_C(0x100000001b3);
                }
        return hash;
}

/*
 * Each job ends once, as lost or, if it was done before, as done; what was reported stays readable and right.
 */
static void check_killed(const char *program, struct rng *rng)
{
        struct daemon_process daemon;
        static struct scene scene;
        unsigned n_lost = 0;
        uint64_t hash;

        daemon_process_start(&daemon, program, CONFIG);
        scene_init(&scene, &daemon, rng);
        hash = inputs_hash(&scene);
        for (size_t i = 0; i < JOBS; i++) {
                scene.tasks[i].rows_fn = kill_daemon;
                task_submit(&scene.tasks[i]);
        }
        await_loss(scene.client, "closed the connection");
        for (size_t i = 0; i < JOBS; i++) {
                const struct task *task = &scene.tasks[i];

                if (task->n_ends != 1 || (task->result != -ECONNRESET && task->result != 0))
                        die(0, "job %" PRIu64 " ended %u times, with %d: %s", task->job, task->n_ends,
                            task->result, task->text);
                if (task->result == 0)
                        task_check(task);
                else if (!strstr(task->text, "closed the connection"))
                        die(0, "job %" PRIu64 " was lost: %s", task->job, task->text);
                task_check_rows(task);
                n_lost += task->result == -ECONNRESET;
        }
        if (!scene.is_killed || n_lost == 0)
                die(0, "no job was outstanding when the daemon died");
        expect_not_connected(&scene);
        if (inputs_hash(&scene) != hash)
                die(0, "memory has changed when the daemon died");
        scene_deinit(&scene);
        killed_clean_up(&daemon);
        printf("killed: %u of %u jobs lost\n", n_lost, JOBS);
}

/* ---- stopped ---- */

static void await_stopping(const struct daemon_process *daemon)
{
        struct pollfd pollfd = {.fd = daemon->notify_fd, .events = POLLIN};
        char text[1024];
        ssize_t n;

        do {
                if (poll(&pollfd, 1, STOPPING_TIMEOUT_MS) != 1)
                        die(0, "the daemon has not said STOPPING=1 within %d ms", STOPPING_TIMEOUT_MS);
                n = recv(daemon->notify_fd, text, sizeof text - 1, 0);
                if (n < 0)
                        die(errno, "notify socket");
                text[n] = '\0';
        } while (!strstr(text, "STOPPING=1"));
}

/* Until it is gone, without reaping it: a signal too many would find it on its last steps. */
static void await_exit(const struct daemon_process *daemon)
{
        siginfo_t info;

        while (waitid(P_PID, (id_t)daemon->pid, &info, WEXITED | WNOWAIT) < 0)
                if (errno != EINTR)
                        die(errno, "waitid");
}

/*
 * Running jobs end as if nothing were; a new one is refused; then the connection is lost, and the text says
 * why.
 */
static void check_stopped(const char *program, struct rng *rng)
{
        const struct task_spec small = {.way = TASK_INLINE, .m = 2, .k = 3, .n = 4};
        struct daemon_process daemon;
        static struct scene scene;
        struct task late;
        size_t n_running;

        daemon_process_start(&daemon, program, CONFIG);
        scene_init(&scene, &daemon, rng);
        task_init(&late, scene.client, &small, rng);
        for (size_t i = 0; i < JOBS; i++)
                task_submit(&scene.tasks[i]);
        if (npumm_ping(scene.client, NULL) != 0) /* the answer comes when all before it has been read */
                die(0, "%s", npumm_text(scene.client));
        n_running = npumm_outstanding(scene.client);
        if (n_running == 0)
                die(0, "no job was outstanding when the daemon was to stop");
        if (kill(daemon.pid, SIGTERM) < 0)
                die(errno, "kill");
        await_stopping(&daemon);
        task_submit(&late);
        await_loss(scene.client, "the daemon is stopping");
        for (size_t i = 0; i < JOBS; i++)
                task_check(&scene.tasks[i]);
        /* It may also have come so late that nobody read it any more. */
        if (late.n_ends != 1 || (late.result != NPUMM_STATUS_BUSY && late.result != -ECONNRESET) ||
            !strstr(late.text, "the daemon is stopping"))
                die(0, "a job for a daemon that stops ended %u times, with %d: %s", late.n_ends, late.result,
                    late.text);
        expect_not_connected(&scene);
        task_deinit(&late);
        scene_deinit(&scene);
        await_exit(&daemon);
        daemon_process_stop(&daemon);
        printf("stopped: %zu jobs were running, a late one ended with %d\n", n_running, late.result);
}

int main(int argc, char **argv)
{
        struct rng rng;

        if (argc != 2)
                die(0, "usage: %s DAEMON", argv[0]);
        rng_start(&rng, "test-client-loss");
        check_killed(argv[1], &rng);
        check_stopped(argv[1], &rng);
        return 0;
}
