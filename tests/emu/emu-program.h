/* SPDX-License-Identifier: MIT */
/*
 * emu-program.h - which of the programs a program image is.
 *
 * Role:   looks BLAKE2b-256 of an image up in the manifest that XDNAEMU_MANIFEST names (xclbin/README.md, section 10):
 *         the model executes no image, it only knows what those do.
 * Thread: any.
 */
#ifndef TESTS_EMU_EMU_PROGRAM_H
#define TESTS_EMU_EMU_PROGRAM_H

#include "tests/npu/array-model.h"

/* False, and it is said why: nobody knows this image. */
bool emu_program_find(const uint8_t *image, uint64_t n_bytes, enum array_program *ret_program);

#endif
