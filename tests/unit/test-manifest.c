/* SPDX-License-Identifier: MIT */
/*
 * test-manifest.c - the NPU programs' manifest: both formats, every outcome with its line and words, files that are
 * none, lines that inih would take for something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/unit/manifest-desk.h"
#include "tests/unit/suite.h"

#ifndef NPUMM_MANIFEST
#error "NPUMM_MANIFEST is the path of xclbin/manifest.ini"
#endif

static const char *const required[] = {"npu", "kernel", "format", "version", "columns", "flow", "channels"};

/* Writes the good manifest with the first `from` replaced. */
static void good_write_with(const char *from, const char *to)
{
        const char *at = strstr(good, from);
        char text[sizeof good + 1024];

        ck_assert_msg(at, "there is no \"%s\"", from);
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
        text_write(path, text);
}

/* ---- what loads ---- */

START_TEST(test_stream64)
{
        struct manifest_program *program = expect_loaded(path, MANIFEST_STREAM64);

        ck_assert_str_eq(program->npu, "npu1");
        ck_assert_str_eq(program->kernel, "MLIR_AIE");
        ck_assert_int_eq(program->format, MANIFEST_STREAM64);
        ck_assert_int_eq(program->flow, STREAM64_POLL);
        ck_assert_uint_eq(program->columns, 4);
        ck_assert(program->has_pdi_hash);
        for (unsigned i = 0; i < MANIFEST_HASH_BYTES - 1; i++)
                ck_assert_uint_eq(program->pdi_hash[i], i);
        ck_assert_uint_eq(program->pdi_hash[MANIFEST_HASH_BYTES - 1], 0xff);
        ck_assert_uint_eq(program->xclbin_bytes, strlen(ABC));
        ck_assert_mem_eq(program->xclbin, ABC, strlen(ABC));
        /* What was checked is what is used, whatever becomes of the file. */
        text_write(stream64_path, FOX);
        ck_assert_mem_eq(program->xclbin, ABC, strlen(ABC));
        ck_assert_ptr_null(manifest_program_free(program));
        ck_assert_ptr_null(manifest_program_free(NULL));
}
END_TEST

START_TEST(test_tile16)
{
        struct manifest_program *program = expect_loaded(path, MANIFEST_TILE16);

        ck_assert_str_eq(program->npu, "npu1");
        ck_assert_str_eq(program->kernel, "TILE_16");
        ck_assert_int_eq(program->format, MANIFEST_TILE16);
        ck_assert_int_eq(program->flow, STREAM64_TOKEN);
        ck_assert_uint_eq(program->columns, 4);
        ck_assert(!program->has_pdi_hash);
        ck_assert_uint_eq(program->xclbin_bytes, strlen(FOX));
        ck_assert_mem_eq(program->xclbin, FOX, strlen(FOX));
        (void)manifest_program_free(program);
}
END_TEST

/* What says the same in other words; the second of each pair takes the first's place. */
static const char *const same[][2] = {
        {"# The programs.\n", ""},
        {"# The programs.\n", "\n\r\n   \n;\n#\n"},
        {"# The programs.\n",
         "# \xc2\xb5s, \x1b[1m, and \t a very long line"
         " ------------------------------------------------------------------------------"
         " ------------------------------------------------------------------------------"
         " ------------------------------------------------------------------------------"
         " [stream64]\n"},
        {"# The programs.\n", "; \xc2\xb5s\n"},
        {"npu = npu1\n", "npu=npu1\r\n"},
        {"npu = npu1\n", "npu\t: npu1\t \n"},
        {"npu = npu1\n", "npu = npu1 ; Phoenix\n"},
        {"[stream64]\n", "[stream64] \r\n"},
        {"[stream64]\n", "[s-6_4.b]\n"},
        {"\n\n[tile16]\n", "\n[tile16]\n"},
        {"A0=0:MM2S0 B0=0:MM2S1 ", "B0=0:MM2S1 A0=0:MM2S0 "},
        {"A0=0:MM2S0 B0=0:MM2S1 ", "A0=0:MM2S0\t  B0=0:MM2S1 "},
        /* of other programs, only the form counts */
        {"in=0:MM2S0 out=0:S2MM0\n", "in=7:DMA9\n"},
        {"[tile16]\nnpu = npu1\n", "[tile16]\nnpu = npu4\n"},
        {"file = tile16.xclbin\nblake2b = " FOX_HASH "\n", ""},
};

