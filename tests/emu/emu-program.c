/* SPDX-License-Identifier: MIT */
/* emu-program.c - see emu-program.h. */
#include "tests/emu/emu-program.h"
#include "tests/emu/emu-config.h"
#include "tests/emu/emu-log.h"
#include "tests/emu/emu-syscalls.h"

#include <blake2.h>
#include <errno.h>
#include <stdio.h>

#define HASH_BYTES     32
#define MANIFEST_BYTES 65536
#define VALUE_BYTES    80

/* Reads as much of the manifest as there is room for. */
static bool manifest_read(const char *path, char text[MANIFEST_BYTES])
{
        _cleanup_(emu_sys_closep) int fd = path ? emu_sys_open(path, O_RDONLY | O_CLOEXEC, 0) : -1;
        ssize_t n;

        if (fd < 0)
                return false;
        n = read(fd, text, MANIFEST_BYTES - 1);
        text[MAX(n, 0)] = '\0';
        return n > 0;
}

/* The section with this hash, which it has behind or before its format. */
static bool format_find(char *text, const char *hash, char format[VALUE_BYTES])
{
        bool is_found = false;
        char *line;

        *format = '\0';
        while ((line = strsep(&text, "\n"))) {
                char value[VALUE_BYTES];

                if (*line == '[') {
                        if (is_found && *format != '\0')
                                return true;
                        is_found = false;
                        *format = '\0';
                } else if (sscanf(line, "format = %79s", value) == 1) {
                        (void)snprintf(format, VALUE_BYTES, "%s", value);
                } else if (sscanf(line, "pdi-blake2b = %79s", value) == 1) {
                        is_found = strcmp(value, hash) == 0;
                }
        }
        return is_found && *format != '\0';
}

bool emu_program_find(const uint8_t *image, uint64_t n_bytes, enum array_program *ret_program)
{
        const char *path = emu_config()->manifest;
        _cleanup_(freep) char *text = malloc(MANIFEST_BYTES);
        char hash[2 * HASH_BYTES + 1], format[VALUE_BYTES];
        uint8_t bytes[HASH_BYTES];

        if (!text || blake2b(bytes, image, NULL, sizeof bytes, n_bytes, 0) != 0)
                return false;
        for (size_t i = 0; i < sizeof bytes; i++)
                (void)snprintf(hash + 2 * i, 3, "%02x", bytes[i]);
        if (!manifest_read(path, text)) {
                emu_say("XDNAEMU_MANIFEST: %s: %s", path ? path : "not set",
                        path ? strerror(errno) : "no program");
                return false;
        }
        if (!format_find(text, hash, format)) {
                emu_say("%s has no program whose image has BLAKE2b-256 %s (was it synced to the device?)",
                        path, hash);
                return false;
        }
        if (strcmp(format, "stream64") != 0 && strcmp(format, "tile16") != 0) {
                emu_say("%s: the model knows no format %s", path, format);
                return false;
        }
        *ret_program = strcmp(format, "tile16") == 0 ? ARRAY_TILE16 : ARRAY_STREAM64;
        return true;
}
