#!/bin/bash
# SPDX-License-Identifier: MIT
#
# install.sh CMAKE GENERATOR CC STAGE PREFIX LIBDIR MANDIR CONFIG - what is installed below STAGE is complete: every
# file is there, and a program of somebody else finds the library by pkg-config and by CMake, and runs.
set -euo pipefail
cmake=${1:?usage: install.sh CMAKE GENERATOR CC STAGE PREFIX LIBDIR MANDIR CONFIG} generator=${2:?} cc=${3:?}
stage=${4:?} prefix=${5:?} libdir=${6:?} mandir=${7:?} config=${8:?}
consumer=$(dirname "$(readlink -f "$0")")/consumer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
        echo "$1" >&2
        exit 1
}

echo "== files"
for file in \
        "$prefix"/{sbin/{npumatmuld,npumm-txn},bin/npumm-client,include/npumm.h} \
        "$libdir"/{libnpumm.so,libnpumm.so.0,pkgconfig/npumm.pc,cmake/npumm/npummConfig.cmake} \
        "$mandir"/{man1/npumm-client.1,man3/libnpumm.3,man5/npumatmuld.conf.5,man8/{npumatmuld,npumm-txn}.8} \
        "$prefix"/share/bash-completion/completions/npumm-client \
        "$prefix"/share/npumatmul/xclbin/manifest.ini \
        "$prefix"/lib/systemd/system/npumatmuld.{service,socket} \
        "$prefix"/lib/{sysusers.d/npumatmuld.conf,udev/rules.d/70-npumatmul.rules} \
        "$config"; do
        [ -s "$stage$file" ] || fail "$file was not installed"
done
leftover=$(grep -rlIE '@[A-Z_]+@' "$stage" || true)
[ -z "$leftover" ] || fail "a placeholder was not filled in: $leftover"

soname=$(readelf -d "$stage$libdir/libnpumm.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = libnpumm.so.0 ] || fail "the library's SONAME is '$soname', not libnpumm.so.0"

# All that follows finds the library below the stage, although it was made for PREFIX: the package can be moved.
run() {
        local libraries
        LD_LIBRARY_PATH=$stage$libdir "$1"
        libraries=$(LD_LIBRARY_PATH=$stage$libdir ldd "$1")
        [[ $libraries == *"$stage$libdir/libnpumm.so.0"* ]] || fail "$1 uses another libnpumm:"$'\n'"$libraries"
}

echo "== pkg-config"
export PKG_CONFIG_LIBDIR=$stage$libdir/pkgconfig
read -ra flags < <(pkg-config --cflags --libs npumm)
echo "${flags[*]}"
"$cc" -Wall -Wextra -Wpedantic -Werror -std=c11 "$consumer/main.c" -o "$work/by-pkg-config" "${flags[@]}"
run "$work/by-pkg-config"

echo "== find_package"
"$cmake" -S "$consumer" -B "$work/build" -G "$generator" -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$stage$prefix" \
        -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF >"$work/configure" || fail "$(cat "$work/configure")"
"$cmake" --build "$work/build" >"$work/make" || fail "$(cat "$work/make")"
run "$work/build/consumer"

echo "== programs"
"$stage$prefix/sbin/npumatmuld" --version
"$stage$prefix/sbin/npumm-txn" plan 500,512,512 >/dev/null
LD_LIBRARY_PATH=$stage$libdir "$stage$prefix/bin/npumm-client" --help >/dev/null
