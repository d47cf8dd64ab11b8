/* SPDX-License-Identifier: MIT */
/*
 * emu-command.h - a command's packet, executed on a model of the array.
 *
 * Role:   what the firmware does of a packet as XRT's shim writes it: finds instructions and arguments by their device
 *         addresses, and runs the stream. An address that is in none of the command's buffer objects is an error.
 * In:     packets and streams that may be anything.
 * Thread: a context's own; without the device's lock, on objects that the command holds.
 * Never:  writes the packet, or ends the command: contexts do.
 */
#ifndef TESTS_EMU_EMU_COMMAND_H
#define TESTS_EMU_EMU_COMMAND_H

#include "tests/emu/emu-faults.h"
#include "tests/emu/emu-memory.h"
#include "tests/npu/array-model.h"

/* Instructions, five arguments, and what else XRT may list. */
#define EMU_COMMAND_BOS_MAX 16

/* States of a packet, in bits 3:0 of its first word. */
enum emu_state {
        EMU_STATE_NEW = 1,
        EMU_STATE_COMPLETED = 4,
        EMU_STATE_ERROR = 5,
        EMU_STATE_ABORT = 6,
        EMU_STATE_TIMEOUT = 8,
};

struct emu_command {
        struct emu_bo *packet;                   /* ref */
        struct emu_bo *bos[EMU_COMMAND_BOS_MAX]; /* ref: what EXEC_CMD listed */
        size_t n_bos;
        uint64_t seq;           /* in its context */
        uint64_t number;        /* of all processes' commands, from 1 */
        struct emu_fault fault; /* that it meets */
};

enum emu_end {
        EMU_END_COMPLETED = 0,
        EMU_END_ERROR,
        EMU_END_STUCK, /* it makes no progress */
};

struct emu_run {
        uint64_t ns;
        bool is_clean; /* nothing is left in the array */
        struct array_stats stats;
};

/*
 * Executes it as far as its fault lets it: ERROR, ABORT, TIMEOUT, HANG and WEDGE go wrong halfway through the stream,
 * and leave in the array what was on its way.
 */
enum emu_end emu_command_run(const struct emu_command *command, const struct emu_memory *memory,
                             struct array *array, enum array_program program, struct emu_run *ret_run);

void emu_command_set_state(const struct emu_command *command, const struct emu_memory *memory,
                           enum emu_state state);
const char *emu_state_name(enum emu_state state);

#endif
