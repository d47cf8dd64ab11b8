#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vector.sh ROOT - the kernel's path for the NPU's vector unit passes the tests of the plain one, over a model of the
# AIE API (fake/aie_api). CC and CXX name the compilers. Exit 77: there is no C++ compiler.
set -euo pipefail
cd "${1:?usage: vector.sh ROOT}"
read -ra cc <<<"${CC:-cc}"
read -ra cxx <<<"${CXX:-c++}"

if ! command -v "${cxx[0]}" >/dev/null; then
        echo "skipped: there is no ${cxx[0]}"
        exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sanitize=(-fsanitize=undefined -fno-sanitize-recover=all)
"${cxx[@]}" -std=c++20 -O2 -Wall -Wextra -Wconversion -Werror "${sanitize[@]}" -D__AIENGINE__ -Itests/xclbin/fake \
        -c -x c++ xclbin/src/stream64.c -o "$work/stream64.o"
read -ra check < <(pkg-config --cflags check)
for source in tests/unit/test-kernel.c tests/lib/rng.c xclbin/src/tile16.c; do
        "${cc[@]}" -std=gnu11 -O2 -D_GNU_SOURCE -I. "${check[@]}" "${sanitize[@]}" -c "$source" \
                -o "$work/$(basename "$source" .c).o"
done
read -ra check < <(pkg-config --libs check)
"${cxx[@]}" "${sanitize[@]}" "$work"/*.o -o "$work/test-kernel" "${check[@]}"
CK_FORK=no "$work/test-kernel"
