/* SPDX-License-Identifier: MIT */
/*
 * visit.h - libnpumm's visit to a stub daemon, and what its callbacks were told there.
 *
 * Role:   what the tests of the client have in common: a client that is connected to a stub, a small inline
 *         job, callbacks that count, watch the rules of npumm.h, and keep what they are told.
 * Thread: the test's.
 */
#ifndef TESTS_UNIT_VISIT_H
#define TESTS_UNIT_VISIT_H

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "client/npumm.h"
#include "tests/fake/stub-daemon.h"

/* ---- a client at a stub ---- */

struct visit {
        struct stub_daemon *stub;    /* owned */
        struct npumm_client *client; /* owned */
};

static inline struct visit visit_begin(const struct stub_options *options)
{
        struct visit visit = {.stub = stub_daemon_start(options)};
        const struct npumm_connect_options connect_options = {
                .size = sizeof connect_options,
                .socket_path = visit.stub->socket_path,
                .client_name = "a\nvisitor", /* which the stub, as a daemon would, must be able to print */
        };
        char text[NPUMM_TEXT_MAX];
        const int r = npumm_connect(&connect_options, &visit.client, text);

        ck_assert_msg(r == 0, "%d: %s", r, text);
        return visit;
}

static inline void visit_end(struct visit *visit)
{
        npumm_close(visit->client);
        stub_daemon_stop(visit->stub);
}

static inline bool visit_is_readable(const struct visit *visit)
{
        struct pollfd pollfd = {.fd = npumm_fd(visit->client), .events = POLLIN};

        return poll(&pollfd, 1, 0) == 1;
}

/* The client's last text has these words, and nothing that a terminal could stumble over. */
static inline void expect_words(const char *text, const char *words)
{
        ck_assert_msg(strstr(text, words) != NULL, "\"%s\" lacks \"%s\"", text, words);
        for (; *text != '\0'; text++)
                ck_assert(*text >= ' ' && *text <= '~');
}

/* ---- a job ---- */

#define SMALL_M   4u
#define SMALL_K   3u
#define SMALL_N   2u
#define GUARDS    2 /* elements on either side of C */
#define UNTOUCHED 0x5a5a5a5a

/* 4x3 @ 3x2, int32. It must stay where it is until the job is over. */
struct small_job {
        int8_t a[SMALL_M * SMALL_K], b[SMALL_K * SMALL_N];
        int32_t c[GUARDS + SMALL_M * SMALL_N + GUARDS];
        struct npumm_matmul matmul;
};

static inline void small_job_init(struct small_job *job, uint32_t flags)
{
        *job = (struct small_job){0};
        for (size_t i = 0; i < ARRAY_SIZE(job->c); i++)
                job->c[i] = UNTOUCHED;
        job->matmul = (struct npumm_matmul){
                .size = sizeof job->matmul,
                .m = SMALL_M,
                .k = SMALL_K,
                .n = SMALL_N,
                .a = job->a,
                .b = job->b,
                .c = job->c + GUARDS,
                .flags = flags,
        };
}

static inline void small_job_check_guards(const struct small_job *job)
{
        for (size_t i = 0; i < GUARDS; i++) {
                ck_assert_int_eq(job->c[i], UNTOUCHED);
                ck_assert_int_eq(job->c[ARRAY_SIZE(job->c) - 1 - i], UNTOUCHED);
        }
}

/* ---- what its callbacks were told ---- */

struct tally {
        unsigned n_done;
        int result;
        uint64_t job, rows;
        char text[NPUMM_TEXT_MAX];
};

static inline void tally_rows(struct npumm_client *client, uint64_t job, uint64_t first_row, uint64_t rows,
                              void *userdata)
{
        struct tally *tally = userdata;

        (void)client;
        (void)job;
        (void)first_row;
        ck_assert_uint_eq(tally->n_done, 0);
        tally->rows += rows;
}

static inline void tally_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        struct tally *tally = userdata;

        tally->n_done++;
        tally->result = result;
        tally->job = job;
        (void)snprintf(tally->text, sizeof tally->text, "%s", npumm_text(client));
        ck_assert_int_eq(npumm_dispatch(client, 0), -EDEADLK);
        ck_assert_int_eq(npumm_ping(client, NULL), -EDEADLK);
        npumm_close(client); /* does nothing here */
}

/* Dispatches until the job has ended. */
static inline void tally_await(const struct tally *tally, struct npumm_client *client)
{
        while (tally->n_done == 0) {
                const int r = npumm_dispatch(client, -1);

                ck_assert_msg(r == 0, "%d: %s", r, npumm_text(client));
        }
}

#endif
