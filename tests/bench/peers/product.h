/* SPDX-License-Identifier: MIT */
/*
 * product.h - what computes behind the gRPC server: oneDNN, or the daemon's own kernel.
 *
 * Thread: the server's one; a product belongs to it.
 */
#ifndef TESTS_BENCH_PEERS_PRODUCT_H
#define TESTS_BENCH_PEERS_PRODUCT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct product_ops {
        /* A copy of B, arranged as suits the kernel; it lasts as long as the server. */
        void *(*load)(const int8_t *b, uint64_t k, uint64_t n);
        /* C = A . B with a B of load(), then `b` is NULL; or with `b`, then `weights` is NULL. */
        void (*run)(void *weights, const int8_t *a, const int8_t *b, uint64_t m, uint64_t k, uint64_t n,
                    int32_t *ret_c);
};

extern const struct product_ops product_onednn;
extern const struct product_ops product_ours;

#ifdef __cplusplus
}
#endif

#endif
