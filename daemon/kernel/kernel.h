/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - the exact int8 product on the CPU, by whichever instructions this CPU has.
 *
 * Role:   rows of one stack (daemon/device.h): products of one B, each with an A and a C of its own. B is packed once,
 *         or on the way; A is read in place; C is stored in each product's form. The same bits by every kernel.
 * In:     slices whose shapes were validated. Not a byte beyond the K elements of a row of A or beyond B is read, and
 *         none but C's elements are written: operands may end where a mapping ends.
 * Thread: any. A plan is constant once made; its tiles are independent of each other; scratch belongs to one thread.
 * Owns:   nothing, and allocates nothing.
 */
#ifndef DAEMON_KERNEL_KERNEL_H
#define DAEMON_KERNEL_KERNEL_H

#include "daemon/device.h"

struct kernel_ops;

/* One instruction set. */
struct kernel {
        const char *name;        /* what NPUMM_ISA= calls it */
        const char *description; /* for people */
        uint64_t rows;           /* of a register tile: slices of a multiple of it waste nothing */
        double seed_ns_per_mac;  /* of a large product, on the machine that it was measured on */
        /*
         * The multiply-adds of a large product that take as long as `rows` rows of this one; struct device::work_macs.
         * Packing is included where B is not resident.
         */
        double (*work_macs)(const struct product *product, uint64_t rows);
        const struct kernel_ops *ops; /* daemon/kernel/isa.h */
};

/* Those of this build, best first, "portable" last; then NULL. */
extern const struct kernel *const kernels[];

/*
 * The best kernel that this CPU runs and that is not above `cap`, the name of one of this build; NULL: no cap.
 * Returns NULL if no kernel has that name.
 */
const struct kernel *kernel_choose(const char *cap);

/* Bytes of a packed B, for all kernels the same. UINT64_MAX: more than can be counted. */
uint64_t kernel_packed_bytes(uint64_t k, uint64_t n);

/* Packs B, k x n or, if `transposed`, n x k. `ret_packed` is aligned to 64 bytes. */
void kernel_pack(const struct kernel *kernel, const int8_t *b, uint64_t ldb, bool transposed, uint64_t k,
                 uint64_t n, uint8_t *ret_packed);

/* A stack, cut into tiles that may be computed in any order by any threads. */
struct kernel_plan {
        const struct kernel *kernel;
        const struct slice *slices; /* borrowed: outlive the plan */
        size_t n_slices;
        const uint8_t *packed;                          /* borrowed, too; NULL: B is packed on the way */
        uint64_t rows, panels;                          /* of the stack; panels are of 32 columns */
        uint64_t tile_rows, tile_panels, tiles_per_row; /* the last of either may be smaller */
        size_t n_tiles;
};

/*
 * Plans the product of `n_slices` slices, at least one. `n_threads`: how many will share it, at least 1; the fewer,
 * the larger are the tiles.
 */
void kernel_plan(struct kernel_plan *ret_plan, const struct kernel *kernel, const struct slice *slices,
                 size_t n_slices, const uint8_t *packed, unsigned n_threads);

/* Of a thread; aligned to 64 bytes; whatever the shape. */
size_t kernel_scratch_bytes(void);

/* So much memory; NULL: it is short. The caller frees it. */
static inline void *kernel_scratch_new(void)
{
        return aligned_alloc(64, (kernel_scratch_bytes() + 63) / 64 * 64);
}

void kernel_tile(const struct kernel_plan *plan, size_t tile, void *scratch);

/* All tiles in order. */
void kernel_run(const struct kernel_plan *plan, void *scratch);

#endif
