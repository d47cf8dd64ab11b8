#!/bin/bash
# SPDX-License-Identifier: MIT
#
# build.sh ROOT - xclbin/build.sh, with tools that pretend: Peano writes down how it was called, mlir-aie is the
# recorder of fake/python, aiecc gives channels out in the order of the object FIFOs and wraps an image in an xclbin.
# Exit 77: there is no b2sum.
set -euo pipefail
root=$(readlink -f "${1:?usage: build.sh ROOT}")
fake=$root/tests/xclbin/fake

if ! command -v b2sum >/dev/null; then
        echo "skipped: there is no b2sum"
        exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
        echo "$1" >&2
        if [ -e "$work/log" ]; then
                sed 's/^/  | /' "$work/log" >&2
        fi
        exit 1
}

# ---- tools that pretend; FAKE_* in the environment says how ----

install_tools() {
        mkdir -p "$work"/mlir_aie/{bin,include/aie_api} "$work"/{peano/bin,xrt,python/mlir_aie-0.dist-info,tmp}
        touch "$work/mlir_aie/include/aie_api/aie.hpp"
        cp -r "$fake/python/aie" "$work/python/"
        set_mlir_aie 1.3.2

        cat >"$work/peano/bin/clang++" <<'END'
#!/bin/bash
if [ "$1" = --version ]; then
        echo "clang version ${FAKE_PEANO-20.0.0} (https://github.com/Xilinx/llvm-aie 0e7cfc0e)"
        exit
fi
[ -z "${FAKE_PEANO_FAILS-}" ] || exit 9
echo "$*" >"${!#}"
END
        cat >"$work/xrt/xclbinutil" <<'END'
#!/bin/bash
END
        cat >"$work/mlir_aie/bin/aiecc" <<'END'
#!/usr/bin/env python3
import os
import pathlib
import struct
import sys

options = dict(option.lstrip("-").partition("=")[::2] for option in sys.argv[1:-1])
fake = {key[5:]: value for key, value in os.environ.items() if key.startswith("FAKE_")}
if "AIECC_FAILS" in fake:
    sys.exit("the design is refused")
design = sys.argv[-1]
program = design.removesuffix(".mlir")
kernel = pathlib.Path(f"{program}.o").read_bytes()
lines, used = ["module {"], {}
for column in range(4):
    lines.append(f"%shim_noc_tile_{column}_0 = aie.tile({column}, 0)" + " {controller_id = 1}" * column)
fifos = [line.split()[1:] for line in open(design) if line.startswith("aie.objectfifo")]
if "CHANNELS" in fake:
    fifos.reverse()
for name, _, _, producer, *consumers in fifos:
    for tile, direction in ((producer, "MM2S"), (consumers[0], "S2MM")):
        column, row = tile.split(",")
        if row == "0":
            channel = used[tile, direction] = used.get((tile, direction), -1) + 1
            place = f"%shim_noc_tile_{column}_0, {direction}, {channel}"
            if "OLD" in fake:
                place = f"{direction}, {channel}, {column}"
            lines.append(f"aie.shim_dma_allocation @{name}_shim_alloc({place})")
address = fake.get("ADDRESS", "3328")
lines.append(f'%a = aie.buffer(%tile_0_2) {{address = {address} : i32, sym_name = "a"}} : memref<1040xi32>')
lines.append('%i = aie.buffer(%tile_0_2) {address = 52610 : i32, sym_name = "i"} : memref<3xi32>')
lowered = pathlib.Path(options["tmpdir"])
lowered.mkdir()
if "dump-intermediates" in options:
    (lowered / "main_input_with_addresses.mlir").write_text("\n".join(lines) + "\n")

image = b"image of " + kernel
pdi = struct.pack("<16x4I64x", len(image), 184 + 96, 0, 0)
partition = struct.pack("<120xII56x", 1, 184) + pdi + image
if "CUT" in fake:
    partition = partition[:-1]
memory = b"memory topology"
sections = [(6, memory), (32, partition)][: 1 if "NO_PARTITION" in fake else 2]
header, body = b"", b""
for kind, content in sections:
    header += struct.pack("<I16x4xQQ", kind, 456 + 40 * len(sections) + len(body), len(content))
    body += content
xclbin = struct.pack("<8s440xI4x", b"xclbin2", len(sections)) + header + body
if "NO_XCLBIN" not in fake:
    pathlib.Path(options["xclbin-name"]).write_bytes(xclbin)
pathlib.Path(os.environ["WORK"], f"{program}.pdi").write_bytes(image)
with open(os.environ["WORK"] + "/calls", "a") as calls:
    print(program, *sys.argv[1:], file=calls)
END
        chmod +x "$work"/{peano/bin/clang++,xrt/xclbinutil,mlir_aie/bin/aiecc}
}

