/* SPDX-License-Identifier: MIT */
/* device-clock.c - see device-clock.h. */
#include "daemon/xrt/device-clock.h"

#include "proto/base.h"

#if NPUMM_HAVE_AMDXDNA_ACCEL_H
#include <drm/amdxdna_accel.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#define NODE "/dev/accel/accel0"

uint32_t device_clock_mhz(void)
{
        struct amdxdna_drm_query_clock_metadata clocks = {0};
        struct amdxdna_drm_get_info query = {
                .param = DRM_AMDXDNA_QUERY_CLOCK_METADATA,
                .buffer_size = sizeof clocks,
                .buffer = (uintptr_t)&clocks,
        };
        _cleanup_(closep) int fd = open(NODE, O_RDWR | O_CLOEXEC);

        if (fd < 0 || ioctl(fd, DRM_IOCTL_AMDXDNA_GET_INFO, &query) < 0)
                return 0;
        return clocks.h_clock.freq_mhz; /* the H clock is the array's; the other is its controller's */
}
#else
uint32_t device_clock_mhz(void)
{
        return 0; /* the system's headers do not know the driver */
}
#endif
