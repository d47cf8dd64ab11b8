/* SPDX-License-Identifier: MIT */
/*
 * libc.h - what libnpumm uses of the C library, under a test's control: its memory can end and its time can
 * fly.
 *
 * Role:   malloc, calloc, reallocarray, poll and clock_gettime for npumm-objects-on-fakes, the library's
 *         sources compiled once more with these names defined to the ones below. Nothing is replaced in the
 *         test itself or in the stub it talks to.
 * Thread: each has its own memory and time: the stub's thread, which shares frame.c with the client, is
 *         spared.
 */
#ifndef TESTS_FAKE_LIBC_H
#define TESTS_FAKE_LIBC_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Of this thread's allocations from now on, the one after the next `n` fails; none if `n` is negative. */
void fake_libc_fail_after(long n);

/* Whether that one has failed by now. */
bool fake_libc_has_failed(void);

/*
 * While time flies nothing is ever ready: a wait of this thread is over at once, and its clock is that far
 * on.
 */
void fake_libc_let_time_fly(bool flies);

void *fake_malloc(size_t n_bytes);
void *fake_calloc(size_t n, size_t n_bytes);
void *fake_reallocarray(void *memory, size_t n, size_t n_bytes);
int fake_poll(struct pollfd *fds, nfds_t n_fds, int timeout_ms);
int fake_clock_gettime(clockid_t clock, struct timespec *ret_now);

#endif
