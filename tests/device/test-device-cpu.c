/* SPDX-License-Identifier: MIT */
/* test-device-cpu.c - the CPU keeps the contract of device.h. */
#include "tests/device/conformance.h"

int main(void)
{
        return device_conformance("cpu");
}
