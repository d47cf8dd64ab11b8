/* SPDX-License-Identifier: MIT */
/*
 * rings.h - asks the daemon to let frames travel in rings.
 *
 * Role:   memory for the rings from an arena, RING_START, and the channel's change-over.
 * Thread: the client's.
 * Owns:   nothing: the memory stays lent out as long as the client lives, as the channel uses it.
 */
#ifndef CLIENT_RINGS_H
#define CLIENT_RINGS_H

#include "proto/base.h"

struct npumm_client;

/*
 * Right after the welcome. When this returns frames travel in rings, or by the socket if the daemon has no rings to
 * give; or the channel has ended.
 */
void rings_start(struct npumm_client *client, uint64_t deadline_ns);

#endif
