/* SPDX-License-Identifier: MIT */
/* work.c - see isa.h: what a product costs besides its multiply-adds. */
#include "daemon/kernel/isa.h"

#include "daemon/device/output.h"

#include <math.h>

/*
 * In nanoseconds, measured on an AMD EPYC (Zen 4) guest with GCC 12 by all kernels that it runs, M from 1 to 500, K and
 * N from 1 to 131,071: mostly right within a factor of 1.5, where multiply-adds alone are wrong by 6, and by 30 with
 * packing.
 */
#define STACK_NS   40.0 /* planning, and the first sums */
#define TILE_NS    10.0 /* a register tile */
#define STORE_NS   0.1  /* an element of C, filled up to panels */
#define INT8_NS    0.33 /* one that is rounded and clamped, besides */
#define FLOAT32_NS 0.12 /* one that is scaled */
#define FOLD_NS    0.6  /* one that is folded at each step of K */

/* What a byte of packed B costs to read, if few rows meet it, and to pack: it depends on how many there are. */
static const struct reach {
        double bytes, read_ns, pack_ns;
} reaches[] = {
        {768.0 * 1024, 0.009, 0.027},       /* the second-level cache */
        {16.0 * 1024 * 1024, 0.014, 0.042}, /* the third */
        {HUGE_VAL, 0.026, 0.14},            /* memory */
};

static const struct reach *reach_of(double bytes)
{
        const struct reach *reach = reaches;

        while (bytes > reach->bytes)
                reach++;
        return reach;
}

static double store_ns(const struct product *product)
{
        switch (product->form) {
        case OUTPUT_INT8:
                return STORE_NS + INT8_NS;
        case OUTPUT_FLOAT32:
                return STORE_NS + FLOAT32_NS;
        case OUTPUT_TILE16_SHIFT7:
                return STORE_NS + INT8_NS + FOLD_NS * (double)(product->k / output_k_step(product) + 1);
        case OUTPUT_INT32:
        case OUTPUT_MAX:
        default:
                return STORE_NS;
        }
}

double kernel_work_macs(const struct kernel *kernel, const struct product *product, uint64_t rows)
{
        const double panels = (double)((product->n + KERNEL_PANEL_COLS - 1) / KERNEL_PANEL_COLS);
        const double b_bytes = (double)kernel_groups(product->k) * KERNEL_GROUP_BYTES * panels;
        const double tiles = (double)((rows + kernel->rows - 1) / kernel->rows) * panels /
                             (double)kernel->ops->panels[MIN(rows, kernel->rows)];
        const double elements = (double)rows * panels * KERNEL_PANEL_COLS;
        const double sums_ns = (double)rows * b_bytes * kernel->seed_ns_per_mac;
        const struct reach *reach = reach_of(b_bytes);
        const double read_ns = b_bytes * reach->read_ns;
        const double pack_ns = product->resident ? 0 : b_bytes * reach->pack_ns;

        return (MAX(sums_ns, read_ns) + pack_ns + elements * store_ns(product) + tiles * TILE_NS + STACK_NS) /
               kernel->seed_ns_per_mac;
}
