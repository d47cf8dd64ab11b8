/* SPDX-License-Identifier: MIT */
/* cli-bench-evidence.c - see cli-bench-evidence.h. */
#include "cli-bench-evidence.h"

#include <errno.h>

/* One piece of evidence, with what it points to behind it: C first, which must be aligned. */
struct record {
        size_t size_bytes; /* with all that is behind it */
        struct bench_exhibit exhibit;
        uint64_t rows[]; /* C's, then A's */
};

int bench_evidence_init(struct bench_evidence *evidence, size_t size_bytes)
{
        *evidence = (struct bench_evidence){.memory = malloc(size_bytes), .size_bytes = size_bytes};
        return evidence->memory ? 0 : -ENOMEM;
}

void bench_evidence_deinit(struct bench_evidence *evidence)
{
        free(evidence->memory);
        *evidence = (struct bench_evidence){0};
}

bool bench_evidence_push(struct bench_evidence *evidence, const struct bench_exhibit *exhibit,
                         size_t c_elem_bytes)
{
        const size_t left_bytes = evidence->size_bytes - evidence->end_bytes;
        const uint64_t a_bytes = exhibit->shape->k, c_bytes = exhibit->shape->n * c_elem_bytes;
        const uint64_t size_bytes =
                (sizeof(struct record) + a_bytes + c_bytes + sizeof(uint64_t) - 1) & ~UINT64_C(7);
        struct record *record;
        uint8_t *a, *c;

        if (size_bytes > left_bytes) /* a row is much shorter than 2^64: none of this overflows */
                return false;
        record = (struct record *)(void *)(evidence->memory + evidence->end_bytes);
        c = (uint8_t *)record->rows;
        a = c + c_bytes;
        *record = (struct record){.size_bytes = (size_t)size_bytes, .exhibit = *exhibit};
        record->exhibit.c = memcpy(c, exhibit->c, c_bytes);
        record->exhibit.a = memcpy(a, exhibit->a, a_bytes);
        evidence->end_bytes += (size_t)size_bytes;
        return true;
}

const struct bench_exhibit *bench_evidence_pop(struct bench_evidence *evidence)
{
        const struct record *record;

        if (evidence->next_bytes == evidence->end_bytes) {
                evidence->next_bytes = evidence->end_bytes = 0;
                return NULL;
        }
        record = (const struct record *)(void *)(evidence->memory + evidence->next_bytes);
        evidence->next_bytes += record->size_bytes;
        return &record->exhibit;
}
