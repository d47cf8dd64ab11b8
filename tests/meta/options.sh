#!/bin/bash
# SPDX-License-Identifier: MIT
#
# options.sh PAGE PROGRAM [COMMAND...] - the man page PAGE (.scd) has every long option that `PROGRAM --help` and
# `PROGRAM COMMAND --help` print, with the default that stands there as "(default VALUE)", and none besides.
set -euo pipefail
page=${1:?usage: options.sh PAGE PROGRAM [COMMAND...]} program=${2:?}
shift 2

failed=0
fail() {
        echo "$1" >&2
        failed=1
}

# argp breaks long lines; the wide margin keeps an option and its words on one.
export LC_ALL=C ARGP_HELP_FMT=rmargin=1000
help=$("$program" --help)
for command; do
        help+=$'\n'$("$program" "$command" --help)
done

# The page without scdoc's markup, and the part of it that tells of one option: a line that begins with it, and the
# indented lines below; as one line.
plain=$(tr -d '*_\134' <"$page")
paragraph() {
        awk -v option="$1" '
                /^[^[:space:]]/ { inside = 0 }
                /^-/ && match($0, "(^|[ ,])" option "($|[^a-z0-9-])") { inside = 1 }
                inside' <<<"$plain" | tr -s '[:space:]' ' '
}

n=0
while IFS= read -r line; do
        [[ $line =~ ^[[:space:]]+(-.,[[:space:]]*)?(--[a-z][a-z0-9-]*) ]] || continue
        option=${BASH_REMATCH[2]}
        n=$((n + 1))
        text=$(paragraph "$option")
        if [ -z "$text" ]; then
                fail "$page: no paragraph begins with $option, which $program --help has"
        elif [[ $line =~ \(default:?\ ([^\)]+)\) ]]; then
                default=$(tr -d '*_\134' <<<"${BASH_REMATCH[1]}")
                [[ ${text,,} == *default* && $text == *"$default"* ]] ||
                        fail "$page: $option: does not say that the default is $default"
        fi
done < <(sort -u <<<"$help")
[ "$n" -gt 2 ] || fail "$program --help: only $n options found"

while IFS= read -r option; do
        grep -qE -- "$option($|[^a-z0-9-])" <<<"$help" || fail "$page: $program --help does not know $option"
done < <(grep -oE -- '(^|[ ,|[])--[a-z][a-z0-9-]*' <<<"$plain" | grep -oE -- '--.*' | sort -u)
echo "$n options"
exit $failed
