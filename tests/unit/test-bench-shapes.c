/* SPDX-License-Identifier: MIT */
/*
 * test-bench-shapes.c - shapes as people write them, files of them, whose turn it is, and which have a B in common.
 */
#include <errno.h>
#include <stdio.h>

#include "client/cli-bench-shapes.h"
#include "tests/unit/suite.h"

static struct bench_shapes shapes;

static void teardown(void)
{
        bench_shapes_deinit(&shapes);
}

/* ---- words ---- */

static const struct {
        const char *words;
        uint64_t m, k, n, count;
} good[] = {
        {"1,1,1", 1, 1, 1, 1},
        {"500,512,513", 500, 512, 513, 1},
        {" \t500,512,513 \r\n", 500, 512, 513, 1},
        {"500,512,513 7", 500, 512, 513, 7},
        {"500,512,513\t1000000000\n", 500, 512, 513, 1000000000},
        {"1,131071,32768", 1, 131071, 32768, 1},
        {"0001,02,3 04", 1, 2, 3, 4},
};

START_TEST(test_good_words)
{
        char text[BENCH_TEXT_MAX] = "";

        ck_assert_msg(bench_shapes_add(&shapes, good[_i].words, text), "%s", text);
        ck_assert_uint_eq(shapes.n, 1);
        ck_assert_uint_eq(shapes.all[0].m, good[_i].m);
        ck_assert_uint_eq(shapes.all[0].k, good[_i].k);
        ck_assert_uint_eq(shapes.all[0].n, good[_i].n);
        ck_assert_uint_eq(shapes.all[0].count, good[_i].count);
}
END_TEST

static const struct {
        const char *words;
        const char *says;
} bad[] = {
        {"", "'' is no shape; give M,K,N"},
        {"5", "is no shape"},
        {"5,6", "is no shape"},
        {"5,6,", "is no shape"},
        {"5,6,7,8", "is no shape"},
        {"5 6 7", "is no shape"},
        {"5,6,7x", "is no shape"},
        {"5,6,7 8 9", "is no shape"},
        {"5,6,7 -8", "is no shape"},
        {"-5,6,7", "is no shape"},
        {"5, 6,7", "is no shape"},
        {"0x5,6,7", "is no shape"},
        {"0,6,7", "M is 0"},
        {"5,0,7", "K is 0"},
        {"5,6,0", "N is 0"},
        {"2147483648,6,7", "M is 2147483648"},
        {"5,131072,7", "K is 131072; it must be 1..131071"},
        {"5,6,2147483648", "N is 2147483648"},
        {"5,6,7 0", "the count is 0"},
        {"5,6,7 1000000001", "the count is 1000000001"},
        {"99999999999999999999999,6,7", "M is 18446744073709551615"},
        {"100000,100000,1", "one of its matrices has over 4294967296 bytes"},
        {"1,100000,100000", "one of its matrices"},
        {"2147483647,1,1 1", "one of its matrices"}, /* its product, by int32 */
        {"65536,1,65536", "one of its matrices"},
};

START_TEST(test_bad_words)
{
        char text[BENCH_TEXT_MAX] = "";

        ck_assert(!bench_shapes_add(&shapes, bad[_i].words, text));
        ck_assert_msg(strstr(text, bad[_i].says) != NULL, "'%s' lacks '%s'", text, bad[_i].says);
        ck_assert_uint_eq(shapes.n, 0);
}
END_TEST

START_TEST(test_words_without_end)
{
        char text[BENCH_TEXT_MAX], words[4096];

        memset(words, 'x', sizeof words - 1);
        words[sizeof words - 1] = '\0';
        ck_assert(!bench_shapes_add(&shapes, words, text));
        ck_assert_uint_lt(strlen(text), BENCH_TEXT_MAX);
}
END_TEST

/* ---- a B for each ---- */

