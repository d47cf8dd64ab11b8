/* SPDX-License-Identifier: MIT */
/* libc.c - see libc.h. */
#include "tests/fake/libc.h"

#include "proto/base.h"

static __thread long allocations_left = -1; /* before one fails; -1: none will */
static __thread bool has_failed;
static __thread bool time_flies;
static __thread int64_t ahead_ms; /* of the real clock */

void fake_libc_fail_after(long n)
{
        allocations_left = n;
        has_failed = false;
}

bool fake_libc_has_failed(void)
{
        return has_failed;
}

void fake_libc_let_time_fly(bool flies)
{
        time_flies = flies;
}

static bool allocation_fails(void)
{
        const bool fails = allocations_left == 0;

        if (allocations_left >= 0)
                allocations_left--;
        has_failed = has_failed || fails;
        return fails;
}

void *fake_malloc(size_t n_bytes)
{
        return allocation_fails() ? NULL : malloc(n_bytes);
}

void *fake_calloc(size_t n, size_t n_bytes)
{
        return allocation_fails() ? NULL : calloc(n, n_bytes);
}

void *fake_reallocarray(void *memory, size_t n, size_t n_bytes)
{
        return allocation_fails() ? NULL : reallocarray(memory, n, n_bytes);
}

int fake_poll(struct pollfd *fds, nfds_t n_fds, int timeout_ms)
{
        if (!time_flies)
                return poll(fds, n_fds, timeout_ms);
        assert(timeout_ms >= 0); /* or it would never end */
        ahead_ms += timeout_ms;
        for (nfds_t i = 0; i < n_fds; i++)
                fds[i].revents = 0;
        return 0;
}

int fake_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
        const int r = clock_gettime(clock, ret_now);

        ret_now->tv_sec += ahead_ms / 1000;
        ret_now->tv_nsec += ahead_ms % 1000 * 1000000;
        if (ret_now->tv_nsec >= 1000000000) {
                ret_now->tv_sec++;
                ret_now->tv_nsec -= 1000000000;
        }
        return r;
}
