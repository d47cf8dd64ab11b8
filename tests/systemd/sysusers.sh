#!/bin/bash
# SPDX-License-Identifier: MIT
#
# sysusers.sh STAGE PREFIX - the user and groups that STAGE's sysusers file makes in an empty system. Exit 77: there
# is no systemd-sysusers.
set -euo pipefail
stage=${1:?usage: sysusers.sh STAGE PREFIX} prefix=${2:?}

if ! command -v systemd-sysusers >/dev/null; then
        echo "skipped: there is no systemd-sysusers"
        exit 77
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root/etc"

make_users() {
        systemd-sysusers --root="$root" "$stage$prefix/lib/sysusers.d/npumatmuld.conf"
        cat "$root"/etc/{passwd,group}
}
first=$(make_users 2>&1)
echo "$first"
grep -qE '^npumatmul:x:[0-9]+:[0-9]+:[^:]*:/:.*/nologin$' "$root/etc/passwd" # no login, no home
grep -qE '^npumatmul:x:[0-9]+:$' "$root/etc/group"                             # nobody may connect yet
grep -qE '^render:x:[0-9]+:npumatmul$' "$root/etc/group"                       # may open /dev/accel

# At every boot and upgrade again: says and changes nothing.
second=$(make_users 2>&1)
[ "$second" = "$(cat "$root"/etc/{passwd,group})" ]