set_mlir_aie() {
        printf 'Metadata-Version: 2.1\nName: mlir_aie\nVersion: %s\n' "$1" >"$work/python/mlir_aie-0.dist-info/METADATA"
}

# run EXPECTED-EXIT-CODE ARGUMENT..: what it says is in $work/log. Assignments before its name are for the tools.
run() {
        local expected=$1 code=0
        shift
        rm -f "$work/calls"
        WORK=$work TMPDIR=$work/tmp PYTHONPATH=$work/python PYTHONDONTWRITEBYTECODE=1 \
                PEANO_INSTALL_DIR=${PEANO-$work/peano} MLIR_AIE_INSTALL_DIR=${MLIR_AIE-} \
                PATH=${TOOLS-$work/mlir_aie/bin:$work/xrt:$PATH} \
                "$root/xclbin/build.sh" "$@" >"$work/log" 2>&1 || code=$?
        [ $code -eq "$expected" ] || fail "build.sh $*: exit code $code, not $expected"
        [ -z "$(ls -A "$work/tmp")" ] || fail "build.sh $*: left $(ls "$work/tmp") behind"
}

says() {
        grep -qF -- "$1" "$work/log" || fail "it does not say '$1'"
}

# No program was built: $work/out is as it was before.
untouched() {
        [ "$(cat "$work/out/manifest.ini")" = before ] || fail "the manifest was written"
        [ "$(ls -A "$work/out")" = manifest.ini ] || fail "something else was written: $(ls -A "$work/out")"
}

fresh_out() {
        rm -rf "$work/out"
        mkdir "$work/out"
        echo before >"$work/out/manifest.ini"
}

install_tools

echo "== usage"
run 0 --help
says "usage: build.sh --out DIR"
run 2
says "--out DIR"
run 2 --out
says "--out needs a folder"
run 2 --out=
run 2 --out "$work/out" surplus
says "'surplus'"

echo "== tools"
run 0 --check
says "mlir-aie 1.3.2: $work/mlir_aie/bin/aiecc"
says "Peano 20.0.0: $work/peano"
[ ! -e "$work/calls" ] || fail "--check built something"
for tool in mlir_aie/bin/aiecc xrt/xclbinutil peano/bin/clang++; do
        mv "$work/$tool" "$work/away"
        run 3 --check
        says "${tool##*/}"
        mv "$work/away" "$work/$tool"
done
PEANO='' run 3 --check
says "PEANO_INSTALL_DIR is not set"
mv "$work/mlir_aie/include/aie_api/aie.hpp" "$work/away"
run 3 --check
says "there is no aie_api/aie.hpp"
mkdir -p "$work/elsewhere/include/aie_api"
mv "$work/away" "$work/elsewhere/include/aie_api/aie.hpp"
MLIR_AIE=$work/elsewhere run 0 --check
mv "$work/elsewhere/include/aie_api/aie.hpp" "$work/mlir_aie/include/aie_api/aie.hpp"

# All that is wrong is said at once, also without python3.
mkdir "$work/few"
for tool in bash readlink dirname sed head cat; do
        ln -s "$(command -v $tool)" "$work/few/$tool"
done
PEANO=$work TOOLS=$work/few run 3 --check
for what in "python3 is not" "aiecc is not" "xclbinutil is not" "b2sum is not" "no bin/clang++"; do
        says "$what"
done

echo "== versions"
fresh_out
for version in 1.3.1 1.3.20 1.4.0 1.3.2.dev115+g2401e53; do
        set_mlir_aie $version
        run 3 --out "$work/out"
        says "mlir-aie is $version"
        untouched
        run 0 --check --any-mlir-aie
        says "mlir-aie $version"
