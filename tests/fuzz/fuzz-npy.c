/* SPDX-License-Identifier: MIT */
/*
 * fuzz-npy.c - any bytes at all as the beginning of a .npy file: the parser stays inside them, and what it
 * accepts is consistent.
 */
#include "client/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct npy_header *header, enum npy_kind kind, size_t size)
{
        const uint64_t elem_bytes = kind == NPY_INT8_MATRIX ? 1 : 4;
        uint64_t n;

        assert(header->header_bytes > NPY_PREAMBLE_BYTES && header->header_bytes <= size);
        assert(header->rows > 0 && header->cols > 0);
        assert(checked_mul(header->rows, header->cols, &n) && checked_mul(n, elem_bytes, &n));
        assert(header->data_bytes == n && n <= PTRDIFF_MAX);
        assert(kind == NPY_INT8_MATRIX || (header->rows == 1 && !header->fortran_order));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        for (enum npy_kind kind = NPY_INT8_MATRIX; kind < NPY_KIND_MAX; kind++) {
                struct npy_header header;
                char text[NPY_TEXT_MAX];
                int r;

                memset(text, 'x', sizeof text);
                r = npy_parse_header(data, size, kind, &header, text);
                assert(r >= 0);
                if (r == NPY_E_SUCCESS) {
                        check_accepted(&header, kind, size);
                        continue;
                }
                /* A refusal is one printable phrase. */
                assert(memchr(text, '\0', sizeof text) && text[0] != '\0');
                for (const char *c = text; *c; c++)
                        assert(*c >= ' ' && *c <= '~');
        }
        return 0;
}
