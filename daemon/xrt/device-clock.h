/* SPDX-License-Identifier: MIT */
/*
 * device-clock.h - how fast the array is clocked now.
 *
 * Role:   asks the driver, since XRT has no query for it that NPUs answer.
 * Thread: main, before XRT has the device: newer drivers let a process open it once at a time.
 */
#ifndef DAEMON_XRT_DEVICE_CLOCK_H
#define DAEMON_XRT_DEVICE_CLOCK_H

#include <stdint.h>

/* 0: not known, for whatever reason; who opens the device next will say it. */
uint32_t device_clock_mhz(void);

#endif
