/* SPDX-License-Identifier: MIT */
/*
 * test-client-io.c - libnpumm's bytes: in a program's event loop, with much to send and much to receive at
 * once, and between matrices whose rows have gaps.
 *
 * usage: test-client-io DAEMON
 */
#include <poll.h>
#include <stdio.h>

#include "task.h"

#define LOOP_TIMEOUT_MS 60000 /* without any event; sanitized programs on a loaded machine */

/* ---- an event loop ---- */

#define LOOP_JOBS      100u
#define LOOP_IN_FLIGHT 8u

/* Every fourth job uploads 1 or 4 MiB, far more than a socket takes at once. */
static struct task_spec loop_spec(struct rng *rng, unsigned number)
{
        struct task_spec spec = task_spec_random(rng);

        if (number % 4 == 0) {
                spec.way = TASK_INLINE;
                spec.m = spec.k = task_is_slow_build() ? 1024 : 2048;
                spec.n = 2;
        }
        return spec;
}

static void loop_turn(struct npumm_client *client)
{
        struct pollfd pollfd = {.fd = npumm_fd(client), .events = POLLIN};

        if (poll(&pollfd, 1, LOOP_TIMEOUT_MS) != 1)
                die(0, "%zu jobs are outstanding, and npumm_fd() is not readable", npumm_outstanding(client));
        if (npumm_dispatch(client, 0) != 0)
                die(0, "npumm_dispatch: %s", npumm_text(client));
}

/* Nothing is ever called that waits; submitting is done from outside of callbacks here. */
static void check_event_loop(struct npumm_client *client, struct rng *rng)
{
        static struct task tasks[LOOP_IN_FLIGHT];
        const int fd = npumm_fd(client);
        unsigned n_submitted = 0, n_checked = 0;

        while (n_checked < LOOP_JOBS) {
                for (size_t i = 0; i < ARRAY_SIZE(tasks); i++) {
                        struct task_spec spec;

                        if (tasks[i].n_ends == 1) {
                                task_check(&tasks[i]);
                                task_deinit(&tasks[i]);
                                tasks[i] = (struct task){0};
                                n_checked++;
                        }
                        if (tasks[i].client || n_submitted == LOOP_JOBS)
                                continue;
                        spec = loop_spec(rng, n_submitted++);
                        task_init(&tasks[i], client, &spec, rng);
                        task_submit(&tasks[i]);
                }
                if (npumm_outstanding(client) > 0)
                        loop_turn(client);
        }
        if (npumm_fd(client) != fd || npumm_outstanding(client) != 0)
                die(0, "the loop has ended with %zu jobs, fd %d was %d", npumm_outstanding(client),
                    npumm_fd(client), fd);
        printf("event loop: %u jobs\n", n_checked);
}

/* ---- both directions full ---- */

#define FULL_JOBS 48u

/*
 * Jobs with 1 MiB to send and jobs with 2 MiB to receive in turns, all submitted before anything is received.
 * The daemon stops reading while so many replies wait, and so does this side if a blocked send does not read.
 * `blocks`: one more job is waited for, which goes out behind all of the others, and nothing else is called.
 */
static void check_full_both_ways(struct npumm_client *client, struct rng *rng, bool blocks)
{
        static const struct task_spec specs[] = {
                {.way = TASK_INLINE, .m = 1024, .k = 1024, .n = 1},
                {.way = TASK_INLINE, .m = 1024, .k = 1, .n = 512},
                {.way = TASK_INLINE, .m = 512, .k = 64, .n = 128}, /* some of both */
        };
        static struct task tasks[FULL_JOBS];
        struct task last;

        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
                task_init(&tasks[i], client, &specs[i % ARRAY_SIZE(specs)], rng);
        task_init(&last, client, &specs[0], rng);
        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
                task_submit(&tasks[i]);
        if (npumm_outstanding(client) != ARRAY_SIZE(tasks))
                die(0, "%zu jobs are outstanding before anything was received", npumm_outstanding(client));
        if (blocks && npumm_matmul(client, &last.matmul) != 0)
                die(0, "npumm_matmul: %s", npumm_text(client));
        while (npumm_outstanding(client) > 0)
                task_dispatch(client);
        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++) {
                task_check(&tasks[i]);
                task_deinit(&tasks[i]);
        }
        task_deinit(&last);
        printf("full both ways: %u jobs, ended by %s\n", FULL_JOBS,
               blocks ? "npumm_matmul" : "npumm_dispatch");
}

/* ---- gaps between rows ---- */

/* Leading dimensions larger than the rows: what lies between the rows of C stays as it was. */
static void check_gaps(struct npumm_client *client, struct rng *rng)
{
        static const uint64_t gaps[] = {1, 7, 64};
        unsigned n_jobs = 0;

        for (unsigned i = 0; i < TASK_WAY_MAX * 4 * 2 * ARRAY_SIZE(gaps); i++) {
                const struct task_spec spec = {
                        .way = (enum task_way)(i % TASK_WAY_MAX),
                        .m = 37,
                        .k = 29,
                        .n = 23,
                        .output = (enum npumm_output)(i / TASK_WAY_MAX % 4),
                        .b_transposed = i / TASK_WAY_MAX / 4 % 2 == 1,
                        .gap = gaps[i / TASK_WAY_MAX / 4 / 2],
                };
                struct task task;

                task_init(&task, client, &spec, rng);
                task_submit(&task);
                while (npumm_outstanding(client) > 0)
                        task_dispatch(client);
                task_check(&task);
                task_deinit(&task);
                n_jobs++;
        }
        printf("gaps: %u jobs\n", n_jobs);
}

int main(int argc, char **argv)
{
        struct daemon_process daemon;
        struct npumm_client *client;
        struct rng rng;

        if (argc != 2)
                die(0, "usage: %s DAEMON", argv[0]);
        rng_start(&rng, "test-client-io");
        daemon_process_start(&daemon, argv[1], NULL);
        client = task_connect(&daemon);
        check_event_loop(client, &rng);
        check_full_both_ways(client, &rng, false);
        check_full_both_ways(client, &rng, true);
        check_gaps(client, &rng);
        npumm_close(client);
        daemon_process_stop(&daemon);
        return 0;
}
