/* SPDX-License-Identifier: MIT */
/*
 * device-info.h - what the device says about itself, in the words of READY.
 *
 * Role:   picks name, versions and power mode out of what XRT gives, and of sysfs. Unknown stays empty: forms of this
 *         text change between versions, and nothing depends on it.
 * Thread: main.
 */
#ifndef DAEMON_XRT_DEVICE_INFO_H
#define DAEMON_XRT_DEVICE_INFO_H

#include "daemon/xrt/wire.h"
#include "daemon/xrt/xrt-shim.h"

/* Fills in device, driver, firmware and power_mode. */
void device_info_read(const struct xrt_shim_info *info, struct wire_ready *ready);

/* Whether it is of the generation npu1, by its name. One without a name is let pass: the self-test judges. */
bool device_info_is_npu1(const struct xrt_shim_info *info);

#endif
