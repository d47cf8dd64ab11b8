/* SPDX-License-Identifier: MIT */
/*
 * avx-vnni.c - the kernel for CPUs with VNNI on 256 bits alone: vpdpbusd in its VEX encoding.
 *
 * As in avx512-vnni.c the dot product is inline assembly. There are 16 registers: up to 12 accumulators, 3 of A or B.
 * A CPU with AVX-512 VNNI need not have this encoding: tests compile this file once more with NPUMM_TEST_EVEX for the
 * other one, which computes the same.
 */
#include "daemon/kernel/store.h"
#include "daemon/kernel/ymm.h"

#include <cpuid.h>

#ifdef NPUMM_TEST_EVEX
#define ENCODING "%{evex%} "
#define KERNEL   kernel_avx_vnni_evex
#else
#define ENCODING "%{vex%} "
#define KERNEL   kernel_avx_vnni
#endif

/* acc[i] += the dot product of the 4 bytes that u[i] and a[i] have: u is unsigned, a is signed. */
#define DOT(acc, u, a) __asm__(ENCODING "vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(u), "x"(a))

#define LEAF             7
#define SUBLEAF          1
#define EAX_HAS_AVX_VNNI (1u << 4)

/* Not every compiler knows the feature's name. That of AVX2 is there only if the system saves the registers. */
static bool is_supported(void)
{
        __builtin_cpu_init();
#ifdef NPUMM_TEST_EVEX
        return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
#else
        unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;

        return __builtin_cpu_supports("avx2") && __get_cpuid_count(LEAF, SUBLEAF, &eax, &ebx, &ecx, &edx) &&
               (eax & EAX_HAS_AVX_VNNI);
#endif
}

/* ---- a register tile ---- */

/* `rows` and `vectors` are constants wherever this is inlined, so that `acc` is registers. From column `col` on. */
static ALWAYS_INLINE void dots_tile(const struct dots *d, const size_t rows, const size_t vectors, size_t col)
{
        const size_t stride = d->a_stride;
        const char *a = d->a;
        const uint8_t *b =
                d->b + col / KERNEL_PANEL_COLS * d->panel_stride + col % KERNEL_PANEL_COLS * KERNEL_GROUP;
        __m256i acc[6][8];

        UNROLL
        for (size_t r = 0; r < rows; r++) {
                UNROLL
                for (size_t v = 0; v < vectors; v++)
                        acc[r][v] = ymm_sums_begin(d, r, col + v * YMM_LANES);
        }
        for (size_t g = d->groups; g > 0; g--, a += KERNEL_GROUP, b += KERNEL_GROUP_BYTES) {
                UNROLL
                for (size_t v = 0; v < vectors; v++) {
                        const __m256i u = _mm256_load_si256(
                                (const __m256i *)(b + v / 4 * d->panel_stride + v % 4 * YMM_BYTES));

                        UNROLL
                        for (size_t r = 0; r < rows; r++)
                                DOT(acc[r][v], u, _mm256_set1_epi32(load_group(a + r * stride)));
                }
        }
        UNROLL
        for (size_t r = 0; r < rows; r++) {
                UNROLL
                for (size_t v = 0; v < vectors; v++)
                        ymm_sums_end(d, r, col + v * YMM_LANES, acc[r][v]);
        }
}

/* As wide as there are registers for: one row two panels, up to three rows one, and more half a panel. */
static void dots(const struct dots *d, size_t rows, size_t panels)
{
        const size_t cols = panels * KERNEL_PANEL_COLS;

        for (size_t col = 0; rows <= 3 && col < cols; col += KERNEL_PANEL_COLS) {
                if (rows == 1 && panels == 2) {
                        dots_tile(d, 1, 8, 0);
                        return;
                }
                if (rows == 1)
                        dots_tile(d, 1, 4, col);
                else if (rows == 2)
                        dots_tile(d, 2, 4, col);
                else
                        dots_tile(d, 3, 4, col);
        }
        for (size_t col = 0; rows > 3 && col < cols; col += KERNEL_PANEL_COLS / 2) {
                if (rows == 4)
                        dots_tile(d, 4, 2, col);
                else if (rows == 5)
                        dots_tile(d, 5, 2, col);
                else
                        dots_tile(d, 6, 2, col);
        }
}

/* ---- rows of A ---- */

static void copy(const int8_t *a, size_t k, void *ret_copy)
{
        int8_t *to = ret_copy;

        memcpy(to, a, k);
        memset(to + k, 0, kernel_groups(k) * KERNEL_GROUP - k);
}

static const struct kernel_ops ops = {
        .is_supported = is_supported,
        .panels = {0, 2, 1, 1, 1, 1, 1},
        .dots = dots,
        .begin = kernel_begin,
        .copy_elem_bytes = 1,
        .copy = copy,
        .pack = ymm_pack,
        .store = kernel_store,
};

extern const struct kernel KERNEL;

static double work_macs(const struct product *product, uint64_t rows)
{
        return kernel_work_macs(&KERNEL, product, rows);
}

const struct kernel KERNEL = {
        .name = "avx-vnni",
        .description = "AVX-VNNI kernel",
        .rows = 6,
        .seed_ns_per_mac = 0.0088, /* not measured: half of what 512 bits do */
        .work_macs = work_macs,
        .ops = &ops,
};
