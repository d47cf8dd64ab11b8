/* SPDX-License-Identifier: MIT */
/*
 * conformance.h - the contract of daemon/device.h as a suite that every device must pass.
 *
 * Role:   products of every shape, form and orientation against the oracle; slices in any partition; the
 *         order and number of events; what may not be touched; opening and closing.
 * In:     the name of a device. Out: an exit code.
 * Thread: the one that calls it runs the loop.
 */
#ifndef TESTS_DEVICE_CONFORMANCE_H
#define TESTS_DEVICE_CONFORMANCE_H

/* What main returns: 0 or 1, or 77 with one line that says why, if the device is not here. */
int device_conformance(const char *name);

#endif
