/* SPDX-License-Identifier: MIT */
/*
 * wide.h - rows of A as 16-bit numbers, for kernels that multiply those: numbers 0, 2, 1 and 3 of each group, so that
 * either pair meets the even or the odd bytes of B, seen as 16-bit numbers.
 */
#ifndef DAEMON_KERNEL_WIDE_H
#define DAEMON_KERNEL_WIDE_H

#include "daemon/kernel/isa.h"

#define WIDE_GROUP_BYTES (KERNEL_GROUP * sizeof(int16_t))

static void wide_copy(const int8_t *a, size_t k, void *ret_copy)
{
        int16_t *restrict to = ret_copy;
        size_t i;

        for (i = 0; i + KERNEL_GROUP <= k; i += KERNEL_GROUP) {
                to[i] = a[i];
                to[i + 1] = a[i + 2];
                to[i + 2] = a[i + 1];
                to[i + 3] = a[i + 3];
        }
        if (i < k) {
                to[i] = a[i];
                to[i + 1] = i + 2 < k ? a[i + 2] : 0;
                to[i + 2] = i + 1 < k ? a[i + 1] : 0;
                to[i + 3] = 0;
        }
}

#endif
