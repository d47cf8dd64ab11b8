/* SPDX-License-Identifier: MIT */
/*
 * npy.h - NumPy's .npy files: int8 matrices and float32 vectors in, products out.
 *
 * Role:   npy-header.c reads the headers of versions 1.0, 2.0 and 3.0, strictly; npy.c loads the elements
 *         straight to where the caller wants them, and writes version 1.0 so that no failure leaves half a
 *         file behind.
 * In:     paths, or for the parser the first bytes of a file.
 * Out:    shapes that have been through checked arithmetic; for every failure one phrase that goes after the
 *         file's name: "is truncated: ...".
 * Thread: any; a struct npy_file belongs to one thread.
 * Owns:   the descriptor of an open file; never the memory that elements are read to.
 * Never:  unpickles anything, allocates by what a header says, prints.
 */
#ifndef CLIENT_NPY_H
#define CLIENT_NPY_H

#include "proto/base.h"

/* Room for the phrase that explains a failure. */
#define NPY_TEXT_MAX 256

/* The longest dict we look at. NumPy's for our files have 118 bytes; version 1.0 can announce 65,535. */
#define NPY_DICT_BYTES_MAX 65536u

/* Magic, version and length of the header: 10 bytes in version 1.0, 12 later. No valid file is shorter. */
#define NPY_PREAMBLE_BYTES 12

/* Positive results: what is wrong with a file, by name. */
enum npy_error {
        NPY_E_SUCCESS = 0,
        NPY_E_MAGIC,      /* not a .npy file at all */
        NPY_E_VERSION,    /* a format version that nobody has defined yet */
        NPY_E_TRUNCATED,  /* ends before its header or its elements do */
        NPY_E_TRAILING,   /* goes on after its last element */
        NPY_E_HEADER,     /* the header is not what NumPy writes, or is over NPY_DICT_BYTES_MAX */
        NPY_E_PICKLED,    /* Python objects */
        NPY_E_STRUCTURED, /* a structured dtype */
        NPY_E_DTYPE,      /* another dtype than the one wanted */
        NPY_E_SHAPE,      /* not the wanted number of dimensions */
        NPY_E_EMPTY,      /* a dimension of 0 */
        NPY_E_TOO_BIG,    /* more elements than a process can address */
};

/* Fills ret_text and returns `result`, so that a check reads `return npy_refuse(text, NPY_E_X, "...")`. */
int npy_refuse(char *ret_text, int result, const char *format, ...) _printf_(3, 4);

/* What the caller wants a file to hold. */
enum npy_kind {
        NPY_INT8_MATRIX = 0, /* 2-D, in C or Fortran order */
        NPY_FLOAT32_VECTOR,  /* little-endian; 1-D, or 2-D with one row or one column */
        NPY_KIND_MAX
};

struct npy_header {
        uint64_t rows, cols; /* a vector has one row */
        bool fortran_order;  /* the columns follow each other; false for a vector */
        size_t header_bytes; /* where the elements begin */
        uint64_t data_bytes; /* of all elements; fits in size_t and ptrdiff_t */
};

/*
 * Reads the length of the whole header from a file's first NPY_PREAMBLE_BYTES bytes (`n_bytes` may be fewer:
 * then the file is truncated or no .npy file). Returns 0 or NPY_E_*, then with ret_text (NPY_TEXT_MAX bytes).
 */
int npy_parse_preamble(const uint8_t *bytes, size_t n_bytes, size_t *ret_header_bytes, char *ret_text);

/*
 * Parses a file's header from its first `n_bytes` bytes; bytes behind the header are not looked at. A pure
 * function. Returns 0 or NPY_E_*, then with ret_text (NPY_TEXT_MAX bytes).
 */
int npy_parse_header(const uint8_t *bytes, size_t n_bytes, enum npy_kind kind, struct npy_header *ret_header,
                     char *ret_text);

/* A file whose header has been read and whose next byte is its first element. */
struct npy_file {
        int fd; /* owned; -1 when closed */
        struct npy_header header;
};

/*
 * Opens a file and checks all that can be checked without reading the elements: for a regular file also that
 * it ends where they do. Pipes work. Returns 0, NPY_E_* or -errno; failures fill ret_text (NPY_TEXT_MAX
 * bytes).
 */
int npy_open(const char *path, enum npy_kind kind, struct npy_file *ret_file, char *ret_text);

/* Closes; a file that is closed already is left alone. */
void npy_close(struct npy_file *file);

/*
 * Reads all elements, once, to header.data_bytes bytes at `to`: in the file's own order, or row by row
 * whatever the file's order. Checks that the file ends there. Results like npy_open.
 */
int npy_read(struct npy_file *file, void *to, char *ret_text);
int npy_read_row_major(struct npy_file *file, int8_t *to, char *ret_text);

/* Element types of the files that we write. */
enum npy_elem { NPY_ELEM_INT8 = 0, NPY_ELEM_INT32, NPY_ELEM_FLOAT32, NPY_ELEM_MAX };

/* Bytes of one element. */
size_t npy_elem_bytes(enum npy_elem elem);

/*
 * Whether npy_write could write to `path`, as far as can be told without writing. Results like npy_write.
 */
int npy_check_target(const char *path, char *ret_text);

/*
 * Writes a C-order matrix. A regular file, or a new one, is written without a name in the same folder (where
 * the file system has no such thing, under a temporary one) and put in place when complete: `path` holds
 * either what it held before or the whole matrix. Links are followed and stay, also one whose target is still
 * to be made. What else exists (a pipe, a terminal) is written directly, and so is a descriptor of the
 * process itself (/dev/stdout, /dev/fd/N), whatever it leads to. Returns 0 or -errno with ret_text
 * (NPY_TEXT_MAX bytes).
 */
int npy_write(const char *path, enum npy_elem elem, uint64_t rows, uint64_t cols, const void *elements,
              char *ret_text);

#endif
