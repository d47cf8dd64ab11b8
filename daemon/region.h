/* SPDX-License-Identifier: MIT */
/*
 * region.h - memory that another process can be given: which of it an address lies in.
 *
 * Role:   the daemon's arenas and weights as a device in a process of its own needs them: a descriptor and an offset
 *         for each address of a product. Devices of this process know nothing of it.
 * In:     arenas and weights, from when they have memory until before it goes.
 * Out:    a word to the device when a region ends, so that its process lets go, too.
 * Thread: loop.
 * Owns:   the table alone; descriptors and memory are those of whoever embeds the region.
 */
#ifndef DAEMON_REGION_H
#define DAEMON_REGION_H

#include "proto/base.h"

struct region;
typedef void (*region_free_fn)(struct region *region);

struct region {
        uint64_t id; /* not 0, and never given twice; 0: not in the table */
        const uint8_t *memory;
        uint64_t size_bytes;
        int fd;
        uint64_t known_to; /* the device's: the last of its processes that has been given it */
        bool is_writable;  /* may be written by the device: results go there */
        unsigned holds;    /* by a device whose process may still write there, although no job is inside */
        region_free_fn free_fn; /* waits for the last hold to go */
};

struct region_set {
        void *by_address; /* tsearch tree */
        uint64_t last_id;
        void (*ended_fn)(void *userdata, struct region *region); /* or NULL */
        void *userdata;
};

/* Takes size_bytes whole pages of zeros that can be passed on and never change their size. Both are the caller's. */
int shared_memory_open(const char *name, uint64_t size_bytes, int *ret_fd, uint8_t **ret_memory);

/* Puts it into the table. `set` may be NULL: nobody asks. False: memory is short. */
bool region_add(struct region_set *set, struct region *region, const uint8_t *memory, uint64_t size_bytes,
                int fd, bool is_writable);

/*
 * Takes it out, if it is in, and calls `free_fn` when nobody holds it: now, or later. Until then memory, descriptor and
 * charge stay as they are.
 */
void region_end(struct region_set *set, struct region *region, region_free_fn free_fn);

/* Keeps a region's memory from being used for anything else; for each hold a release. */
void region_hold(struct region *region);
void region_release(struct region *region);

/* The region that `address` lies in; NULL: none. */
struct region *region_find(const struct region_set *set, const void *address);

/* Empty again: no region may be left. */
void region_set_deinit(struct region_set *set);

#endif
