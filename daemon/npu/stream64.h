/* SPDX-License-Identifier: MIT */
/*
 * stream64.h - a batch in the NPU's terms: what one instruction stream computes, and where its operands lie.
 *
 * Role:   made by stream64-plan, read by the generator, the verifier and the packers. ../../xclbin/README.md says what
 *         each number means.
 * Owns:   nothing; plain numbers.
 */
#ifndef DAEMON_NPU_STREAM64_H
#define DAEMON_NPU_STREAM64_H

#include "proto/stream64.h"

/* The arguments of a run: buffer objects, as streams name them. */
enum stream64_arg {
        STREAM64_ARG_A = 0,
        STREAM64_ARG_WEIGHTS, /* resident B */
        STREAM64_ARG_C,
        STREAM64_ARG_B, /* streamed B */
        STREAM64_ARG_MAX
};

/* Four lanes in a buffer object, lane_stride bytes apart. */
struct stream64_lanes {
        enum stream64_arg arg;
        uint64_t offset, lane_stride; /* bytes, multiples of 64 */
};

struct stream64_job {
        struct stream64_size size; /* macro-tiles */
        struct stream64_lanes a, b;
};

struct stream64_batch {
        size_t n_jobs;
        struct stream64_job jobs[STREAM64_JOBS_MAX]; /* in the order in which they are computed */
        struct stream64_lanes c;                     /* of all jobs, one after the other in each lane */
};

#endif