START_TEST(test_same)
{
        good_write_with(same[_i][0], same[_i][1]);
        (void)manifest_program_free(expect_loaded(path, MANIFEST_STREAM64));
}
END_TEST

/* A path without a folder is one of this folder; a link is as good as what it points to. */
START_TEST(test_paths)
{
        const int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ck_assert_int_eq(rename(stream64_path, tile16_path), 0);
        ck_assert_int_eq(symlink("tile16.xclbin", stream64_path), 0);
        ck_assert_int_eq(chdir(folder), 0);
        (void)manifest_program_free(expect_loaded("manifest.ini", MANIFEST_STREAM64));
        (void)manifest_program_free(expect_loaded("./manifest.ini", MANIFEST_STREAM64));
        ck_assert_int_eq(fchdir(here), 0);
        ck_assert_int_eq(close(here), 0);
}
END_TEST

/* The source's own: right in everything, and not built. */
START_TEST(test_shipped)
{
        for (int format = 0; format < MANIFEST_FORMAT_MAX; format++) {
                struct manifest_program *program = NULL;
                char error[MANIFEST_ERROR_MAX] = "";
                int r = manifest_program_new(NPUMM_MANIFEST, "npu1", (enum manifest_format)format, &program,
                                             error);

                ck_assert_msg(r == MANIFEST_E_NOT_BUILT, "%d: %s", r, error);
        }
}
END_TEST

/* ---- what does not ---- */

#define NAME_63 "a123456789b123456789c123456789d123456789e123456789f123456789ghi"

