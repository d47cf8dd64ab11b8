/* SPDX-License-Identifier: MIT */
/*
 * emu-memory.h - the emulated NPU's memory: buffer objects of a device file.
 *
 * Role:   places, device addresses and handles of buffer objects. The file that a program gets for the device node is
 *         a sparse memfd, and an object's map offset an offset in it: so mmap is the kernel's own, and RLIMIT_MEMLOCK
 *         is met where a program locks what it maps.
 * In:     handles and device addresses that may be anything.
 * Thread: any, under the device's lock; bytes are the program's and a running command's.
 * Owns:   the mappings. With strict coherence the device has memory of its own, and only emu_bo_sync moves bytes
 *         between the two. An object lives until its handle is closed and no command has it.
 */
#ifndef TESTS_EMU_EMU_MEMORY_H
#define TESTS_EMU_EMU_MEMORY_H

#include "proto/base.h"

#define EMU_HANDLES_MAX 4096
#define EMU_NO_OFFSET   UINT64_MAX /* cannot be mapped by itself */

struct emu_bo {
        struct emu_bo *next; /* emu_memory::first, by offset; of the heap's chunks, ::chunks */
        uint32_t handle;     /* 0: closed */
        uint32_t type;       /* enum amdxdna_bo_type */
        uint64_t size;       /* as it was asked for */
        uint64_t offset;     /* in the memory */
        uint64_t span;       /* bytes of it that are taken */
        uint64_t address;    /* for the device */
        unsigned n_refs;     /* its handle's, and those of commands */
};

struct emu_memory {
        int fd;                /* the program's, and it closes it */
        uint8_t *host;         /* owned: what the program maps parts of */
        uint8_t *device;       /* owned: what commands work on; the same unless coherence is strict */
        uint64_t heap_bytes;   /* of the device heap; it grows by another object of its type */
        struct emu_bo *first;  /* owned */
        struct emu_bo *chunks; /* owned: of the heap */
        struct emu_bo *handles[EMU_HANDLES_MAX];
};

/* Makes the memfd; the flags are open's, and only O_CLOEXEC counts. 0 or -errno. */
int emu_memory_init(struct emu_memory *memory, bool is_strict, int flags);

/* All but the descriptor. */
void emu_memory_deinit(struct emu_memory *memory);

/* -EINVAL: no such type, or nothing at all; -EAGAIN: the heap is full, but can grow; -ENOMEM. */
int emu_bo_new(struct emu_memory *memory, uint32_t type, uint64_t size, struct emu_bo **ret_bo);
void emu_bo_close(struct emu_memory *memory, struct emu_bo *bo); /* the handle's reference */

/* NULL: there is none. */
struct emu_bo *emu_bo_find(const struct emu_memory *memory, uint32_t handle);

struct emu_bo *emu_bo_ref(struct emu_bo *bo);
void emu_bo_unref(struct emu_memory *memory, struct emu_bo *bo);

uint64_t emu_bo_map_offset(const struct emu_bo *bo);

/* -EINVAL: it has no such bytes. */
int emu_bo_sync(struct emu_memory *memory, const struct emu_bo *bo, bool is_to_device, uint64_t offset,
                uint64_t n);

/* Whose address that is, and how many bytes are from there to its end. NULL: none of these. */
const struct emu_bo *emu_bo_at(struct emu_bo *const bos[], size_t n, uint64_t address, uint64_t *ret_left);

#endif
