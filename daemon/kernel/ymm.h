/* SPDX-License-Identifier: MIT */
/* ymm.h - what kernels with 256-bit registers share: packing B, and storing int32 by columns. */
#ifndef DAEMON_KERNEL_YMM_H
#define DAEMON_KERNEL_YMM_H

#include "daemon/kernel/simd.h"

#include <immintrin.h>

#define YMM_BYTES 32
#define YMM_LANES 8 /* int32 in a register */

/* ---- packing B ---- */

/* The first `n` of 32 bytes, then zeros; nothing behind them is read. */
static ALWAYS_INLINE __m256i ymm_load_some(const int8_t *from, size_t n)
{
        _Alignas(32) int8_t bytes[YMM_BYTES] = {0};

        if (n >= YMM_BYTES)
                return _mm256_loadu_si256((const __m256i *)from);
        memcpy(bytes, from, n);
        return _mm256_load_si256((const __m256i *)bytes);
}

static ALWAYS_INLINE void ymm_store(uint8_t *to, __m256i v)
{
        _mm256_store_si256((__m256i *)to, v);
}

/* One panel of B stored k x n; `cols` may be more than it has. */
static inline void ymm_pack_rows(const int8_t *b, uint64_t ldb, size_t k, size_t cols, uint8_t *to)
{
        const __m256i bias = _mm256_set1_epi8((char)0x80);

        for (size_t i = 0; i < k; i += KERNEL_GROUP, to += KERNEL_GROUP_BYTES) {
                __m256i row[4];

                UNROLL
                for (size_t j = 0; j < 4; j++)
                        row[j] = _mm256_xor_si256(
                                bias, ymm_load_some(i + j < k ? b + (i + j) * ldb : b, i + j < k ? cols : 0));

                const __m256i lo01 = _mm256_unpacklo_epi8(row[0], row[1]),
                              hi01 = _mm256_unpackhi_epi8(row[0], row[1]);
                const __m256i lo23 = _mm256_unpacklo_epi8(row[2], row[3]),
                              hi23 = _mm256_unpackhi_epi8(row[2], row[3]);
                /* Half h of vector v has the columns 16h + 4v .. 16h + 4v + 3. */
                const __m256i v0 = _mm256_unpacklo_epi16(lo01, lo23), v1 = _mm256_unpackhi_epi16(lo01, lo23);
                const __m256i v2 = _mm256_unpacklo_epi16(hi01, hi23), v3 = _mm256_unpackhi_epi16(hi01, hi23);

                ymm_store(to, _mm256_permute2x128_si256(v0, v1, 0x20));
                ymm_store(to + 32, _mm256_permute2x128_si256(v2, v3, 0x20));
                ymm_store(to + 64, _mm256_permute2x128_si256(v0, v1, 0x31));
                ymm_store(to + 96, _mm256_permute2x128_si256(v2, v3, 0x31));
        }
}

/* 8 vectors of 8 int32, transposed in place. */
static ALWAYS_INLINE void ymm_transpose(__m256i v[8])
{
        __m256i t[8];

        UNROLL
        for (size_t i = 0; i < 8; i += 2) {
                t[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
                t[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
        }
        UNROLL
        for (size_t i = 0; i < 8; i += 4) {
                v[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
                v[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
                v[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
                v[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
        }
        /* Half h of v[4i + j] is column 4h + j of rows 4i .. 4i + 3. */
        UNROLL
        for (size_t j = 0; j < 4; j++) {
                t[j] = _mm256_permute2x128_si256(v[j], v[4 + j], 0x20);
                t[4 + j] = _mm256_permute2x128_si256(v[j], v[4 + j], 0x31);
        }
        UNROLL
        for (size_t i = 0; i < 8; i++)
                v[i] = t[i];
}

/* 8 columns of one panel, from up to as many rows of B stored n x k. */
static inline void ymm_pack_columns(const int8_t *b, uint64_t ldb, size_t k, size_t cols, uint8_t *to)
{
        const __m256i bias = _mm256_set1_epi8((char)0x80);

        for (size_t i = 0; i < k; i += YMM_BYTES) {
                const size_t groups = MIN(kernel_groups(k - i), (size_t)8);
                __m256i v[8];

                UNROLL
                for (size_t c = 0; c < 8; c++)
                        v[c] = _mm256_xor_si256(
                                bias, ymm_load_some(c < cols ? b + c * ldb + i : b, c < cols ? k - i : 0));
                ymm_transpose(v);
                for (size_t g = 0; g < groups; g++, to += KERNEL_GROUP_BYTES)
                        ymm_store(to, v[g]);
        }
}

static void ymm_pack(const int8_t *b, uint64_t ldb, bool transposed, size_t k, size_t cols,
                     size_t panel_stride, uint8_t *ret_packed)
{
        for (size_t c = 0; c < cols; c += KERNEL_PANEL_COLS, ret_packed += panel_stride) {
                if (!transposed) {
                        ymm_pack_rows(b + c, ldb, k, cols - c, ret_packed);
                        continue;
                }
                for (size_t in = 0; in < KERNEL_PANEL_COLS; in += YMM_LANES)
                        ymm_pack_columns(c + in < cols ? b + (c + in) * ldb : b, ldb, k,
                                         c + in < cols ? cols - c - in : 0, ret_packed + in * KERNEL_GROUP);
        }
}

/* ---- sums ---- */

static inline __m256i ymm_mask_of(size_t cols, size_t first)
{
        const int n = cols > first ? (int)MIN(cols - first, (size_t)YMM_LANES) : 0;

        return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* What lane by lane of columns `col` .. of row `r` starts with. */
static ALWAYS_INLINE __m256i ymm_sums_begin(const struct dots *d, size_t r, size_t col)
{
        if (d->init)
                return _mm256_set1_epi32(d->init[r]);
        return _mm256_loadu_si256((const __m256i *)(d->sums + r * d->sums_stride + col));
}

static ALWAYS_INLINE void ymm_sums_end(const struct dots *d, size_t r, size_t col, __m256i sums)
{
        int32_t *to = d->sums + r * d->sums_stride + col;

        if (d->cols >= col + YMM_LANES)
                _mm256_storeu_si256((__m256i *)to, sums);
        else if (d->cols > col)
                _mm256_maskstore_epi32(to, ymm_mask_of(d->cols, col), sums);
}

#endif