/* clang-format off */
#define MALFORMED  MANIFEST_E_MALFORMED
#define NO_PROGRAM MANIFEST_E_NO_PROGRAM
#define GEOMETRY   MANIFEST_E_GEOMETRY
#define NOT_BUILT  MANIFEST_E_NOT_BUILT
#define MISSING    MANIFEST_E_MISSING
#define MISMATCH   MANIFEST_E_MISMATCH
#define SUCCESS    MANIFEST_E_SUCCESS /* the last that is right */
static const struct {
        const char *from, *to;
        int outcome, line;
        const char *words;
} wrong[] = {
        /* keys and sections */
        {"npu = npu1\n", "npu = npu1\nnonsense = 1\n", MALFORMED, 4, "nonsense: there is no such key"},
        {"npu = npu1\n", "Npu = npu1\n", MALFORMED, 3, "Npu: there is no such key"},
        {"npu = npu1\n", "= npu1\n", MALFORMED, 3, "there is no such key"},
        {"npu = npu1\n", "npu\n", MALFORMED, 3, "not \"key = value\""},
        {"npu = npu1\n", "npu = npu1\nnpu = npu1\n", MALFORMED, 4, "npu is there already, in line 3"},
        {"[stream64]\n", "npu = npu1\n", MALFORMED, 2, "npu stands before the first [section]"},
        {"[tile16]", "[stream64]", MALFORMED, 14, "[stream64] is there already, in line 2"},
        {"flow = poll\n", "[stream64]\n", MALFORMED, 8, "[stream64] is there already, in line 2"},
        {"[tile16]", "[]", MALFORMED, 14, "\"[]\" is not [name]"},
        {"[tile16]", "[tile16", MALFORMED, 14, "\"[tile16\" is not [name]"},
        {"[tile16]", "[tile16] npu = npu1", MALFORMED, 14, "is not [name]"},
        {"[tile16]", "[tile]16]", MALFORMED, 14, "is not [name]"},
        {"[tile16]", "[" NAME_63 "]", SUCCESS, 0, NULL},
        {"[tile16]", "[" NAME_63 "x]", MALFORMED, 14, "is not [name]"},
        {"[tile16]\nnpu = npu1\n", "[empty]\n[tile16]\nnpu = npu1\n", MALFORMED, 14, "[empty] has no npu"},
        {"kernel = TILE_16\nformat = tile16", "kernel = TILE_16\nformat = stream64", MALFORMED, 14,
         "[tile16] is stream64 for npu1, and so is [stream64]"},
        /* of several mistakes, the first */
        {"kernel = MLIR_AIE\nformat = stream64\n", "kernel\nnonsense = 1\n", MALFORMED, 4, "not \"key"},
        {"kernel = MLIR_AIE\nformat = stream64\n", "nonsense = 1\nformat\n", MALFORMED, 4, "nonsense"},
        {"kernel = MLIR_AIE\nformat = stream64\n", "kernel\n  x\n", MALFORMED, 4, "not \"key = value\""},
        /* lines that inih reads in its own way */
        {"kernel = MLIR_AIE\n", "  kernel = MLIR_AIE\n", MALFORMED, 4, "the line is indented"},
        {"[tile16]", "\t[tile16]", MALFORMED, 14, "the line is indented"},
        {"# The", "\xef\xbb\xbf# The", MALFORMED, 1, "byte 0xef is not text"},
        {"flow = poll\n", "flow = poll\x01\n", MALFORMED, 8, "byte 0x01 is not text"},
        {"flow = poll\n", "flow = poll\rtoken\n", MALFORMED, 8, "byte 0x0d is not text"},
        {"flow = poll\n", "flow = poll\x7f\n", MALFORMED, 8, "byte 0x7f is not text"},
        {"flow = poll\n", "flow = poll \xff\n", MALFORMED, 8, "byte 0xff is not text"},
        /* values */
        {"npu = npu1\n", "npu =\n", MALFORMED, 3, "npu: \"\" is not a name"},
        {"npu = npu1\n", "npu = npu 1\n", MALFORMED, 3, "npu: \"npu 1\" is not a name"},
        {"kernel = MLIR_AIE\n", "kernel = " NAME_63 "\n", SUCCESS, 0, NULL},
        {"kernel = MLIR_AIE\n", "kernel = " NAME_63 "x\n", MALFORMED, 4, "is not a name"},
        {"kernel = MLIR_AIE\n", "kernel = a:b\n", MALFORMED, 4, "kernel: \"a:b\" is not a name"},
        {"version = 1\n", "version = 0\n", MALFORMED, 6, "version: \"0\" is not a number from 1 to 999"},
        {"version = 1\n", "version = 01\n", MALFORMED, 6, "is not a number"},
        {"version = 1\n", "version = 1000\n", MALFORMED, 6, "is not a number"},
        {"columns = 4\n", "columns = 4.0\n", MALFORMED, 7, "columns: \"4.0\" is not a number"},
        {"columns = 4\n", "columns =\n", MALFORMED, 7, "is not a number"},
        {"flow = poll\n", "flow = wait\n", MALFORMED, 8, "flow: \"wait\" is not poll or token"},
        {"A0=0:MM2S0 ", "A0=0:MM2S0,", MALFORMED, 9, "is not a list of lane=column:channel"},
        {"A0=0:MM2S0 ", "A0=MM2S0 ", MALFORMED, 9, "is not a list"},
        {"A0=0:MM2S0 ", "A0 0:MM2S0 ", MALFORMED, 9, "is not a list"},
        {"A0=0:MM2S0 ", "A0=:MM2S0 ", MALFORMED, 9, "is not a list"},
        {"A0=0:MM2S0 ", "=0:MM2S0 ", MALFORMED, 9, "is not a list"},
        {"A0=0:MM2S0 ", "A0=0: ", MALFORMED, 9, "is not a list"},
        {"channels = in=0:MM2S0 out=0:S2MM0\n", "channels =\n", MALFORMED, 21, "\"\" is not a list"},
        {"file = stream64.xclbin", "file = ../stream64.xclbin", MALFORMED, 10, "is not a name"},
        {"file = stream64.xclbin", "file = /etc/passwd", MALFORMED, 10, "is not a name"},
        {"file = stream64.xclbin", "file = x/stream64.xclbin", MALFORMED, 10, "is not a name"},
        {"file = stream64.xclbin", "file = ..", MALFORMED, 10, "file: \"..\" is not a name"},
        {"file = stream64.xclbin", "file = .", MALFORMED, 10, "file: \".\" is not a name"},
        {"file = stream64.xclbin", "file = .x", MALFORMED, 10, "no dot first"},
        {"file = stream64.xclbin", "file =", MALFORMED, 10, "file: \"\" is not a name"},
        {"blake2b = b", "blake2b = B", MALFORMED, 11, "is not 64 digits"},
        {"blake2b = b", "blake2b = bb", MALFORMED, 11, "is not 64 digits"},
        {ABC_HASH, ABC_HASH "x", MALFORMED, 11, "is not 64 digits"},
        {"blake2b = b", "blake2b = ", MALFORMED, 11, "as b2sum -l 256 prints them"},
        {"pdi-blake2b = 0", "pdi-blake2b = g", MALFORMED, 12, "pdi-blake2b: "},
        {"blake2b = " ABC_HASH "\n", "", MALFORMED, 10, "[stream64] has a file, but no blake2b of it"},
        {"file = stream64.xclbin\n", "", MALFORMED, 11, "[stream64] has a hash, but no file"},
        {"file = tile16.xclbin\n", "", MALFORMED, 22, "[tile16] has a hash, but no file"},
        {"file = stream64.xclbin\nblake2b = " ABC_HASH "\n", "", MALFORMED, 10, "[stream64] has a hash, but no file"},
        /* programs */
        {"[stream64]\nnpu = npu1\n", "[stream64]\nnpu = npu5\n", NO_PROGRAM, 0,
         "there is no stream64 for npu1; there is stream64 for npu5, tile16 for npu1"},
        {"file = stream64.xclbin\nblake2b = " ABC_HASH "\npdi-blake2b = " PDI_HASH "\n", "", NOT_BUILT, 2,
         "[stream64] is not built: it has no file; run xclbin/build.sh"},
        /* geometry */
        {"format = tile16", "format = stream128", GEOMETRY, 17, "but not \"stream128\""},
        {"version = 1\n", "version = 2\n", GEOMETRY, 6, "version: the daemon knows 1, not 2"},
        {"columns = 4\n", "columns = 5\n", GEOMETRY, 7, "columns: the daemon knows 4, not 5"},
        {"A0=0:MM2S0", "A0=0:MM2S1", GEOMETRY, 9,
         "channels: lane A0=0:MM2S1 is A0=0:MM2S0 in the daemon's streams; build it again"},
        {"C3=3:S2MM0", "C3=2:S2MM0", GEOMETRY, 9, "lane C3=2:S2MM0 is C3=3:S2MM0"},
        {"C3=3:S2MM0", "C3=3:S2MM", GEOMETRY, 9, "lane C3=3:S2MM is C3=3:S2MM0"},
        {"C3=3:S2MM0", "C3=3:S2MM00", GEOMETRY, 9, "lane C3=3:S2MM00 is C3=3:S2MM0"},
        {"C3=3:S2MM0", "C4=3:S2MM0", GEOMETRY, 9, "do not know lane C4=3:S2MM0"},
        {"C3=3:S2MM0", "C=3:S2MM0", GEOMETRY, 9, "do not know lane C=3:S2MM0"},
        {"C3=3:S2MM0", "C2=2:S2MM0", GEOMETRY, 9, "lane C2=2:S2MM0 is there twice"},
        {" C3=3:S2MM0", "", GEOMETRY, 9, "lane C3=3:S2MM0 is missing"},
        {"A0=0:MM2S0 ", "", GEOMETRY, 9, "lane A0=0:MM2S0 is missing"},
        {"A0=0:MM2S0 ", "A0=0:MM2S0 ;", GEOMETRY, 9, "lane B0=0:MM2S1 is missing"},
        /* files */
        {"file = stream64.xclbin", "file = elsewhere.xclbin", MISSING, 10,
         "elsewhere.xclbin: No such file or directory; build it again with xclbin/build.sh"},
        {"file = stream64.xclbin", "file = tile16.xclbin", MISMATCH, 11,
         "tile16.xclbin does not have this BLAKE2b-256, but 01718cec..: it is damaged or of another build"},
        {"blake2b = b", "blake2b = c", MISMATCH, 11, "but bddd813c.."},
        {ABC_HASH, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52318", MISMATCH, 11,
         "; build it again with xclbin/build.sh"},
};
/* clang-format on */

