/* SPDX-License-Identifier: MIT */
/*
 * emu-syscalls.h - calls that the library interposes, past its own interposers.
 *
 * Thread: any.
 */
#ifndef TESTS_EMU_EMU_SYSCALLS_H
#define TESTS_EMU_EMU_SYSCALLS_H

#include "proto/base.h"

#include <fcntl.h>
#include <sys/syscall.h>

/* As the system calls: -1 and errno. */
static inline int emu_sys_openat(int folder, const char *path, int flags, mode_t mode)
{
        return (int)syscall(SYS_openat, folder, path, flags, mode);
}

static inline int emu_sys_open(const char *path, int flags, mode_t mode)
{
        return emu_sys_openat(AT_FDCWD, path, flags, mode);
}

static inline int emu_sys_close(int fd)
{
        return (int)syscall(SYS_close, fd);
}

static inline void emu_sys_closep(const int *fd)
{
        if (*fd >= 0)
                (void)emu_sys_close(*fd);
}

#endif
