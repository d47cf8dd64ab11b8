/* SPDX-License-Identifier: MIT */
/* emu-device.c - see emu-device.h. */
#include "tests/emu/emu-device.h"
#include "tests/emu/emu-clock.h"
#include "tests/emu/emu-config.h"
#include "tests/emu/emu-syscalls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>

#define LOOK_NS (100 * EMU_NS_PER_MS)

/* One for a process. Descriptor and process by themselves, so that ioctls on others cost a look and no lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct emu_device *open_device; /* ref */
static atomic_int open_fd = -1, open_pid;

/* ---- references ---- */

void emu_device_unref(struct emu_device *device)
{
        const bool is_last = --device->n_refs == 0;

        (void)pthread_mutex_unlock(&device->lock);
        if (!is_last)
                return;
        emu_memory_deinit(&device->memory);
        (void)pthread_cond_destroy(&device->changed);
        (void)pthread_mutex_destroy(&device->lock);
        free(device);
}

/* Locked, and with a reference; NULL: this is not it, or not any more. */
static struct emu_device *device_enter(int fd)
{
        struct emu_device *device = NULL;

        (void)pthread_mutex_lock(&lock);
        if (fd == open_fd)
                device = open_device;
        if (device) {
                (void)pthread_mutex_lock(&device->lock);
                device->n_refs++;
        }
        (void)pthread_mutex_unlock(&lock);
        return device;
}

int emu_device_check(const struct emu_device *device)
{
        if (emu_fault_is_unplugged() || device->is_closed || device->plug != emu_shared()->n_plugs)
                return -ENODEV;
        return 0;
}

void emu_device_wait(struct emu_device *device, uint64_t until_ns)
{
        const uint64_t look_ns = emu_now_ns() + LOOK_NS;
        const struct timespec until = emu_timespec(MIN(until_ns, look_ns));

        (void)pthread_cond_timedwait(&device->changed, &device->lock, &until);
}

/* ---- opening ---- */

static int device_new(int flags, struct emu_device **ret_device)
{
        _cleanup_(freep) struct emu_device *device = calloc(1, sizeof *device);
        pthread_condattr_t attributes;
        int r;

        if (!device)
                return -ENOMEM;
        r = emu_memory_init(&device->memory, emu_config()->is_strict, flags);
        if (r < 0)
                return r;
        (void)pthread_mutex_init(&device->lock, NULL);
        (void)pthread_condattr_init(&attributes);
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&device->changed, &attributes);
        (void)pthread_condattr_destroy(&attributes);
        device->plug = emu_shared()->n_plugs;
        device->n_refs = 1;
        *ret_device = steal(&device);
        return 0;
}

static int open_locked(int flags)
{
        struct emu_device *device = NULL;
        int r;

        if (emu_fault_is_on(EMU_FAULT_PERMISSION))
                return -EACCES;
        if (emu_fault_is_unplugged())
                return -ENOENT;
        if (open_device && open_pid == getpid())
                return -EBUSY;
        r = emu_shared_arrive();
        if (r == 0)
                r = device_new(flags, &device);
        if (r < 0)
                return r;
        open_device = device;
        open_pid = getpid();
        open_fd = device->memory.fd;
        return device->memory.fd;
}

int emu_device_open(int flags)
{
        const struct emu_config *config = emu_config();
        struct emu_line line;
        int r;

        emu_line_begin(&line, "OPEN");
        (void)pthread_mutex_lock(&lock);
        r = config->is_usable ? open_locked(flags) : -ENOENT;
        emu_line_add(&line, " profile=%s tdr_ms=%" PRIu64 " strict=%d seed=%" PRIu64, config->profile_name,
                     config->tdr_ns / EMU_NS_PER_MS, config->is_strict, config->seed);
        emu_line_end(&line, MIN(r, 0));
        (void)pthread_mutex_unlock(&lock);
        return r;
}

bool emu_device_is(int fd)
{
        return fd >= 0 && fd == open_fd && open_pid == getpid();
}

/* Nobody comes in any more; who is inside is woken, and the last one frees it. */
void emu_device_close(int fd)
{
        struct emu_device *device = NULL;
        struct emu_line line;

        emu_line_begin(&line, "CLOSE");
        (void)pthread_mutex_lock(&lock);
        if (fd == open_fd) {
                device = open_device;
                open_device = NULL;
                open_fd = -1;
                (void)pthread_mutex_lock(&device->lock);
                device->is_closed = true;
                for (uint32_t i = 0; i < EMU_DEVICE_CONTEXTS_MAX; i++)
                        if (device->contexts[i])
                                emu_context_stop(device->contexts[i]);
                memset(device->contexts, 0, sizeof device->contexts);
                emu_device_unref(device);
                emu_shared_leave();
                emu_line_end(&line, 0);
        }
        (void)pthread_mutex_unlock(&lock);
}

/* ---- ioctls ---- */

int emu_device_ioctl(int fd, unsigned long request, void *argument)
{
        const struct emu_call *call = emu_call_find(request);
        struct emu_device *device = device_enter(fd);
        struct emu_line line;
        int r;

        if (!device)
                return -EBADF;
        emu_line_begin(&line, call ? call->name : "UNKNOWN");
        if (!call)
                emu_line_add(&line, " request=0x%lx", request);
        r = emu_device_check(device);
        if (r == 0)
                r = call ? call->fn(device, argument, &line) : -ENOTTY;
        emu_line_end(&line, r); /* before the lock is given up: a command's end comes behind its beginning */
        emu_device_unref(device);
        return r;
}
