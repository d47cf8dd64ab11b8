/* SPDX-License-Identifier: MIT */
/* child.c - see child.h. */
#include "tests/bench/peers/child.h"

#include "tests/bench/bench.h"
#include "tests/lib/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { ABSENT = 77 };

void child_start(struct child *child, int cpu, const char *const *argv)
{
        int to[2], from[2];

        if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
                die(errno, "pipe");
        *child = (struct child){.pid = fork()};
        (void)snprintf(child->name, sizeof child->name, "%s", basename(argv[0]));
        if (child->pid < 0)
                die(errno, "fork");
        if (child->pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                cpu_pin(cpu);
                if (dup2(to[0], STDIN_FILENO) < 0 || dup2(from[1], STDOUT_FILENO) < 0)
                        die(errno, "dup2");
                /* One thread computes, whatever the library. */
                (void)setenv("OMP_NUM_THREADS", "1", 1);
                (void)setenv("OPENBLAS_NUM_THREADS", "1", 1);
                (void)execv(argv[0], (char *const *)(uintptr_t)argv);
                die(errno, "%s", argv[0]);
        }
        (void)close(to[0]);
        (void)close(from[1]);
        child->to = fdopen(to[1], "w");
        child->from = fdopen(from[0], "r");
        if (!child->to || !child->from)
                die(ENOMEM, "%s", argv[0]);
}

void child_tell(struct child *child, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vfprintf(child->to, format, args);
        va_end(args);
        (void)fflush(child->to); /* where it has ended, the next answer shows it */
}

/* Closes our ends and waits; returns the wait status. */
static int reap(struct child *child)
{
        int status;

        (void)fclose(child->to);
        (void)fclose(child->from);
        if (waitpid(child->pid, &status, 0) < 0)
                die(errno, "%s", child->name);
        *child = (struct child){0};
        return status;
}

static bool next_line(struct child *child, char *line, int size)
{
        return fgets(line, size, child->from) != NULL;
}

bool child_await_ready(struct child *child)
{
        const struct child it = *child;
        char line[128];
        int status;

        if (next_line(child, line, sizeof line)) {
                if (strcmp(line, "ready\n") != 0)
                        die(0, "%s says: %s", it.name, line);
                return true;
        }
        status = reap(child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != ABSENT)
                die(0, "%s has ended with wait status 0x%x", it.name, (unsigned)status);
        return false;
}

void child_await_result(struct child *child, struct child_result *ret_result)
{
        struct child_result result;
        char line[128];

        if (!next_line(child, line, sizeof line))
                die(0, "%s has ended", child->name);
        if (sscanf(line, "done %" SCNu64 " %lf %lf %u", &result.n_jobs, &result.us_p50, &result.us_p99,
                   &result.n_wrong) != 4)
                die(0, "%s says: %s", child->name, line);
        *ret_result = result;
}

void child_stop(struct child *child)
{
        if (child->pid == 0)
                return;
        (void)kill(child->pid, SIGTERM);
        (void)reap(child);
}
