/* SPDX-License-Identifier: MIT */
/* devices.h - the devices there are, for device.c's table. */
#ifndef DAEMON_DEVICE_DEVICES_H
#define DAEMON_DEVICE_DEVICES_H

#include "daemon/device.h"

extern const struct device_ops cpu_device_ops;
extern const struct device_ops sim_device_ops;
extern const struct device_ops xrt_device_ops;

#endif
