/* SPDX-License-Identifier: MIT */
/* test-device-xrt.c - the NPU behind its worker process keeps the contract of device.h. */
#include "tests/device/conformance.h"

int main(void)
{
        return device_conformance("xrt");
}
