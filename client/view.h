/* SPDX-License-Identifier: MIT */
/*
 * view.h - payload bytes in memory, row by row.
 *
 * Role:   a matrix whose rows lie apart, as the one run of bytes that it is on the wire.
 * Thread: any.
 * Owns:   nothing.
 */
#ifndef CLIENT_VIEW_H
#define CLIENT_VIEW_H

#include "proto/base.h"

#include <sys/uio.h>

#define VIEW_IOV_COUNT 128 /* pieces of one sendmsg or recvmsg; more only pays for very narrow rows */

/* Payload bytes in memory: rows of row_bytes, their beginnings stride_bytes apart. */
struct channel_view {
        uint8_t *memory;       /* borrowed: of the job, or of the call; never written to when sent */
        uint64_t bytes;        /* in all */
        uint64_t row_bytes;    /* not 0 */
        uint64_t stride_bytes; /* 0: the same row again and again */
};

/* A view of so many bytes that are all 0, to be sent. */
struct channel_view channel_zeros(uint64_t bytes);

/*
 * Appends the pieces of `view` from `offset` on to iov[*n_iov..], as far as VIEW_IOV_COUNT allows. Returns how
 * many bytes these are.
 */
uint64_t view_gather(const struct channel_view *view, uint64_t offset, struct iovec *iov, size_t *n_iov);

/* Puts bytes where the view has them, from `offset` on. */
void view_write(const struct channel_view *view, uint64_t offset, const uint8_t *bytes, uint64_t n_bytes);

#endif
