/* SPDX-License-Identifier: MIT */
/* xrt-cause.c - see xrt-cause.h. */
#include "daemon/device/xrt-cause.h"

/* For what only a driver or firmware that is broken does. */
#define RELOAD                                                                                               \
        "if it stays so, reload the driver (modprobe -r amdxdna; modprobe amdxdna), or reboot; compare the " \
        "versions of driver, firmware and XRT (xrt-smi examine)"

static const struct xrt_cause_info infos[WIRE_CAUSE_MAX] = {
        [WIRE_CAUSE_NONE] = {"none", "nothing is wrong", "", XRT_PASSING},
        [WIRE_CAUSE_MEMLOCK] = {"memlock", "too little memory may be locked",
                                "set LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited", XRT_GRAVE},
        [WIRE_CAUSE_PERMISSION] = {"permission", "the NPU may not be opened",
                                   "add the daemon's user to the group of /dev/accel/accel0 (render)",
                                   XRT_GRAVE},
        [WIRE_CAUSE_ABSENT] =
                {"absent", "there is no NPU, or no driver for it",
                 "load amdxdna (Linux 6.14 or newer), and look for its errors in dmesg: it needs "
                 "the IOMMU (no amd_iommu=off) and firmware that fits",
                 XRT_LASTING},
        [WIRE_CAUSE_PROGRAM] = {"program", "the NPU's program cannot be used",
                                "build it with xclbin/build.sh and install it", XRT_GRAVE},
        [WIRE_CAUSE_CONTEXT] =
                {"context", "the NPU grants no hardware context",
                 "end other programs that use it (6 contexts are all that Phoenix has); " RELOAD,
                 XRT_LASTING},
        [WIRE_CAUSE_MEMORY] = {"memory", "memory is short", "free some, or lower npu-weights-bytes",
                               XRT_LASTING},
        [WIRE_CAUSE_OPEN] = {"open", "the NPU cannot be opened", RELOAD, XRT_LASTING},
        [WIRE_CAUSE_ERROR] = {"error", "a command failed", RELOAD, XRT_PASSING},
        [WIRE_CAUSE_ABORT] = {"abort", "a command was aborted", RELOAD, XRT_PASSING},
        [WIRE_CAUSE_TIMEOUT] = {"timeout", "the driver gave a command up", RELOAD, XRT_PASSING},
        [WIRE_CAUSE_HUNG] = {"hung", "a command did not end", RELOAD, XRT_PASSING},
        [WIRE_CAUSE_GONE] = {"gone", "the NPU was taken away", "load amdxdna again", XRT_LASTING},
        [WIRE_CAUSE_LOST] = {"lost", "the hardware context was lost", RELOAD, XRT_PASSING},
        [WIRE_CAUSE_WRONG] =
                {"wrong", "the NPU computed wrong results",
                 "do not use it until driver and firmware are known to be right; no wrong result "
                 "that was found has reached a client",
                 XRT_LASTING},
        [WIRE_CAUSE_STREAM] = {"stream", "an instruction stream was refused before it was run",
                               "this is a fault of npumatmuld: report it", XRT_LASTING},
        [WIRE_CAUSE_WORKER] = {"worker", "the worker npumatmuld-xrt failed", "look into the log",
                               XRT_PASSING},
        [WIRE_CAUSE_BUILD] = {"build", "daemon and worker are of different builds",
                              "restart npumatmuld: it seems to have been upgraded while it ran", XRT_GRAVE},
        [WIRE_CAUSE_SILENT] = {"silent", "the worker npumatmuld-xrt does not answer", RELOAD, XRT_PASSING},
};

const struct xrt_cause_info *xrt_cause_info(enum wire_cause cause)
{
        return &infos[(unsigned)cause < WIRE_CAUSE_MAX ? cause : WIRE_CAUSE_WORKER];
}
