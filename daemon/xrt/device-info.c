/* SPDX-License-Identifier: MIT */
/* device-info.c - see device-info.h. */
#include "daemon/xrt/device-info.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>

#define DRIVER "amdxdna"

/* A string of somebody else's for one line: what cannot be printed becomes '?'. NULL: leaves it as it is. */
static void text_take(char *to, size_t size, const char *from)
{
        size_t n = 0;

        for (; from && from[n] != '\0' && n < size - 1; n++)
                to[n] = isprint((unsigned char)from[n]) ? from[n] : '?';
        if (from)
                to[n] = '\0';
}

static void power_mode_read(const char *platform, struct wire_ready *ready)
{
        json_t *root = json_loads(platform, 0, NULL);
        const json_t *first = json_array_get(json_object_get(root, "platforms"), 0);

        text_take(ready->power_mode, sizeof ready->power_mode,
                  json_string_value(json_object_get(json_object_get(first, "status"), "power_mode")));
        json_decref(root);
}

static void driver_read(const char *host, struct wire_ready *ready)
{
        json_t *root = json_loads(host, 0, NULL);
        const json_t *drivers = json_object_get(root, "drivers");

        for (size_t i = 0; i < json_array_size(drivers); i++) {
                const json_t *driver = json_array_get(drivers, i);
                const char *name = json_string_value(json_object_get(driver, "name"));

                if (name && strcmp(name, DRIVER) == 0)
                        text_take(ready->driver, sizeof ready->driver,
                                  json_string_value(json_object_get(driver, "version")));
        }
        json_decref(root);
}

/* XRT has no query for it; the driver shows it. */
static void firmware_read(const char *bdf, struct wire_ready *ready)
{
        char path[sizeof "/sys/bus/pci/devices//fw_version" + XRT_SHIM_TEXT_MAX];
        char line[WIRE_TEXT_MAX];
        FILE *file;

        if (bdf[0] == '\0' || strchr(bdf, '/'))
                return;
        (void)snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/fw_version", bdf);
        file = fopen(path, "re");
        if (!file)
                return;
        if (fgets(line, sizeof line, file)) {
                line[strcspn(line, "\n")] = '\0';
                text_take(ready->firmware, sizeof ready->firmware, line);
        }
        (void)fclose(file);
}

void device_info_read(const struct xrt_shim_info *info, struct wire_ready *ready)
{
        char device[sizeof info->name + sizeof info->bdf];

        (void)snprintf(device, sizeof device, "%s%s%s", info->name, info->bdf[0] == '\0' ? "" : " ",
                       info->bdf);
        text_take(ready->device, sizeof ready->device, device);
        power_mode_read(info->platform, ready);
        driver_read(info->host, ready);
        firmware_read(info->bdf, ready);
}

bool device_info_is_npu1(const struct xrt_shim_info *info)
{
        /* As different versions of the driver call the same silicon. */
        static const char *const names[] = {"npu1", "Phoenix", "Hawk Point"};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                const char *found = strcasestr(info->name, names[i]);

                if (found && !isdigit((unsigned char)found[strlen(names[i])]))
                        return true;
        }
        return info->name[0] == '\0';
}
