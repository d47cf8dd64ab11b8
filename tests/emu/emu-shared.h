/* SPDX-License-Identifier: MIT */
/*
 * emu-shared.h - what all processes on the emulated NPU share, and what outlives them: a file in its folder.
 *
 * Role:   hardware contexts, of which there are six; the number of the next command; what has happened to the device.
 * Thread: any, and any process; what is not atomic, under emu_shared_lock.
 * Owns:   the mapping. A process is there for as long as it holds a lock on its pid's byte of a second file: the kernel
 *         gives that up when the process ends, however it does.
 * Never:  keeps contexts of processes that are gone.
 */
#ifndef TESTS_EMU_EMU_SHARED_H
#define TESTS_EMU_EMU_SHARED_H

#include "proto/base.h"

#include <sys/types.h>

#define EMU_CONTEXTS_MAX 6  /* of the device: npu1's firmware has no more */
#define EMU_RULES_MAX    32 /* lines of a control file that have an effect */

/* A hardware context, as the driver lists them. */
struct emu_shared_context {
        int32_t pid; /* 0: free */
        uint32_t handle, columns;
        uint32_t plug; /* of the device, when it was made */
        _Atomic uint64_t submitted, completed, errors;
};

struct emu_shared {
        uint32_t magic;
        _Atomic uint32_t n_suspends; /* contexts from before are lost */
        _Atomic uint32_t n_plugs;    /* files that were opened before are dead */
        _Atomic uint32_t is_unplugged;
        _Atomic uint32_t is_wedged;
        _Atomic uint64_t n_commands;
        uint64_t control_version;     /* of the file that `used` is about */
        uint32_t used[EMU_RULES_MAX]; /* commands that a rule with a count has hit */
        struct emu_shared_context contexts[EMU_CONTEXTS_MAX];
};

/* Once, by emu_tree_make, which keeps others from doing so at the same time. 0 or -errno. */
bool emu_shared_exists(const char *root);
int emu_shared_map(const char *root);

struct emu_shared *emu_shared(void);

/* Between threads and between processes. Not for long, and nothing is called in between that may lock it again. */
void emu_shared_lock(void);
void emu_shared_unlock(void);

/* This process has the device from here on, until it ends or gives it up. Frees what an older one of its pid had. */
int emu_shared_arrive(void);
void emu_shared_leave(void);

/* Frees the contexts of processes that are gone. */
void emu_shared_reclaim(void);

/* NULL: there are six, of processes that are there. */
struct emu_shared_context *emu_shared_context_take(uint32_t handle, uint32_t columns);
void emu_shared_context_give(struct emu_shared_context *context);

#endif