START_TEST(test_wrong)
{
        good_write_with(wrong[_i].from, wrong[_i].to);
        if (wrong[_i].outcome == SUCCESS)
                (void)manifest_program_free(expect_loaded(path, MANIFEST_STREAM64));
        else
                expect_refused(wrong[_i].outcome, wrong[_i].line, wrong[_i].words);
}
END_TEST

/* Each of the keys in turn is not there. */
START_TEST(test_missing_key)
{
        char from[32], words[64];

        (void)snprintf(words, sizeof words, "[stream64] has no %s", required[_i]);
        (void)snprintf(from, sizeof from, "\n%s = ", required[_i]);
        good_write_with(from, "\n#");
        expect_refused(MALFORMED, 2, words);
}
END_TEST

/* Nor is one made for another NPU than generator and packers are, whatever the manifest says. */
START_TEST(test_no_program)
{
        expect_npu_refused("npu6", MANIFEST_TILE16, NO_PROGRAM, 0,
                           "there is no tile16 for npu6; there is stream64 for npu1, tile16 for npu1");
        expect_npu_refused("", MANIFEST_STREAM64, NO_PROGRAM, 0, "there is no stream64 for ; there is");
        expect_npu_refused("npu", MANIFEST_STREAM64, NO_PROGRAM, 0, "for npu; there is");
        text_write(path, "");
        expect_refused(NO_PROGRAM, 0, "there is none at all");
        good_write_with("npu = npu1", "npu = npu4");
        expect_npu_refused("npu4", MANIFEST_STREAM64, GEOMETRY, 3,
                           "npu: the daemon's streams are for npu1, not for npu4");
}
END_TEST

