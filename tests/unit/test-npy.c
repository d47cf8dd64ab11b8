/* SPDX-License-Identifier: MIT */
/* test-npy.c - .npy files: headers that are read, every kind that is refused, elements in, products out. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "client/npy.h"
#include "tests/unit/suite.h"

/* ---- files made here, by the format's description and not by the code under test ---- */

/* A header of a given version around a dict's text; returns its length. */
static size_t make_header(uint8_t *to, unsigned version, const char *dict, size_t dict_bytes)
{
        size_t n = version == 1 ? 10 : 12;

        memcpy(to, "\x93NUMPY", 6);
        to[6] = (uint8_t)version;
        to[7] = 0;
        for (size_t i = 8; i < n; i++)
                to[i] = (uint8_t)(dict_bytes >> (8 * (i - 8)));
        memcpy(to + n, dict, dict_bytes);
        return n + dict_bytes;
}

#define MATRIX(shape) "{'descr': '|i1', 'fortran_order': False, 'shape': " shape ", }"
#define VECTOR(shape) "{'descr': '<f4', 'fortran_order': False, 'shape': " shape ", }"

/* ---- headers ---- */

static const struct {
        const char *dict;
        enum npy_kind kind;
        uint64_t rows, cols;
        bool fortran_order;
} good[] = {
        {MATRIX("(500, 512)") "                    \n", NPY_INT8_MATRIX, 500, 512, false},
        {MATRIX("(1, 1)"), NPY_INT8_MATRIX, 1, 1, false},
        {MATRIX("(3,4,)"), NPY_INT8_MATRIX, 3, 4, false},
        {MATRIX("( 3 ,\t4\n)"), NPY_INT8_MATRIX, 3, 4, false},
        {MATRIX("(1, 9223372036854775807)"), NPY_INT8_MATRIX, 1, INT64_MAX, false},
        {"{'descr': '|i1', 'fortran_order': True, 'shape': (3, 4), }", NPY_INT8_MATRIX, 3, 4, true},
        {"{'descr': '<i1', 'fortran_order': False, 'shape': (3, 4), }", NPY_INT8_MATRIX, 3, 4, false},
        {"{'descr': '>i1', 'fortran_order': False, 'shape': (3, 4), }", NPY_INT8_MATRIX, 3, 4, false},
        {"{'descr': 'i1', 'fortran_order': False, 'shape': (3, 4), }", NPY_INT8_MATRIX, 3, 4, false},
        {"{\"descr\": \"|i1\", \"fortran_order\": False, \"shape\": (3, 4)}", NPY_INT8_MATRIX, 3, 4, false},
        {"{'shape':(3,4),'fortran_order':True,'descr':'|i1'}", NPY_INT8_MATRIX, 3, 4, true},
        {" {\n'shape' : (3, 4) , 'descr' : '|i1' ,\r\n 'fortran_order' : False\f}\t", NPY_INT8_MATRIX, 3, 4,
         false},
        {VECTOR("(7,)"), NPY_FLOAT32_VECTOR, 1, 7, false},
        {VECTOR("(1, 7)"), NPY_FLOAT32_VECTOR, 1, 7, false},
        {VECTOR("(7, 1)"), NPY_FLOAT32_VECTOR, 1, 7, false},
        {VECTOR("(1, 1)"), NPY_FLOAT32_VECTOR, 1, 1, false},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (7, 1), }", NPY_FLOAT32_VECTOR, 1, 7, false},
};

/* Every good header in every version; then each prefix of it, in memory of exactly that size. */
START_TEST(test_good_header)
{
        for (unsigned version = 1; version <= 3; version++) {
                uint8_t bytes[256];
                size_t n = make_header(bytes, version, good[_i].dict, strlen(good[_i].dict));
                struct npy_header header;
                char text[NPY_TEXT_MAX] = "";

                ck_assert_msg(npy_parse_header(bytes, n, good[_i].kind, &header, text) == 0, "%s: %s",
                              good[_i].dict, text);
                ck_assert_uint_eq(header.rows, good[_i].rows);
                ck_assert_uint_eq(header.cols, good[_i].cols);
                ck_assert_uint_eq(header.fortran_order, good[_i].fortran_order);
                ck_assert_uint_eq(header.header_bytes, n);
                ck_assert_uint_eq(header.data_bytes,
                                  good[_i].rows * good[_i].cols * (good[_i].kind == NPY_INT8_MATRIX ? 1 : 4));
                for (size_t part = 0; part < n; part++) {
                        struct npy_header untouched = {.rows = 77};
                        uint8_t *exact = malloc(part ? part : 1);

                        ck_assert_ptr_nonnull(exact);
                        memcpy(exact, bytes, part);
                        ck_assert_int_eq(npy_parse_header(exact, part, good[_i].kind, &untouched, text),
                                         NPY_E_TRUNCATED);
                        ck_assert_uint_eq(untouched.rows, 77);
                        free(exact);
                }
        }
}
END_TEST

