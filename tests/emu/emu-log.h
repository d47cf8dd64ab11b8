/* SPDX-License-Identifier: MIT */
/*
 * emu-log.h - a line for each ioctl, in the file that XDNAEMU_LOG names; and what somebody must see, on stderr.
 *
 * Role:   lines are "TIME PID NAME KEY=VALUE .. = RESULT": microseconds of the monotonic clock, then a result that is 0
 *         or an errno's name. Lines without a result are no ioctls. check_log.py reads them.
 * Thread: any. Each line is one write at the file's end: lines of several processes do not mix.
 * Never:  keeps the file open: some programs close what they do not know.
 */
#ifndef TESTS_EMU_EMU_LOG_H
#define TESTS_EMU_EMU_LOG_H

#include "proto/base.h"

/* A line that is being made. Nothing is done while there is no log. */
struct emu_line {
        bool is_wanted;
        size_t n;
        char text[1024];
};

void emu_line_begin(struct emu_line *line, const char *name);
_printf_(2, 3) void emu_line_add(struct emu_line *line, const char *format, ...);

/* Writes it; what does not fit is left out. `result`: 0 or -errno. */
void emu_line_end(struct emu_line *line, int result);
void emu_line_end_plain(struct emu_line *line);

/* To stderr, and to the log: for what only a mistake of somebody's leads to. */
_printf_(1, 2) void emu_say(const char *format, ...);

#endif
