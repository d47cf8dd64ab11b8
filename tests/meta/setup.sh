#!/bin/bash
# SPDX-License-Identifier: MIT
#
# setup.sh ROOT - what tests/setup promises without installing anything: its help, its list, and that for --xrt
# tests/xrt/make-tree leaves alone what is not such a tree, and takes none for complete that is not.
set -euo pipefail
root=${1:?usage: setup.sh ROOT}
setup=$root/tests/setup
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failed=0
# expect STATUS PATTERN COMMAND...: how it exits, and what is among the lines that it prints.
expect() {
        local expected=$1 pattern=$2 status=0
        shift 2
        "$@" >"$work/output" 2>&1 </dev/null || status=$?
        if [ $status -ne "$expected" ] || ! grep -qE -e "$pattern" "$work/output"; then
                echo "$*: exit $status, not $expected with \"$pattern\":" >&2
                cat "$work/output" >&2
                failed=1
        fi
}

for option in --list --bench '--xrt \[FOLDER\]' --help; do
        expect 0 "^  $option " "$setup" --help
done
expect 2 '^Usage: ' "$setup" --nonsense
expect 2 '^Usage: ' "$setup" --list more
expect 2 '^Usage: ' "$setup" --bench more
expect 2 '^Usage: ' "$setup" --xrt one two
expect 0 '^libuv1-dev$' "$setup" --list
if "$setup" --list | grep -vE '^[a-z0-9][a-z0-9+.-]+$'; then
        echo "--list: the lines above are no names of packages" >&2
        failed=1
fi

mkdir "$work/theirs"
echo precious >"$work/theirs/file"
expect 1 'is not such a tree: it stays as it is$' "$root/tests/xrt/make-tree" "$work/theirs" gcc
[ "$(cat "$work/theirs/file")" = precious ] || failed=1

# It would be made anew, but for apt, which here knows no mirror.
mkdir "$work/ours" "$work/bin"
printf '#!/bin/sh\n' >"$work/bin/apt-get"
printf '#!/bin/sh\necho amd64\n' >"$work/bin/dpkg"
chmod +x "$work/bin/"*
echo incomplete >"$work/ours/.npumm-tree"
expect 77 '^skipped: ' env PATH="$work/bin:$PATH" NPUMM_TREE_INSIDE=1 "$root/tests/xrt/make-tree" "$work/ours" gcc

exit $failed
