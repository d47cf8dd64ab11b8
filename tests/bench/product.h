/* SPDX-License-Identifier: MIT */
/*
 * product.h - the product that the daemon computes, called in process: what benchmarks compare with.
 *
 * Role:   the daemon's own kernel, on weights that stay and one thread, with nothing around it.
 * Thread: one product belongs to one thread.
 */
#ifndef TESTS_BENCH_PRODUCT_H
#define TESTS_BENCH_PRODUCT_H

#include <stdint.h>

struct bench_product;

/* Readies C[m x n] = A[m x k] . B[k x n], int32; keeps `a`, `b` and `c`, which outlive it. */
struct bench_product *bench_product_new(uint64_t m, uint64_t k, uint64_t n, const int8_t *a, const int8_t *b,
                                        int32_t *c);

/* NULL is allowed. Returns NULL. */
struct bench_product *bench_product_free(struct bench_product *product);

void bench_product_run(struct bench_product *product);

/* The name of the kernel. */
const char *bench_product_kernel(void);

#endif
