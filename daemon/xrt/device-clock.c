/* SPDX-License-Identifier: MIT */
/* device-clock.c - see device-clock.h. */
#include "daemon/xrt/device-clock.h"

#include "proto/base.h"

#if NPUMM_HAVE_AMDXDNA_ACCEL_H
#include <dirent.h>
#include <drm/amdxdna_accel.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define DRIVER   "/sys/bus/pci/drivers/amdxdna"
#define FOLDER   "/dev/accel/"
#define NODE_MAX (sizeof FOLDER + NAME_MAX)

/* The first name in a folder that has this letter, or letters, in it; false: none. */
static bool name_find(const char *path, const char *letters, char ret_name[NAME_MAX + 1])
{
        DIR *folder = opendir(path);
        const struct dirent *entry;
        bool is_found = false;

        if (!folder)
                return false;
        while (!is_found && (entry = readdir(folder)))
                if (strstr(entry->d_name, letters)) {
                        (void)snprintf(ret_name, NAME_MAX + 1, "%s", entry->d_name);
                        is_found = true;
                }
        (void)closedir(folder);
        return is_found;
}

/* The driver's node, by its own word: other accelerators have nodes of the same kind. */
static bool node_find(char ret_path[NODE_MAX])
{
        char address[NAME_MAX + 1], name[NAME_MAX + 1];
        char folder[sizeof DRIVER "//accel" + NAME_MAX];

        if (!name_find(DRIVER, ":", address))
                return false;
        (void)snprintf(folder, sizeof folder, DRIVER "/%s/accel", address);
        if (!name_find(folder, "accel", name))
                return false;
        (void)snprintf(ret_path, NODE_MAX, FOLDER "%s", name);
        return true;
}

uint32_t device_clock_mhz(void)
{
        struct amdxdna_drm_query_clock_metadata clocks = {0};
        struct amdxdna_drm_get_info query = {
                .param = DRM_AMDXDNA_QUERY_CLOCK_METADATA,
                .buffer_size = sizeof clocks,
                .buffer = (uintptr_t)&clocks,
        };
        _cleanup_(closep) int fd = -1;
        char path[NODE_MAX];

        if (!node_find(path))
                return 0;
        fd = open(path, O_RDWR | O_CLOEXEC);
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
