/* SPDX-License-Identifier: MIT */
/* tile.h - a part of a stack, by one thread. */
#ifndef DAEMON_KERNEL_TILE_H
#define DAEMON_KERNEL_TILE_H

#include "daemon/kernel/isa.h"

/* Computes rows `row` .. `row + rows - 1` of the stack in so many panels. */
void tile_run(const struct kernel_plan *plan, uint64_t row, uint64_t rows, uint64_t panel, uint64_t panels,
              void *scratch);

#endif
