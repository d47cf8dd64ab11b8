/* SPDX-License-Identifier: MIT */
/*
 * npy-header.c - the header of a .npy file: see npy.h.
 *
 * Role:  a strict scanner of the Python dict literal that NumPy writes, and what each kind of file may say
 *        in it.
 * Never: recurses, allocates, does I/O: it is a pure function over bytes.
 */
#include "npy.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

/* NumPy's own bound on dimensions; only their number is of interest beyond two. */
#define DIMS_MAX 64

int npy_refuse(char *ret_text, int result, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(ret_text, NPY_TEXT_MAX, format, args);
        va_end(args);
        return result;
}

static int refuse_header(char *ret_text, const char *why)
{
        return npy_refuse(ret_text, NPY_E_HEADER,
                          "has a header that NumPy would not write (%s); save it again", why);
}

/* ---- the header: a literal of a Python dict with three known keys ---- */

/*
 * The part of the dict that has not been looked at yet. take_char and take_word leave it before what they did
 * not find; when another take_* fails the scan is over.
 */
struct scanner {
        const uint8_t *at;
        const uint8_t *end;
};

struct token {
        const uint8_t *bytes; /* borrowed: the caller's buffer */
        size_t n_bytes;
};

static void skip_space(struct scanner *scanner)
{
        while (scanner->at < scanner->end && *scanner->at != '\0' && strchr(" \t\n\r\f", *scanner->at))
                scanner->at++;
}

static bool take_char(struct scanner *scanner, char c)
{
        skip_space(scanner);
        if (scanner->at == scanner->end || *scanner->at != c)
                return false;
        scanner->at++;
        return true;
}

static bool take_word(struct scanner *scanner, const char *word)
{
        size_t n = strlen(word);

        skip_space(scanner);
        if ((size_t)(scanner->end - scanner->at) < n || memcmp(scanner->at, word, n) != 0)
                return false;
        scanner->at += n;
        return true;
}

/* A string in either kind of quotes. NumPy never writes an escape into one of ours, so none is understood. */
static bool take_string(struct scanner *scanner, struct token *ret_token)
{
        const uint8_t *begin;
        char quote;

        if (take_char(scanner, '\''))
                quote = '\'';
        else if (take_char(scanner, '"'))
                quote = '"';
        else
                return false;
        for (begin = scanner->at; scanner->at < scanner->end && *scanner->at != quote; scanner->at++)
                if (*scanner->at == '\\' || *scanner->at == '\n' || *scanner->at == '\0')
                        return false;
        *ret_token = (struct token){begin, (size_t)(scanner->at - begin)};
        return take_char(scanner, quote);
}

/* A decimal number as Python writes one. Beyond 64 bits it becomes UINT64_MAX, which no check lets pass. */
static bool take_number(struct scanner *scanner, uint64_t *ret_number)
{
        const uint8_t *begin;
        uint64_t number = 0;

        skip_space(scanner);
        begin = scanner->at;
        while (scanner->at < scanner->end && isdigit(*scanner->at)) {
                uint64_t digit = (uint64_t)(*scanner->at++ - '0');
                if (!checked_mul(number, 10, &number) || !checked_add(number, digit, &number))
                        number = UINT64_MAX;
        }
        if (scanner->at == begin || (*begin == '0' && scanner->at - begin > 1))
                return false;
        *ret_number = number;
        return true;
}

/* A tuple of numbers: "()", "(3,)", "(3, 4)", "(3, 4,)". "(3)" is no tuple. */
static bool take_shape(struct scanner *scanner, uint64_t ret_dims[DIMS_MAX], size_t *ret_n_dims)
{
        size_t n = 0;
        bool comma = true;

        if (!take_char(scanner, '('))
                return false;
        while (!take_char(scanner, ')')) {
                if (!comma || n == DIMS_MAX || !take_number(scanner, &ret_dims[n]))
                        return false;
                n++;
                comma = take_char(scanner, ',');
        }
        if (n == 1 && !comma)
                return false;
        *ret_n_dims = n;
        return true;
}

