/* SPDX-License-Identifier: MIT */
/* scene.c - see scene.h. */
#include "tests/npu/scene.h"

/* Numbers of xclbin/README.md, section 3. */
#define A_OBJECT 4160
#define B_OBJECT 4096
#define C_OBJECT 65536
#define LANES    4

void scene_write_headers(const struct stream64_batch *batch, uint8_t *a)
{
        for (size_t i = 0; i < batch->n_jobs; i++) {
                const struct stream64_job *job = &batch->jobs[i];

                for (uint64_t lane = 0; lane < LANES; lane++)
                        for (uint64_t object = 0; object < job->size.m * job->size.k; object++) {
                                uint8_t *at =
                                        a + job->a.offset + lane * job->a.lane_stride + object * A_OBJECT;

                                memset(at, 0, 64);
                                put_le(at, job->size.k, 4);
                                put_le(at + 4, 0x34365453, 4);
                        }
        }
}

static void scene_size_buffers(struct scene *scene)
{
        uint64_t *size = scene->buffers.size_bytes;

        for (size_t i = 0; i < scene->batch.n_jobs; i++) {
                const struct stream64_job *job = &scene->batch.jobs[i];
                const uint64_t a_end =
                        job->a.offset + 3 * job->a.lane_stride + job->size.m * job->size.k * A_OBJECT;
                const uint64_t b_end =
                        job->b.offset + 3 * job->b.lane_stride + job->size.n * job->size.k * B_OBJECT;

                size[0] = MAX(size[0], a_end);
                size[job->b.arg] = MAX(size[job->b.arg], b_end);
                size[2] += job->size.m * job->size.n * C_OBJECT * LANES;
        }
}

struct scene *scene_new(enum stream64_flow flow, const struct stream64_product *products, size_t n_products)
{
        struct stream64_product placed[STREAM64_JOBS_MAX];
        struct stream64_part more_parts[STREAM64_JOBS_MAX];
        struct scene *scene = calloc(1, sizeof *scene);
        struct stream64_batch more;
        struct stream64_plan plan;
        uint64_t offset = 0;
        int r;

        assert(scene && n_products <= STREAM64_JOBS_MAX);
        for (size_t i = 0; i < n_products; i++) {
                const struct stream64_size size =
                        stream64_size_of(products[i].m, products[i].k, products[i].n);

                placed[i] = products[i];
                placed[i].b_offset = offset;
                if (placed[i].b_is_resident)
                        offset += LANES * size.n * size.k * B_OBJECT;
        }
        scene->flow = flow;
        stream64_plan_begin(&plan, placed, n_products, flow);
        r = stream64_plan_next(&plan, &scene->batch, scene->parts);
        assert(r == 0);
        r = stream64_plan_next(&plan, &more, more_parts);
        assert(r == STREAM64_PLAN_E_END);
        r = stream64_generate(&scene->batch, flow, scene->words, STREAM64_WORDS_MAX, &scene->n_words);
        assert(r == 0);
        scene_size_buffers(scene);
        scene->a = calloc(1, scene->buffers.size_bytes[0]);
        assert(scene->a);
        scene->buffers.a = scene->a;
        scene_write_headers(&scene->batch, scene->a);
        return scene;
}

struct scene *scene_free(struct scene *scene)
{
        if (!scene)
                return NULL;
        free(scene->a);
        free(scene);
        return NULL;
}