static const struct {
        const char *dict;
        int expected;
        const char *said; /* somewhere in the text */
} bad_matrices[] = {
        /* dtypes, by name */
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4), }", NPY_E_DTYPE, "'|u1'"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (3, 4), }", NPY_E_DTYPE, "'<i4'"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }", NPY_E_DTYPE, "'<f8'"},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (3, 4), }", NPY_E_DTYPE, "'|b1'"},
        {"{'descr': '', 'fortran_order': False, 'shape': (3, 4), }", NPY_E_DTYPE, "''"},
        {"{'descr': '|i1\x01\xff', 'fortran_order': False, 'shape': (3, 4), }", NPY_E_DTYPE, "'|i1?\?'"},
        {"{'descr': '|i1 and much, much more', 'fortran_order': False, 'shape': (3, 4), }", NPY_E_DTYPE,
         "int8"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (3, 4), }", NPY_E_PICKLED, "pickled"},
        {"{'descr': [('x', '|i1')], 'fortran_order': False, 'shape': (3, 4), }", NPY_E_STRUCTURED,
         "structured"},
        {"{'descr': ('|i1', (2,)), 'fortran_order': False, 'shape': (3, 4), }", NPY_E_STRUCTURED,
         "structured"},
        /* shapes */
        {MATRIX("()"), NPY_E_SHAPE, "0 dimensions"},
        {MATRIX("(5,)"), NPY_E_SHAPE, "reshape(1, -1)"},
        {MATRIX("(2, 3, 4)"), NPY_E_SHAPE, "3 dimensions"},
        {MATRIX("(0, 4)"), NPY_E_EMPTY, "dimension of 0"},
        {MATRIX("(3, 0)"), NPY_E_EMPTY, "dimension of 0"},
        {MATRIX("(3037000500, 3037000500)"), NPY_E_TOO_BIG, "memory"},
        {MATRIX("(4294967296, 4294967296)"), NPY_E_TOO_BIG, "memory"},
        {MATRIX("(1, 9223372036854775808)"), NPY_E_TOO_BIG, "memory"},
        {MATRIX("(1, 18446744073709551616)"), NPY_E_TOO_BIG, "memory"},
        {MATRIX("(1, 184467440737095516160000000000000000)"), NPY_E_TOO_BIG, "memory"},
        {MATRIX("(18446744073709551617, 1)"), NPY_E_TOO_BIG, "memory"},
        {MATRIX("(3 4)"), NPY_E_HEADER, "value"},
        {MATRIX("(3)"), NPY_E_HEADER, "value"},
        {MATRIX("(,)"), NPY_E_HEADER, "value"},
        {MATRIX("(3,,4)"), NPY_E_HEADER, "value"},
        {MATRIX("(3, -4)"), NPY_E_HEADER, "value"},
        {MATRIX("(3, +4)"), NPY_E_HEADER, "value"},
        {MATRIX("(3, 04)"), NPY_E_HEADER, "value"},
        {MATRIX("(3, 4.0)"), NPY_E_HEADER, "value"},
        {MATRIX("(3, 0x4)"), NPY_E_HEADER, "value"},
        {MATRIX("(3, '4')"), NPY_E_HEADER, "value"},
        {MATRIX("[3, 4]"), NPY_E_HEADER, "value"},
        {MATRIX("(3, 4"), NPY_E_HEADER, "value"},
        {MATRIX("3"), NPY_E_HEADER, "value"},
        /* the dict */
        {"", NPY_E_HEADER, "no dict"},
        {"                        \n", NPY_E_HEADER, "no dict"},
        {"[]                      \n", NPY_E_HEADER, "no dict"},
        {"{}                      \n", NPY_E_HEADER, "missing"},
        {"{,}                     \n", NPY_E_HEADER, "malformed dict"},
        {"{'descr': '|i1', 'fortran_order': False}", NPY_E_HEADER, "missing"},
        {"{'descr': '|i1', 'shape': (3, 4)}", NPY_E_HEADER, "missing"},
        {"{'fortran_order': False, 'shape': (3, 4)}", NPY_E_HEADER, "missing"},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (3, 4), 'extra': 1}", NPY_E_HEADER,
         "unknown key"},
        {"{'descr': '|i1', 'descr': '|i1', 'fortran_order': False, 'shape': (3, 4)}", NPY_E_HEADER, "twice"},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (3, 4), 'shape': (3, 4)}", NPY_E_HEADER, "twice"},
        {"{'descr': '|i1', 'fortran_order': false, 'shape': (3, 4)}", NPY_E_HEADER, "value"},
        {"{'descr': '|i1', 'fortran_order': 0, 'shape': (3, 4)}", NPY_E_HEADER, "value"},
        {"{'descr': '|i1', 'fortran_order': Truely, 'shape': (3, 4)}", NPY_E_HEADER, "malformed dict"},
        {"{'descr': 1, 'fortran_order': False, 'shape': (3, 4)}", NPY_E_HEADER, "value"},
        {"{'descr': None, 'fortran_order': False, 'shape': (3, 4)}", NPY_E_HEADER, "value"},
        {"{'descr': '|i1\", 'fortran_order': False, 'shape': (3, 4)}", NPY_E_HEADER, "dict"},
        {"{'de\\x73cr': '|i1', 'fortran_order': False, 'shape': (3, 4)}", NPY_E_HEADER, "dict"},
        {"{'descr': '|i1' 'fortran_order': False, 'shape': (3, 4)}", NPY_E_HEADER, "dict"},
        {"{'descr', '|i1', 'fortran_order': False, 'shape': (3, 4)}", NPY_E_HEADER, "dict"},
        {"{descr: '|i1', 'fortran_order': False, 'shape': (3, 4)}", NPY_E_HEADER, "dict"},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (3, 4),, }", NPY_E_HEADER, "dict"},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (3, 4)", NPY_E_HEADER, "dict"},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (3, 4)} # and", NPY_E_HEADER, "behind"},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (3, 4)}}", NPY_E_HEADER, "behind"},
};

