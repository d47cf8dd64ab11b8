/* SPDX-License-Identifier: MIT */
/*
 * frames.h - what each frame of the daemon means: news for a job, the answer to a call, or the end.
 *
 * Role:   reads control parts and hands them to whom they concern; ends the connection of a daemon that
 *         says what it may not say.
 * In:     the channel's callbacks; their userdata is the struct npumm_client.
 * Thread: the client's.
 */
#ifndef CLIENT_FRAMES_H
#define CLIENT_FRAMES_H

#include "channel.h"

extern const struct channel_ops frames_ops;

#endif
