#!/bin/bash
# SPDX-License-Identifier: MIT
#
# boot-checks.sh - what an administrator sees of the installed units. Runs as root in the container of boot.sh.
set -euo pipefail
set -a
# shellcheck source=/dev/null
. /npumm-boot.env
set +a

service=npumatmuld.service
socket=npumatmuld.socket
path=/run/npumatmul/npumatmul.sock
work=$(mktemp -d)
chmod 777 "$work"

step() {
        echo "== $1"
}
fail() {
        echo "FAILED: $1" >&2
        systemctl --no-pager status $service $socket >&2 || true
        journalctl -b --no-pager -u $service -u $socket -n 40 >&2 || true
        exit 1
}
is() {
        [ "$2" = "$3" ] || fail "$1: expected '$3', found '$2'"
}
property() {
        systemctl show -P "$1" $service
}
# await SECONDS WHAT COMMAND...: until COMMAND succeeds.
await() {
        local end=$((SECONDS + $1)) what=$2
        shift 2
        until "$@"; do
                [ $SECONDS -lt $end ] || fail "still not after its time: $what"
                sleep 0.05
        done
}
member() {
        setpriv --reuid=12001 --regid=12001 --groups="$(getent group npumatmul | cut -d: -f3)" -- "$@"
}
stranger() {
        setpriv --reuid=12002 --regid=12002 --clear-groups -- "$@"
}

step "user, groups and socket, as README.md says"
ldconfig
systemd-sysusers npumatmuld.conf
systemctl daemon-reload
systemctl enable --now $socket
is "socket unit" "$(systemctl is-active $socket)" active
is "service before any client" "$(systemctl is-active $service || true)" inactive
is "owner and mode of the socket" "$(stat -c '%U:%G %a' $path)" "root:npumatmul 660"
is "mode of its folder" "$(stat -c %a ${path%/*})" 755

step "the first connection starts the service"
member npumm-client ping || fail "ping by a member of the group"
is "service" "$(property ActiveState)/$(property SubState)" active/running
pid=$(property MainPID)
is "user of the daemon" "$(stat -c %U "/proc/$pid")" npumatmul
is "capabilities of the daemon" "$(sed -n 's/^CapEff:\t//p' "/proc/$pid/status")" 0000000000000000
member npumm-client status --json >"$work/status" || fail "status by a member of the group"
python3 - "$work/status" <<'PYTHON' || fail "status --json"
import json, sys
status = json.load(open(sys.argv[1]))
print(status["backend"], status["device_state"])
PYTHON

step "exact products from the hardened daemon"
python3 - "$work" make <<'PYTHON'
import sys, numpy
draw = numpy.random.default_rng(1)
for name, shape in (("a", (100, 300)), ("b", (300, 70))):
    numpy.save(f"{sys.argv[1]}/{name}.npy", draw.integers(-128, 128, shape, numpy.int8))
PYTHON
for how in arena inline; do
        flags=()
        [ $how = arena ] || flags=(--inline)
        member npumm-client matmul "$work/a.npy" "$work/b.npy" -o "$work/$how.npy" "${flags[@]}" || fail "matmul, $how"
        python3 - "$work" $how <<'PYTHON' || fail "product, $how"
import sys, numpy
a, b, c = (numpy.load(f"{sys.argv[1]}/{name}.npy").astype(numpy.int64) for name in ("a", "b", sys.argv[2]))
assert c.shape == (100, 70) and (c == a @ b).all()
PYTHON
done

step "a stranger is refused, and told so"
rc=0
stranger npumm-client ping >"$work/stranger" 2>&1 || rc=$?
cat "$work/stranger"
is "exit status of the stranger's client" $rc 3
grep -qi "permission denied" "$work/stranger" || fail "the stranger is not told why"
grep -qE 'group .*npumatmul' "$work/stranger" || fail "the stranger is not told what would help"

step "a stop is clean and leaves the socket"
inode=$(stat -c %i $path)
systemctl stop $service
is "result" "$(property Result)/$(property ExecMainCode)/$(property ExecMainStatus)" success/1/0
is "socket unit" "$(systemctl is-active $socket)" active
is "the socket" "$(stat -c '%F %i' $path)" "socket $inode"
member npumm-client ping || fail "ping after a stop"
is "service after the next client" "$(property ActiveState)" active

step "the daemon met nothing that it may not do"
is "errors" "$(journalctl -b -q --no-pager -o cat -p err _COMM=npumatmuld)" ""

step "the watchdog replaces a daemon that hangs"
mkdir -p /run/systemd/system/$service.d
printf '[Service]\nWatchdogSec=1s\n' >/run/systemd/system/$service.d/watchdog.conf
systemctl daemon-reload
systemctl restart $service
pid=$(property MainPID)
kill -STOP "$pid"
replaced() {
        [ "$(property MainPID)" != "$pid" ] && [ "$(property ActiveState)/$(property SubState)" = active/running ]
}
await 30 "a new daemon" replaced
is "restarts" "$(property NRestarts)" 1
[[ $(journalctl -b -q --no-pager -o cat -u $service) == *"Watchdog timeout"* ]] || fail "it was not the watchdog"
member npumm-client ping || fail "ping after the watchdog"

step "a stop of both units takes the socket away"
systemctl stop $socket $service
[ ! -e $path ] || fail "$path is still there"
echo "all checks passed"
