#!/bin/bash
# SPDX-License-Identifier: MIT
#
# kernel-encodings.sh OBJDUMP LIBRARY - kernels use what they are named after, and nothing beyond it: a CPU without
# AVX-512 runs all but one of them.
set -euo pipefail
objdump=${1:?usage: kernel-encodings.sh OBJDUMP LIBRARY} library=${2:?usage: kernel-encodings.sh OBJDUMP LIBRARY}
[ -x "$objdump" ] || { echo "skipped: no objdump"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && ar x "$library")

failed=0
fail() {
        echo "$1" >&2
        failed=1
}
# Instructions: address, bytes, text. An EVEX prefix is 62; a VEX one c4 or c5.
count() {
        "$objdump" -d --insn-width=16 "$work/$1.c.o" | grep -cE "^ +[0-9a-f]+:	$2" || true
}

for object in kernel plan work tile portable avx2 avx-vnni avx512-vnni; do
        evex=$(count $object '62 ') vex=$(count $object 'c[45] ') dots=$(count $object '.*vpdpbusd')
        echo "$object: $vex VEX, $evex EVEX, $dots vpdpbusd"
        case $object in
        avx512-vnni) [ "$evex" -gt 0 ] && [ "$dots" -gt 0 ] || fail "$object: not what it is named after" ;;
        avx-vnni)
                [ "$evex" -eq 0 ] || fail "$object: has instructions of AVX-512"
                [ "$dots" -gt 0 ] || fail "$object: not what it is named after"
                [ "$(count $object 'c4 .*vpdpbusd')" -eq "$dots" ] || fail "$object: a vpdpbusd not in VEX"
                ;;
        avx2) [ "$evex" -eq 0 ] && [ "$vex" -gt 0 ] && [ "$dots" -eq 0 ] || fail "$object: not AVX2 alone" ;;
        *) [ "$evex" -eq 0 ] && [ "$vex" -eq 0 ] || fail "$object: not for any CPU" ;;
        esac
done
exit $failed
