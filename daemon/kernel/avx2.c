/* SPDX-License-Identifier: MIT */
/*
 * avx2.c - the kernel for AVX2: vpmaddwd on 16-bit numbers, which is exact; vpmaddubsw, on bytes, saturates.
 *
 * A register of B has the 4 bytes of 8 columns: the even bytes and the odd ones, each as 8 pairs of 16-bit numbers, are
 * a mask and a shift away. A is copied as such pairs: numbers 0 and 2 of a group, then 1 and 3.
 */
#include "daemon/kernel/store.h"
#include "daemon/kernel/wide.h"
#include "daemon/kernel/ymm.h"

static bool is_supported(void)
{
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2");
}

/* `rows` and `vectors` are constants wherever this is inlined, so that `acc` is registers. From column `col` on. */
static ALWAYS_INLINE void dots_tile(const struct dots *d, const size_t rows, const size_t vectors, size_t col)
{
        const __m256i even_bytes = _mm256_set1_epi16(0xff);
        const size_t stride = d->a_stride;
        const char *a = d->a;
        const uint8_t *b =
                d->b + col / KERNEL_PANEL_COLS * d->panel_stride + col % KERNEL_PANEL_COLS * KERNEL_GROUP;
        __m256i acc[4][4];

        UNROLL
        for (size_t r = 0; r < rows; r++) {
                UNROLL
                for (size_t v = 0; v < vectors; v++)
                        acc[r][v] = ymm_sums_begin(d, r, col + v * YMM_LANES);
        }
        for (size_t g = d->groups; g > 0; g--, a += WIDE_GROUP_BYTES, b += KERNEL_GROUP_BYTES) {
                __m256i even[4], odd[4];

                UNROLL
                for (size_t v = 0; v < vectors; v++) {
                        const __m256i u = _mm256_load_si256((const __m256i *)(b + v * YMM_BYTES));

                        even[v] = _mm256_and_si256(u, even_bytes);
                        odd[v] = _mm256_srli_epi16(u, 8);
                }
                UNROLL
                for (size_t r = 0; r < rows; r++) {
                        const __m256i a02 = _mm256_set1_epi32(load_group(a + r * stride));
                        const __m256i a13 = _mm256_set1_epi32(load_group(a + r * stride + 4));

                        UNROLL
                        for (size_t v = 0; v < vectors; v++) {
                                acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(even[v], a02));
                                acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(odd[v], a13));
                        }
                }
        }
        UNROLL
        for (size_t r = 0; r < rows; r++) {
                UNROLL
                for (size_t v = 0; v < vectors; v++)
                        ymm_sums_end(d, r, col + v * YMM_LANES, acc[r][v]);
        }
}

static void dots(const struct dots *d, size_t rows, size_t panels)
{
        for (size_t col = 0; col < panels * KERNEL_PANEL_COLS; col += 2 * YMM_LANES) {
                switch (rows) {
                case 1:
                        dots_tile(d, 1, 2, col);
                        break;
                case 2:
                        dots_tile(d, 2, 2, col);
                        break;
                case 3:
                        dots_tile(d, 3, 2, col);
                        break;
                case 4:
                        dots_tile(d, 4, 2, col);
                        break;
                default:
                        assert(false && "a register tile that there is not");
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
        .pack = ymm_pack,
        .store = kernel_store,
};

static double work_macs(const struct product *product, uint64_t rows)
{
        return kernel_work_macs(&kernel_avx2, product, rows);
}

const struct kernel kernel_avx2 = {
        .name = "avx2",
        .description = "AVX2 kernel",
        .rows = 4,
        .seed_ns_per_mac = 0.0121,
        .work_macs = work_macs,
        .ops = &ops,
};