static void expect_refused(const uint8_t *bytes, size_t n, enum npy_kind kind, int expected, const char *said)
{
        struct npy_header header = {.rows = 77};
        char text[NPY_TEXT_MAX] = "";
        int r = npy_parse_header(bytes, n, kind, &header, text);

        ck_assert_msg(r == expected, "result %d (%s), expected %d, for %.*s", r, text, expected,
                      (int)(n - 10), (const char *)bytes + 10);
        ck_assert_msg(strstr(text, said) != NULL, "'%s' does not say '%s'", text, said);
        ck_assert_ptr_null(strchr(text, '\n'));
        ck_assert_uint_eq(header.rows, 77);
}

START_TEST(test_bad_matrix)
{
        for (unsigned version = 1; version <= 3; version++) {
                uint8_t bytes[256];
                size_t n = make_header(bytes, version, bad_matrices[_i].dict, strlen(bad_matrices[_i].dict));

                if (n < NPY_PREAMBLE_BYTES)
                        continue; /* version 1.0 with an empty dict: test_bad_preamble has it */
                expect_refused(bytes, n, NPY_INT8_MATRIX, bad_matrices[_i].expected, bad_matrices[_i].said);
        }
}
END_TEST

static const struct {
        const char *dict;
        int expected;
        const char *said;
} bad_vectors[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (7,), }", NPY_E_DTYPE, "'>f4'"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (7,), }", NPY_E_DTYPE, "'<f8'"},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (7,), }", NPY_E_DTYPE, "'|i1'"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (7,), }", NPY_E_PICKLED, "pickled"},
        {VECTOR("()"), NPY_E_SHAPE, "no vector"},
        {VECTOR("(2, 7)"), NPY_E_SHAPE, "no vector"},
        {VECTOR("(1, 1, 7)"), NPY_E_SHAPE, "no vector"},
        {VECTOR("(0,)"), NPY_E_EMPTY, "dimension of 0"},
        {VECTOR("(2305843009213693952,)"), NPY_E_TOO_BIG, "memory"},
};

