/* SPDX-License-Identifier: MIT */
/* peak.h - what this CPU can do at most: vpdpbusd on 512 bits with nothing else to do. */
#ifndef TESTS_BENCH_PEAK_H
#define TESTS_BENCH_PEAK_H

/* Multiplies and adds, in 10^9 a second, measured for about a millisecond of CPU time; 0: this CPU has no such instruction. */
double peak_gops(void);

#endif
