/* SPDX-License-Identifier: MIT */
/*
 * worker.h - the worker's life: opens, says READY, serves the daemon, ends with the first fault.
 *
 * Role:   messages of wire.h to calls of the engine, and back.
 * Thread: main.
 * Owns:   all that there is; gives none of it back, since the end of the process does so more surely.
 */
#ifndef DAEMON_XRT_WORKER_H
#define DAEMON_XRT_WORKER_H

#include "daemon/xrt/engine.h"

struct worker_options {
        const char *manifest_path;
        enum engine_check check;
        uint64_t timeout_ns, weights_bytes; /* struct engine_options */
};

/* Ends the process: 0 if the daemon has closed its end, 1 after FAILED. */
_Noreturn void worker_run(const struct worker_options *options);

#endif
