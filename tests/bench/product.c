/* SPDX-License-Identifier: MIT */
/* product.c - see product.h. */
#include "tests/bench/product.h"

#include <stdlib.h>

#include "daemon/kernel/kernel.h"
#include "tests/lib/process.h"

enum { ALIGNMENT = 64 };

struct bench_product {
        const struct kernel *kernel;
        struct product product;
        struct resident resident;
        struct slice slice;
        uint8_t *packed; /* owned */
        void *scratch;   /* owned */
};

static void *memory_new(size_t bytes)
{
        void *memory = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);

        if (!memory)
                die(0, "no memory");
        return memory;
}

static const struct kernel *kernel_used(void)
{
        const struct kernel *kernel = kernel_choose(getenv("NPUMM_ISA"));

        if (!kernel)
                die(0, "NPUMM_ISA names no kernel");
        return kernel;
}

static void prepare(struct bench_product *product)
{
        const struct resident *b = &product->resident;

        product->kernel = kernel_used();
        product->packed = memory_new(kernel_packed_bytes(b->k, b->n));
        product->scratch = memory_new(kernel_scratch_bytes());
        kernel_pack(product->kernel, b->b, b->n, false, b->k, b->n, product->packed);
}

void bench_product_run(struct bench_product *product)
{
        struct kernel_plan plan;

        kernel_plan(&plan, product->kernel, &product->slice, 1, product->packed, 1);
        kernel_run(&plan, product->scratch);
}

const char *bench_product_kernel(void)
{
        return kernel_used()->name;
}

struct bench_product *bench_product_new(uint64_t m, uint64_t k, uint64_t n, const int8_t *a, const int8_t *b,
                                        int32_t *c)
{
        struct bench_product *product = calloc(1, sizeof *product);

        if (!product)
                die(0, "no memory");
        resident_init(&product->resident, b, k, n);
        product->product = (struct product){
                .m = m,
                .k = k,
                .n = n,
                .a = a,
                .lda = k,
                .b = b,
                .ldb = n,
                .resident = &product->resident,
                .c = c,
                .ldc = n,
                .form = OUTPUT_INT32,
        };
        product->slice = (struct slice){.product = &product->product, .rows = m};
        prepare(product);
        return product;
}

struct bench_product *bench_product_free(struct bench_product *product)
{
        if (product) {
                free(product->packed);
                free(product->scratch);
                free(product);
        }
        return NULL;
}
