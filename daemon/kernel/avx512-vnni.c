/* SPDX-License-Identifier: MIT */
/*
 * avx512-vnni.c - the kernel for AVX-512 with VNNI: vpdpbusd on 512 bits.
 *
 * The dot product is inline assembly: GCC 12 copies and spills the accumulator of its intrinsic at each use, at a
 * third of the speed. A register tile has up to 28 accumulators, 2 registers of B and 1 of A.
 */
#include "daemon/kernel/simd.h"
#include "daemon/kernel/store.h"

#include <immintrin.h>

#define LANES 16 /* int32 in a register */

/* acc[i] += the dot product of the 4 bytes that u[i] and a[i] have: u is unsigned, a is signed. */
#define DOT(acc, u, a) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(a))

static bool is_supported(void)
{
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

/* ---- a register tile ---- */

static inline __mmask16 mask_of(size_t cols, size_t first)
{
        const size_t n = cols > first ? MIN(cols - first, (size_t)LANES) : 0;

        return (__mmask16)((1u << n) - 1);
}

/* `rows` and `panels` are constants wherever this is inlined, so that `acc` is registers. */
static ALWAYS_INLINE void dots_tile(const struct dots *d, const size_t rows, const size_t panels)
{
        const size_t vectors = 2 * panels, stride = d->a_stride, panel_stride = d->panel_stride;
        const bool is_far = panels > 1 && d->ahead > 0;
        const char *a = d->a;
        const uint8_t *b = d->b;
        __m512i acc[28];

        UNROLL
        for (size_t r = 0; r < rows; r++) {
                const __m512i init = d->init ? _mm512_set1_epi32(d->init[r]) : _mm512_setzero_si512();

                UNROLL
                for (size_t v = 0; v < vectors; v++)
                        acc[r * vectors + v] = init;
        }
        if (!d->init) {
                UNROLL
                for (size_t r = 0; r < rows; r++) {
                        UNROLL
                        for (size_t v = 0; v < vectors; v++)
                                acc[r * vectors + v] =
                                        _mm512_loadu_si512(d->sums + r * d->sums_stride + v * LANES);
                }
        }
        /* C may be far away: it is fetched while the sums grow. */
        UNROLL
        for (size_t r = 0; r < rows; r++) {
                UNROLL
                for (size_t v = 0; v < vectors; v++)
                        __builtin_prefetch(d->sums + r * d->sums_stride + v * LANES, 1);
        }
        for (size_t g = d->groups; g > 0; g--, a += KERNEL_GROUP, b += KERNEL_GROUP_BYTES) {
                __m512i u[8];

                UNROLL
                for (size_t v = 0; v < vectors; v++)
                        u[v] = _mm512_load_si512(b + v / 2 * panel_stride + v % 2 * sizeof(__m512i));
                if (is_far) {
                        UNROLL
                        for (size_t v = 0; v < vectors; v++)
                                _mm_prefetch((const char *)b + v / 2 * panel_stride +
                                                     v % 2 * sizeof(__m512i) + d->ahead,
                                             _MM_HINT_T1);
                }
                UNROLL
                for (size_t r = 0; r < rows; r++) {
                        const __m512i group = _mm512_set1_epi32(load_group(a + r * stride));

                        UNROLL
                        for (size_t v = 0; v < vectors; v++)
                                DOT(acc[r * vectors + v], u[v], group);
                }
        }
        if (d->cols == panels * KERNEL_PANEL_COLS) {
                UNROLL
                for (size_t r = 0; r < rows; r++) {
                        UNROLL
                        for (size_t v = 0; v < vectors; v++)
                                _mm512_storeu_si512(d->sums + r * d->sums_stride + v * LANES,
                                                    acc[r * vectors + v]);
                }
        } else {
                UNROLL
                for (size_t r = 0; r < rows; r++) {
                        UNROLL
                        for (size_t v = 0; v < vectors; v++)
                                _mm512_mask_storeu_epi32(d->sums + r * d->sums_stride + v * LANES,
                                                         mask_of(d->cols, v * LANES), acc[r * vectors + v]);
                }
        }
}

#define TILE(rows, panels)                                                                                   \
        case (rows)*8 + (panels):                                                                            \
                dots_tile(d, rows, panels);                                                                  \
                break;

static void dots(const struct dots *d, size_t rows, size_t panels)
{
        switch (rows * 8 + panels) {
                TILE(1, 1)
                TILE(1, 2)
                TILE(1, 4)
                TILE(2, 1)
                TILE(2, 2)
                TILE(2, 4)
                TILE(3, 1)
                TILE(3, 2)
                TILE(3, 4)
                TILE(4, 1)
                TILE(4, 2)
                TILE(5, 1)
                TILE(5, 2)
                TILE(6, 1)
                TILE(6, 2)
                TILE(7, 1)
                TILE(7, 2)
                TILE(8, 1)
                TILE(9, 1)
                TILE(10, 1)
                TILE(11, 1)
                TILE(12, 1)
                TILE(13, 1)
                TILE(14, 1)
        default:
                assert(false && "a register tile that there is not");
        }
}

/* ---- rows of A ---- */

static inline __mmask64 mask_of_bytes(size_t n)
{
        return n >= 64 ? (__mmask64)-1 : ((__mmask64)1 << n) - 1;
}

static void begin(const int8_t *a, size_t a_stride, size_t rows, size_t k, int32_t *ret_init)
{
        const __m512i ones = _mm512_set1_epi8(1);

        for (size_t r = 0; r < rows; r++, a += a_stride) {
                __m512i sum = _mm512_setzero_si512();
                size_t i = 0;

                for (; i + 64 <= k; i += 64)
                        DOT(sum, ones, _mm512_loadu_si512(a + i));
                if (i < k)
                        DOT(sum, ones, _mm512_maskz_loadu_epi8(mask_of_bytes(k - i), a + i));
                ret_init[r] = -128 * _mm512_reduce_add_epi32(sum);
        }
}

static void copy(const int8_t *a, size_t k, void *ret_copy)
{
        int8_t *to = ret_copy;

        for (size_t i = 0; i < k; i += 64)
                _mm512_mask_storeu_epi8(to + i, mask_of_bytes(kernel_groups(k - i) * KERNEL_GROUP),
                                        _mm512_maskz_loadu_epi8(mask_of_bytes(k - i), a + i));
}

/* ---- packing B ---- */

/* One group of up to 64 columns, from 4 rows of B, to one panel or two. */
static ALWAYS_INLINE void pack_group(const __m512i row[4], size_t cols, size_t panel_stride, uint8_t *to)
{
        const __m512i lo01 = _mm512_unpacklo_epi8(row[0], row[1]),
                      hi01 = _mm512_unpackhi_epi8(row[0], row[1]);
        const __m512i lo23 = _mm512_unpacklo_epi8(row[2], row[3]),
                      hi23 = _mm512_unpackhi_epi8(row[2], row[3]);
        /* Quarter q of vector v has the columns 16q + 4v .. 16q + 4v + 3. */
        const __m512i v0 = _mm512_unpacklo_epi16(lo01, lo23), v1 = _mm512_unpackhi_epi16(lo01, lo23);
        const __m512i v2 = _mm512_unpacklo_epi16(hi01, hi23), v3 = _mm512_unpackhi_epi16(hi01, hi23);
        const __m512i v01 = _mm512_shuffle_i64x2(v0, v1, 0x44), v23 = _mm512_shuffle_i64x2(v2, v3, 0x44);

        _mm512_store_si512(to, _mm512_shuffle_i64x2(v01, v23, 0x88));
        _mm512_store_si512(to + 64, _mm512_shuffle_i64x2(v01, v23, 0xdd));
        if (cols > KERNEL_PANEL_COLS) {
                const __m512i w01 = _mm512_shuffle_i64x2(v0, v1, 0xee),
                              w23 = _mm512_shuffle_i64x2(v2, v3, 0xee);

                _mm512_store_si512(to + panel_stride, _mm512_shuffle_i64x2(w01, w23, 0x88));
                _mm512_store_si512(to + panel_stride + 64, _mm512_shuffle_i64x2(w01, w23, 0xdd));
        }
}

#define PACK_COLS 256 /* whole lines of B's rows at once, and not too many panels to write to */

static void pack_rows(const int8_t *b, uint64_t ldb, size_t k, size_t cols, size_t panel_stride, uint8_t *to)
{
        const __m512i bias = _mm512_set1_epi8((char)0x80);

        for (size_t i = 0; i < k; i += KERNEL_GROUP, to += KERNEL_GROUP_BYTES) {
                for (size_t c = 0; c < cols; c += 64) {
                        const __mmask64 mask = mask_of_bytes(cols - c);
                        __m512i row[4];

                        UNROLL
                        for (size_t j = 0; j < 4; j++)
                                row[j] = i + j < k ? _mm512_maskz_loadu_epi8(mask, b + (i + j) * ldb + c)
                                                   : _mm512_setzero_si512();
                        UNROLL
                        for (size_t j = 0; j < 4; j++)
                                row[j] = _mm512_xor_si512(row[j], bias);
                        pack_group(row, cols - c, panel_stride, to + c / KERNEL_PANEL_COLS * panel_stride);
                }
        }
}

/* 16 vectors of 16 int32, transposed in place. */
static ALWAYS_INLINE void transpose(__m512i v[16])
{
        __m512i t[16];

        UNROLL
        for (size_t i = 0; i < 16; i += 2) {
                t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
                t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        }
        UNROLL
        for (size_t i = 0; i < 16; i += 4) {
                v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
                v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
                v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
                v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
        }
        /* Quarter q of v[4i + j] is column 4q + j of rows 4i .. 4i + 3. */
        UNROLL
        for (size_t j = 0; j < 4; j++) {
                const __m512i lo = _mm512_shuffle_i32x4(v[j], v[4 + j], 0x44);
                const __m512i hi = _mm512_shuffle_i32x4(v[j], v[4 + j], 0xee);
                const __m512i lo2 = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0x44);
                const __m512i hi2 = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0xee);

                t[j] = _mm512_shuffle_i32x4(lo, lo2, 0x88);
                t[4 + j] = _mm512_shuffle_i32x4(lo, lo2, 0xdd);
                t[8 + j] = _mm512_shuffle_i32x4(hi, hi2, 0x88);
                t[12 + j] = _mm512_shuffle_i32x4(hi, hi2, 0xdd);
        }
        UNROLL
        for (size_t i = 0; i < 16; i++)
                v[i] = t[i];
}