/* The dict's values as they stand there. */
struct dict {
        struct token descr;
        bool fortran_order;
        uint64_t dims[DIMS_MAX];
        size_t n_dims;
};

static bool token_is(struct token token, const char *text)
{
        return token.n_bytes == strlen(text) && memcmp(token.bytes, text, token.n_bytes) == 0;
}

/* Which keys have been seen. */
enum { SEEN_DESCR = 1, SEEN_FORTRAN_ORDER = 2, SEEN_SHAPE = 4, SEEN_ALL = 7 };

static int parse_value(struct scanner *scanner, struct token key, struct dict *dict, unsigned *seen,
                       char *ret_text)
{
        unsigned bit;
        bool good;

        if (token_is(key, "descr")) {
                bit = SEEN_DESCR;
                if (take_char(scanner, '[') || take_char(scanner, '('))
                        return npy_refuse(ret_text, NPY_E_STRUCTURED,
                                          "has a structured dtype; save one plain field of it");
                good = take_string(scanner, &dict->descr);
        } else if (token_is(key, "fortran_order")) {
                bit = SEEN_FORTRAN_ORDER;
                dict->fortran_order = take_word(scanner, "True");
                good = dict->fortran_order || take_word(scanner, "False");
        } else if (token_is(key, "shape")) {
                bit = SEEN_SHAPE;
                good = take_shape(scanner, dict->dims, &dict->n_dims);
        } else {
                return refuse_header(ret_text, "an unknown key");
        }
        if (!good)
                return refuse_header(ret_text, "a malformed value");
        if (*seen & bit)
                return refuse_header(ret_text, "a key twice");
        *seen |= bit;
        return 0;
}

static int parse_dict(struct scanner *scanner, struct dict *ret_dict, char *ret_text)
{
        unsigned seen = 0;
        bool comma = true;

        if (!take_char(scanner, '{'))
                return refuse_header(ret_text, "no dict");
        while (!take_char(scanner, '}')) {
                struct token key;
                int r;

                if (!comma || !take_string(scanner, &key) || !take_char(scanner, ':'))
                        return refuse_header(ret_text, "a malformed dict");
                r = parse_value(scanner, key, ret_dict, &seen, ret_text);
                if (r != 0)
                        return r;
                comma = take_char(scanner, ',');
        }
        skip_space(scanner);
        if (scanner->at != scanner->end)
                return refuse_header(ret_text, "something behind the dict");
        if (seen != SEEN_ALL)
                return refuse_header(ret_text, "a key is missing");
        return 0;
}

/* ---- what a kind accepts ---- */

static int check_dtype(struct token descr, enum npy_kind kind, char *ret_text)
{
        static const struct {
                const char *accepted[4];
                const char *wanted;
        } kinds[NPY_KIND_MAX] = {
                [NPY_INT8_MATRIX] = {{"|i1", "<i1", ">i1", "i1"}, "int8 (.astype(numpy.int8))"},
                [NPY_FLOAT32_VECTOR] = {{"<f4"}, "little-endian float32 (.astype('<f4'))"},
        };
        char shown[16] = "";

        for (size_t i = 0; i < ARRAY_SIZE(kinds[kind].accepted) && kinds[kind].accepted[i]; i++)
                if (token_is(descr, kinds[kind].accepted[i]))
                        return 0;
        if (token_is(descr, "|O") || token_is(descr, "O"))
                return npy_refuse(ret_text, NPY_E_PICKLED,
                                  "holds pickled Python objects, which are never loaded; save %s",
                                  kinds[kind].wanted);
        for (size_t i = 0; i < descr.n_bytes && i < sizeof shown - 1; i++)
                shown[i] = isprint(descr.bytes[i]) ? (char)descr.bytes[i] : '?';
        return npy_refuse(ret_text, NPY_E_DTYPE, "holds elements of dtype '%s'; save it as %s", shown,
                          kinds[kind].wanted);
}

