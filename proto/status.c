/* SPDX-License-Identifier: MIT */
/* status.c - see status.h. Thread: any. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>

const char *status_name(unsigned status)
{
        static const char *const names[] = {
#define X(name, value, text) [value] = #name,
                STATUS_TABLE(X)
#undef X
        };
        return status < ARRAY_SIZE(names) ? names[status] : "UNKNOWN";
}

const char *status_text(unsigned status)
{
        static const char *const texts[] = {
#define X(name, value, text) [value] = text,
                STATUS_TABLE(X)
#undef X
        };
        return status < ARRAY_SIZE(texts) ? texts[status] : "a status that this version does not know";
}

bool fault_set(struct fault *fault, enum status status, const char *format, ...)
{
        va_list args;

        fault->status = status;
        va_start(args, format);
        (void)vsnprintf(fault->text, sizeof fault->text, format, args);
        va_end(args);
        return false;
}
