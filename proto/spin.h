/* SPDX-License-Identifier: MIT */
/*
 * spin.h - whether it pays to look again and again before one sleeps.
 *
 * Role:   decides by what became of earlier tries. Looking costs a CPU for as long as it lasts; being woken costs some
 *         microseconds at best, and tens of them in a virtual machine whose CPU has gone idle.
 * In:     tries and their ends. Out: yes or no.
 * Thread: any; pure.
 *
 * After a try in vain the next one is left out, after two in a row the next three, and so on up to 63: a peer that is
 * slower than the budget costs less and less of it, one that has become fast is found soon. So does one that rings the
 * bell sooner than a try would have ended.
 */
#ifndef PROTO_SPIN_H
#define PROTO_SPIN_H

#include "base.h"

#define SPIN_FAILURES_MAX 6 /* 2^6 - 1 are left out at most */

struct spin {
        uint64_t budget_ns; /* of one try; 0: never */
        unsigned n_failures, n_left_out;
};

/* Whether to try now. */
bool spin_try(struct spin *spin);

/* What became of the try: something came, or nothing in all its time. One that was broken off says neither. */
void spin_succeeded(struct spin *spin);
void spin_failed(struct spin *spin);

/* Slept `slept_ns`, then the bell rang. */
void spin_rung(struct spin *spin, uint64_t slept_ns);

/* Between two looks at shared memory. */
static inline void spin_relax(void)
{
        for (int i = 0; i < 4; i++) {
#if defined(__x86_64__) || defined(__i386__)
                __builtin_ia32_pause();
#elif defined(__aarch64__)
                __asm__ volatile("yield");
#endif
        }
}

#endif
