/* SPDX-License-Identifier: MIT */
/*
 * log.h - one event, one line, to the journal or to stderr.
 *
 * Role:   the only caller of sd_journal. When stderr is the journal, lines carry the fields below; else they are
 *         plain lines with the level in front.
 * Thread: loop.
 * Owns:   the level and the budget for lines that clients cause, the only globals of the daemon.
 * Never:  blocks on a reader of stderr.
 *
 * Modules that log: daemon, dispatch. The others say what they know in results.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include "proto/base.h"

enum log_level { LOG_LEVEL_ERROR = 0, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_MAX };

/* What a line is about; absent fields are left out. */
struct log_fields {
        bool has_client;
        unsigned uid; /* NPUMM_UID= */
        int pid;      /* NPUMM_PID= */
        const char *device; /* NPUMM_DEVICE=, NULL: none */
};

/* "error", "warning", "info", "debug", NULL. */
extern const char *const log_level_names[];

void log_init(enum log_level level);

void log_event(enum log_level level, const struct log_fields *fields, const char *format, ...)
        _printf_(3, 4);

#define log_error(...)   log_event(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_warning(...) log_event(LOG_LEVEL_WARNING, NULL, __VA_ARGS__)
#define log_info(...)    log_event(LOG_LEVEL_INFO, NULL, __VA_ARGS__)

#endif
