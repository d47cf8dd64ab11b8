/* SPDX-License-Identifier: MIT */
/*
 * emu-tree.h - the folder that stands for parts of /sys and /dev.
 *
 * Role:   makes and fills it: a Phoenix NPU on the PCI bus with the driver amdxdna, as its sysfs shows it to XRT; and
 *         says where a path leads.
 * Thread: any; several processes may make the same folder at once.
 */
#ifndef TESTS_EMU_EMU_TREE_H
#define TESTS_EMU_EMU_TREE_H

#include "proto/base.h"

#include <limits.h>

#define EMU_NODE "/dev/accel/accel0"

/* Makes what is not there yet. ret_root: absolute, without links. 0 or -errno. */
int emu_tree_make(const char *root, char ret_root[PATH_MAX]);

/* Is this one of the paths that are the emulated NPU's? */
bool emu_tree_has(const char *path);

#endif