/* Up to 16 columns of one panel, from as many rows of B as it is stored n x k. */
static void pack_columns(const int8_t *b, uint64_t ldb, size_t k, size_t cols, uint8_t *to)
{
        const __m512i bias = _mm512_set1_epi8((char)0x80);

        for (size_t i = 0; i < k; i += 64) {
                const size_t groups = MIN(kernel_groups(k - i), (size_t)16);
                __m512i v[16];

                UNROLL
                for (size_t c = 0; c < 16; c++) {
                        const __mmask64 mask = c < cols ? mask_of_bytes(k - i) : 0;

                        v[c] = _mm512_xor_si512(
                                _mm512_maskz_loadu_epi8(mask, b + (c < cols ? c * ldb : 0) + i), bias);
                }
                transpose(v);
                if (groups == 16) {
                        UNROLL
                        for (size_t g = 0; g < 16; g++, to += KERNEL_GROUP_BYTES)
                                _mm512_store_si512(to, v[g]);
                } else {
                        for (size_t g = 0; g < groups; g++, to += KERNEL_GROUP_BYTES)
                                _mm512_store_si512(to, v[g]);
                }
        }
}

static void pack(const int8_t *b, uint64_t ldb, bool transposed, size_t k, size_t cols, size_t panel_stride,
                 uint8_t *ret_packed)
{
        if (!transposed) {
                for (size_t c = 0; c < cols; c += PACK_COLS)
                        pack_rows(b + c, ldb, k, MIN(cols - c, (size_t)PACK_COLS), panel_stride,
                                  ret_packed + c / KERNEL_PANEL_COLS * panel_stride);
                return;
        }
        for (size_t c = 0; c < (cols + KERNEL_PANEL_COLS - 1) / KERNEL_PANEL_COLS * KERNEL_PANEL_COLS;
             c += LANES)
                pack_columns(c < cols ? b + c * ldb : b, ldb, k, c < cols ? cols - c : 0,
                             ret_packed + c / KERNEL_PANEL_COLS * panel_stride +
                                     c % KERNEL_PANEL_COLS * KERNEL_GROUP);
}

static const struct kernel_ops ops = {
        .is_supported = is_supported,
        .panels = {0, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1},
        .dots = dots,
        .begin = begin,
        .copy_elem_bytes = 1,
        .copy = copy,
        .pack = pack,
        .store = kernel_store,
};

static double work_macs(const struct product *product, uint64_t rows)
{
        return kernel_work_macs(&kernel_avx512_vnni, product, rows);
}

const struct kernel kernel_avx512_vnni = {
        .name = "avx512-vnni",
        .description = "AVX-512 VNNI kernel",
        .rows = 14,
        .seed_ns_per_mac = 0.0044,
        .work_macs = work_macs,
        .ops = &ops,
};
