/* SPDX-License-Identifier: MIT */
/* fault.c - see fault.h. */
#include "daemon/xrt/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int xrt_fault_set(struct xrt_fault *ret_fault, enum wire_cause cause, int error, const char *format, ...)
{
        va_list args;

        *ret_fault = (struct xrt_fault){.cause = cause, .error = error};
        va_start(args, format);
        (void)vsnprintf(ret_fault->text, sizeof ret_fault->text, format, args);
        va_end(args);
        return XRT_E_FAULT;
}

/* XRT tells apart by errno alone, and by text where it has none. */
static enum wire_cause open_cause(const struct xrt_shim_error *thrown)
{
        switch (thrown->error) {
        case EAGAIN: /* mmap with MAP_LOCKED, of the heap */
                return WIRE_CAUSE_MEMLOCK;
        case EACCES:
        case EPERM:
                return WIRE_CAUSE_PERMISSION;
        case ENODEV:
        case ENXIO:
        case ENOENT:
                return WIRE_CAUSE_ABSENT;
        case ENOMEM:
                return WIRE_CAUSE_MEMORY;
        default:
                break;
        }
        return strstr(thrown->text, "No such device") ? WIRE_CAUSE_ABSENT : WIRE_CAUSE_OPEN;
}

static enum wire_cause cause_of(enum xrt_where where, const struct xrt_shim_error *thrown)
{
        static const enum wire_cause usual[XRT_WHERE_MAX] = {
                [XRT_PROGRAM] = WIRE_CAUSE_PROGRAM, [XRT_CONTEXT] = WIRE_CAUSE_CONTEXT,
                [XRT_MEMORY] = WIRE_CAUSE_MEMORY,   [XRT_SYNC] = WIRE_CAUSE_LOST,
                [XRT_START] = WIRE_CAUSE_LOST,      [XRT_WAIT] = WIRE_CAUSE_LOST,
        };

        if (where == XRT_OPEN)
                return open_cause(thrown);
        return thrown->error == ENODEV ? WIRE_CAUSE_GONE : usual[where];
}

/* XRT's texts begin with spaces, or end with lines, here and there: one line is made of them. */
static void text_straighten(char *text)
{
        char *to = text;

        for (const char *from = text; *from != '\0'; from++) {
                const bool is_gap = (unsigned char)*from <= ' ';

                if (!is_gap)
                        *to++ = *from;
                else if (to > text && to[-1] != ' ')
                        *to++ = ' ';
        }
        while (to > text && to[-1] == ' ')
                to--;
        *to = '\0';
}

int xrt_fault_thrown(struct xrt_fault *ret_fault, enum xrt_where where, const struct xrt_shim_error *thrown)
{
        static const char *const doing[XRT_WHERE_MAX] = {
                [XRT_OPEN] = "opening the device",    [XRT_PROGRAM] = "registering its program",
                [XRT_CONTEXT] = "making a context",   [XRT_MEMORY] = "making a buffer object",
                [XRT_SYNC] = "transferring a buffer", [XRT_START] = "starting a command",
                [XRT_WAIT] = "waiting for a command",
        };

        (void)xrt_fault_set(ret_fault, cause_of(where, thrown), thrown->error, "%s: %s", doing[where],
                            thrown->text);
        text_straighten(ret_fault->text);
        return XRT_E_FAULT;
}
