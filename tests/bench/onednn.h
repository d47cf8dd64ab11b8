/* SPDX-License-Identifier: MIT */
/*
 * onednn.h - the product by oneDNN, on one thread.
 *
 * Role:   what our kernels are compared with. It is exact only where it uses VNNI.
 * Thread: one.
 */
#ifndef TESTS_BENCH_ONEDNN_H
#define TESTS_BENCH_ONEDNN_H

#include <stdbool.h>
#include <stdint.h>

struct onednn;

/* "oneDNN 2.6.3", or NULL: it was not there when this was built. */
const char *onednn_version(void);

/*
 * Readies C[m x n] = A[m x k] . B[k x n], int32; keeps `a`, `b` and `c`, which outlive it. `is_packed`: B is brought
 * into whichever form it likes best, once, here. Not where onednn_version() is NULL.
 */
struct onednn *onednn_new(uint64_t m, uint64_t k, uint64_t n, int8_t *a, int8_t *b, int32_t *c,
                          bool is_packed);

/* NULL is allowed. Returns NULL. */
struct onednn *onednn_free(struct onednn *onednn);

void onednn_run(struct onednn *onednn);

#endif
