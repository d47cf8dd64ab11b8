#!/bin/bash
# SPDX-License-Identifier: MIT
#
# boot.sh STAGE PREFIX - boots a throw-away systemd as PID 1 of a container and runs boot-checks.sh in it.
#
# The container's files are this machine's own root, with the tree installed below STAGE laid over it; whatever is
# written goes to a tmpfs and is gone afterwards. Exit 77: not root, no systemd-nspawn, or it cannot boot here even
# without our files.
set -euo pipefail
stage=${1:?usage: boot.sh STAGE PREFIX} prefix=${2:?}
here=$(dirname "$(readlink -f "$0")")

skip() {
        echo "skipped: $1"
        exit 77
}
[ "$(id -u)" -eq 0 ] || skip "only root can boot a container"
command -v systemd-nspawn >/dev/null || skip "there is no systemd-nspawn (package systemd-container)"

# All mounts are made in a mount namespace of our own, and so vanish with us however this ends.
if [ $# -eq 2 ]; then
        work=$(mktemp -d /tmp/npumm-boot.XXXXXX)
        trap 'rm -rf "$work"' EXIT
        namespace=(unshare --mount --propagation private)
        "${namespace[@]}" true 2>/dev/null || skip "cannot make a mount namespace: not allowed, or in a chroot"
        "${namespace[@]}" "$0" "$stage" "$prefix" "$work"
        exit
fi
work=$3
umask 022
mkdir "$work/memory"
mount -t tmpfs -o size=1g,mode=0755 tmpfs "$work/memory" 2>/dev/null || skip "not allowed to mount a tmpfs"

# prepare NAME: $work/NAME/root is a root of its own, which boots into the script /npumm-boot there and then stops.
prepare() {
        local name=$1 root=$work/$1/root
        mkdir -p "$work/memory/$name/"{upper,work} "$work/$name/"{root,out}
        mount -t overlay overlay "$root" \
                -o "lowerdir=/,upperdir=$work/memory/$name/upper,workdir=$work/memory/$name/work" 2>/dev/null ||
                skip "not allowed to mount an overlay of /"
        cat >"$root/etc/systemd/system/npumm-boot.target" <<'UNIT'
[Unit]
Requires=npumm-boot.service
AllowIsolate=yes
UNIT
        cat >"$root/etc/systemd/system/npumm-boot.service" <<'UNIT'
[Unit]
DefaultDependencies=no
Wants=sysinit.target
After=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/npumm-boot >/out/log 2>&1; echo $$? >/out/result; systemctl exit 0'
UNIT
}

# boot NAME: its script's exit status is in $work/NAME/out/result, unless it never came to run.
boot() {
        local name=$1 unit=()
        # Where systemd is PID 1 the container gets a scope of its own; elsewhere there is nobody to ask for one.
        [ -d /run/systemd/system ] || unit=(--keep-unit)
        timeout -k 10 120 systemd-nspawn -q -D "$work/$name/root" -M "npumm-$name-$$" --register=no "${unit[@]}" \
                --private-network --link-journal=no --resolv-conf=off --timezone=off --console=pipe \
                --bind="$work/$name/out:/out" -b systemd.unit=npumm-boot.target \
                </dev/null >"$work/$name/console" 2>&1 || true
}

prepare checks
cp -a "$stage/." "$work/checks/root/"
install -m 755 "$here/boot-checks.sh" "$work/checks/root/npumm-boot"
echo "PATH=$prefix/sbin:$prefix/bin:/usr/sbin:/usr/bin:/sbin:/bin" >"$work/checks/root/npumm-boot.env"
boot checks
if [ ! -e "$work/checks/out/log" ]; then
        prepare control
        install -m 755 /bin/true "$work/control/root/npumm-boot"
        boot control
        if [ ! -e "$work/control/out/result" ]; then
                tail -n 20 "$work/control/console"
                skip "systemd-nspawn cannot boot this machine's root"
        fi
        tail -n 20 "$work/checks/console"
        echo "boots, but not with npumatmuld installed" >&2
        exit 1
fi
cat "$work/checks/out/log"
if [ ! -e "$work/checks/out/result" ]; then
        echo "the checks did not end within 120 s" >&2
        exit 1
fi
exit "$(cat "$work/checks/out/result")"
