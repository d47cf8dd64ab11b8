/* SPDX-License-Identifier: MIT */
/*
 * version.c - npumm_version(), in the shared library alone, whose version it is.
 *
 * Out:    NPUMM_VERSION_TEXT, which the build defines.
 * Thread: any.
 */
#pragma GCC visibility push(default) /* exported, as npumm.c says */
#include "npumm.h"
#pragma GCC visibility pop

const char *npumm_version(void)
{
        return NPUMM_VERSION_TEXT;
}
