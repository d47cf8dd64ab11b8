/* SPDX-License-Identifier: MIT */
/*
 * selftest.h - whether the device can multiply at all, before anybody relies on it.
 *
 * Role:   a few products, the same way as all others go: several macro-tiles, several jobs of different K, full tiles
 *         and edges, B streamed and resident, rows of two products stacked; twice, since a run can leave something
 *         behind for the next. Compared with a plain loop, to the last bit.
 * Thread: main; waits.
 */
#ifndef DAEMON_XRT_SELFTEST_H
#define DAEMON_XRT_SELFTEST_H

#include "daemon/xrt/engine.h"

/* Nothing may be inside the engine; nothing is after. */
int selftest_run(struct engine *engine, struct xrt_fault *ret_fault);

#endif
