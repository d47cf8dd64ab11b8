/* SPDX-License-Identifier: MIT */
/*
 * portable.c - the kernel for any machine, in the vectors that GCC and Clang have for every one.
 *
 * As in avx2.c the even bytes of B and the odd ones are 16-bit numbers, and A is copied as pairs of such. There is no
 * multiplication of pairs, however: products of 16 bits, which a signed and an unsigned byte never exceed, are
 * widened by shifts.
 */
#include "daemon/kernel/simd.h"
#include "daemon/kernel/store.h"
#include "daemon/kernel/wide.h"

#define BYTES 16 /* of a vector: what most machines have */
#define LANES 4  /* int32 in it */

typedef int16_t vector16 __attribute__((vector_size(BYTES)));
typedef uint16_t vector_u16 __attribute__((vector_size(BYTES)));
typedef int32_t vector32 __attribute__((vector_size(BYTES)));
typedef uint32_t vector_u32 __attribute__((vector_size(BYTES)));

static bool is_supported(void)
{
        return true;
}

/* ---- a register tile ---- */

/* Sums of pairs: products fit in 16 bits. */
static ALWAYS_INLINE vector_u32 pair_dots(vector16 u, vector16 a)
{
        const vector32 pairs = (vector32)(u * a);

        return (vector_u32)(((vector32)((vector_u32)pairs << 16) >> 16) + (pairs >> 16));
}

static ALWAYS_INLINE void dots_tile(const struct dots *d, const size_t rows, size_t col)
{
        const size_t vectors = 2;
        const char *a = d->a;
        const uint8_t *b = d->b + col * KERNEL_GROUP;
        vector_u32 acc[4][2];

        UNROLL
        for (size_t r = 0; r < rows; r++) {
                UNROLL
                for (size_t v = 0; v < vectors; v++)
                        acc[r][v] = (vector_u32){0};
        }
        for (size_t g = d->groups; g > 0; g--, a += WIDE_GROUP_BYTES, b += KERNEL_GROUP_BYTES) {
                vector_u16 u[2];

                memcpy(u, b, sizeof u);
                UNROLL
                for (size_t r = 0; r < rows; r++) {
                        const int32_t a02 = load_group(a + r * d->a_stride);
                        const int32_t a13 = load_group(a + r * d->a_stride + 4);

                        UNROLL
                        for (size_t v = 0; v < vectors; v++) {
                                acc[r][v] +=
                                        pair_dots((vector16)(u[v] & 0xff), (vector16)((vector32){0} + a02));
                                acc[r][v] +=
                                        pair_dots((vector16)(u[v] >> 8), (vector16)((vector32){0} + a13));
                        }
                }
        }
        for (size_t r = 0; r < rows; r++) {
                for (size_t c = 0; c < vectors * LANES && col + c < d->cols; c++) {
                        int32_t *sum = &d->sums[r * d->sums_stride + col + c];

                        *sum = (int32_t)(acc[r][c / LANES][c % LANES] +
                                         (uint32_t)(d->init ? d->init[r] : *sum));
                }
        }
}

static void dots(const struct dots *d, size_t rows, size_t panels)
{
        (void)panels;
        for (size_t col = 0; col < KERNEL_PANEL_COLS; col += 2 * LANES) {
                switch (rows) {
                case 1:
                        dots_tile(d, 1, col);
                        break;
                case 2:
                        dots_tile(d, 2, col);
                        break;
                case 3:
                        dots_tile(d, 3, col);
                        break;
                case 4:
                        dots_tile(d, 4, col);
                        break;
                default:
                        assert(false && "a register tile that there is not");
                }
        }
}

/* ---- packing B ---- */

/* A panel's column, of `k` numbers that are `step` apart, filled up to `groups`. */
static void pack_column(const int8_t *b, uint64_t step, size_t k, size_t groups, uint8_t *to)
{
        for (; step == 1 && k >= KERNEL_GROUP;
             groups--, k -= KERNEL_GROUP, b += KERNEL_GROUP, to += KERNEL_GROUP_BYTES) {
                const uint32_t group = (uint32_t)load_group(b) ^ 0x80808080u;

                memcpy(to, &group, sizeof group);
        }
        for (size_t i = 0; i < groups * KERNEL_GROUP; i++)
                to[i / KERNEL_GROUP * KERNEL_GROUP_BYTES + i % KERNEL_GROUP] =
                        (uint8_t)((i < k ? b[i * step] : 0) ^ 0x80);
}

/* A panel with all of its columns, from whole groups of rows. */
static void pack_panel(const int8_t *b, uint64_t ldb, size_t groups, uint8_t *restrict to)
{
        for (; groups > 0; groups--, b += KERNEL_GROUP * ldb, to += KERNEL_GROUP_BYTES)
                for (size_t c = 0; c < KERNEL_PANEL_COLS; c++) {
                        to[c * KERNEL_GROUP] = (uint8_t)(b[c] ^ 0x80);
                        to[c * KERNEL_GROUP + 1] = (uint8_t)(b[ldb + c] ^ 0x80);
                        to[c * KERNEL_GROUP + 2] = (uint8_t)(b[2 * ldb + c] ^ 0x80);
                        to[c * KERNEL_GROUP + 3] = (uint8_t)(b[3 * ldb + c] ^ 0x80);
                }
}

static void pack(const int8_t *b, uint64_t ldb, bool transposed, size_t k, size_t cols, size_t panel_stride,
                 uint8_t *ret_packed)
{
        const uint64_t k_step = transposed ? 1 : ldb, col_step = transposed ? ldb : 1;

        for (size_t c = 0; c < cols; c += KERNEL_PANEL_COLS, ret_packed += panel_stride) {
                const bool is_whole = !transposed && cols - c >= KERNEL_PANEL_COLS;
                const size_t whole = is_whole ? k / KERNEL_GROUP * KERNEL_GROUP : 0;

                if (whole > 0)
                        pack_panel(b + c, ldb, whole / KERNEL_GROUP, ret_packed);
                if (whole == k)
                        continue;
                for (size_t in = 0; in < KERNEL_PANEL_COLS; in++) {
                        const bool is_there = c + in < cols;

                        pack_column(is_there ? b + (c + in) * col_step + whole * k_step : b, k_step,
                                    is_there ? k - whole : 0, kernel_groups(k - whole),
                                    ret_packed + whole * KERNEL_PANEL_COLS + in * KERNEL_GROUP);
                }
        }
}

static const struct kernel_ops ops = {
        .is_supported = is_supported,
        .panels = {0, 1, 1, 1, 1},
        .dots = dots,
        .begin = kernel_begin,
        .copy_elem_bytes = sizeof(int16_t),
        .copy = wide_copy,
        .pack = pack,
        .store = kernel_store,
};

static double work_macs(const struct product *product, uint64_t rows)
{
        return kernel_work_macs(&kernel_portable, product, rows);
}

const struct kernel kernel_portable = {
        .name = "portable",
        .description = "portable C kernel",
        .rows = 4,
        .seed_ns_per_mac = 0.074,
        .work_macs = work_macs,
        .ops = &ops,
};
