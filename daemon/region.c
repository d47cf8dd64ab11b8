/* SPDX-License-Identifier: MIT */
/* region.c - see region.h. */
#include "daemon/region.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <sys/mman.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; glibc learnt it later */
#endif

static int memfd_open(const char *name)
{
        const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
        int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

        if (fd < 0 && errno == EINVAL) /* a kernel that does not know NOEXEC_SEAL */
                fd = memfd_create(name, flags);
        return fd < 0 ? -errno : fd;
}

int shared_memory_open(const char *name, uint64_t size_bytes, int *ret_fd, uint8_t **ret_memory)
{
        _cleanup_(closep) int fd = memfd_open(name);
        void *memory;

        if (fd < 0)
                return fd;
        if (ftruncate(fd, (off_t)size_bytes) < 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                return -errno;
        *ret_memory = memory;
        *ret_fd = steal_fd(&fd);
        return 0;
}

/* Regions do not overlap, so any two that do are the same, or one is an address that is looked for. */
static int compare(const void *a_void, const void *b_void)
{
        const struct region *a = a_void, *b = b_void;

        if (a->memory + a->size_bytes <= b->memory)
                return -1;
        return b->memory + b->size_bytes <= a->memory ? 1 : 0;
}

bool region_add(struct region_set *set, struct region *region, const uint8_t *memory, uint64_t size_bytes,
                int fd, bool is_writable)
{
        *region = (struct region){
                .memory = memory, .size_bytes = size_bytes, .fd = fd, .is_writable = is_writable};
        if (!set)
                return true;
        if (!tsearch(region, &set->by_address, compare))
                return false;
        region->id = ++set->last_id;
        return true;
}

static void free_unheld(struct region *region)
{
        const region_free_fn free_fn = region->free_fn;

        if (!free_fn || region->holds > 0)
                return;
        region->free_fn = NULL;
        free_fn(region);
}

void region_end(struct region_set *set, struct region *region, region_free_fn free_fn)
{
        if (region->id != 0) {
                (void)tdelete(region, &set->by_address, compare);
                if (set->ended_fn)
                        set->ended_fn(set->userdata, region);
                region->id = 0;
        }
        region->free_fn = free_fn;
        free_unheld(region);
}

void region_hold(struct region *region)
{
        region->holds++;
}

void region_release(struct region *region)
{
        assert(region->holds > 0);
        region->holds--;
        free_unheld(region);
}

struct region *region_find(const struct region_set *set, const void *address)
{
        const struct region key = {.memory = address, .size_bytes = 1};
        struct region **node = tfind(&key, &set->by_address, compare);

        return node ? *node : NULL;
}

void region_set_deinit(struct region_set *set)
{
        assert(!set->by_address);
        (void)set;
}
