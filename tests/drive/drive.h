/* SPDX-License-Identifier: MIT */
/*
 * drive.h - simulated clients on the real pipeline and a modelled device, on a virtual clock.
 *
 * Role:   a discrete-event simulation in which only the clients are made up: scheduler, batcher, policy, cost model,
 *         pipeline and the sim device are the daemon's. For what must hold of policies, and for whoever tunes them:
 *         hours of traffic take seconds, and the same seed gives every policy the same traffic.
 * In:     a struct drive_spec. Out: a struct drive_result.
 * Thread: one; any number of runs, one after the other.
 * Never:  a measurement of a device: its times are those of a model (proto/npu-model.h).
 */
#ifndef TESTS_DRIVE_DRIVE_H
#define TESTS_DRIVE_DRIVE_H

#include "daemon/policy.h"
#include "daemon/stats.h"
#include "proto/npu-model.h"

#define DRIVE_CLIENTS_MAX 64
#define DRIVE_OWN_B       (-1) /* instead of a number of weights: B comes with each job */

enum drive_arrivals {
        DRIVE_CLOSED = 0, /* sends again some time after the answer */
        DRIVE_OPEN,       /* sends whatever becomes of what it has sent: Poisson */
};

enum drive_think { DRIVE_NORMAL = 0, DRIVE_EXPONENTIAL };

/* One connection. */
struct drive_client {
        uid_t uid;
        uint64_t m, m_most; /* rows: m, or anything from m to m_most */
        uint64_t k, n;
        int weights; /* clients of one number share them, if of one user; DRIVE_OWN_B */
        enum job_class class;
        uint64_t deadline_us; /* 0: none */
        size_t group;         /* jobs that are sent as one group; 0 and 1: by themselves */
        size_t credits;       /* jobs outstanding at most, others are dropped and counted; 0: any number */
        enum drive_arrivals arrivals;
        size_t depth; /* closed: groups outstanding; 0 is 1 */
        enum drive_think think;
        double think_us,
                think_cv; /* closed: from an answer to the next submission; cv of the normal distribution */
        double pause_share, pause_us; /* closed: so many of these are longer, by so much */
        double rate_a_s;              /* open: groups a second */
        double start_us;              /* when it sends first; 0: at any time within the first millisecond */
};

struct drive_spec {
        enum npu_model model;
        enum policy_kind policy;
        bool no_stacking;
        bool first_come; /* all clients send through one connection: first come, first served. To compare with */
        uint64_t bound_us, aging_us, window_us; /* 0: 10,000, 100,000, 200 */
        const char *faults;                     /* of the device; NULL: none */
        uint64_t jobs_per_uid;                  /* quota: more are refused; 0: any number */
        uint64_t n_jobs;        /* ends when so many have ended; those that are left are then cancelled */
        uint64_t n_submissions; /* or when so many have been sent; 0: any number */
        uint64_t seed;
        size_t n_clients;
        struct drive_client clients[DRIVE_CLIENTS_MAX];
};

/* Clients on the phoenix model, under `hold`. */
static inline struct drive_spec drive_spec_of(uint64_t n_jobs, uint64_t seed, uint64_t bound_us)
{
        return (struct drive_spec){.model = NPU_PHOENIX,
                                   .policy = POLICY_HOLD,
                                   .n_jobs = n_jobs,
                                   .seed = seed,
                                   .bound_us = bound_us};
}

/*
 * Adds a synchronous client that is back after 30 us. `m` rows by 384 by 256: so many macro-tiles of six steps as it
 * has 256 rows.
 */
static inline struct drive_client *drive_client_add(struct drive_spec *spec, uid_t uid, uint64_t m,
                                                    int weights, size_t depth)
{
        struct drive_client *client = &spec->clients[spec->n_clients++];

        *client = (struct drive_client){.uid = uid,
                                        .m = m,
                                        .k = 384,
                                        .n = 256,
                                        .weights = weights,
                                        .depth = depth,
                                        .think_us = 30,
                                        .think_cv = 0.3};
        return client;
}

/* Latencies from submission to the end, in nanoseconds, in ascending order once the run is over. */
struct drive_latencies {
        uint64_t *all_ns; /* owned */
        size_t n, n_room;
};

struct drive_result {
        struct stats stats; /* of the pipeline */
        uint64_t buffer_syncs, matrix_copies, weights_packs;
        double seconds;      /* of virtual time, until n_jobs had ended */
        uint64_t n_measured; /* that had ended well by then */
        uint64_t n_submitted, n_done, n_expired, n_cancelled, n_failed, n_refused, n_dropped;
        /* For so long a class waited without a row of it being taken, as seen at submissions. */
        uint64_t longest_starved_us;
        uint64_t longest_batch_ns; /* as predicted */
        /* What the model says of the longest batch, as a share of its bound; those of a lone block of rows apart. */
        double longest_of_bound;
        struct drive_latencies latencies; /* of all that ended well, but for the first tenth */
        struct {
                struct drive_latencies latencies;
                uint64_t n_done;
                uint64_t device_ns; /* as the daemon accounts for it */
                double model_ns; /* what its part of each product takes by the model, whatever the daemon thinks */
        } clients[DRIVE_CLIENTS_MAX];
};

/*
 * Runs a simulation to its end. Asserts what must hold in any: every job ends exactly once, every row is computed
 * once, no batch is longer than its bound but for a lone block of rows, and nothing is left inside or charged.
 */
void drive_run(const struct drive_spec *spec, struct drive_result *ret_result);

void drive_result_deinit(struct drive_result *result);

/* The q-quantile (0..1), in microseconds; 0 without any. */
double drive_quantile_us(const struct drive_latencies *latencies, double q);

/* Jobs that ended well in a second. */
static inline double drive_jobs_a_s(const struct drive_result *result)
{
        return (double)result->n_measured / result->seconds;
}

static inline double drive_jobs_a_submission(const struct drive_result *result)
{
        return (double)result->stats.submission_jobs / (double)result->stats.submissions;
}

#endif
