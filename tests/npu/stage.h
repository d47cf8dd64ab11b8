/* SPDX-License-Identifier: MIT */
/*
 * stage.h - buffer objects and a model of the array, through which batches go one after the other.
 *
 * Role:   generates a batch's stream, has it verified, counts it by xclbin/README.md, and executes it. The model is
 *         never reset in between: what a stream leaves behind, the next one would find.
 * In:     batches whose A and B lie in the buffers already.
 * Out:    C in its buffer. Whatever is not as it must be ends the program, with words.
 * Thread: one.
 */
#ifndef TESTS_NPU_STAGE_H
#define TESTS_NPU_STAGE_H

#include "daemon/npu/stream64-plan.h"
#include "daemon/npu/stream64-verify.h"
#include "tests/lib/rng.h"
#include "tests/npu/array-model.h"

struct stage {
        struct array *array;              /* owned */
        struct txn_check *check;          /* owned */
        uint8_t *bytes[STREAM64_ARG_MAX]; /* owned: what is bound */
        uint64_t size_bytes[STREAM64_ARG_MAX];
        uint64_t n_streams, n_steps, n_tasks, stream_bytes; /* so far; steps of the whole array */
};

/* Says what is wrong and ends the program. */
_Noreturn _printf_(1, 2) void stage_fail(const char *format, ...);
#define stage_expect(condition, ...) ((condition) ? (void)0 : stage_fail(__VA_ARGS__))

void stage_open(struct stage *stage, enum array_mode mode, uint64_t weights_bytes);
void stage_close(struct stage *stage);

/* One batch, under a schedule of chance. */
void stage_run(struct stage *stage, struct rng *rng, const struct stream64_batch *batch,
               enum stream64_flow flow);

/* A step of a tile of C by tags, from array-model.h's words and not from its code. */
uint64_t stage_mix(uint64_t h, uint64_t a, uint64_t b);

/* Where an object of a job's A (of lane, m, k), of its B, and a core's tile of its C lie. */
uint8_t *stage_a(const struct stage *stage, const struct stream64_job *job, uint64_t lane, uint64_t m,
                 uint64_t k);
uint8_t *stage_b(const struct stage *stage, const struct stream64_job *job, uint64_t lane, uint64_t n,
                 uint64_t k);
uint8_t *stage_c(const struct stage *stage, const struct stream64_batch *batch, size_t job, uint64_t lane,
                 uint64_t core_row, uint64_t m, uint64_t n);

#endif