/* Each format has its own geometry and its own file. */
START_TEST(test_tile16_wrong)
{
        good_write_with("in=0:MM2S0", "in=1:MM2S0");
        expect_npu_refused("npu1", MANIFEST_TILE16, GEOMETRY, 21, "lane in=1:MM2S0 is in=0:MM2S0");
        good_write_with("in=0:MM2S0", "in=0:MM2S0 A0=0:MM2S0");
        expect_npu_refused("npu1", MANIFEST_TILE16, GEOMETRY, 21, "do not know lane A0=0:MM2S0");
        text_write(tile16_path, ABC);
        good_write_with("# The", "#");
        expect_npu_refused("npu1", MANIFEST_TILE16, MISMATCH, 23, "tile16.xclbin does not have this");
}
END_TEST

/* A line is whole or refused, never cut: whatever its length, what stands behind inih's bound counts. */
START_TEST(test_long_lines)
{
        for (int n_line = 150; n_line <= 450; n_line++) {
                char to[512];

                (void)snprintf(to, sizeof to, "kernel = MLIR_AIE%*s\n", n_line - 17, "; flow = token");
                good_write_with("kernel = MLIR_AIE\n", to);
                if (n_line < 199)
                        (void)manifest_program_free(expect_loaded(path, MANIFEST_STREAM64));
                else
                        expect_refused(MALFORMED, 4, "the line is too long");
        }
}
END_TEST

START_TEST(test_many_sections)
{
        char text[8192];
        size_t n = 0;

        for (int i = 0; i < 17; i++)
                n += (size_t)snprintf(text + n, sizeof text - n,
                                      "[s%d]\nnpu = npu%d\nkernel = k\nformat = stream64\nversion = 1\n"
                                      "columns = 4\nflow = poll\nchannels = A0=0:MM2S0\n",
                                      i, i + 10);
        text_write(path, text);
        expect_refused(MALFORMED, 16 * 8 + 1, "there are more than 16 sections");
        *strstr(text, "[s16]") = '\0';
        text_write(path, text);
        expect_refused(NO_PROGRAM, 0, "there is stream64 for npu10, stream64 for npu11");
}
END_TEST

