/* SPDX-License-Identifier: MIT */
/*
 * emu-paths.c - the functions of the C library that this library stands before.
 *
 * Role:   whoever asks for the NPU's files gets those of the emulated one; all else goes its usual way, untouched.
 * Thread: any.
 * Never:  allocates, or asks anything that might come back to these functions: sanitizers and the dynamic loader call
 *         them before they are ready.
 */
#include "tests/emu/emu-config.h"
#include "tests/emu/emu-device.h"
#include "tests/emu/emu-syscalls.h"
#include "tests/emu/emu-tree.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define EXPORT __attribute__((visibility("default")))

#define PATH_BYTES (2 * PATH_MAX)

/* The next library's function of that name. Any thread may find it: all find the same. */
#define NEXT(name)                                                                                           \
        ({                                                                                                   \
                static _Atomic(void *) _next;                                                                \
                void *_at = atomic_load_explicit(&_next, memory_order_relaxed);                              \
                if (!_at) {                                                                                  \
                        _at = dlsym(RTLD_NEXT, #name);                                                       \
                        atomic_store_explicit(&_next, _at, memory_order_relaxed);                            \
                }                                                                                            \
                (__typeof__(&(name)))_at;                                                                    \
        })

/* Where a path leads; `buffer` is used for it only if it is the emulated NPU's. A device that is gone has no files. */
static __attribute__((noinline)) const char *lead(const char *path, char buffer[PATH_BYTES])
{
        const struct emu_config *config;

        if (!path || *path != '/' || !emu_tree_has(path))
                return path;
        config = emu_config();
        if (!config)
                return path;
        if (!config->is_usable || emu_fault_is_unplugged())
                (void)snprintf(buffer, PATH_BYTES, "/nowhere%s", path);
        else
                (void)snprintf(buffer, PATH_BYTES, "%s%s", config->root, path);
        return buffer;
}

static __attribute__((noinline)) bool is_node(const char *path)
{
        return path && strcmp(path, EMU_NODE) == 0 && emu_config();
}

/* -1 and errno for what is negative. */
static int answer(int r)
{
        if (r >= 0)
                return r;
        errno = -r;
        return -1;
}

/* ---- descriptors ---- */

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
        char buffer[PATH_BYTES];

        if (is_node(path))
                return answer(emu_device_open(flags));
        return emu_sys_openat(folder, lead(path, buffer), flags, mode);
}

/* The mode that comes behind flags which make a file. */
#define MODE_OF(flags)                                                                                       \
        ({                                                                                                   \
                mode_t _mode = 0;                                                                            \
                if ((flags)&O_CREAT || ((flags)&O_TMPFILE) == O_TMPFILE) {                                   \
                        va_list _args;                                                                       \
                        va_start(_args, flags);                                                              \
                        _mode = va_arg(_args, mode_t);                                                       \
                        va_end(_args);                                                                       \
                }                                                                                            \
                _mode;                                                                                       \
        })

EXPORT int open(const char *path, int flags, ...)
{
        return open_any(AT_FDCWD, path, flags, MODE_OF(flags));
}

EXPORT int open64(const char *path, int flags, ...)
{
        return open_any(AT_FDCWD, path, flags | O_LARGEFILE, MODE_OF(flags));
}

EXPORT int openat(int folder, const char *path, int flags, ...)
{
        return open_any(folder, path, flags, MODE_OF(flags));
}

EXPORT int openat64(int folder, const char *path, int flags, ...)
{
        return open_any(folder, path, flags | O_LARGEFILE, MODE_OF(flags));
}

EXPORT int close(int fd)
{
        if (emu_device_is(fd))
                emu_device_close(fd);
        return emu_sys_close(fd);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
        void *argument;
        va_list args;

        va_start(args, request);
        argument = va_arg(args, void *);
        va_end(args);
        if (emu_device_is(fd))
                return answer(emu_device_ioctl(fd, request, argument));
        return (int)syscall(SYS_ioctl, fd, request, argument);
}

/* ---- names ---- */

EXPORT FILE *fopen(const char *path, const char *mode)
{
        char buffer[PATH_BYTES];

        return NEXT(fopen)(lead(path, buffer), mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
        char buffer[PATH_BYTES];

        return NEXT(fopen64)(lead(path, buffer), mode);
}

EXPORT DIR *opendir(const char *path)
{
        char buffer[PATH_BYTES];

        return NEXT(opendir)(lead(path, buffer));
}

EXPORT int stat(const char *path, struct stat *info)
{
        char buffer[PATH_BYTES];

        return NEXT(stat)(lead(path, buffer), info);
}

EXPORT int stat64(const char *path, struct stat64 *info)
{
        char buffer[PATH_BYTES];

        return NEXT(stat64)(lead(path, buffer), info);
}

EXPORT int lstat(const char *path, struct stat *info)
{
        char buffer[PATH_BYTES];

        return NEXT(lstat)(lead(path, buffer), info);
}

EXPORT int lstat64(const char *path, struct stat64 *info)
{
        char buffer[PATH_BYTES];

        return NEXT(lstat64)(lead(path, buffer), info);
}

EXPORT int fstatat(int folder, const char *path, struct stat *info, int flags)
{
        char buffer[PATH_BYTES];

        return NEXT(fstatat)(folder, lead(path, buffer), info, flags);
}

EXPORT int fstatat64(int folder, const char *path, struct stat64 *info, int flags)
{
        char buffer[PATH_BYTES];

        return NEXT(fstatat64)(folder, lead(path, buffer), info, flags);
}

EXPORT int statx(int folder, const char *path, int flags, unsigned mask, struct statx *info)
{
        char buffer[PATH_BYTES];

        return NEXT(statx)(folder, lead(path, buffer), flags, mask, info);
}

EXPORT int access(const char *path, int mode)
{
        char buffer[PATH_BYTES];

        return NEXT(access)(lead(path, buffer), mode);
}

EXPORT ssize_t readlink(const char *path, char *to, size_t n)
{
        char buffer[PATH_BYTES];

        return NEXT(readlink)(lead(path, buffer), to, n);
}

/* Nobody is to learn of the folder. */
EXPORT char *realpath(const char *path, char *to)
{
        char buffer[PATH_BYTES];
        const char *from = lead(path, buffer);
        char *real = NEXT(realpath)(from, to);
        size_t n;

        if (!real || from == path)
                return real;
        n = strlen(emu_config()->root);
        if (strncmp(real, emu_config()->root, n) == 0)
                memmove(real, real + n, strlen(real + n) + 1);
        return real;
}
