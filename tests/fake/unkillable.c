/* SPDX-License-Identifier: MIT */
/*
 * unkillable.c - for LD_PRELOAD: a daemon whose workers cannot be killed and are never reaped, as if they hung in their
 * driver.
 *
 * Role:   SIGKILL to any process, and waitpid for any, do nothing, for as long as the file that $UNKILLABLE names is
 *         there.
 */
#include "proto/base.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>

#define EXPORT __attribute__((visibility("default")))

static bool is_at_work(void)
{
        const char *path = getenv("UNKILLABLE");

        return path && access(path, F_OK) == 0;
}

EXPORT int kill(pid_t pid, int signal)
{
        static int (*next)(pid_t, int);

        if (signal == SIGKILL && is_at_work())
                return 0;
        if (!next)
                *(void **)&next = dlsym(RTLD_NEXT, "kill");
        return next(pid, signal);
}

EXPORT pid_t waitpid(pid_t pid, int *ret_status, int options)
{
        static pid_t (*next)(pid_t, int *, int);

        if (is_at_work())
                return 0;
        if (!next)
                *(void **)&next = dlsym(RTLD_NEXT, "waitpid");
        return next(pid, ret_status, options);
}