START_TEST(test_bad_vector)
{
        uint8_t bytes[256];
        size_t n = make_header(bytes, 1, bad_vectors[_i].dict, strlen(bad_vectors[_i].dict));

        expect_refused(bytes, n, NPY_FLOAT32_VECTOR, bad_vectors[_i].expected, bad_vectors[_i].said);
}
END_TEST

START_TEST(test_bad_preamble)
{
        static const struct {
                uint8_t bytes[16];
                size_t n_bytes;
                int expected;
        } preambles[] = {
                {"", 0, NPY_E_TRUNCATED},
                {"\x93NUMP", 5, NPY_E_TRUNCATED},
                {"\x93NUMPX", 6, NPY_E_MAGIC},
                {"PK\3\4", 4, NPY_E_MAGIC},
                {"\x80\4\x95", 3, NPY_E_MAGIC},
                {"1 2 3\n", 6, NPY_E_MAGIC},
                {"\x93NUMPY\0\0\2\0{}", 12, NPY_E_VERSION},
                {"\x93NUMPY\4\0\2\0\0\0{}", 14, NPY_E_VERSION},
                {"\x93NUMPY\1\1\2\0{}", 12, NPY_E_VERSION},
                {"\x93NUMPY\1\0\0\0", 10, NPY_E_TRUNCATED},
                {"\x93NUMPY\1\0\0\0{}", 12, NPY_E_HEADER},
                {"\x93NUMPY\1\0\xff\xff{}", 12, NPY_E_TRUNCATED},
                {"\x93NUMPY\2\0\1\0\1\0{}", 14, NPY_E_HEADER},
                {"\x93NUMPY\3\0\xff\xff\xff\xff{}", 14, NPY_E_HEADER},
        };

        for (size_t i = 0; i < ARRAY_SIZE(preambles); i++) {
                struct npy_header header;
                char text[NPY_TEXT_MAX];

                ck_assert_int_eq(npy_parse_header(preambles[i].bytes, preambles[i].n_bytes, NPY_INT8_MATRIX,
                                                  &header, text),
                                 preambles[i].expected);
        }
}
END_TEST

/* A dict that is padded to the limit, and one byte beyond. */
START_TEST(test_header_limit)
{
        static uint8_t bytes[NPY_PREAMBLE_BYTES + NPY_DICT_BYTES_MAX + 1];
        static char dict[NPY_DICT_BYTES_MAX + 1];
        struct npy_header header;
        char text[NPY_TEXT_MAX];
        size_t n;

        memset(dict, ' ', sizeof dict);
        memcpy(dict, MATRIX("(3, 4)"), strlen(MATRIX("(3, 4)")));
        n = make_header(bytes, 2, dict, NPY_DICT_BYTES_MAX);
        ck_assert_int_eq(npy_parse_header(bytes, n, NPY_INT8_MATRIX, &header, text), 0);
        ck_assert_uint_eq(header.header_bytes, NPY_PREAMBLE_BYTES + NPY_DICT_BYTES_MAX);
        n = make_header(bytes, 2, dict, NPY_DICT_BYTES_MAX + 1);
        ck_assert_int_eq(npy_parse_header(bytes, n, NPY_INT8_MATRIX, &header, text), NPY_E_HEADER);
}
END_TEST

/* As many dimensions as NumPy knows are counted; one more is malformed. */
START_TEST(test_many_dimensions)
{
        for (int n_dims = 64; n_dims <= 65; n_dims++) {
                char dict[512] = "{'descr': '|i1', 'fortran_order': False, 'shape': (";
                uint8_t bytes[600];
                size_t n;

                for (int i = 0; i < n_dims; i++)
                        strcat(dict, "1,");
                strcat(dict, ")}");
                n = make_header(bytes, 1, dict, strlen(dict));
                expect_refused(bytes, n, NPY_INT8_MATRIX, n_dims == 64 ? NPY_E_SHAPE : NPY_E_HEADER,
                               n_dims == 64 ? "64 dimensions" : "value");
        }
}
END_TEST

/* ---- files ---- */

static char folder[] = "/tmp/test-npy-XXXXXX";
static char path[64];

