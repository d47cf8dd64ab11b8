/* SPDX-License-Identifier: MIT */
/*
 * conformance-stacks.h - the part of the suite that is about stacks: products that share their B, and slices that are
 * dropped.
 */
#ifndef TESTS_DEVICE_CONFORMANCE_STACKS_H
#define TESTS_DEVICE_CONFORMANCE_STACKS_H

#include <check.h>

TCase *conformance_stacks(void);

#endif
