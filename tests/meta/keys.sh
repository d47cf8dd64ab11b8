#!/bin/bash
# SPDX-License-Identifier: MIT
#
# keys.sh PAGE PROGRAM - the man page PAGE (.scd) has every key that `PROGRAM --check-config` prints, with its default
# and its bounds, and none besides.
set -euo pipefail
page=${1:?usage: keys.sh PAGE PROGRAM} program=${2:?}

failed=0
fail() {
        echo "$1" >&2
        failed=1
}

# "key<TAB>default[; bounds]" of each key, from either side.
printed=$("$program" --check-config | sed -n 's/^# \([a-z][a-z-]*\): .*\. Default: \(.*\)$/\1\t\2/p')
documented=$(awk '
        /^\*[a-z][a-z-]*\*$/ { key = substr($0, 2, length($0) - 2) }
        key && sub(/^\t?Default: /, "") { gsub("_", ""); print key "\t" $0; key = "" }' "$page")
while IFS= read -r line; do
        [ -z "$line" ] || fail "$page and $program --check-config differ: $line"
done < <(diff <(sort <<<"$printed") <(sort <<<"$documented") | grep '^[<>]' || true)
n=$(grep -c . <<<"$printed")
[ "$n" -gt 3 ] || fail "$program --check-config: only $n keys found"
echo "$n keys"
exit $failed
