#!/bin/bash
# SPDX-License-Identifier: MIT
#
# units.sh STAGE PREFIX HEADER - the units installed below STAGE say what systemd understands, and what design and
# README.md promise. HEADER is npumm.h. Exit 77: there is no systemd-analyze.
set -euo pipefail
stage=${1:?usage: units.sh STAGE PREFIX HEADER} prefix=${2:?} header=${3:?}

if ! command -v systemd-analyze >/dev/null; then
        echo "skipped: there is no systemd-analyze"
        exit 77
fi
failed=0
fail() {
        echo "$1" >&2
        failed=1
}

# Copies whose ExecStart= points into the stage: systemd wants to see the program.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$stage$prefix"/lib/systemd/system/npumatmuld.{service,socket} "$work"
sed -i "s#^ExecStart=#ExecStart=$stage#" "$work/npumatmuld.service"

# It exits with 0 whatever it finds, so any line is a finding.
verify() {
        systemd-analyze verify --man=no "$1/npumatmuld.service" "$1/npumatmuld.socket" 2>&1
}
findings=$(verify "$work") || fail "systemd-analyze verify failed"
[ -z "$findings" ] || fail "$findings"

# The same with a line that no systemd knows: were that accepted, the check above would mean nothing.
mkdir "$work/bad"
cp "$work"/npumatmuld.* "$work/bad"
sed -i 's/^Type=.*/&\nNoSuchSetting=yes/' "$work/bad/npumatmuld.service"
[[ $(verify "$work/bad") == *NoSuchSetting* ]] || fail "systemd-analyze verify does not find an unknown setting"

# must SETTING VALUE UNIT: the last word of the unit on SETTING; an empty VALUE: it is not set at all.
must() {
        local value
        value=$(sed -n "s/^$1=//p" "$work/$3" | tail -n 1)
        [ "$value" = "$2" ] || fail "$3: $1= must be '$2', is '$value'"
}
must Type notify npumatmuld.service
must PrivateUsers no npumatmuld.service      # else every client is uid 65534
must PrivateDevices '' npumatmuld.service    # hides the NPU
must RuntimeDirectory '' npumatmuld.service  # would delete the socket at service stop
must SocketGroup npumatmul npumatmuld.socket
must SocketMode 0660 npumatmuld.socket
must DirectoryMode 0755 npumatmuld.socket
must ListenStream "$(sed -n 's/^#define NPUMM_SOCKET_DEFAULT "\(.*\)"/\1/p' "$header")" npumatmuld.socket

# The unit's limits leave room for the daemon's own, which act first.
unit() {
        sed -n "s/^$1=//p" "$work/npumatmuld.service"
}
default() {
        "$stage$prefix/sbin/npumatmuld" --check-config | sed -n "s/^#*$1 = //p"
}
[ "$(unit MemoryMax | numfmt --from=iec)" -gt "$(default bytes | numfmt --from=iec)" ] ||
        fail "MemoryMax=$(unit MemoryMax) is not above the daemon's bytes = $(default bytes)"
[ "$(systemd-analyze timespan "$(unit TimeoutStopSec)" | sed -n 's/.*μs: //p')" -gt "$(default drain-timeout-ms)000" ] ||
        fail "TimeoutStopSec=$(unit TimeoutStopSec) is not above drain-timeout-ms = $(default drain-timeout-ms)"

# Exposure 0 (none) to 10; in tenths here. Measured: 0.9 on systemd 252, 0.8 on 257.
systemd-analyze security --offline=true --no-pager --threshold=12 "$work/npumatmuld.service" >"$work/security" ||
        fail "$(grep -v '✓' "$work/security")"
tail -n 1 "$work/security"
exit $failed
