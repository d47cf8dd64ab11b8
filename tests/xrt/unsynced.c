/* SPDX-License-Identifier: MIT */
/*
 * unsynced.c - a worker from which one kind of transfer has been taken away, for the proof that tests would notice.
 *
 * Role:   stands between the worker and xrt-shim (--wrap); leaves out transfers of $UNSYNCED: a, b, c-out (marks to
 *         the device), c-in (results), weights, instructions.
 */
#include "daemon/npu/stream64.h"
#include "daemon/xrt/xrt-shim.h"

#include <string.h>

int __real_xrt_shim_buffer_new(struct xrt_shim_device *device, unsigned arg, size_t size_bytes,
                               struct xrt_shim_buffer **ret_buffer, uint8_t **ret_bytes,
                               struct xrt_shim_error *ret_error);
int __wrap_xrt_shim_buffer_new(struct xrt_shim_device *device, unsigned arg, size_t size_bytes,
                               struct xrt_shim_buffer **ret_buffer, uint8_t **ret_bytes,
                               struct xrt_shim_error *ret_error);
int __real_xrt_shim_buffer_sync(struct xrt_shim_buffer *buffer, enum xrt_shim_direction direction,
                                size_t offset_bytes, size_t n_bytes, struct xrt_shim_error *ret_error);
int __wrap_xrt_shim_buffer_sync(struct xrt_shim_buffer *buffer, enum xrt_shim_direction direction,
                                size_t offset_bytes, size_t n_bytes, struct xrt_shim_error *ret_error);

static struct {
        const struct xrt_shim_buffer *buffer;
        unsigned arg;
} buffers[256];
static size_t n_buffers;

int __wrap_xrt_shim_buffer_new(struct xrt_shim_device *device, unsigned arg, size_t size_bytes,
                               struct xrt_shim_buffer **ret_buffer, uint8_t **ret_bytes,
                               struct xrt_shim_error *ret_error)
{
        const int r = __real_xrt_shim_buffer_new(device, arg, size_bytes, ret_buffer, ret_bytes, ret_error);

        if (r == 0) {
                assert(n_buffers < ARRAY_SIZE(buffers));
                buffers[n_buffers].buffer = *ret_buffer;
                buffers[n_buffers++].arg = arg;
        }
        return r;
}

static const char *name_of(const struct xrt_shim_buffer *buffer, enum xrt_shim_direction direction)
{
        for (size_t i = n_buffers; i-- > 0;) { /* the latest: addresses are used again */
                if (buffers[i].buffer != buffer)
                        continue;
                switch (buffers[i].arg) {
                case STREAM64_ARG_A:
                        return "a";
                case STREAM64_ARG_B:
                        return "b";
                case STREAM64_ARG_C:
                        return direction == XRT_SHIM_TO_DEVICE ? "c-out" : "c-in";
                case STREAM64_ARG_WEIGHTS:
                        return "weights";
                default:
                        return "instructions";
                }
        }
        return "";
}

int __wrap_xrt_shim_buffer_sync(struct xrt_shim_buffer *buffer, enum xrt_shim_direction direction,
                                size_t offset_bytes, size_t n_bytes, struct xrt_shim_error *ret_error)
{
        const char *without = getenv("UNSYNCED");

        if (without && strcmp(without, name_of(buffer, direction)) == 0)
                return 0;
        return __real_xrt_shim_buffer_sync(buffer, direction, offset_bytes, n_bytes, ret_error);
}
