/* SPDX-License-Identifier: MIT */
/* emu-memory.c - see emu-memory.h. */
#include "tests/emu/emu-memory.h"

#include <drm/amdxdna_accel.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#define PAGE UINT64_C(4096)

/*
 * Offsets in the memory. The heap's chunks are one after the other, as the program maps them; all else comes behind
 * it, with a page that is nobody's after each object, so that what runs over runs into nothing.
 */
#define MEMORY_BYTES   (UINT64_C(64) << 30)
#define HEAP_OFFSET    (UINT64_C(1) << 30)
#define HEAP_BYTES_MAX (UINT64_C(512) << 20)
#define REST_OFFSET    (UINT64_C(2) << 30)

/* Addresses of the device: the heap's are those of real ones, others are far from them and from any offset. */
#define HEAP_ADDRESS UINT64_C(0x4000000)
#define REST_ADDRESS (UINT64_C(1) << 40)

static int reserve(int flags, int *ret_fd, uint8_t **ret_at)
{
        const int fd = memfd_create("accel0 (emulated)", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
        void *at = MAP_FAILED;
        int r = 0;

        if (fd < 0)
                return -errno;
        if (ftruncate(fd, (off_t)MEMORY_BYTES) == 0)
                at = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        if (at == MAP_FAILED) {
                r = -errno;
                (void)close(fd);
                return r;
        }
        *ret_fd = fd;
        *ret_at = at;
        return 0;
}

int emu_memory_init(struct emu_memory *memory, bool is_strict, int flags)
{
        int r, fd;

        memset(memory, 0, sizeof *memory);
        r = reserve(flags, &memory->fd, &memory->host);
        if (r < 0)
                return r;
        memory->device = memory->host;
        if (!is_strict)
                return 0;
        r = reserve(O_CLOEXEC, &fd, &memory->device);
        (void)close(r < 0 ? memory->fd : fd);
        if (r < 0)
                (void)munmap(memory->host, MEMORY_BYTES);
        return r;
}

static void free_all(struct emu_bo *bo)
{
        while (bo) {
                struct emu_bo *next = bo->next;

                free(bo);
                bo = next;
        }
}

void emu_memory_deinit(struct emu_memory *memory)
{
        free_all(memory->first);
        free_all(memory->chunks);
        if (memory->device != memory->host)
                (void)munmap(memory->device, MEMORY_BYTES);
        (void)munmap(memory->host, MEMORY_BYTES);
}

/* ---- places ---- */

struct range {
        uint64_t begin, end;
};

/* Puts it into the first gap of the range that is wide enough. */
static int place(struct emu_memory *memory, struct emu_bo *bo, struct range range)
{
        struct emu_bo **at = &memory->first;
        uint64_t offset = range.begin;

        while (*at && (*at)->offset + (*at)->span <= range.begin)
                at = &(*at)->next;
        while (*at && (*at)->offset < offset + bo->span) {
                offset = (*at)->offset + (*at)->span;
                at = &(*at)->next;
        }
        if (offset > range.end || range.end - offset < bo->span)
                return -ENOMEM;
        bo->offset = offset;
        bo->next = *at;
        *at = bo;
        return 0;
}

/* A chunk of the heap is in no other's way: objects of the heap lie in it. */
static int place_chunk(struct emu_memory *memory, struct emu_bo *bo)
{
        if (HEAP_BYTES_MAX - memory->heap_bytes < bo->span)
                return -ENOMEM;
        bo->offset = HEAP_OFFSET + memory->heap_bytes;
        bo->next = memory->chunks;
        memory->chunks = bo;
        memory->heap_bytes += bo->span;
        return 0;
}

static int place_by_type(struct emu_memory *memory, struct emu_bo *bo)
{
        int r;

        switch (bo->type) {
        case AMDXDNA_BO_DEV_HEAP:
                r = place_chunk(memory, bo);
                break;
        case AMDXDNA_BO_DEV:
                r = place(memory, bo, (struct range){HEAP_OFFSET, HEAP_OFFSET + memory->heap_bytes});
                if (r == -ENOMEM && memory->heap_bytes < HEAP_BYTES_MAX)
                        r = memory->heap_bytes == 0 ? -EINVAL : -EAGAIN;
                break;
        default:
                bo->span += PAGE;
                r = place(memory, bo, (struct range){REST_OFFSET, MEMORY_BYTES});
                break;
        }
        if (r == 0)
                bo->address = bo->offset < REST_OFFSET ? HEAP_ADDRESS + (bo->offset - HEAP_OFFSET)
                                                       : REST_ADDRESS + bo->offset;
        return r;
}

/* ---- objects ---- */

int emu_bo_new(struct emu_memory *memory, uint32_t type, uint64_t size, struct emu_bo **ret_bo)
{
        _cleanup_(freep) struct emu_bo *bo = NULL;
        uint32_t handle = 1;
        int r;

        if (type < AMDXDNA_BO_SHARE || type > AMDXDNA_BO_CMD || size == 0)
                return -EINVAL;
        while (handle < EMU_HANDLES_MAX && memory->handles[handle])
                handle++;
        if (handle == EMU_HANDLES_MAX || size > MEMORY_BYTES)
                return -ENOMEM;
        bo = calloc(1, sizeof *bo);
        if (!bo)
                return -ENOMEM;
        *bo = (struct emu_bo){.handle = handle,
                              .type = type,
                              .size = size,
                              .span = (size + PAGE - 1) / PAGE * PAGE,
                              .n_refs = 1};
        r = place_by_type(memory, bo);
        if (r < 0)
                return r;
        memory->handles[handle] = bo;
        *ret_bo = steal(&bo);
        return 0;
}

struct emu_bo *emu_bo_find(const struct emu_memory *memory, uint32_t handle)
{
        return handle < EMU_HANDLES_MAX ? memory->handles[handle] : NULL;
}

void emu_bo_close(struct emu_memory *memory, struct emu_bo *bo)
{
        memory->handles[bo->handle] = NULL;
        bo->handle = 0;
        emu_bo_unref(memory, bo);
}

struct emu_bo *emu_bo_ref(struct emu_bo *bo)
{
        bo->n_refs++;
        return bo;
}

/* What is new is zeros; but not in the heap, which the driver gives out as it is. */
static void forget_bytes(struct emu_memory *memory, const struct emu_bo *bo)
{
        if (bo->type != AMDXDNA_BO_SHARE && bo->type != AMDXDNA_BO_CMD)
                return;
        (void)madvise(memory->host + bo->offset, bo->span, MADV_REMOVE);
        if (memory->device != memory->host)
                (void)madvise(memory->device + bo->offset, bo->span, MADV_REMOVE);
}

void emu_bo_unref(struct emu_memory *memory, struct emu_bo *bo)
{
        struct emu_bo **at = bo->type == AMDXDNA_BO_DEV_HEAP ? &memory->chunks : &memory->first;

        if (--bo->n_refs > 0)
                return;
        while (*at != bo)
                at = &(*at)->next;
        *at = bo->next;
        if (!memory->chunks)
                memory->heap_bytes = 0;
        forget_bytes(memory, bo);
        free(bo);
}

uint64_t emu_bo_map_offset(const struct emu_bo *bo)
{
        return bo->type == AMDXDNA_BO_DEV ? EMU_NO_OFFSET : bo->offset;
}

int emu_bo_sync(struct emu_memory *memory, const struct emu_bo *bo, bool is_to_device, uint64_t offset,
                uint64_t n)
{
        uint64_t end;

        if (!checked_add(offset, n, &end) || end > bo->size)
                return -EINVAL;
        if (memory->device == memory->host)
                return 0;
        offset += bo->offset;
        if (is_to_device)
                memcpy(memory->device + offset, memory->host + offset, n);
        else
                memcpy(memory->host + offset, memory->device + offset, n);
        return 0;
}

const struct emu_bo *emu_bo_at(struct emu_bo *const bos[], size_t n, uint64_t address, uint64_t *ret_left)
{
        for (size_t i = 0; i < n; i++)
                if (address >= bos[i]->address && address - bos[i]->address < bos[i]->size) {
                        *ret_left = bos[i]->size - (address - bos[i]->address);
                        return bos[i];
                }
        return NULL;
}