START_TEST(test_bs)
{
        static const char *const words[] = {"1,2,3", "9,2,3", "1,3,2", "1,2,3", "7,3,2", "2,2,2"};
        static const size_t bs[] = {0, 0, 1, 0, 1, 2};
        char text[BENCH_TEXT_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                ck_assert(bench_shapes_add(&shapes, words[i], text));
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                ck_assert_uint_eq(shapes.all[i].b, bs[i]);
        ck_assert_uint_eq(shapes.n_bs, 3);
        ck_assert_uint_eq(shapes.bs[1].k, 3);
        ck_assert_uint_eq(shapes.bs[1].n, 2);
}
END_TEST

START_TEST(test_too_many)
{
        char text[BENCH_TEXT_MAX];

        for (unsigned i = 0; i < BENCH_SHAPES_MAX; i++)
                ck_assert(bench_shapes_add(&shapes, "1,2,3", text));
        ck_assert(!bench_shapes_add(&shapes, "1,2,3", text));
        ck_assert_str_eq(text, "there are over 65536 shapes");
}
END_TEST

/* ---- turns ---- */

START_TEST(test_turns)
{
        static const uint64_t ms[] = {1, 1, 1, 2, 3, 3, 1, 1, 1, 2, 3, 3, 1};
        struct bench_turn turn = {0};
        char text[BENCH_TEXT_MAX];

        ck_assert(bench_shapes_add(&shapes, "1,1,1 3", text));
        ck_assert(bench_shapes_add(&shapes, "2,1,1", text));
        ck_assert(bench_shapes_add(&shapes, "3,1,1 2", text));
        for (size_t i = 0; i < ARRAY_SIZE(ms); i++)
                ck_assert_uint_eq(bench_turn_next(&turn, &shapes)->m, ms[i]);
}
END_TEST

/* ---- files ---- */

static int read_file(const char *content, size_t n_bytes, char text[BENCH_TEXT_MAX])
{
        char path[] = "/tmp/npumm-shapes.XXXXXX";
        const int fd = mkstemp(path);
        int r;

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, content, n_bytes), (ssize_t)n_bytes);
        (void)close(fd);
        r = bench_shapes_read(&shapes, path, text);
        (void)unlink(path);
        return r;
}

START_TEST(test_file)
{
        static const char content[] = "# encoder\n"
                                      "500,384,384\t4 # query, key, value, output\n"
                                      "\n"
                                      "   \t# nothing here\n"
                                      "  500,384,1536\r\n"
                                      "500,1536,384"; /* without a line's end */
        char text[BENCH_TEXT_MAX];

        ck_assert_int_eq(read_file(content, sizeof content - 1, text), 0);
        ck_assert_uint_eq(shapes.n, 3);
        ck_assert_uint_eq(shapes.all[0].count, 4);
        ck_assert_uint_eq(shapes.all[1].n, 1536);
        ck_assert_uint_eq(shapes.all[2].k, 1536);
}
END_TEST

static const struct {
        const char *content;
        const char *says;
} bad_files[] = {
        {"", "has no shapes; give one M,K,N a line"},
        {"# only words\n\n", "has no shapes"},
        {"1,2,3\n\n1,2\n", "line 3: '1,2' is no shape"},
        {"1,2,3 # fine\n1,0,3\n", "line 2: K is 0"},
        {"\x7f"
         "ELF\x01\x02\n",
         "line 1: "},
};

START_TEST(test_bad_files)
{
        char text[BENCH_TEXT_MAX];

        ck_assert_int_eq(read_file(bad_files[_i].content, strlen(bad_files[_i].content), text), -EINVAL);
        ck_assert_msg(strstr(text, bad_files[_i].says) != NULL, "'%s' lacks '%s'", text, bad_files[_i].says);
}
END_TEST

/* What stands behind a 0 byte would be overlooked. */
START_TEST(test_zeros)
{
        static const char content[] = "1,2,3\0garbage\n4,5,6\n";
        char text[BENCH_TEXT_MAX];

        ck_assert_int_eq(read_file(content, sizeof content - 1, text), -EINVAL);
        ck_assert_str_eq(text, "line 1: a 0 byte; this is no text");
}
END_TEST

START_TEST(test_files_that_cannot_be_read)
{
        char text[BENCH_TEXT_MAX];

        ck_assert_int_eq(bench_shapes_read(&shapes, "/nonexistent/shapes", text), -ENOENT);
        ck_assert_str_eq(text, "cannot be opened: No such file or directory");
        ck_assert_int_eq(bench_shapes_read(&shapes, "/", text), -EIO);
        ck_assert_str_eq(text, "cannot be read: Is a directory");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("bench-shapes");
        TCase *tcase = tcase_create("shapes");

        tcase_add_checked_fixture(tcase, NULL, teardown);
        tcase_add_loop_test(tcase, test_good_words, 0, ARRAY_SIZE(good));
        tcase_add_loop_test(tcase, test_bad_words, 0, ARRAY_SIZE(bad));
        tcase_add_test(tcase, test_words_without_end);
        tcase_add_test(tcase, test_bs);
        tcase_add_test(tcase, test_too_many);
        tcase_add_test(tcase, test_turns);
        tcase_add_test(tcase, test_file);
        tcase_add_loop_test(tcase, test_bad_files, 0, ARRAY_SIZE(bad_files));
        tcase_add_test(tcase, test_zeros);
        tcase_add_test(tcase, test_files_that_cannot_be_read);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
