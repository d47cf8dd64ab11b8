/* SPDX-License-Identifier: MIT */
/* heap.c - see heap.h. */
#include "heap.h"

#include <errno.h>

void heap_init(struct heap *heap, uint64_t size_bytes)
{
        *heap = (struct heap){.size_bytes = size_bytes};
}

void heap_deinit(struct heap *heap)
{
        free(heap->blocks);
        *heap = (struct heap){0};
}

static int room_for_one_more(struct heap *heap)
{
        struct heap_block *blocks;
        size_t n_room;

        if (heap->n_blocks < heap->n_room)
                return 0;
        n_room = MAX(heap->n_room * 2, (size_t)16);
        blocks = reallocarray(heap->blocks, n_room, sizeof *blocks);
        if (!blocks)
                return -ENOMEM;
        heap->blocks = blocks;
        heap->n_room = n_room;
        return 0;
}

/* Where the gap in front of block `at` begins; `at` may be n_blocks, for the gap at the end. */
static uint64_t gap_begin(const struct heap *heap, size_t at)
{
        return at == 0 ? 0 : heap->blocks[at - 1].offset_bytes + heap->blocks[at - 1].size_bytes;
}

static uint64_t gap_end(const struct heap *heap, size_t at)
{
        return at == heap->n_blocks ? heap->size_bytes : heap->blocks[at].offset_bytes;
}

int heap_alloc(struct heap *heap, uint64_t size_bytes, uint64_t *ret_offset_bytes)
{
        size_t at = 0;
        int r;

        assert(size_bytes > 0);
        if (!checked_align(size_bytes, HEAP_ALIGN_BYTES, &size_bytes))
                return HEAP_E_FULL;
        while (gap_end(heap, at) - gap_begin(heap, at) < size_bytes)
                if (at++ == heap->n_blocks)
                        return HEAP_E_FULL;
        r = room_for_one_more(heap);
        if (r < 0)
                return r;
        memmove(heap->blocks + at + 1, heap->blocks + at, (heap->n_blocks - at) * sizeof *heap->blocks);
        heap->n_blocks++;
        heap->blocks[at] = (struct heap_block){
                .offset_bytes = gap_begin(heap, at),
                .size_bytes = size_bytes,
        };
        *ret_offset_bytes = heap->blocks[at].offset_bytes;
        return 0;
}

/* How many blocks begin at or below `offset_bytes`. */
static size_t count_up_to(const struct heap *heap, uint64_t offset_bytes)
{
        size_t low = 0, high = heap->n_blocks;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (heap->blocks[middle].offset_bytes <= offset_bytes)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

const struct heap_block *heap_find(const struct heap *heap, uint64_t offset_bytes)
{
        const size_t n = count_up_to(heap, offset_bytes);
        const struct heap_block *block = n > 0 ? &heap->blocks[n - 1] : NULL;

        return block && offset_bytes - block->offset_bytes < block->size_bytes ? block : NULL;
}

bool heap_free(struct heap *heap, uint64_t offset_bytes)
{
        const struct heap_block *block = heap_find(heap, offset_bytes);
        size_t at;

        if (!block || block->offset_bytes != offset_bytes)
                return false;
        at = (size_t)(block - heap->blocks);
        heap->n_blocks--;
        memmove(heap->blocks + at, heap->blocks + at + 1, (heap->n_blocks - at) * sizeof *heap->blocks);
        return true;
}
