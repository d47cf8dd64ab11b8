#!/bin/bash
# SPDX-License-Identifier: MIT
#
# build.sh - builds xclbins that emulated NPUs know, and a manifest with their hashes: build.sh XCLBINUTIL MANIFEST OUT.
# MANIFEST is the source's, xclbin/manifest.ini. An xclbin has the structure of a real one, and a text for an image.
set -euo pipefail

xclbinutil=$1 manifest=$2 out=$3
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

hash_of() {
        local sum
        sum=$(b2sum -l 256 "$1")
        echo "${sum%% *}"
}

mkdir -p "$out"
cd "$work"
for program in stream64 tile16; do
        cp "$here/$program.pdi" .
        sed "s/@program@/$program/" "$here/aie_partition.json" >aie_partition.json
        "$xclbinutil" --add-replace-section "MEM_TOPOLOGY:JSON:$here/mem_topology.json" \
                --add-kernel "$here/kernels.json" --add-replace-section AIE_PARTITION:JSON:aie_partition.json \
                --force --output "$program.xclbin" >xclbinutil.log 2>&1 || {
                cat xclbinutil.log >&2
                exit 1
        }
        {
                echo "file = $program.xclbin"
                echo "blake2b = $(hash_of "$program.xclbin")"
                echo "pdi-blake2b = $(hash_of "$program.pdi")"
        } >"$program.added"
done
awk '
        { print }
        /^\[.*\]$/ {
                file = substr($0, 2, length($0) - 2) ".added"
                while ((getline line <file) > 0)
                        print line
        }' "$manifest" >manifest.ini
mv -f ./*.xclbin "$out"
mv -f manifest.ini "$out" # last: before it, the old one's hashes refuse the new programs
