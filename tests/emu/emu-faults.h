/* SPDX-License-Identifier: MIT */
/*
 * emu-faults.h - what is to go wrong: the file that XDNAEMU_CONTROL names. README.md has its grammar.
 *
 * Role:   the file is read at each question, so a test may change it at any time. No file: nothing goes wrong.
 * Thread: any.
 */
#ifndef TESTS_EMU_EMU_FAULTS_H
#define TESTS_EMU_EMU_FAULTS_H

#include "proto/base.h"

enum emu_fault_kind {
        EMU_FAULT_NONE = 0,
        /* of a command */
        EMU_FAULT_ERROR,
        EMU_FAULT_ABORT,
        EMU_FAULT_TIMEOUT,
        EMU_FAULT_HANG,
        EMU_FAULT_STUCK,
        EMU_FAULT_NOSTATE,
        EMU_FAULT_DROPPED,
        EMU_FAULT_WEDGE,
        EMU_FAULT_SLOW,
        EMU_FAULT_WRONG,
        EMU_FAULT_LOST,
        /* while the line is there */
        EMU_FAULT_GONE,
        EMU_FAULT_NOCONTEXT,
        EMU_FAULT_PERMISSION,
        EMU_FAULT_MAX
};

struct emu_fault {
        enum emu_fault_kind kind;
        uint64_t ms; /* SLOW */
};

extern const char *const emu_fault_names[EMU_FAULT_MAX];

/* Is there a line of this kind? */
bool emu_fault_is_on(enum emu_fault_kind kind);

/* What command `number` meets; uses up one of a rule's count. Locks emu_shared. */
struct emu_fault emu_fault_take(uint64_t number);

/* The device is not there now. Whoever sees it go or come back, all who had it open have lost it. */
bool emu_fault_is_unplugged(void);

/* After a wedge, for as long as the word is in the file. */
bool emu_fault_is_wedged(void);

#endif