done
set_mlir_aie 1.3.2+no.rtti
run 0 --check
mv "$work/python/mlir_aie-0.dist-info" "$work/away"
run 3 --check
says "mlir-aie is not installed"
run 0 --check --any-mlir-aie
mv "$work/away" "$work/python/mlir_aie-0.dist-info"
set_mlir_aie 1.3.2
for version in 21.0.0 22.0.0 22.1.8; do
        FAKE_PEANO=$version run 3 --out "$work/out"
        says "Peano $version is refused"
        says "#3778"
        untouched
        FAKE_PEANO=$version run 0 --check --any-peano
        says "Peano $version"
done
for version in 2.0.0 19.0.0 200.0.0 23.0.0git; do
        FAKE_PEANO=$version run 3 --check
        says "Peano is $version"
done
FAKE_PEANO='' run 3 --check
says "Peano is of no known version"

echo "== what is refused"
refused() {
        run 1 --out "$work/out"
        says "$1"
        untouched
}
FAKE_PEANO_FAILS=1 refused "stream64: Peano did not compile"
FAKE_AIECC_FAILS=1 refused "stream64: aiecc did not compile"
FAKE_NO_XCLBIN=1 refused "made no stream64.xclbin"
FAKE_CHANNELS=1 refused "stream64: the compiler gave the lanes other shim channels"
says "-A0=0:MM2S0"
says "+A0=0:MM2S1"
FAKE_ADDRESS=3344 refused "a buffer is not at a multiple of 32"
FAKE_CUT=1 refused "its program image is cut off"
FAKE_NO_PARTITION=1 refused "it has 0 AIE partitions"
echo "raise SystemExit(1)" >"$work/python/aie/dialects.py"
mv "$work/python/aie/__init__.py" "$work/away"
echo >"$work/python/aie/__init__.py"
refused "stream64: python3 did not build the design"
mv "$work/away" "$work/python/aie/__init__.py"
rm "$work/python/aie/dialects.py"

echo "== what is built"
built() {
        local program files expected found
        files=$(ls -A "$1")
        [ "${files//$'\n'/ }" = "manifest.ini stream64.xclbin tile16.xclbin" ] || fail "$1 has $files"
        says "built: $1/manifest.ini"
        for program in stream64 tile16; do
                expected=$(sed -n "/^\[$program\]/,/^$/p" "$root/xclbin/manifest.ini" | sed '/^$/d'
                        echo "file = $program.xclbin"
                        echo "blake2b = $(b2sum -l 256 <"$1/$program.xclbin" | cut -d ' ' -f 1)"
                        echo "pdi-blake2b = $(b2sum -l 256 <"$work/$program.pdi" | cut -d ' ' -f 1)")
                found=$(sed -n "/^\[$program\]/,/^$/p" "$1/manifest.ini" | sed '/^$/d')
                [ "$(sort <<<"$found")" = "$(sort <<<"$expected")" ] || fail "[$program] is"$'\n'"$found"
                [ "$(head -n 1 <<<"$found")" = "[$program]" ] || fail "[$program] does not begin with its name"
        done
        ! cmp -s "$1/stream64.xclbin" "$1/tile16.xclbin" || fail "both programs are the same"
        [ "$(stat -c %a "$1/manifest.ini" "$1/stream64.xclbin" | sort -u)" = 644 ] || fail "modes are not 644"
}
fresh_out
ln "$work/out/manifest.ini" "$work/old" # whoever reads the old one now reads it to its end
run 0 --out "$work/out"
built "$work/out"
[ "$(cat "$work/old")" = before ] || fail "the manifest was not replaced, but written over"
for option in --aie-generate-xclbin --xclbin-kernel-name=MLIR_AIE --no-xchesscc "--peano=$work/peano"; do
        [ "$(grep -cF -- "$option" "$work/calls")" = 2 ] || fail "aiecc was not called with $option twice"
done
for option in --target=aie2-none-unknown-elf -O2 "-I $work/mlir_aie/include" "-c $root/xclbin/src/tile16.c"; do
        grep -qaF -- "$option" "$work/tile16.pdi" || fail "Peano was not called with $option"
done
# Again, over itself, from and to elsewhere, and by an older compiler's way of writing lanes down.
mkdir "$work/a b"
cd "$work/a b"
FAKE_OLD=1 run 0 --out=new/er
built "$work/a b/new/er"
ln -s "$work/peano" peano
PEANO=peano FAKE_PEANO=22.0.0 run 0 --out new/er --any-peano
built "$work/a b/new/er"
