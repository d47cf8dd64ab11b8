#!/bin/bash
# SPDX-License-Identifier: MIT
#
# rules.sh STAGE PREFIX - udev understands the rule installed below STAGE. Exit 77: there is no udevadm that can tell.
set -euo pipefail
stage=${1:?usage: rules.sh STAGE PREFIX} prefix=${2:?}

# `udevadm verify` came with systemd 254.
if ! command -v udevadm >/dev/null || ! udevadm verify --help >/dev/null 2>&1; then
        echo "skipped: there is no 'udevadm verify'"
        exit 77
fi
udevadm verify --resolve-names=never "$stage$prefix/lib/udev/rules.d/70-npumatmul.rules"
