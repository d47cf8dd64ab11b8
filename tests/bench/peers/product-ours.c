/* SPDX-License-Identifier: MIT */
/*
 * product-ours.c - the daemon's own kernel behind the gRPC server: what differs then is the transport alone.
 *
 * Thread: one.
 */
#include "tests/bench/peers/product.h"

#include "daemon/kernel/kernel.h"
#include "tests/lib/process.h"

#include <stdio.h>
#include <stdlib.h>

static void *aligned(size_t n_bytes)
{
        void *memory = aligned_alloc(64, (n_bytes + 63) / 64 * 64);

        if (!memory)
                die(0, "no memory");
        return memory;
}

static const struct kernel *the_kernel(void)
{
        static const struct kernel *kernel;

        if (!kernel)
                kernel = kernel_choose(getenv("NPUMM_ISA"));
        if (!kernel)
                die(0, "NPUMM_ISA names no kernel");
        return kernel;
}

static void *load(const int8_t *b, uint64_t k, uint64_t n)
{
        uint8_t *packed = aligned(kernel_packed_bytes(k, n));

        kernel_pack(the_kernel(), b, n, false, k, n, packed);
        return packed;
}

static void multiply(const struct slice *slice, void *weights)
{
        static void *scratch;
        struct kernel_plan plan;

        if (!scratch)
                scratch = aligned(kernel_scratch_bytes());
        kernel_plan(&plan, the_kernel(), slice, 1, weights, 1);
        kernel_run(&plan, scratch);
}

static void run(void *weights, const int8_t *a, const int8_t *b, uint64_t m, uint64_t k, uint64_t n,
                int32_t *ret_c)
{
        const struct product product = {
                .m = m,
                .k = k,
                .n = n,
                .a = a,
                .lda = k,
                .b = weights ? weights : b,
                .ldb = n,
                .c = ret_c,
                .ldc = n,
                .form = OUTPUT_INT32,
        };
        const struct slice slice = {.product = &product, .rows = m};

        multiply(&slice, weights);
}

const struct product_ops product_ours = {load, run};
