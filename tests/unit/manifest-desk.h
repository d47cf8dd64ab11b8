/* SPDX-License-Identifier: MIT */
/*
 * manifest-desk.h - a folder with a good manifest and what it names, for the tests of the loader to change.
 *
 * Thread: one. State is static: one desk a program.
 */
#ifndef TESTS_UNIT_MANIFEST_DESK_H
#define TESTS_UNIT_MANIFEST_DESK_H

#include <check.h>
#include <stdio.h>

#include "daemon/npu/manifest.h"

/* BLAKE2b-256 as everybody knows it: printf abc | b2sum -l 256, and so on. */
#define ABC      "abc"
#define ABC_HASH "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
#define FOX      "The quick brown fox jumps over the lazy dog"
#define FOX_HASH "01718cec35cd3d796dd00020e0bfecb473ad23457d063b75eff29c0ffa2e58a9"
#define PDI_HASH "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"

static const char good[] = "# The programs.\n"
                           "[stream64]\n"
                           "npu = npu1\n"
                           "kernel = MLIR_AIE\n"
                           "format = stream64\n"
                           "version = 1\n"
                           "columns = 4\n"
                           "flow = poll\n"
                           "channels = A0=0:MM2S0 B0=0:MM2S1 C0=0:S2MM0 A1=1:MM2S0 B1=1:MM2S1 C1=1:S2MM0 "
                           "A2=2:MM2S0 B2=2:MM2S1 C2=2:S2MM0 A3=3:MM2S0 B3=3:MM2S1 C3=3:S2MM0\n"
                           "file = stream64.xclbin\n" /* line 10 */
                           "blake2b = " ABC_HASH "\n"
                           "pdi-blake2b = " PDI_HASH "\n"
                           "\n"
                           "[tile16]\n"
                           "npu = npu1\n"
                           "kernel = TILE_16\n"
                           "format = tile16\n"
                           "version = 1\n"
                           "columns = 4\n"
                           "flow = token\n" /* line 20 */
                           "channels = in=0:MM2S0 out=0:S2MM0\n"
                           "file = tile16.xclbin\n"
                           "blake2b = " FOX_HASH "\n";

static char folder[64], path[96], stream64_path[96], tile16_path[96];

static inline void bytes_write(const char *to, const void *bytes, size_t n)
{
        FILE *file;

        (void)unlink(
                to); /* a file that is cut to 0 and written again goes to disk when it is closed (ext4) */
        file = fopen(to, "we");
        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
        ck_assert_int_eq(fclose(file), 0);
}

static inline void text_write(const char *to, const char *text)
{
        bytes_write(to, text, strlen(text));
}

static inline void setup(void)
{
        (void)snprintf(folder, sizeof folder, "/tmp/npumm-test-manifest-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(path, sizeof path, "%s/manifest.ini", folder);
        (void)snprintf(stream64_path, sizeof stream64_path, "%s/stream64.xclbin", folder);
        (void)snprintf(tile16_path, sizeof tile16_path, "%s/tile16.xclbin", folder);
        text_write(path, good);
        text_write(stream64_path, ABC);
        text_write(tile16_path, FOX);
}

static inline void teardown(void)
{
        (void)remove(path);
        (void)remove(stream64_path);
        (void)remove(tile16_path);
        ck_assert_int_eq(rmdir(folder), 0);
}

static inline struct manifest_program *expect_loaded(const char *from, enum manifest_format format)
{
        struct manifest_program *program = NULL;
        char error[MANIFEST_ERROR_MAX] = "";
        int r = manifest_program_new(from, "npu1", format, &program, error);

        ck_assert_msg(r == 0, "%d: %s", r, error);
        ck_assert_ptr_nonnull(program);
        ck_assert_str_eq(error, "");
        return program;
}

/* The outcome of what lies in the folder: one line that begins with the place and has `words` in it. */
static inline void expect_npu_refused(const char *npu, enum manifest_format format, int outcome, int line,
                                      const char *words)
{
        struct manifest_program *program = NULL;
        char error[MANIFEST_ERROR_MAX] = "", where[128];
        int r = manifest_program_new(path, npu, format, &program, error);

        ck_assert_msg(r == outcome, "%d instead of %d (%s): %s", r, outcome, words, error);
        ck_assert_ptr_null(program);
        if (line > 0)
                (void)snprintf(where, sizeof where, "%s:%d: ", path, line);
        else
                (void)snprintf(where, sizeof where, "%s: ", path);
        ck_assert_msg(strncmp(error, where, strlen(where)) == 0, "\"%s\" does not begin with \"%s\"", error,
                      where);
        ck_assert_msg(strstr(error, words), "\"%s\" lacks \"%s\"", error, words);
        ck_assert_ptr_null(strchr(error, '\n'));
}

static inline void expect_refused(int outcome, int line, const char *words)
{
        expect_npu_refused("npu1", MANIFEST_STREAM64, outcome, line, words);
}

#endif
