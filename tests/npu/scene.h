/* SPDX-License-Identifier: MIT */
/*
 * scene.h - a batch with the buffer objects it is bound to, ready to be verified or run.
 *
 * Role:   plans products as the daemon does and lays out sizes of buffer objects; headers of A are written by the
 *         scene itself, from xclbin/README.md, not by the packers.
 * Thread: one.
 */
#ifndef TESTS_NPU_SCENE_H
#define TESTS_NPU_SCENE_H

#include "daemon/npu/stream64-generate.h"
#include "daemon/npu/stream64-plan.h"
#include "daemon/npu/stream64-verify.h"

struct scene {
        struct stream64_batch batch;
        struct stream64_part parts[STREAM64_JOBS_MAX];
        enum stream64_flow flow;
        uint32_t words[STREAM64_WORDS_MAX];
        size_t n_words;
        struct stream64_buffers buffers;
        uint8_t *a; /* owned: argument 0, with headers */
};

/* The only batch that these products come to: asserts that it is one. B is resident, one after the other. */
struct scene *scene_new(enum stream64_flow flow, const struct stream64_product *products, size_t n_products);
struct scene *scene_free(struct scene *scene);

/* The headers of a batch's A, into argument 0. */
void scene_write_headers(const struct stream64_batch *batch, uint8_t *a);

#endif