static int check_shape(const struct dict *dict, enum npy_kind kind, struct npy_header *header, char *ret_text)
{
        static const uint64_t elem_bytes[NPY_KIND_MAX] = {[NPY_INT8_MATRIX] = 1, [NPY_FLOAT32_VECTOR] = 4};
        bool vector = kind == NPY_FLOAT32_VECTOR;
        uint64_t n_bytes = elem_bytes[kind];

        for (size_t i = 0; i < dict->n_dims; i++) {
                if (dict->dims[i] == 0)
                        return npy_refuse(ret_text, NPY_E_EMPTY,
                                          "has a dimension of 0; give at least one element");
                if (!checked_mul(n_bytes, dict->dims[i], &n_bytes) || n_bytes > PTRDIFF_MAX)
                        return npy_refuse(ret_text, NPY_E_TOO_BIG,
                                          "says it has more elements than memory can hold");
        }
        if (!vector && dict->n_dims == 1)
                return npy_refuse(
                        ret_text, NPY_E_SHAPE,
                        "has one dimension; save a.reshape(1, -1) for a row or a.reshape(-1, 1) for a "
                        "column");
        if (!vector && dict->n_dims != 2)
                return npy_refuse(ret_text, NPY_E_SHAPE, "has %zu dimensions; a matrix has two",
                                  dict->n_dims);
        if (vector && dict->n_dims != 1 && (dict->n_dims != 2 || (dict->dims[0] != 1 && dict->dims[1] != 1)))
                return npy_refuse(ret_text, NPY_E_SHAPE,
                                  "is no vector: save it with one dimension, a.reshape(-1)");
        header->data_bytes = n_bytes;
        header->rows = vector ? 1 : dict->dims[0];
        header->cols = vector ? n_bytes / elem_bytes[kind] : dict->dims[1];
        header->fortran_order = dict->fortran_order && !vector;
        return 0;
}

int npy_parse_preamble(const uint8_t *bytes, size_t n_bytes, size_t *ret_header_bytes, char *ret_text)
{
        static const uint8_t magic[6] = "\x93NUMPY";
        size_t length_bytes, dict_bytes;

        if (memcmp(bytes, magic, MIN(n_bytes, sizeof magic)) != 0)
                return npy_refuse(ret_text, NPY_E_MAGIC, "is not a .npy file; write one with numpy.save");
        if (n_bytes < NPY_PREAMBLE_BYTES)
                return npy_refuse(ret_text, NPY_E_TRUNCATED,
                                  "is truncated: %zu bytes are no header; save it again", n_bytes);
        if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
                return npy_refuse(ret_text, NPY_E_VERSION,
                                  "is of .npy version %u.%u; versions 1.0, 2.0 and 3.0 are understood",
                                  bytes[6], bytes[7]);
        length_bytes = bytes[6] == 1 ? 2 : 4;
        dict_bytes = (size_t)get_le(bytes + 8, length_bytes);
        if (dict_bytes > NPY_DICT_BYTES_MAX)
                return refuse_header(ret_text, "longer than 64 KiB");
        if (8 + length_bytes + dict_bytes < NPY_PREAMBLE_BYTES)
                return refuse_header(ret_text, "no dict");
        *ret_header_bytes = 8 + length_bytes + dict_bytes;
        return 0;
}

int npy_parse_header(const uint8_t *bytes, size_t n_bytes, enum npy_kind kind, struct npy_header *ret_header,
                     char *ret_text)
{
        struct npy_header header = {0};
        struct dict dict = {0};
        struct scanner scanner;
        int r;

        r = npy_parse_preamble(bytes, n_bytes, &header.header_bytes, ret_text);
        if (r != 0)
                return r;
        if (n_bytes < header.header_bytes)
                return npy_refuse(ret_text, NPY_E_TRUNCATED,
                                  "is truncated: %zu of %zu header bytes; save it again", n_bytes,
                                  header.header_bytes);
        scanner.at = bytes + (bytes[6] == 1 ? 10 : 12);
        scanner.end = bytes + header.header_bytes;
        r = parse_dict(&scanner, &dict, ret_text);
        if (r == 0)
                r = check_dtype(dict.descr, kind, ret_text);
        if (r == 0)
                r = check_shape(&dict, kind, &header, ret_text);
        if (r == 0)
                *ret_header = header;
        return r;
}
