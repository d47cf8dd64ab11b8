/* SPDX-License-Identifier: MIT */
/*
 * heap.h - hands out pieces of an arena.
 *
 * Role:   a sub-allocator over a range of numbers: it never touches the memory that the numbers stand for,
 *         so what the daemon or a careless program writes there cannot mislead it.
 * In:     sizes and offsets in bytes.
 * Out:    offsets, multiples of HEAP_ALIGN_BYTES.
 * Thread: any; one heap belongs to one thread.
 * Owns:   its list of blocks. Only what is in use is listed; what lies between is free, so that freed
 *         neighbours are one gap without further ado.
 */
#ifndef CLIENT_HEAP_H
#define CLIENT_HEAP_H

#include "proto/base.h"

#define HEAP_ALIGN_BYTES 64u /* a cache line, and the widest vector register */

struct heap_block {
        uint64_t offset_bytes;
        uint64_t size_bytes; /* a multiple of HEAP_ALIGN_BYTES */
};

struct heap {
        struct heap_block *blocks; /* owned: in use, by ascending offset */
        size_t n_blocks;
        size_t n_room;
        uint64_t size_bytes;
};

/* Positive results of heap_alloc. */
enum {
        HEAP_E_SUCCESS = 0,
        HEAP_E_FULL, /* no gap is wide enough */
};

void heap_init(struct heap *heap, uint64_t size_bytes);
void heap_deinit(struct heap *heap);

/* Takes the first gap that is wide enough for `size_bytes` (not 0). Returns 0, HEAP_E_FULL or -ENOMEM. */
int heap_alloc(struct heap *heap, uint64_t size_bytes, uint64_t *ret_offset_bytes);

/* Gives back the block that begins at `offset_bytes`. False: none does, and nothing has changed. */
bool heap_free(struct heap *heap, uint64_t offset_bytes);

/* The block in use that `offset_bytes` lies in, or NULL. Valid until the next alloc or free. */
const struct heap_block *heap_find(const struct heap *heap, uint64_t offset_bytes);

static inline bool heap_is_empty(const struct heap *heap)
{
        return heap->n_blocks == 0;
}

#endif
