/* SPDX-License-Identifier: MIT */
/* emu-log.c - see emu-log.h. */
#include "tests/emu/emu-log.h"
#include "tests/emu/emu-clock.h"
#include "tests/emu/emu-config.h"
#include "tests/emu/emu-syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Set by emu_line_begin: emu_say may be called before there is a configuration, and must not ask for it then. */
static _Atomic(const char *) log_path;

static void append(const char *path, const char *text, size_t n)
{
        const int fd = emu_sys_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

        if (fd < 0)
                return;
        (void)!write(fd, text, n);
        emu_sys_close(fd);
}

_printf_(2, 0) static void add_list(struct emu_line *line, const char *format, va_list args)
{
        const size_t room = sizeof line->text - 1 - line->n; /* a newline comes last */
        const int n = vsnprintf(line->text + line->n, room, format, args);

        if (n > 0)
                line->n += MIN((size_t)n, room - 1);
}

void emu_line_begin(struct emu_line *line, const char *name)
{
        const struct emu_config *config = emu_config();

        line->n = 0;
        line->is_wanted = config && config->log;
        if (!line->is_wanted)
                return;
        log_path = config->log;
        emu_line_add(line, "%" PRIu64 " %d %s", emu_now_ns() / 1000, getpid(), name);
}

void emu_line_add(struct emu_line *line, const char *format, ...)
{
        va_list args;

        if (!line->is_wanted)
                return;
        va_start(args, format);
        add_list(line, format, args);
        va_end(args);
}

void emu_line_end_plain(struct emu_line *line)
{
        if (!line->is_wanted)
                return;
        line->text[line->n++] = '\n';
        append(log_path, line->text, line->n);
}

void emu_line_end(struct emu_line *line, int result)
{
        const char *name = result < 0 ? strerrorname_np(-result) : "0";

        emu_line_add(line, " = %s", name ? name : "?");
        emu_line_end_plain(line);
}

void emu_say(const char *format, ...)
{
        struct emu_line line = {.is_wanted = true};
        const char *path = log_path;
        va_list args;

        emu_line_add(&line, "libxdnaemu: ");
        va_start(args, format);
        add_list(&line, format, args);
        va_end(args);
        line.text[line.n++] = '\n';
        (void)!write(STDERR_FILENO, line.text, line.n);
        if (!path)
                return;
        line.n = 0;
        emu_line_add(&line, "%" PRIu64 " %d SAY ", emu_now_ns() / 1000, getpid());
        va_start(args, format);
        add_list(&line, format, args);
        va_end(args);
        emu_line_end_plain(&line);
}
