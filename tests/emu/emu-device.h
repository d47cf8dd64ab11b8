/* SPDX-License-Identifier: MIT */
/*
 * emu-device.h - the open device node: its descriptor, and what every ioctl works on.
 *
 * Role:   one for a process, as the driver has it. emu-device.c opens, closes and hands ioctls out; emu-calls.c is what
 *         they do.
 * Thread: any; all of it under the lock.
 * Owns:   memory and contexts. It lives until it is closed, and until no thread of a context is left.
 */
#ifndef TESTS_EMU_EMU_DEVICE_H
#define TESTS_EMU_EMU_DEVICE_H

#include "tests/emu/emu-context.h"
#include "tests/emu/emu-log.h"
#include "tests/emu/emu-memory.h"

#include <pthread.h>

#define EMU_DEVICE_CONTEXTS_MAX 64
#define EMU_TILES_OF_COLUMN     4 /* compute tiles: CREATE_HWCTX counts in them */

struct emu_device {
        pthread_mutex_t lock;
        pthread_cond_t changed; /* anything of any context */
        struct emu_memory memory;
        uint32_t plug;   /* emu_shared::n_plugs then */
        unsigned n_refs; /* the descriptor's, ioctls' that are in it, and contexts' */
        bool is_closed;
        struct emu_context *contexts[EMU_DEVICE_CONTEXTS_MAX]; /* by handle; 0 is none */
};

/* Descriptor or -errno. */
int emu_device_open(int flags);

/* Is this the node's descriptor, opened by this process? A child's copy is a file like any other. */
bool emu_device_is(int fd);
int emu_device_ioctl(int fd, unsigned long request, void *argument);
void emu_device_close(int fd);

/* Under the lock, which the last one gives up with the device. */
void emu_device_unref(struct emu_device *device);

/* -ENODEV: it is unplugged, or was. */
int emu_device_check(const struct emu_device *device);

/* Waits for a change until then, and at most for a tenth of a second: a device that is gone signals nothing. */
void emu_device_wait(struct emu_device *device, uint64_t until_ns);

/* emu-calls.c: returns 0 or -errno; adds to the line. NULL: there is no such ioctl. */
struct emu_call {
        const char *name;
        int (*fn)(struct emu_device *device, void *argument, struct emu_line *line);
};
const struct emu_call *emu_call_find(unsigned long request);

/* emu-info.c */
int emu_call_get_info(struct emu_device *device, void *argument, struct emu_line *line);
int emu_call_get_array(struct emu_device *device, void *argument, struct emu_line *line);

#endif
