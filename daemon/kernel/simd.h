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

#endif
