/* SPDX-License-Identifier: MIT */
/* test-device-sim.c - the model of an NPU keeps the contract of device.h. */
#include "tests/device/conformance.h"

int main(void)
{
        return device_conformance("sim");
}
