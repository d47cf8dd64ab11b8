/* SPDX-License-Identifier: MIT */
/*
 * cli-selftest-item.h - one item of a self-test: jobs that are submitted together, and what becomes of them.
 *
 * Role:   operands -> submit all -> wait for the last -> judge every element.
 * In:     what the jobs are. Their contents follow from that: every run has the same.
 * Out:    an outcome, and a line for people.
 * Thread: one.
 */
#ifndef CLIENT_CLI_SELFTEST_ITEM_H
#define CLIENT_CLI_SELFTEST_ITEM_H

#include "cli.h"
#include "cli-selftest-judge.h"

#define SELFTEST_JOBS_MAX 64

struct selftest_item {
        uint32_t m, k, n;
        uint32_t k_step; /* job i has k + i * k_step */
        uint32_t n_jobs; /* 0: one; SELFTEST_JOBS_MAX at most, and no more than the daemon takes */
        enum npumm_output output;
        bool in_group;     /* of NPUMM_MATMUL_MORE */
        bool has_weights;  /* one B for all jobs, loaded before */
        bool transposed_b; /* B lies there as N x K */
        bool extremes;     /* A and B are -128 throughout */
};

struct selftest_outcome {
        size_t n_jobs, n_wrong, n_failed;
        struct selftest_flaws flaws;  /* of all jobs; row and column are those of */
        size_t wrong_job;             /* the first that is wrong */
        char failure[NPUMM_TEXT_MAX]; /* of the first that failed */
        uint64_t took_ns;             /* from the first's submission to the last's end */
};

/*
 * CLI_DONE: every job has ended, in whatever way. Else there is no going on, and the line that says why is written;
 * jobs may be outstanding then, so that the client is good for npumm_close() alone. `number` tells items apart whose
 * contents are to differ.
 */
enum cli_exit selftest_item_run(struct npumm_client *client, const struct selftest_item *item,
                                uint64_t number, struct selftest_outcome *ret_outcome);

/* One line on stdout, at once. */
void selftest_item_say(const struct selftest_item *item, const struct selftest_outcome *outcome);

#endif
