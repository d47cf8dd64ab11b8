/* SPDX-License-Identifier: MIT */
/*
 * emu-desk.h - for tests that ask the emulated NPU by ioctls, with no XRT in between.
 *
 * Role:   opens the node as XRT's shim does, makes contexts of tile16 and commands that multiply two tiles; compares.
 * Owns:   a folder for the emulator, its manifest and control file: desk_begin makes it, desk_end removes it.
 * Thread: one; but desk_start and desk_wait from any.
 */
#ifndef TESTS_EMU_EMU_DESK_H
#define TESTS_EMU_EMU_DESK_H

#include "proto/base.h"

#define DESK_HEAP_BYTES (UINT64_C(64) << 20)

struct desk {
        int fd;
        uint8_t *heap; /* mapped */
        uint64_t heap_address;
};

struct desk_bo {
        uint32_t handle;
        uint64_t address, size;
        uint8_t *at; /* mapped, or in the heap */
};

struct desk_context {
        uint32_t handle, syncobj, image;
};

/* A tile's product: packet, stream, operands, result. */
struct desk_command {
        struct desk_bo packet, stream, in, out;
        uint64_t seq;
};

/* An unchecked fixture. Sets the environment; a profile or strict coherence may be in it already. */
void desk_begin(void);
void desk_end(void);

/* What goes wrong from now on. */
void desk_control(const char *text);

/* 0 or -errno. */
int desk_call(int fd, unsigned long request, void *argument);

/* The node with its heap. Each of these ends the test if it fails. */
struct desk desk_open(void);
void desk_close(struct desk *desk);

/* Waits until closed devices' threads are gone: sanitizers want to be forked with one thread. */
void desk_settle(void);

struct desk_bo desk_bo(struct desk *desk, uint32_t type, uint64_t size);

int desk_context_create(struct desk *desk, struct desk_context *ret_context); /* 0 or -errno */
int desk_context_configure(struct desk *desk, struct desk_context *context, const char *image); /* same */
struct desk_context desk_context(struct desk *desk); /* both, of tile16 */
int desk_context_destroy(struct desk *desk, const struct desk_context *context);

/* The device sees it only with its objects synced, if coherence is strict. */
struct desk_command desk_command(struct desk *desk, unsigned seed);
void desk_sync(struct desk *desk, const struct desk_bo *bo, bool is_to_device);
void desk_sync_inputs(struct desk *desk, const struct desk_command *command);

int desk_start(struct desk *desk, const struct desk_context *context, struct desk_command *command);
int desk_wait(struct desk *desk, const struct desk_context *context, uint64_t seq,
              uint64_t ms); /* 0, -ETIME, .. */
unsigned desk_state(const struct desk_command *command);

/* Does `out` have the product? Takes it from the device before. */
bool desk_is_right(struct desk *desk, const struct desk_command *command);

/* Starts and waits, and returns its state. */
unsigned desk_run(struct desk *desk, const struct desk_context *context, struct desk_command *command);

extern const char desk_image[];

#endif
