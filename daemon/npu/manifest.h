/* SPDX-License-Identifier: MIT */
/*
 * manifest.h - the NPU programs that the daemon knows: ../../xclbin/README.md, section 10.
 *
 * Role:   finds the program for an NPU in a manifest and makes sure of it: every key is as it must be, the geometry is
 *         the one that plan, generator and packers are made for, and the xclbin is the one that was built.
 * In:     files that may be anything. A manifest is INI as the daemon's configuration is, but nothing in it is passed
 *         over: no indented lines, nothing behind a section's name, no key twice; comments apart, ASCII.
 * Out:    a program with the very bytes that were hashed: the file is read once, so what becomes of it between check
 *         and use does not matter. Or one line that says what is wrong, where, and what to do.
 * Thread: any, while the daemon or its worker starts: reads files and waits for them.
 * Never:  looks into the xclbin, or runs it.
 */
#ifndef DAEMON_NPU_MANIFEST_H
#define DAEMON_NPU_MANIFEST_H

#include "proto/stream64.h"

#define MANIFEST_NAME_BYTES 64 /* with the 0 at its end */
#define MANIFEST_HASH_BYTES 32 /* BLAKE2b-256 */
#define MANIFEST_ERROR_MAX  512

/* Ten times what these programs are (some hundred KiB to a few MiB), and what a wrong file may cost of memory. */
#define MANIFEST_XCLBIN_BYTES_MAX (UINT64_C(64) << 20)

/* What the packers know. */
enum manifest_format { MANIFEST_STREAM64 = 0, MANIFEST_TILE16, MANIFEST_FORMAT_MAX };

/* "stream64", "tile16", NULL. */
extern const char *const manifest_format_names[];

struct manifest_program {
        char npu[MANIFEST_NAME_BYTES];    /* generation */
        char kernel[MANIFEST_NAME_BYTES]; /* name in the xclbin */
        enum manifest_format format;
        enum stream64_flow flow;
        unsigned columns; /* width of the partition */
        bool has_pdi_hash;
        uint8_t pdi_hash[MANIFEST_HASH_BYTES]; /* of the program image in the xclbin; not compared here */
        uint8_t *xclbin;                       /* owned: the bytes whose hash was compared */
        size_t xclbin_bytes;
};

/* Positive results; ret_error then has one line. */
enum {
        MANIFEST_E_SUCCESS = 0,
        MANIFEST_E_MALFORMED, /* anywhere in the manifest: a line that is none, an unknown, missing or wrong key */
        MANIFEST_E_NO_PROGRAM, /* of this format for this NPU */
        MANIFEST_E_GEOMETRY,   /* there is one, but another than generator and packers are made for */
        MANIFEST_E_NOT_BUILT,  /* it names no file */
        MANIFEST_E_MISSING,    /* its file, or the manifest itself, cannot be read */
        MANIFEST_E_MISMATCH,   /* its file is not the one whose hash the manifest has */
};

/* Finds the program and reads it. `path` is the manifest's; 0, -ENOMEM, or one of the above. */
int manifest_program_new(const char *path, const char *npu, enum manifest_format format,
                         struct manifest_program **ret_program, char ret_error[MANIFEST_ERROR_MAX]);
struct manifest_program *manifest_program_free(struct manifest_program *program);

#endif