/* ---- files that are none ---- */

/* _i: of the manifest, or of the xclbin. */
START_TEST(test_no_file)
{
        const char *const file = _i == 0 ? path : stream64_path;
        const int line = _i == 0 ? 0 : 10;

        ck_assert_int_eq(unlink(file), 0);
        expect_refused(MISSING, line, strerror(ENOENT));
        expect_refused(MISSING, line, _i == 0 ? "; install npumatmuld's xclbin folder" : "; build it again");
        ck_assert_int_eq(symlink(strrchr(file, '/') + 1, file), 0);
        expect_refused(MISSING, line, strerror(ELOOP));
        ck_assert_int_eq(unlink(file), 0);
        ck_assert_int_eq(mkfifo(file, 0600), 0);
        expect_refused(MISSING, line, "it is not a regular file");
        ck_assert_int_eq(unlink(file), 0);
        ck_assert_int_eq(mkdir(file, 0700), 0);
        expect_refused(MISSING, line, "it is not a regular file");
}
END_TEST

START_TEST(test_sizes)
{
        static const struct {
                off_t n_bytes;
                int outcome, line;
                const char *words;
        } sizes[] = {
                {(off_t)MANIFEST_XCLBIN_BYTES_MAX + 1, MISSING, 10, "stream64.xclbin: it is too large"},
                {(off_t)MANIFEST_XCLBIN_BYTES_MAX, MISMATCH, 11, "stream64.xclbin does not have"},
                {4, MISMATCH, 11, "stream64.xclbin does not have"},
                {2, MISMATCH, 11, "stream64.xclbin does not have"},
                {0, MISMATCH, 11, "but 0e5751c0.."}, /* of nothing */
        };

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                ck_assert_int_eq(truncate(stream64_path, sizes[i].n_bytes), 0);
                expect_refused(sizes[i].outcome, sizes[i].line, sizes[i].words);
        }
        ck_assert_int_eq(truncate(path, 65537), 0);
        expect_refused(MISSING, 0, "it is too large");
        ck_assert_int_eq(truncate(path, 65536), 0); /* what follows is one line of zeros */
        expect_refused(MALFORMED, 24, "the line is too long");
}
END_TEST

/* A path as long as there are leaves room for the words. */
START_TEST(test_long_path)
{
        char long_path[4096], error[MANIFEST_ERROR_MAX] = "";

        memset(long_path, 'x', sizeof long_path);
        long_path[sizeof long_path - 1] = '\0';
        ck_assert_int_eq(manifest_program_new(long_path, "npu1", MANIFEST_STREAM64, NULL, error), MISSING);
        ck_assert_ptr_nonnull(strstr(error, strerror(ENAMETOOLONG)));
}
END_TEST

/* ---- by chance ---- */

static TCase *tests(void)
{
        TCase *tcase = tcase_create("manifest");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_stream64);
        tcase_add_test(tcase, test_tile16);
        tcase_add_loop_test(tcase, test_same, 0, ARRAY_SIZE(same));
        tcase_add_test(tcase, test_paths);
        tcase_add_test(tcase, test_shipped);
        tcase_add_loop_test(tcase, test_wrong, 0, ARRAY_SIZE(wrong));
        tcase_add_loop_test(tcase, test_missing_key, 0, ARRAY_SIZE(required));
        tcase_add_test(tcase, test_no_program);
        tcase_add_test(tcase, test_tile16_wrong);
        tcase_add_test(tcase, test_long_lines);
        tcase_add_test(tcase, test_many_sections);
        tcase_add_loop_test(tcase, test_no_file, 0, 2);
        tcase_add_test(tcase, test_sizes);
        tcase_add_test(tcase, test_long_path);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("manifest");

        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
