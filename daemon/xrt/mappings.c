/* SPDX-License-Identifier: MIT */
/* mappings.c - see mappings.h. */
#include "daemon/xrt/mappings.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define ROOM_FIRST 16

/* Where the region of this number is, or would be. Numbers grow, so that new ones usually come last. */
static size_t place_of(const struct mappings *mappings, uint64_t id)
{
        size_t first = 0, end = mappings->n;

        while (first < end) {
                const size_t middle = first + (end - first) / 2;

                if (mappings->mappings[middle]->id < id)
                        first = middle + 1;
                else
                        end = middle;
        }
        return first;
}

struct mapping *mappings_find(const struct mappings *mappings, uint64_t id)
{
        const size_t place = place_of(mappings, id);

        return place < mappings->n && mappings->mappings[place]->id == id ? mappings->mappings[place] : NULL;
}

static bool room_make(struct mappings *mappings)
{
        const size_t n_room = MAX(mappings->n_room * 2, ROOM_FIRST);
        struct mapping **more;

        if (mappings->n < mappings->n_room)
                return true;
        more = reallocarray(mappings->mappings, n_room, sizeof(struct mapping *));
        if (!more)
                return false;
        mappings->mappings = more;
        mappings->n_room = n_room;
        return true;
}

/* A file that is shorter than it is said to be would end the process where it is touched. */
static int mapping_map(struct mapping *mapping, int fd, struct xrt_fault *ret_fault)
{
        const int protection = PROT_READ | (mapping->is_writable ? PROT_WRITE : 0);
        struct stat status;
        void *bytes;

        if (fstat(fd, &status) < 0 || status.st_size < 0 || (uint64_t)status.st_size < mapping->size_bytes)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0,
                                     "region %" PRIu64 ": its memory is not the %" PRIu64
                                     " bytes that it should be",
                                     mapping->id, mapping->size_bytes);
        bytes = mmap(NULL, mapping->size_bytes, protection, MAP_SHARED, fd, 0);
        if (bytes == MAP_FAILED)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_MEMORY, errno, "mapping region %" PRIu64 ": %s",
                                     mapping->id, strerror(errno));
        mapping->bytes = bytes;
        return 0;
}

int mappings_add(struct mappings *mappings, const struct wire_region *message, int fd,
                 struct xrt_fault *ret_fault)
{
        const size_t place = place_of(mappings, message->id);
        _cleanup_(freep) struct mapping *mapping = NULL;
        int r;

        if (message->id == 0 || message->size_bytes == 0 || mappings_find(mappings, message->id))
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0,
                                     "region %" PRIu64 " of %" PRIu64
                                     " bytes: there is one of this number, or there can be none",
                                     message->id, message->size_bytes);
        mapping = calloc(1, sizeof *mapping);
        if (!mapping || !room_make(mappings))
                return xrt_fault_set(ret_fault, WIRE_CAUSE_MEMORY, ENOMEM, "no memory for a region");
        mapping->id = message->id;
        mapping->size_bytes = message->size_bytes;
        mapping->is_writable = message->is_writable;
        r = mapping_map(mapping, fd, ret_fault);
        if (r != 0)
                return r;
        memmove(mappings->mappings + place + 1, mappings->mappings + place,
                (mappings->n - place) * sizeof *mappings->mappings);
        mappings->mappings[place] = steal(&mapping);
        mappings->n++;
        return 0;
}

void mappings_remove(struct mappings *mappings, struct mapping *mapping)
{
        const size_t place = place_of(mappings, mapping->id);

        assert(mappings->mappings[place] == mapping);
        assert(!mapping->packed.is_placed);
        mappings->n--;
        memmove(mappings->mappings + place, mappings->mappings + place + 1,
                (mappings->n - place) * sizeof *mappings->mappings);
        (void)munmap(mapping->bytes, mapping->size_bytes);
        free(mapping);
}

void mappings_deinit(struct mappings *mappings)
{
        for (size_t i = 0; i < mappings->n; i++) {
                (void)munmap(mappings->mappings[i]->bytes, mappings->mappings[i]->size_bytes);
                free(mappings->mappings[i]);
        }
        free(mappings->mappings);
        *mappings = (struct mappings){0};
}
