/* SPDX-License-Identifier: MIT */
/*
 * text.h - one line for a person, safe to print.
 *
 * Role:   formats into NPUMM_TEXT_MAX bytes; whatever is not printable ASCII (a socket's path may hold
 *         anything) becomes '?', as in the texts that come from the daemon.
 * Thread: any.
 */
#ifndef CLIENT_TEXT_H
#define CLIENT_TEXT_H

#include <stdarg.h>
#include <stdio.h>

#include "npumm.h"
#include "proto/base.h"

static inline void text_printable(char *text)
{
        for (; *text != '\0'; text++)
                if (*text < ' ' || *text > '~')
                        *text = '?';
}

/* The arguments may point into `text` itself. */
_printf_(2, 0) static inline void text_vset(char text[NPUMM_TEXT_MAX], const char *format, va_list args)
{
        char line[NPUMM_TEXT_MAX];

        if (vsnprintf(line, sizeof line, format, args) < 0)
                line[0] = '\0';
        text_printable(line);
        memcpy(text, line, sizeof line);
}

/* The same of a line that is printable already, which may be `text` itself. */
static inline void text_copy(char text[NPUMM_TEXT_MAX], const char *line)
{
        const size_t n = strnlen(line, NPUMM_TEXT_MAX - 1);

        memmove(text, line, n);
        text[n] = '\0';
}

_printf_(2, 3) static inline void text_set(char text[NPUMM_TEXT_MAX], const char *format, ...)
{
        va_list args;

        va_start(args, format);
        text_vset(text, format, args);
        va_end(args);
}

#endif
