/* SPDX-License-Identifier: MIT */
/* onednn-absent.c - onednn.h where there is no oneDNN. */
#include "tests/bench/onednn.h"

#include <assert.h>
#include <stddef.h>

const char *onednn_version(void)
{
        return NULL;
}

struct onednn *onednn_new(uint64_t m, uint64_t k, uint64_t n, int8_t *a, int8_t *b, int32_t *c,
                          bool is_packed)
{
        (void)m, (void)k, (void)n, (void)a, (void)b, (void)c, (void)is_packed;
        assert(false && "nobody asks for what is not there");
        return NULL;
}

struct onednn *onednn_free(struct onednn *onednn)
{
        (void)onednn;
        return NULL;
}

void onednn_run(struct onednn *onednn)
{
        (void)onednn;
}
