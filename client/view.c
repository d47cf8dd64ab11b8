/* SPDX-License-Identifier: MIT */
/* view.c - see view.h. */
#include "view.h"

uint64_t view_gather(const struct channel_view *view, uint64_t offset, struct iovec *iov, size_t *n_iov)
{
        const uint64_t begin = offset;

        while (offset < view->bytes && *n_iov < VIEW_IOV_COUNT) {
                const uint64_t within = offset % view->row_bytes;
                const uint64_t n = MIN(view->row_bytes - within, view->bytes - offset);

                iov[(*n_iov)++] = (struct iovec){
                        .iov_base = view->memory + offset / view->row_bytes * view->stride_bytes + within,
                        .iov_len = n,
                };
                offset += n;
        }
        return offset - begin;
}

void view_write(const struct channel_view *view, uint64_t offset, const uint8_t *bytes, uint64_t n_bytes)
{
        const struct channel_view part = {view->memory, offset + n_bytes, view->row_bytes,
                                          view->stride_bytes};

        while (offset < part.bytes) {
                struct iovec iov[VIEW_IOV_COUNT];
                size_t n_iov = 0;

                offset += view_gather(&part, offset, iov, &n_iov);
                for (size_t i = 0; i < n_iov; i++) {
                        memcpy(iov[i].iov_base, bytes, iov[i].iov_len);
                        bytes += iov[i].iov_len;
                }
        }
}

struct channel_view channel_zeros(uint64_t bytes)
{
        static const uint8_t zeros[4096];

        return (struct channel_view){
                .memory = (uint8_t *)zeros, /* views that are sent are only read */
                .bytes = bytes,
                .row_bytes = sizeof zeros,
        };
}
