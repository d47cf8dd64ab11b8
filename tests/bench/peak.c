/* SPDX-License-Identifier: MIT */
/* peak.c - see peak.h. */
#include "tests/bench/peak.h"

#include <stdint.h>
#include <time.h>

#ifdef __x86_64__

enum { LOOPS = 120000, IN_LOOP = 30, OPS = 2 * 64 };

/* Two for each of 15 accumulators: each waits for the one before it, and 15 are more than it takes. */
#define DOT(to) "vpdpbusd %%zmm0, %%zmm0, %%zmm" #to "\n\t"
#define DOTS                                                                                                 \
        DOT(1)                                                                                               \
        DOT(2)                                                                                               \
        DOT(3) DOT(4) DOT(5) DOT(6) DOT(7) DOT(8) DOT(9) DOT(10) DOT(11) DOT(12) DOT(13) DOT(14) DOT(15)

/* What the kernels are timed by, too. */
static uint64_t busy_ns(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

double peak_gops(void)
{
        uint64_t loops = LOOPS, start_ns;

        __builtin_cpu_init();
        if (!__builtin_cpu_supports("avx512vnni"))
                return 0;
        start_ns = busy_ns();
        __asm__ volatile("vpxord %%zmm0, %%zmm0, %%zmm0\n"
                         "1:\n\t" DOTS DOTS "dec %0\n\t"
                         "jnz 1b"
                         : "+r"(loops)
                         :
                         : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                           "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
        return (double)LOOPS * IN_LOOP * OPS / (double)(busy_ns() - start_ns);
}

#else

double peak_gops(void)
{
        return 0;
}

#endif
