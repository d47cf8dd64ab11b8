/* SPDX-License-Identifier: MIT */
/*
 * emu-context.h - a hardware context: a queue of commands, a thread that runs them, and their fences.
 *
 * Role:   what driver and firmware do between EXEC_CMD and the end of a command, also when there is none.
 * In:     commands, four at most; then the next one waits.
 * Thread: all functions under the device's lock, which waits give up. A context's thread computes without it, is
 *         detached, and never keeps a process from ending.
 * Owns:   a model of the array, which keeps what is in it from one command to the next and is lost with the context.
 */
#ifndef TESTS_EMU_EMU_CONTEXT_H
#define TESTS_EMU_EMU_CONTEXT_H

#include "tests/emu/emu-command.h"
#include "tests/emu/emu-shared.h"

#define EMU_IN_FLIGHT_MAX 4 /* the driver's bound for a context */

struct emu_device;

struct emu_context {
        struct emu_device *device; /* ref */
        uint32_t handle;
        unsigned n_refs;  /* its thread's, its handle's, and those of ioctls that are in it */
        bool has_syncobj; /* its handle is not closed yet */
        struct emu_shared_context *shared; /* borrowed: its process outlives it; NULL: given back */
        enum array_program program;
        struct array *array; /* owned; NULL: there is no program yet */
        uint32_t n_suspends; /* of the device, when it was made */
        struct emu_command
                commands[EMU_IN_FLIGHT_MAX]; /* oldest first; it is inside until its fence is signalled */
        size_t n_commands;
        uint64_t n_submitted, n_signalled; /* the fence of command seq is signalled if seq < n_signalled */
        bool is_stopped;                   /* destroyed: its thread ends as soon as it can */
        bool is_dead; /* by its profile: commands end at once, and their states stay NEW */
};

/* -EINVAL: the device has no more, or a fault says so. Starts the thread. */
int emu_context_new(struct emu_device *device, uint32_t handle, uint32_t columns,
                    struct emu_context **ret_context);

/*
 * Waits for commands that are inside, at most 2 s, then gives them up. -EBUSY: the firmware is wedged, and the context
 * stays; -EINVAL: somebody else has destroyed it meanwhile. Else it is the handle's no more.
 */
int emu_context_destroy(struct emu_context *context);

/* The same at once, whatever is inside. */
void emu_context_stop(struct emu_context *context);

/* From its program image on it can run commands. -EINVAL: nobody knows the image. */
int emu_context_configure(struct emu_context *context, const uint8_t *image, uint64_t n_bytes);

/*
 * Takes a command, and its references, on success. Waits while there are four inside. -EINVAL: the context is lost, or
 * has no program; -ENODEV.
 */
int emu_context_submit(struct emu_context *context, struct emu_command *command);

/* Waits for a fence, until then on the monotonic clock. -ETIME; -EINVAL: no such command; -ENODEV. */
int emu_context_wait(struct emu_context *context, uint64_t seq, uint64_t until_ns);

#endif
