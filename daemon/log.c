/* SPDX-License-Identifier: MIT */
/* log.c - see log.h. */
#include "daemon/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define LINE_MAX_BYTES 512
#define FIELD_MAX      5

#define CLIENT_LINES_A_SECOND 20

const char *const log_level_names[] = {"error", "warning", "info", "debug", NULL};

static const int syslog_priorities[] = {3, 4, 6, 7}; /* of the levels above, syslog(3) */

static struct {
        enum log_level level;
        bool to_journal;
} log_state = {.level = LOG_LEVEL_INFO};

/* systemd names the device and inode of the journal's stream: stderr may have been redirected since. */
static bool stderr_is_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == dev && st.st_ino == ino;
}

void log_init(enum log_level level)
{
        log_state.level = level;
        log_state.to_journal = stderr_is_journal();
}

static void field_add(struct iovec *fields, size_t *n_fields, char *text, int length)
{
        assert(*n_fields < FIELD_MAX && length >= 0);
        fields[(*n_fields)++] = (struct iovec){.iov_base = text, .iov_len = (size_t)length};
}

static bool journal_send(enum log_level level, const struct log_fields *about, const char *line)
{
        char message[LINE_MAX_BYTES + 16], priority[16], uid[32], pid[32], device[64];
        struct iovec fields[FIELD_MAX];
        size_t n = 0;

        field_add(fields, &n, message, snprintf(message, sizeof message, "MESSAGE=%s", line));
        field_add(fields, &n, priority,
                  snprintf(priority, sizeof priority, "PRIORITY=%d", syslog_priorities[level]));
        if (about && about->has_client) {
                field_add(fields, &n, uid, snprintf(uid, sizeof uid, "NPUMM_UID=%u", about->uid));
                field_add(fields, &n, pid, snprintf(pid, sizeof pid, "NPUMM_PID=%d", about->pid));
        }
        if (about && about->device)
                field_add(fields, &n, device,
                          MIN(snprintf(device, sizeof device, "NPUMM_DEVICE=%s", about->device),
                              (int)sizeof device - 1));
        return sd_journal_sendv(fields, (int)n) == 0;
}

/* Clients make us log: not so much that it fills a disk, or pushes our own lines out of the journal. */
static bool within_budget(void)
{
        static struct {
                time_t second;
                unsigned lines;
        } spent;
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec != spent.second) {
                const unsigned left_out =
                        spent.lines > CLIENT_LINES_A_SECOND ? spent.lines - CLIENT_LINES_A_SECOND : 0;

                spent.second = now.tv_sec;
                spent.lines = 0;
                if (left_out > 0)
                        log_warning("%u lines about clients were left out", left_out);
        }
        return ++spent.lines <= CLIENT_LINES_A_SECOND;
}

/* In one piece, or not at all: a reader of stderr that has stopped must not stop us. */
static void stderr_write(const char *text, size_t n_bytes)
{
        struct pollfd pollfd = {.fd = STDERR_FILENO, .events = POLLOUT};

        if (poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLOUT))
                (void)!write(STDERR_FILENO, text, n_bytes);
}

void log_event(enum log_level level, const struct log_fields *fields, const char *format, ...)
{
        char line[LINE_MAX_BYTES], text[LINE_MAX_BYTES + 128];
        va_list args;
        int n;

        if (level > log_state.level || (fields && fields->has_client && !within_budget()))
                return;
        va_start(args, format);
        (void)vsnprintf(line, sizeof line, format, args);
        va_end(args);
        if (log_state.to_journal && journal_send(level, fields, line))
                return;
        if (fields && fields->has_client)
                n = snprintf(text, sizeof text, "npumatmuld: %s: %s (uid %u, pid %d)\n",
                             log_level_names[level], line, fields->uid, fields->pid);
        else
                n = snprintf(text, sizeof text, "npumatmuld: %s: %s\n", log_level_names[level], line);
        stderr_write(text, MIN((size_t)n, sizeof text - 1));
}
