/* SPDX-License-Identifier: MIT */
/* kernel.c - see kernel.h: which kernel, and the packed form of B. */
#include "daemon/kernel/isa.h"

const struct kernel *const kernels[] = {
#ifdef __x86_64__
        &kernel_avx512_vnni, &kernel_avx_vnni,
        &kernel_avx2,
#endif
        &kernel_portable,    NULL,
};

const struct kernel *kernel_choose(const char *cap)
{
        size_t i = 0;

        while (cap && kernels[i] && strcmp(kernels[i]->name, cap) != 0)
                i++;
        while (kernels[i] && !kernels[i]->ops->is_supported())
                i++;
        return kernels[i];
}

uint64_t kernel_packed_bytes(uint64_t k, uint64_t n)
{
        uint64_t depth, cols, bytes;

        if (!checked_align(k, KERNEL_GROUP, &depth) || !checked_align(n, KERNEL_PANEL_COLS, &cols) ||
            !checked_mul(depth, cols, &bytes))
                return UINT64_MAX;
        return bytes;
}

void kernel_pack(const struct kernel *kernel, const int8_t *b, uint64_t ldb, bool transposed, uint64_t k,
                 uint64_t n, uint8_t *ret_packed)
{
        kernel->ops->pack(b, ldb, transposed, k, n, kernel_groups(k) * KERNEL_GROUP_BYTES, ret_packed);
}
