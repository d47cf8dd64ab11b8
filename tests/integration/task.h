/* SPDX-License-Identifier: MIT */
/*
 * task.h - one matmul of random numbers in memory of its own, from libnpumm's call to the oracle's verdict.
 *
 * Role:   gives a test of libnpumm jobs of every kind, keeps what their callbacks are told, and judges the
 *         products.
 * Thread: that of its client.
 * Owns:   the operands, of the kind that its way asks for.
 *
 * Whatever is wrong with a product or a callback ends the test program with a line on stderr.
 */
#ifndef TESTS_INTEGRATION_TASK_H
#define TESTS_INTEGRATION_TASK_H

#include <npumm.h>

#include "proto/base.h"
#include "tests/lib/process.h"
#include "tests/lib/rng.h"

/* How the operands reach the daemon. */
enum task_way { TASK_IN_ARENA = 0, TASK_ORDINARY, TASK_INLINE, TASK_WAY_MAX };

struct task_spec {
        enum task_way way;
        uint64_t m, k, n;
        enum npumm_output output;
        bool b_transposed;
        uint64_t gap;      /* elements between rows, of all three matrices */
        bool with_weights; /* B is loaded first; then not in a callback, where nothing can be waited for */
};

struct task;

/* The task has ended; its outcome is filled in. Runs inside libnpumm's callback. */
typedef void (*task_end_fn)(struct task *task);

/* Rows have been reported; they are counted already. Runs inside libnpumm's callback. */
typedef void (*task_rows_fn)(struct task *task);

struct task {
        struct npumm_client *client; /* borrowed: outlives us */
        struct task_spec spec;
        struct npumm_matmul matmul;
        int8_t *a, *b;        /* owned */
        void *c;              /* owned; the whole of it poisoned at first, gaps included */
        float *scales;        /* owned: for rows, columns and bias alike; FLOAT32 only */
        bool *seen;           /* owned: of each row, whether it has been reported */
        task_end_fn end_fn;   /* NULL, or set by the test before task_submit() */
        task_rows_fn rows_fn; /* the same */
        void *userdata;       /* borrowed: the test's */
        /* Outcome. */
        uint64_t job;
        uint64_t rows_reported;
        unsigned n_ends;
        int result;
        char text[NPUMM_TEXT_MAX]; /* of `result` */
};

/* Something small, of any way, form and orientation. */
struct task_spec task_spec_random(struct rng *rng);

/* Takes memory and fills it with numbers of `rng`. */
void task_init(struct task *task, struct npumm_client *client, const struct task_spec *spec, struct rng *rng);
void task_deinit(struct task *task);

/* npumm_submit(); anything but success is the end of the test. */
void task_submit(struct task *task);

/*
 * Judges rows that have been reported: each element right, and the gaps between rows still poisoned. Of a
 * large product some rows, spread over it.
 */
void task_check_rows(const struct task *task);

/* Judges a task that has ended: once, with 0, every row reported, the product exact. */
void task_check(const struct task *task);

/* Whether this build is a slow one, where less must do. */
bool task_is_slow_build(void);

/* A client of this daemon. */
struct npumm_client *task_connect(const struct daemon_process *daemon);

/* Dispatches until something has happened; anything but success is the end of the test. */
void task_dispatch(struct npumm_client *client);

#endif
