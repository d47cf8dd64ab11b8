/* SPDX-License-Identifier: MIT */
/*
 * weights.h - a B that stays with the daemon.
 *
 * Role:   checks a spec, has a place found or made for B (operands.h), asks the daemon to load it
 *         (question.h).
 * In:     struct npumm_weights_spec.
 * Out:    the daemon's handle. Nothing is kept of it here: what it names is between program and daemon.
 * Thread: the client's.
 * Owns:   nothing.
 */
#ifndef CLIENT_WEIGHTS_H
#define CLIENT_WEIGHTS_H

#include "npumm.h"

/* Behind npumm_weights_load() and npumm_weights_release(). */
int weights_load(struct npumm_client *client, const struct npumm_weights_spec *spec, uint64_t *ret_weights);
int weights_release(struct npumm_client *client, uint64_t weights);

#endif
