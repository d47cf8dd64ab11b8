/* SPDX-License-Identifier: MIT */
/*
 * cli-explain.c - what went wrong in a call of the library, for who knows options and not npumm.h.
 *
 * In:     the call's result, and what of it an option may have asked for.
 * Out:    a line: the library's or the daemon's own words, but ours where theirs are for programmers.
 * Thread: one.
 */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>

static void explain_version(const struct cli_asked *asked, const char *words, char *ret_text)
{
        const char *feature = NULL, *advice = NULL;

        if (asked->for_weights) {
                feature = "weights";
                advice = "give --own-b";
        } else if (asked->for_deadline) {
                feature = "deadlines";
                advice = "leave --deadline-us out";
        } else if (asked->for_group) {
                feature = "groups";
                advice = "give another --scenario than multi";
        }
        if (feature)
                (void)snprintf(ret_text, NPUMM_TEXT_MAX, "the daemon is too old for %s: %s", feature, advice);
        else
                (void)snprintf(ret_text, NPUMM_TEXT_MAX, "%s", words);
}

void cli_explain(const struct npumm_client *client, int result, const struct cli_asked *asked,
                 char ret_text[NPUMM_TEXT_MAX])
{
        const struct npumm_info *info = npumm_info(client);
        const char *words = npumm_text(client);

        if (*words == '\0')
                words = npumm_strerror(result);
        if (result == NPUMM_STATUS_VERSION)
                explain_version(asked, words, ret_text);
        else if (result == NPUMM_STATUS_TOO_BIG && asked->is_inline)
                (void)snprintf(ret_text, NPUMM_TEXT_MAX,
                               "the matrices are over the %" PRIu64
                               " bytes that the daemon takes through the socket: leave --inline out",
                               info->inline_bytes_max);
        else if (result == NPUMM_STATUS_BUSY && asked->memory_bytes > info->arena_bytes_max)
                (void)snprintf(ret_text, NPUMM_TEXT_MAX,
                               "%" PRIu64 " bytes at once are over the daemon's limit of %" PRIu64
                               ": multiply smaller matrices",
                               asked->memory_bytes, info->arena_bytes_max);
        else if (result == NPUMM_STATUS_BUSY && npumm_outstanding(client) >= info->jobs_max)
                (void)snprintf(ret_text, NPUMM_TEXT_MAX,
                               "%zu jobs are outstanding, as many as the daemon allows a client: give a "
                               "smaller --depth",
                               npumm_outstanding(client));
        else
                (void)snprintf(ret_text, NPUMM_TEXT_MAX, "%s", words);
}
