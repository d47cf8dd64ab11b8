/* SPDX-License-Identifier: MIT */
/*
 * hex.h - reads the hex dumps of this folder, and plain files too.
 *
 * Role:  path -> bytes. A file whose name ends in .hex holds lines of `offset: bytes # note`; offset and note
 *        are for readers and are skipped. Any other file is taken as it is.
 * Owns:  nothing; the bytes belong to the caller.
 */
#ifndef TESTS_GOLDEN_HEX_H
#define TESTS_GOLDEN_HEX_H

#include <stddef.h>
#include <stdint.h>

/*
 * Returns 0, or -errno; -EINVAL where a .hex file has something else in it. The caller frees the bytes, which
 * are never NULL on success. The block is exactly as long as the bytes (at least 1), so that sanitizers see
 * any read past them.
 */
int hex_file_read(const char *path, uint8_t **ret_bytes, size_t *ret_n_bytes);

#endif
