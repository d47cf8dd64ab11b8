#!/bin/bash
# SPDX-License-Identifier: MIT
#
# symbols.sh LIBRARY LIST PAGE - the library exports exactly the names of its version script LIST, its man page PAGE
# (.scd) tells of every one of them, and it imports nothing by which it could break its promises: no output, no
# threads, no signal handlers, no end of the process.
set -euo pipefail
library=${1:?usage: symbols.sh LIBRARY LIST PAGE} list=${2:?} page=${3:?}

failed=0
fail() {
        echo "$1" >&2
        failed=1
}

# All dynamic symbols with their versions cut off; the version node itself is an absolute symbol.
exported=$(nm -D --defined-only --format=posix "$library" | awk '$2 != "A" { sub("@.*", "", $1); print $1 }' | sort)
imported=$(nm -D --undefined-only --format=posix "$library" | awk '{ sub("@.*", "", $1); print $1 }' | sort)
listed=$(sed -n '/global:/,/local:/s/^[[:space:]]*\([a-z0-9_]*\);.*/\1/p' "$list" | sort)

[ -n "$listed" ] || fail "$list: no names found"
[ "$exported" = "$listed" ] || fail "exported (left) and listed in $list (right) differ:
$(comm -3 <(echo "$exported") <(echo "$listed"))"

for name in $listed; do
        grep -qF "$name" <(tr -d '\134' <"$page") || fail "$page: does not tell of $name"
done

for name in stdin stdout stderr printf puts putchar perror syslog signal sigaction pthread_create fork exit _exit; do
        ! grep -qxF "$name" <<<"$imported" || fail "$library: uses $name"
done
echo "$(wc -w <<<"$listed") exported names"
exit $failed
