/* SPDX-License-Identifier: MIT */
/*
 * stream64-progress.h - whether a stream comes to its end.
 *
 * Role:   an untimed simulation of what can wait for what: the controller for queues and tokens, transfers for room in
 *         the array, cores for both operands and for room for C. All of these wait for one thing at a time and none
 *         takes back what it did, so one order of events ends if any does: no time is needed to tell.
 *         Objects are counted, not moved; while every lane has what comes next, whole runs are skipped.
 * In:     a stream that txn-check let pass, whose lanes carry exactly the batch.
 * Thread: any; pure.
 */
#ifndef DAEMON_NPU_STREAM64_PROGRESS_H
#define DAEMON_NPU_STREAM64_PROGRESS_H

#include "daemon/npu/stream64.h"
#include "daemon/npu/txn-check.h"

/* Returns 0 or TXN_E_FAULT, at the step where the controller waits for ever. */
int stream64_progress(const struct txn_check *check, const struct stream64_batch *batch,
                      struct txn_fault *ret_fault);

#endif
