#!/bin/bash
# SPDX-License-Identifier: MIT
#
# build.sh - builds the NPU's programs and a manifest with their hashes. `build.sh --help` says how.
#
# It has not been run with the real tools, which are in no package registry. tests/xclbin/build.sh runs all of it with
# tools that pretend. Written from mlir-aie's sources; of them it relies on this:
#   - aiecc is a program with the options of compile() below, and has ../include/aie_api beside it, or in
#     MLIR_AIE_INSTALL_DIR, which mlir-aie's own set-up sets;
#   - with --dump-intermediates it leaves a file *input_with_addresses.mlir: the design with channels and addresses;
#   - Peano lies in PEANO_INSTALL_DIR, which that sets too.
set -euo pipefail

# Why these: int8 matrix products of all sizes up to 512 were right on a Phoenix with this Peano and mlir-aie a few days
# before 1.3.2 (mlir-aie #2388, 2026-06-08). With Peano 21 and 22 several tiles in one buffer come out wrong (#3778).
readonly MLIR_AIE_VERSION=1.3.2
readonly PEANO_MAJOR=20 PEANO_VERSION=20.0.0.2026032001+0e7cfc0e

here=$(dirname "$(readlink -f "$0")")
readonly here manifest=$here/manifest.ini
readonly programs=(stream64 tile16)

usage() {
        cat <<END
usage: build.sh --out DIR [--any-peano] [--any-mlir-aie]
       build.sh --check   [--any-peano] [--any-mlir-aie]

Builds ${programs[*]} for the NPU and writes them to DIR, with a manifest.ini that has their hashes. DIR is
what the daemon is given. Nothing in DIR is touched until all has been built and checked.

Needs, on PATH: python3 with mlir-aie $MLIR_AIE_VERSION, its aiecc, xclbinutil (of XRT), b2sum; and Peano (llvm-aie)
$PEANO_VERSION in PEANO_INSTALL_DIR. It needs no NPU. Wheels are among the releases of Xilinx/mlir-aie
(v$MLIR_AIE_VERSION) and Xilinx/llvm-aie (nightly) on GitHub. The latter keeps a version only for a while; then Peano is
built from its commit, ${PEANO_VERSION#*+}.

  --out DIR        where to; made if it is not there
  --check          only look at the tools, and say what was found
  --any-peano      take any version of Peano. With 21 and 22 int8 products can be wrong (mlir-aie #3778): before
                   you use what they build, run the device test with four and more consecutive tiles
  --any-mlir-aie   take any version of mlir-aie, also one that was built from source
  -h, --help       this text

Exit code: 0 done; 1 something of the build failed; 2 wrong usage; 3 a tool is missing or of a wrong version.
END
}

say() {
        echo "build.sh: $1" >&2
}

fail() {
        say "$1"
        exit 1
}

# Of the tools all that is wrong is said, before the first is used.
n_bad_tools=0
bad_tool() {
        say "$1"
        n_bad_tools=$((n_bad_tools + 1))
}

# ---- tools ----

check_mlir_aie() {
        local version
        version=$(python3 -c '
from importlib import metadata
for name in ("mlir_aie", "mlir_aie_no_rtti"):
    try:
        print(metadata.version(name))
        break
    except metadata.PackageNotFoundError:
        pass') || version=
        if $any_mlir_aie; then
                version=${version:-of no known version}
        elif [ -z "$version" ]; then
                bad_tool "mlir-aie is not installed for python3; --help says where it is (or --any-mlir-aie)"
        elif [ "${version%%+*}" != $MLIR_AIE_VERSION ]; then
                bad_tool "mlir-aie is $version; the designs are written for $MLIR_AIE_VERSION (--any-mlir-aie tries it)"
        fi
        command -v aiecc >/dev/null || return 0
        aie_include=${MLIR_AIE_INSTALL_DIR:-$(dirname "$(dirname "$(readlink -f "$(command -v aiecc)")")")}/include
        [ -e "$aie_include/aie_api/aie.hpp" ] ||
                bad_tool "there is no aie_api/aie.hpp in $aie_include: set MLIR_AIE_INSTALL_DIR to mlir-aie's folder"
        echo "mlir-aie $version: $(command -v aiecc)"
}

check_peano() {
        local version
        peano=$(readlink -m "${PEANO_INSTALL_DIR:-}") || true
        if [ -z "$peano" ]; then
                bad_tool "PEANO_INSTALL_DIR is not set: it names the folder of Peano (llvm-aie) $PEANO_VERSION"
                return
        fi
        if [ ! -x "$peano/bin/clang++" ]; then
                bad_tool "there is no bin/clang++ in PEANO_INSTALL_DIR, $peano"
                return
        fi
        version=$("$peano/bin/clang++" --version | sed -n 's/.*clang version \([0-9][^ ]*\).*/\1/p' | head -n 1)
        echo "Peano ${version:-of no known version}: $peano"
        if $any_peano; then
                return
        fi
        case ${version%%.*} in
        "$PEANO_MAJOR") ;;
        21 | 22)
                bad_tool "Peano $version is refused: 21 and 22 can compile int8 products wrongly (mlir-aie #3778)"
                say "use Peano $PEANO_VERSION, or --any-peano and what --help says of it"
                ;;
        *) bad_tool "Peano is ${version:-of no known version}; use $PEANO_VERSION (--any-peano takes any)" ;;
        esac
}

