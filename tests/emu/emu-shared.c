/* SPDX-License-Identifier: MIT */
/* emu-shared.c - see emu-shared.h. */
#include "tests/emu/emu-shared.h"
#include "tests/emu/emu-log.h"
#include "tests/emu/emu-syscalls.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC 0x32554d45u /* "EMU2": another layout is another number */

static struct emu_shared *shared;
static char state_path[2 * PATH_MAX], alive_path[2 * PATH_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int lock_fd = -1;  /* while it is locked */
static int alive_fd = -1; /* while the device is open */

/* ---- the file ---- */

bool emu_shared_exists(const char *root)
{
        struct emu_shared is;
        ssize_t n;

        (void)snprintf(state_path, sizeof state_path, "%s/state", root);
        (void)snprintf(alive_path, sizeof alive_path, "%s/alive", root);

        _cleanup_(emu_sys_closep) int fd = emu_sys_open(state_path, O_RDONLY | O_CLOEXEC, 0);

        n = fd < 0 ? 0 : read(fd, &is, sizeof is);
        return n == sizeof is && is.magic == MAGIC;
}

int emu_shared_map(const char *root)
{
        const bool is_new = !emu_shared_exists(root);
        const struct emu_shared first = {.magic = MAGIC};
        _cleanup_(emu_sys_closep) int fd = emu_sys_open(state_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        _cleanup_(emu_sys_closep) int alive = emu_sys_open(alive_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        void *at;

        if (fd < 0 || alive < 0)
                return -errno;
        if (is_new) { /* for users of all kinds, whatever the umask of the first */
                (void)fchmod(fd, 0666);
                (void)fchmod(alive, 0666);
                if (pwrite(fd, &first, sizeof first, 0) != sizeof first)
                        return -EIO;
        }
        at = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
                return -errno;
        shared = at;
        return 0;
}

struct emu_shared *emu_shared(void)
{
        return shared;
}

void emu_shared_lock(void)
{
        (void)pthread_mutex_lock(&lock);
        lock_fd = emu_sys_open(state_path, O_RDONLY | O_CLOEXEC, 0);
        while (lock_fd >= 0 && flock(lock_fd, LOCK_EX) != 0 && errno == EINTR)
                continue;
}

void emu_shared_unlock(void)
{
        if (lock_fd >= 0)
                (void)emu_sys_close(lock_fd); /* and with it its lock */
        lock_fd = -1;
        (void)pthread_mutex_unlock(&lock);
}

/* ---- who is there ---- */

static struct flock byte_of(pid_t pid)
{
        return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = pid, .l_len = 1};
}

/* Not this process: nobody's own lock keeps himself out. */
static bool is_there(pid_t pid)
{
        struct flock byte = byte_of(pid);

        return alive_fd < 0 || fcntl(alive_fd, F_GETLK, &byte) != 0 || byte.l_type != F_UNLCK;
}

int emu_shared_arrive(void)
{
        struct flock byte = byte_of(getpid());
        int r = 0;

        emu_shared_lock();
        alive_fd = emu_sys_open(alive_path, O_RDWR | O_CLOEXEC, 0);
        if (alive_fd < 0 || fcntl(alive_fd, F_SETLK, &byte) != 0)
                r = -errno;
        for (size_t i = 0; i < EMU_CONTEXTS_MAX && r == 0; i++)
                if (shared->contexts[i].pid == getpid())
                        shared->contexts[i].pid = 0;
        emu_shared_unlock();
        return r;
}

void emu_shared_leave(void)
{
        emu_shared_lock();
        for (size_t i = 0; i < EMU_CONTEXTS_MAX; i++)
                if (shared->contexts[i].pid == getpid())
                        shared->contexts[i].pid = 0;
        if (alive_fd >= 0)
                (void)emu_sys_close(alive_fd);
        alive_fd = -1;
        emu_shared_unlock();
}

/* Under the lock. */
static void reclaim(void)
{
        for (size_t i = 0; i < EMU_CONTEXTS_MAX; i++) {
                struct emu_shared_context *context = &shared->contexts[i];

                if (context->pid != 0 && context->pid != getpid() &&
                    (!is_there(context->pid) || context->plug != shared->n_plugs))
                        context->pid = 0;
        }
}

void emu_shared_reclaim(void)
{
        emu_shared_lock();
        reclaim();
        emu_shared_unlock();
}

struct emu_shared_context *emu_shared_context_take(uint32_t handle, uint32_t columns)
{
        struct emu_shared_context *taken = NULL;

        emu_shared_lock();
        reclaim();
        for (size_t i = 0; i < EMU_CONTEXTS_MAX && !taken; i++)
                if (shared->contexts[i].pid == 0)
                        taken = &shared->contexts[i];
        if (taken) {
                taken->pid = getpid();
                taken->handle = handle;
                taken->columns = columns;
                taken->plug = shared->n_plugs;
                taken->submitted = 0;
                taken->completed = 0;
                taken->errors = 0;
        }
        emu_shared_unlock();
        return taken;
}

void emu_shared_context_give(struct emu_shared_context *context)
{
        emu_shared_lock();
        if (context->pid == getpid())
                context->pid = 0;
        emu_shared_unlock();
}
