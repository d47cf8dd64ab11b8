/* SPDX-License-Identifier: MIT */
/* onednn.c - see onednn.h. */
#include "tests/bench/onednn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <oneapi/dnnl/dnnl.h>

#include "tests/lib/process.h"

struct onednn {
        dnnl_engine_t engine;
        dnnl_stream_t stream;
        dnnl_primitive_t product;
        dnnl_memory_t a, b, c, b_plain; /* b_plain is b, or what b was packed from */
};

static void must(dnnl_status_t status)
{
        if (status != dnnl_success)
                die(0, "oneDNN: status %d", (int)status);
}

const char *onednn_version(void)
{
        static char text[64];
        const dnnl_version_t *version = dnnl_version();

        (void)snprintf(text, sizeof text, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
        return text;
}

/* Its threads are those of OpenMP, whose library has read the environment long before main(). */
static void use_one_thread(void)
{
        void (*set)(int) = NULL;

        *(void **)&set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
        if (set)
                set(1);
}

static dnnl_memory_desc_t shape_of(uint64_t rows, uint64_t cols, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
        dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
        dnnl_memory_desc_t desc;

        must(dnnl_memory_desc_init_by_tag(&desc, 2, dims, type, tag));
        return desc;
}

static void pack(struct onednn *o, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to)
{
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, o->b_plain}, {DNNL_ARG_TO, o->b}};
        dnnl_primitive_desc_t desc;
        dnnl_primitive_t reorder;

        must(dnnl_reorder_primitive_desc_create(&desc, from, o->engine, to, o->engine, NULL));
        must(dnnl_primitive_create(&reorder, desc));
        must(dnnl_primitive_execute(reorder, o->stream, 2, args));
        must(dnnl_stream_wait(o->stream));
        must(dnnl_primitive_destroy(reorder));
        must(dnnl_primitive_desc_destroy(desc));
}

struct onednn *onednn_new(uint64_t m, uint64_t k, uint64_t n, int8_t *a, int8_t *b, int32_t *c,
                          bool is_packed)
{
        struct onednn *o = calloc(1, sizeof *o);
        const dnnl_memory_desc_t a_desc = shape_of(m, k, dnnl_s8, dnnl_ab),
                                 b_plain = shape_of(k, n, dnnl_s8, dnnl_ab);
        const dnnl_memory_desc_t b_any = shape_of(k, n, dnnl_s8, is_packed ? dnnl_format_tag_any : dnnl_ab);
        const dnnl_memory_desc_t c_desc = shape_of(m, n, dnnl_s32, dnnl_ab), *b_desc;
        dnnl_matmul_desc_t matmul;
        dnnl_primitive_desc_t desc;

        if (!o)
                die(0, "no memory");
        use_one_thread();
        must(dnnl_engine_create(&o->engine, dnnl_cpu, 0));
        must(dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags));
        must(dnnl_matmul_desc_init(&matmul, &a_desc, &b_any, NULL, &c_desc));
        must(dnnl_primitive_desc_create(&desc, &matmul, NULL, o->engine, NULL));
        must(dnnl_primitive_create(&o->product, desc));
        b_desc = dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
        must(dnnl_memory_create(&o->a, &a_desc, o->engine, a));
        must(dnnl_memory_create(&o->c, &c_desc, o->engine, c));
        must(dnnl_memory_create(&o->b_plain, &b_plain, o->engine, b));
        if (is_packed) {
                must(dnnl_memory_create(&o->b, b_desc, o->engine, DNNL_MEMORY_ALLOCATE));
                pack(o, &b_plain, b_desc);
        } else {
                o->b = o->b_plain;
        }
        must(dnnl_primitive_desc_destroy(desc));
        return o;
}

void onednn_run(struct onednn *onednn)
{
        const dnnl_exec_arg_t args[] = {
                {DNNL_ARG_SRC, onednn->a}, {DNNL_ARG_WEIGHTS, onednn->b}, {DNNL_ARG_DST, onednn->c}};

        must(dnnl_primitive_execute(onednn->product, onednn->stream, 3, args));
}

struct onednn *onednn_free(struct onednn *onednn)
{
        if (!onednn)
                return NULL;
        if (onednn->b != onednn->b_plain)
                must(dnnl_memory_destroy(onednn->b));
        must(dnnl_memory_destroy(onednn->b_plain));
        must(dnnl_memory_destroy(onednn->a));
        must(dnnl_memory_destroy(onednn->c));
        must(dnnl_primitive_destroy(onednn->product));
        must(dnnl_stream_destroy(onednn->stream));
        must(dnnl_engine_destroy(onednn->engine));
        free(onednn);
        return NULL;
}
