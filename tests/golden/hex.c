/* SPDX-License-Identifier: MIT */
/* hex.c - see hex.h. */
#include "hex.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int file_read(const char *path, uint8_t **ret_bytes, size_t *ret_n_bytes)
{
        FILE *file = fopen(path, "re");
        uint8_t *bytes = NULL;
        size_t n_bytes = 0;
        int r = -EIO;

        if (!file)
                return -errno;
        if (fseek(file, 0, SEEK_END) == 0 && ftell(file) >= 0) {
                n_bytes = (size_t)ftell(file);
                rewind(file);
                bytes = malloc(n_bytes > 0 ? n_bytes : 1);
                r = bytes ? 0 : -ENOMEM;
                if (bytes && fread(bytes, 1, n_bytes, file) != n_bytes)
                        r = -EIO;
        }
        (void)fclose(file);
        if (r < 0) {
                free(bytes);
                return r;
        }
        *ret_bytes = bytes;
        *ret_n_bytes = n_bytes;
        return 0;
}

static int digit_value(uint8_t c)
{
        static const char digits[] = "0123456789abcdef";
        const char *at = c != '\0' ? strchr(digits, c) : NULL;

        return at ? (int)(at - digits) : -1;
}

/* In place: what it writes is never ahead of what it reads. */
static int dump_to_bytes(uint8_t *text, size_t n_text, size_t *ret_n_bytes)
{
        size_t n = 0, i = 0;

        while (i < n_text) {
                uint8_t *line = text + i;
                uint8_t *end = memchr(line, '\n', n_text - i);
                uint8_t *note, *colon;

                if (!end)
                        end = text + n_text;
                i = (size_t)(end - text) + 1;
                note = memchr(line, '#', (size_t)(end - line));
                if (note)
                        end = note;
                colon = memchr(line, ':', (size_t)(end - line));
                if (colon)
                        line = colon + 1;
                while (line < end) {
                        int high = digit_value(line[0]);
                        int low = line + 1 < end ? digit_value(line[1]) : -1;

                        if (*line == ' ') {
                                line++;
                                continue;
                        }
                        if (high < 0 || low < 0)
                                return -EINVAL;
                        text[n++] = (uint8_t)(16 * high + low);
                        line += 2;
                }
        }
        *ret_n_bytes = n;
        return 0;
}

int hex_file_read(const char *path, uint8_t **ret_bytes, size_t *ret_n_bytes)
{
        const size_t n_path = strlen(path);
        uint8_t *bytes = NULL, *shrunk;
        size_t n_bytes = 0;
        int r;

        r = file_read(path, &bytes, &n_bytes);
        if (r < 0)
                return r;
        if (n_path >= 4 && strcmp(path + n_path - 4, ".hex") == 0) {
                r = dump_to_bytes(bytes, n_bytes, &n_bytes);
                if (r < 0) {
                        free(bytes);
                        return r;
                }
                shrunk = realloc(bytes, n_bytes > 0 ? n_bytes : 1);
                if (shrunk)
                        bytes = shrunk;
        }
        *ret_bytes = bytes;
        *ret_n_bytes = n_bytes;
        return 0;
}