static void setup(void)
{
        strcpy(folder + strlen(folder) - 6, "XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(path, sizeof path, "%s/m.npy", folder);
}

/* The folder must hold nothing but the file: removing it fails when something temporary was left. */
static void teardown(void)
{
        (void)unlink(path);
        ck_assert_msg(rmdir(folder) == 0, "%s is not empty", folder);
}

static void put_file(const void *bytes, size_t n_bytes)
{
        FILE *file = fopen(path, "w");

        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fwrite(bytes, 1, n_bytes, file), n_bytes);
        ck_assert_int_eq(fclose(file), 0);
}

/* A 3 x 4 matrix with the elements 0 .. 11 in the order of the file; returns the file's length. */
static size_t make_matrix(uint8_t *to, bool fortran_order)
{
        const char *dict = fortran_order ? "{'descr': '|i1', 'fortran_order': True, 'shape': (3, 4), }\n"
                                         : "{'descr': '|i1', 'fortran_order': False, 'shape': (3, 4), }\n";
        size_t n = make_header(to, 1, dict, strlen(dict));

        for (uint8_t i = 0; i < 12; i++)
                to[n++] = i;
        return n;
}

static const int8_t rows_in_order[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const int8_t columns_in_order[12] = {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11};

START_TEST(test_read)
{
        for (int fortran_order = 0; fortran_order <= 1; fortran_order++) {
                for (int row_major = 0; row_major <= 1; row_major++) {
                        const int8_t *expected =
                                fortran_order && row_major ? columns_in_order : rows_in_order;
                        struct npy_file file;
                        char text[NPY_TEXT_MAX] = "";
                        uint8_t bytes[128];
                        int8_t elements[12];

                        put_file(bytes, make_matrix(bytes, fortran_order));
                        ck_assert_msg(npy_open(path, NPY_INT8_MATRIX, &file, text) == 0, "%s", text);
                        ck_assert_uint_eq(file.header.data_bytes, sizeof elements);
                        if (row_major)
                                ck_assert_int_eq(npy_read_row_major(&file, elements, text), 0);
                        else
                                ck_assert_int_eq(npy_read(&file, elements, text), 0);
                        ck_assert_mem_eq(elements, expected, sizeof elements);
                        npy_close(&file);
                        npy_close(&file);
                        ck_assert_int_eq(file.fd, -1);
                }
        }
}
END_TEST

/* A Fortran-order matrix that is turned in several pieces, whose ends lie inside columns. */
START_TEST(test_read_large_fortran)
{
        enum { ROWS = 701, COLS = 1009 };
        static uint8_t bytes[256 + ROWS * COLS];
        static int8_t elements[ROWS * COLS];
        const char *dict = "{'descr': '|i1', 'fortran_order': True, 'shape': (701, 1009), }";
        struct npy_file file;
        char text[NPY_TEXT_MAX] = "";
        size_t n = make_header(bytes, 1, dict, strlen(dict));

        for (size_t col = 0; col < COLS; col++)
                for (size_t row = 0; row < ROWS; row++)
                        bytes[n++] = (uint8_t)(row * 7 + col * 13);
        put_file(bytes, n);
        ck_assert_msg(npy_open(path, NPY_INT8_MATRIX, &file, text) == 0, "%s", text);
        ck_assert_int_eq(npy_read_row_major(&file, elements, text), 0);
        npy_close(&file);
        for (size_t row = 0; row < ROWS; row++)
                for (size_t col = 0; col < COLS; col++)
                        ck_assert_int_eq(elements[row * COLS + col], (int8_t)(row * 7 + col * 13));
}
END_TEST

/* Every prefix of a good file is truncated, and one byte more is one too many: known before reading. */
START_TEST(test_open_checks_length)
{
        struct npy_file file = {.fd = 12345};
        char text[NPY_TEXT_MAX];
        uint8_t bytes[128] = {0};
        size_t n = make_matrix(bytes, false);

        for (size_t part = 0; part < n; part++) {
                put_file(bytes, part);
                ck_assert_int_eq(npy_open(path, NPY_INT8_MATRIX, &file, text), NPY_E_TRUNCATED);
                ck_assert_ptr_nonnull(strstr(text, "truncated"));
        }
        put_file(bytes, n + 1);
        ck_assert_int_eq(npy_open(path, NPY_INT8_MATRIX, &file, text), NPY_E_TRAILING);
        ck_assert_int_eq(file.fd, 12345);
}
END_TEST

/* A pipe has no length: reading finds out. Each length from the end of the header to one byte too many. */
START_TEST(test_pipe)
{
        for (int fortran_order = 0; fortran_order <= 1; fortran_order++) {
                uint8_t bytes[128] = {0};
                size_t n = make_matrix(bytes, fortran_order);

                for (size_t part = n - 12; part <= n + 1; part++) {
                        int expected = part < n ? NPY_E_TRUNCATED : part > n ? NPY_E_TRAILING : 0;
                        char text[NPY_TEXT_MAX] = "", name[32];
                        struct npy_file file;
                        int8_t elements[12];
                        int fds[2];

                        ck_assert_int_eq(pipe(fds), 0);
                        ck_assert_int_eq(write(fds[1], bytes, part), (ssize_t)part);
                        ck_assert_int_eq(close(fds[1]), 0);
                        (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fds[0]);
                        ck_assert_msg(npy_open(name, NPY_INT8_MATRIX, &file, text) == 0, "%s", text);
                        ck_assert_int_eq(npy_read_row_major(&file, elements, text), expected);
                        if (expected == 0)
                                ck_assert_mem_eq(elements, fortran_order ? columns_in_order : rows_in_order,
                                                 sizeof elements);
                        npy_close(&file);
                        ck_assert_int_eq(close(fds[0]), 0);
                }
        }
}
END_TEST

START_TEST(test_open_unreadable)
{
        struct npy_file file;
        char text[NPY_TEXT_MAX];

        ck_assert_int_eq(npy_open(path, NPY_INT8_MATRIX, &file, text), -ENOENT);
        ck_assert_ptr_nonnull(strstr(text, "No such file"));
        ck_assert_int_eq(npy_open(folder, NPY_INT8_MATRIX, &file, text), -EISDIR);
}
END_TEST

/* ---- writing ---- */

/* The bytes that NumPy 1.24 itself writes for numpy.arange(6, dtype=...).reshape(2, 3). */
START_TEST(test_write_bytes)
{
        static const struct {
                enum npy_elem elem;
                size_t n_bytes;
                const char *descr;
        } elems[] = {{NPY_ELEM_INT8, 1, "|i1"}, {NPY_ELEM_INT32, 4, "<i4"}, {NPY_ELEM_FLOAT32, 4, "<f4"}};
        static const uint8_t elements[24] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

        for (size_t i = 0; i < ARRAY_SIZE(elems); i++) {
                uint8_t expected[128 + sizeof elements], got[sizeof expected + 1];
                char text[NPY_TEXT_MAX] = "";
                size_t n;
                FILE *file;

                (void)snprintf((char *)expected, 129, "%s%c%c%c%c{'descr': '%s', %-100s\n", "\x93NUMPY", 1, 0,
                               118, 0, elems[i].descr, "'fortran_order': False, 'shape': (2, 3), }");
                memcpy(expected + 128, elements, 6 * elems[i].n_bytes);
                ck_assert_msg(npy_write(path, elems[i].elem, 2, 3, elements, text) == 0, "%s", text);
                ck_assert_uint_eq(npy_elem_bytes(elems[i].elem), elems[i].n_bytes);
                file = fopen(path, "r");
                ck_assert_ptr_nonnull(file);
                n = fread(got, 1, sizeof got, file);
                ck_assert_int_eq(fclose(file), 0);
                ck_assert_uint_eq(n, 128 + 6 * elems[i].n_bytes);
                ck_assert_mem_eq(got, expected, n);
        }
}
END_TEST

static void expect_file(const char *content)
{
        char got[64] = "";
        FILE *file = fopen(path, "r");

        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fread(got, 1, sizeof got - 1, file), strlen(content));
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_str_eq(got, content);
}

