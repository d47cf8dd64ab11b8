/* SPDX-License-Identifier: MIT */
/* simd.h - what the inner loops of every instruction set are written with. */
#ifndef DAEMON_KERNEL_SIMD_H
#define DAEMON_KERNEL_SIMD_H

#include "daemon/kernel/isa.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Before a loop of a constant length: registers have no index. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* 4 bytes at any address. */
static ALWAYS_INLINE int32_t load_group(const void *a)
{
        int32_t group;

        memcpy(&group, a, sizeof group);
        return group;
}

/* kernel_ops::begin, as the compiler sees fit. */
static inline void kernel_begin(const int8_t *a, size_t a_stride, size_t rows, size_t k, int32_t *ret_init)
{
        for (size_t r = 0; r < rows; r++, a += a_stride) {
                int32_t sum = 0;

                for (size_t i = 0; i < k; i++)
                        sum += a[i];
                ret_init[r] = -128 * sum;
        }
}

#endif
