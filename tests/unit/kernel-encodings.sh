#!/bin/bash
# SPDX-License-Identifier: MIT
#
# kernel-encodings.sh LIBRARY - kernels use what they are named after, and nothing beyond it: a CPU without
# AVX-512 runs all but one of them.
set -euo pipefail
library=$(realpath "${1:?usage: kernel-encodings.sh LIBRARY}")
[[ $(objdump --version 2>&1) == *"GNU objdump"* ]] || { echo "skipped: no objdump of GNU binutils"; exit 77; }

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
        objdump -d --insn-width=16 "$work/$1.c.o" | grep -cE "^ +[0-9a-f]+:	$2" || true
}

# is NAME NUMBER none|some: of that there must be as much.
is() {
        if [ "$3" = none ] && [ "$2" -gt 0 ]; then
                fail "$object: $2 $1, where there must be none"
        elif [ "$3" = some ] && [ "$2" -eq 0 ]; then
                fail "$object: no $1"
        fi
}

# What it is, and how much there must be of VEX, EVEX and the dot product.
while read -r object vex evex dots; do
        is VEX "$(count "$object" 'c[45] ')" "$vex"
        is EVEX "$(count "$object" '62 ')" "$evex"
        is vpdpbusd "$(count "$object" '.*vpdpbusd')" "$dots"
        echo "$object: $vex VEX, $evex EVEX, $dots vpdpbusd"
done <<'END'
kernel none none none
plan none none none
work none none none
tile none none none
portable none none none
avx2 some none none
avx-vnni some none some
avx512-vnni some some some
END
exit $failed