/*
 * Where there is no room, reported or deadly: what was there stays, and nothing is left beside it (teardown
 * sees to that); after a death that is so only where the file system has files without a name.
 */
START_TEST(test_write_without_room)
{
        static const uint8_t elements[100000];
        const struct rlimit small = {.rlim_cur = 50000, .rlim_max = 50000};
        const bool deadly = _i == 1;
        int unnamed = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600), status;
        char text[NPY_TEXT_MAX] = "";
        pid_t pid;

        if (deadly && unnamed < 0)
                return;
        closep(&unnamed);
        put_file("precious", 8);
        pid = fork();
        if (pid == 0) {
                if (signal(SIGXFSZ, deadly ? SIG_DFL : SIG_IGN) == SIG_ERR ||
                    setrlimit(RLIMIT_FSIZE, &small) < 0)
                        _exit(1);
                if (npy_write(path, NPY_ELEM_INT8, 1, sizeof elements, elements, text) != -EFBIG)
                        _exit(2);
                _exit(strstr(text, "cannot be written") ? 0 : 3);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(WIFSIGNALED(status) ? WTERMSIG(status) : 0, deadly ? SIGXFSZ : 0);
        ck_assert(deadly || WEXITSTATUS(status) == 0);
        expect_file("precious");
}
END_TEST

