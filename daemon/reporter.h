/* SPDX-License-Identifier: MIT */
/*
 * reporter.h - what STATUS answers.
 *
 * Role:   gathers from every stage what is now, and makes one report of it a turn of the loop, which all answers of
 *         that turn share: clients may ask a hundred times in one read and leave the answers unread, and must neither
 *         hold the loop with it nor fill the memory.
 * In:     the stages, which it only looks at. Out: payloads.
 * Thread: loop.
 * Owns:   the latest report.
 */
#ifndef DAEMON_REPORTER_H
#define DAEMON_REPORTER_H

#include "daemon/dispatch.h"
#include "daemon/loop-meter.h"

struct report;

/* All borrowed: they outlive us. */
struct reporter {
        const struct pipeline *pipeline; /* with its device, for as long as anybody can ask */
        const struct dispatch_context *clients;
        const struct arena_set *arenas;
        const struct weights_set *weights;
        const struct quota *quota;
        const struct loop_meter *meter;
        uint64_t start_ns;     /* of the daemon */
        struct report *latest; /* ref; NULL: none yet */
};

/* Lets go of the latest report; answers on their way keep theirs. */
void reporter_deinit(struct reporter *reporter);

/* Fills a payload, to be released. False: memory is short. */
bool reporter_answer(struct reporter *reporter, struct connection_payload *ret_payload);

#endif
