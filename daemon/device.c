/* SPDX-License-Identifier: MIT */
/* device.c - see device.h. The registry: which devices there are, and which one "auto" takes. */
#include "daemon/device.h"

#include "daemon/device/devices.h"

/* In order of preference. A device that this build lacks stands here with its reason, so that asking for it by
 * name gets a clear answer. */
static const struct registered {
        const char *name;
        const struct device_ops *ops; /* NULL: not in this build */
        const char *missing_reason;
        bool is_automatic; /* may be taken by "auto" */
} registry[] = {
        {"xrt", &xrt_device_ops, NULL, true},
        {"cpu", &cpu_device_ops, NULL, true},
        {"sim", &sim_device_ops, NULL, false},
};

const char *const device_state_names[] = {
        [DEVICE_OK] = "ok",         [DEVICE_RECOVERING] = "recovering", [DEVICE_DEGRADED] = "degraded",
        [DEVICE_FAILED] = "failed", [DEVICE_STATE_MAX] = NULL,
};

const char *const device_names[] = {"auto", "cpu", "sim", "xrt", NULL};

static int registered_open(const struct registered *registered, uv_loop_t *loop, struct timeline *timeline,
                           const struct device_settings *settings, const struct device_events *events,
                           void *userdata, struct device **ret_device, const char **ret_reason)
{
        if (!registered->ops) {
                *ret_reason = registered->missing_reason;
                return DEVICE_E_ABSENT;
        }
        return registered->ops->open(loop, timeline, settings, events, userdata, ret_device, ret_reason);
}

int device_open(const char *name, uv_loop_t *loop, struct timeline *timeline,
                const struct device_settings *settings, const struct device_events *events, void *userdata,
                struct device **ret_device, const char **ret_reason)
{
        const bool is_auto = strcmp(name, "auto") == 0;
        struct device_settings known = *settings;
        const char *first_reason = NULL;
        int r = DEVICE_E_UNKNOWN;

        *ret_reason = NULL;
        known.is_automatic = is_auto;
        for (size_t i = 0; i < ARRAY_SIZE(registry); i++) {
                const char *reason = NULL;

                if (is_auto ? !registry[i].is_automatic : strcmp(name, registry[i].name) != 0)
                        continue;
                r = registered_open(&registry[i], loop, timeline, &known, events, userdata, ret_device,
                                    &reason);
                if (!first_reason)
                        first_reason = reason;
                if (r == 0 || !is_auto)
                        break;
        }
        *ret_reason = first_reason;
        return r;
}
