/* SPDX-License-Identifier: MIT */
/*
 * emu-config.h - what the emulated NPU is told by the environment: README.md lists the variables.
 *
 * Role:   reads them once, and has the folder made that holds the device's files.
 * Thread: any.
 * Never:  goes through the interposers: they ask here.
 */
#ifndef TESTS_EMU_EMU_CONFIG_H
#define TESTS_EMU_EMU_CONFIG_H

#include "proto/base.h"

#include <limits.h>

/* What the driver does with a command that makes no progress. */
enum emu_profile {
        EMU_XDNA_1_8 = 0, /* TIMEOUT, and ABORT for those behind it; the context goes on */
        EMU_MAINLINE,     /* fences are signalled, states stay NEW; the context is dead */
};

struct emu_config {
        char root[PATH_MAX]; /* absolute, without links */
        bool is_usable;      /* the folder is there; else there is no NPU */
        enum emu_profile profile;
        const char *profile_name;
        uint64_t tdr_ns; /* how long a command may make no progress */
        bool is_strict;  /* coherence */
        uint64_t seed;   /* of the model's schedules */
        char *log;       /* owned; paths, NULL: none */
        char *control;   /* owned */
        char *manifest;  /* owned */
};

/* NULL: XDNAEMU_ROOT is not set, and everything goes its usual way. */
const struct emu_config *emu_config(void);

#endif