/* A device is written directly, and its failure is ours. */
START_TEST(test_write_directly)
{
        char text[NPY_TEXT_MAX] = "";
        struct stat st;

        ck_assert_int_eq(npy_check_target("/dev/full", text), 0);
        ck_assert_int_eq(npy_write("/dev/full", NPY_ELEM_INT8, 2, 3, "abcdef", text), -ENOSPC);
        ck_assert_int_eq(npy_write("/dev/null", NPY_ELEM_INT8, 2, 3, "abcdef", text), 0);
        ck_assert_int_eq(stat("/dev/null", &st), 0);
        ck_assert(S_ISCHR(st.st_mode));
}
END_TEST

/* A new file gets what the umask leaves, a replaced one keeps its mode, a link stays a link. */
START_TEST(test_write_mode)
{
        char text[NPY_TEXT_MAX] = "", link[80];
        mode_t mask = umask(027);
        struct stat st;

        ck_assert_int_eq(npy_write(path, NPY_ELEM_INT8, 2, 3, "abcdef", text), 0);
        (void)umask(mask);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0640);
        ck_assert_int_eq(chmod(path, 0606), 0);
        (void)snprintf(link, sizeof link, "%s.link", path);
        ck_assert_int_eq(symlink("m.npy", link), 0);
        ck_assert_int_eq(npy_write(link, NPY_ELEM_INT32, 1, 1, "abcd", text), 0);
        ck_assert_int_eq(lstat(link, &st), 0);
        ck_assert(S_ISLNK(st.st_mode));
        ck_assert_int_eq(unlink(link), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0606);
        ck_assert_int_eq(st.st_size, 128 + 4);
}
END_TEST

START_TEST(test_check_target)
{
        char text[NPY_TEXT_MAX] = "", nowhere[80];

        ck_assert_int_eq(npy_check_target(path, text), 0);
        ck_assert_int_eq(npy_check_target(folder, text), -EISDIR);
        ck_assert_ptr_nonnull(strstr(text, "Is a directory"));
        (void)snprintf(nowhere, sizeof nowhere, "%s/none/m.npy", folder);
        ck_assert_int_eq(npy_check_target(nowhere, text), -ENOENT);
        ck_assert_int_eq(npy_write(nowhere, NPY_ELEM_INT8, 2, 3, "abcdef", text), -ENOENT);
        put_file("file", 4);
        (void)snprintf(nowhere, sizeof nowhere, "%s/m.npy", path);
        ck_assert_int_eq(npy_check_target(nowhere, text), -ENOTDIR);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("npy");
        TCase *headers = tcase_create("headers"), *files = tcase_create("files");

        tcase_add_loop_test(headers, test_good_header, 0, ARRAY_SIZE(good));
        tcase_add_loop_test(headers, test_bad_matrix, 0, ARRAY_SIZE(bad_matrices));
        tcase_add_loop_test(headers, test_bad_vector, 0, ARRAY_SIZE(bad_vectors));
        tcase_add_test(headers, test_bad_preamble);
        tcase_add_test(headers, test_header_limit);
        tcase_add_test(headers, test_many_dimensions);
        tcase_add_checked_fixture(files, setup, teardown);
        tcase_add_test(files, test_read);
        tcase_add_test(files, test_read_large_fortran);
        tcase_add_test(files, test_open_checks_length);
        tcase_add_test(files, test_pipe);
        tcase_add_test(files, test_open_unreadable);
        tcase_add_test(files, test_write_bytes);
        tcase_add_loop_test(files, test_write_without_room, 0, 2);
        tcase_add_test(files, test_write_directly);
        tcase_add_test(files, test_write_mode);
        tcase_add_test(files, test_check_target);
        suite_add_tcase(suite, headers);
        suite_add_tcase(suite, files);
        return suite_run(suite);
}