check_tools() {
        local tool
        for tool in python3 aiecc xclbinutil b2sum; do
                command -v "$tool" >/dev/null || bad_tool "$tool is not on PATH"
        done
        if command -v python3 >/dev/null; then
                check_mlir_aie
        fi
        check_peano
        [ $n_bad_tools -eq 0 ] || exit 3
}

# ---- building ----

# The value of a key of a section of the source's manifest.
manifest_get() {
        awk -v section="[$1]" -v key="$2" '
                /^\[/ { here = $0 == section }
                here && $1 == key && $2 == "=" { sub(/^[^=]*= */, ""); print }' "$manifest"
}

# From here on everything is in $work/PROGRAM: the compiler finds kernels beside the design, and leaves much behind.
compile() {
        local program=$1 kernel
        kernel=$(manifest_get "$program" kernel)
        "$peano/bin/clang++" --target=aie2-none-unknown-elf -O2 -std=c++20 -DNDEBUG -Wno-macro-redefined \
                -I "$aie_include" -x c++ -c "$here/src/$program.c" -o "$program.o" ||
                fail "$program: Peano did not compile the kernel"
        python3 "$here/src/$program.py" >"$program.mlir" ||
                fail "$program: python3 did not build the design"
        aiecc --aie-generate-xclbin --xclbin-name="$program.xclbin" --xclbin-kernel-name="$kernel" --no-xchesscc \
                --no-xbridge --peano="$peano" --tmpdir=aiecc --dump-intermediates "$program.mlir" ||
                fail "$program: aiecc did not compile the design"
        [ -s "$program.xclbin" ] || fail "$program: aiecc ended well, but made no $program.xclbin"
}

# Reads a lowered design and prints the lanes' shim channels as the manifest writes them. A lane is
# "aie.shim_dma_allocation @LANE_shim_alloc(%s, DIRECTION, CHANNEL)" with "%s = aie.tile(COLUMN, 0)"; older versions
# have (DIRECTION, CHANNEL, COLUMN). Refuses a buffer that is not at a multiple of 32: the vector unit would load from
# beside it, without a word; and a design in which not every core has one that can be read here.
read_lowered() {
        python3 - "$1" <<'END'
import re
import sys

text = open(sys.argv[1], encoding="utf-8").read()
columns = dict(re.findall(r"(%\w+) = aie\.tile\((\d+), 0\)", text))
lanes = []
for lane, place in re.findall(r"aie\.shim_dma_allocation @(\w+?)(?:_shim_alloc)? ?\((.*?)\)", text):
    place = place.split(", ")
    if place[0].startswith("%"):
        place = place[1:] + [columns.get(place[0], "?")]
    direction, channel, column = place
    lanes.append(f"{lane}={column}:{direction}{channel}")
cores = set(re.findall(r"aie\.core\((%\w+)\)", text))
for tile, attributes, count in re.findall(r"aie\.buffer\((%\w+)\) \{(.*?)\} : memref<(\d+)x", text):
    cores.discard(tile)
    address = re.search(r"address = (\d+)", attributes)
    if int(count) >= 64 and (address is None or int(address[1]) % 32 != 0):
        sys.exit(f"a buffer is not at a multiple of 32: {attributes}")
if not lanes or cores:
    sys.exit(f"lanes {lanes}, and no buffer of cores {sorted(cores)}, can be found in it")
print("\n".join(lanes))
END
}

check_lowered() {
        local program=$1 lowered found expected
        mapfile -t lowered < <(find . -name '*input_with_addresses.mlir')
        [ ${#lowered[@]} -eq 1 ] || fail "$program: aiecc left ${#lowered[@]} lowered designs, not one"
        found=$(read_lowered "${lowered[0]}" | sort) || fail "$program: the lowered design is not as it must be"
        expected=$(manifest_get "$program" channels | tr ' ' '\n' | sort)
        if [ "$found" != "$expected" ]; then
                say "$program: the compiler gave the lanes other shim channels than the manifest has:"
                diff --label manifest.ini --label compiled -U 0 <(echo "$expected") <(echo "$found") >&2 || true
                exit 1
        fi
}

# Writes the program image in an xclbin: the one PDI of its one AIE partition. By XRT's xclbin.h a header of 456 B has
# the number of sections at 448. They follow, 40 B each: kind, offset at 24, size. A partition (kind 32) has the array
# of PDIs at 120: number, offset; a PDI has its image at 16: size, offset. Both offsets are from the partition's start.
write_image() {
        python3 - "$1" "$2" <<'END'
import struct
import sys

xclbin = open(sys.argv[1], "rb").read()
if xclbin[:8] != b"xclbin2\0" or len(xclbin) < 456:
    sys.exit("it is no xclbin")
partitions = []
for i in range(struct.unpack_from("<I", xclbin, 448)[0]):
    kind, offset, size = struct.unpack_from("<I20xQQ", xclbin, 456 + 40 * i)
    if kind == 32:
        partitions.append(xclbin[offset : offset + size])
if len(partitions) != 1:
    sys.exit(f"it has {len(partitions)} AIE partitions, not one")
count, pdis = struct.unpack_from("<II", partitions[0], 120)
if count != 1:
    sys.exit(f"it has {count} program images, not one")
size, offset = struct.unpack_from("<II", partitions[0], pdis + 16)
image = partitions[0][offset : offset + size]
if size == 0 or len(image) != size:
    sys.exit("its program image is cut off")
open(sys.argv[2], "wb").write(image)
END
}

hash_of() {
        local sum
        sum=$(b2sum -l 256 "$1")
        echo "${sum%% *}"
}

build() {
        local program=$1
        echo "== $program"
        mkdir "$work/$program"
        cd "$work/$program"
        compile "$program"
        check_lowered "$program"
        write_image "$program.xclbin" image.pdi || fail "$program: $program.xclbin is not as it must be"
        {
                echo "file = $program.xclbin"
                echo "blake2b = $(hash_of "$program.xclbin")"
                echo "pdi-blake2b = $(hash_of image.pdi)"
        } >added
        cd "$here"
}

# The manifest comes last, by one rename: before it, DIR has the old one, whose hashes refuse the new programs.
install_all() {
        local program
        mkdir -p "$out"
        staged=$(mktemp -d "$out/.build.XXXXXX")
        for program in "${programs[@]}"; do
                install -m 644 "$work/$program/$program.xclbin" "$staged/$program.xclbin"
        done
        awk -v work="$work" '
                { print }
                /^\[.*\]$/ {
                        file = work "/" substr($0, 2, length($0) - 2) "/added"
                        while ((getline line <file) > 0)
                                print line
                }' "$manifest" >"$staged/manifest.ini"
        chmod 644 "$staged/manifest.ini"
        for program in "${programs[@]}"; do
                mv -f "$staged/$program.xclbin" "$out/$program.xclbin"
        done
        mv -f "$staged/manifest.ini" "$out/manifest.ini"
}

# ---- options ----

out='' check_only=false any_peano=false any_mlir_aie=false peano='' aie_include=''
wrong_usage() {
        say "$1; --help says more"
        exit 2
}
while [ $# -gt 0 ]; do
        case $1 in
        --out)
                out=${2:-}
                [ -n "$out" ] || wrong_usage "--out needs a folder"
                shift
                ;;
        --out=?*) out=${1#--out=} ;;
        --check) check_only=true ;;
        --any-peano) any_peano=true ;;
        --any-mlir-aie) any_mlir_aie=true ;;
        -h | --help)
                usage
                exit 0
                ;;
        *) wrong_usage "there is no option '$1'" ;;
        esac
        shift
done
$check_only || [ -n "$out" ] || wrong_usage "there is nothing to do: --out DIR, or --check"

check_tools
if $check_only; then
        exit 0
fi
out=$(realpath -m "$out")
work='' staged=''
trap 'rm -rf ${work:+"$work"} ${staged:+"$staged"}' EXIT
work=$(mktemp -d)
for program in "${programs[@]}"; do
        build "$program"
done
install_all
echo "built: $out/manifest.ini"
