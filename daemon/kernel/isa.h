/* SPDX-License-Identifier: MIT */
/*
 * isa.h - what an instruction set does for a kernel: the inner loops; tile.c has the outer ones.
 *
 * Design notes
 * - B is packed as bytes b + 128, which are unsigned: the dot product instructions multiply unsigned by signed. Panels
 *   of 32 columns follow each other; in a panel, groups of 4 k follow each other, and a group has the 4 bytes of
 *   each column in a row: [panel][k / 4][column][k % 4]. The last panel and the last group are filled up.
 * - Then a.b = sum a * (b + 128) - 128 * sum a. All sums are modulo 2^32, where nothing can go wrong on the way: the
 *   result fits, whatever else did not.
 * - A's rows are read in place in groups of 4, or from a copy where that would not do: K is no multiple of 4, rows come
 *   from several products, or the kernel wants 16-bit numbers. The copy is filled up with zeros, so what B is filled
 *   up with counts nowhere.
 */
#ifndef DAEMON_KERNEL_ISA_H
#define DAEMON_KERNEL_ISA_H

#include "daemon/kernel/kernel.h"

#define KERNEL_PANEL_COLS  32
#define KERNEL_GROUP       4                                  /* k of a group */
#define KERNEL_GROUP_BYTES (KERNEL_GROUP * KERNEL_PANEL_COLS) /* of a panel */
#define KERNEL_ROWS_MAX    14                                 /* of a register tile */
#define KERNEL_TILE_MAX    512                                /* its elements */

/* A register tile: sums[rows x cols] = init + A . B over some groups. */
struct dots {
        const void *a; /* rows of int8_t, or what kernel_ops::copy made of them */
        size_t a_stride;
        const uint8_t *b; /* the first panel, at the first group */
        size_t panel_stride;
        size_t groups;
        size_t ahead; /* B is far away: what is so many bytes further on is worth fetching; 0: it is not */
        const int32_t *init; /* what each row starts with; NULL: what is in `sums`, then of whole panels */
        int32_t *sums;
        size_t sums_stride; /* in elements */
        size_t cols;        /* those of the last panel may be fewer than 32 */
};

/* Strides are in bytes where nothing else is said. */
struct kernel_ops {
        bool (*is_supported)(void);
        size_t panels[KERNEL_ROWS_MAX + 1]; /* that are best computed together, for each number of rows */
        void (*dots)(const struct dots *dots, size_t rows, size_t panels);
        /* What sums begin with: -128 times the sum of each row of A. */
        void (*begin)(const int8_t *a, size_t a_stride, size_t rows, size_t k, int32_t *ret_init);
        size_t copy_elem_bytes; /* of a row's copy: 1, or 2 where A is never read in place */
        void (*copy)(const int8_t *a, size_t k, void *ret_copy); /* filled up with zeros to a group */
        void (*pack)(const int8_t *b, uint64_t ldb, bool transposed, size_t k, size_t cols,
                     size_t panel_stride, uint8_t *ret_packed);
        /* Stores totals to `rows` rows of C from (row, col) on, in the product's form. */
        void (*store)(const struct product *product, uint64_t row, size_t rows, uint64_t col, size_t cols,
                      const int32_t *totals, size_t totals_stride);
};

static inline size_t kernel_groups(size_t k)
{
        return (k + KERNEL_GROUP - 1) / KERNEL_GROUP;
}

/* struct kernel::work_macs of any of them. */
double kernel_work_macs(const struct kernel *kernel, const struct product *product, uint64_t rows);

extern const struct kernel kernel_avx512_vnni, kernel_avx_vnni, kernel_avx2, kernel_portable;

#endif
