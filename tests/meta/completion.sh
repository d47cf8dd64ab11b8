#!/bin/bash
# SPDX-License-Identifier: MIT
#
# completion.sh FILE PROGRAM COMMAND... - bash completion with FILE offers the commands of PROGRAM, and behind each
# command, and before any, the long options that its --help prints, and none besides.
set -euo pipefail
file=${1:?usage: completion.sh FILE PROGRAM COMMAND...} program=${2:?}
shift 2

failed=0
fail() {
        echo "$1" >&2
        failed=1
}

# shellcheck disable=SC1090 # the file under test
source "$file"
name=$(complete -p | sed -n 's/^complete .*-F [^ ]* \(.*\)$/\1/p')
function=$(complete -p "$name" | sed -n 's/.*-F \([^ ]*\) .*/\1/p')
# shellcheck disable=SC2317 # the function under test calls it; bash's own works only while it completes
compopt() { :; }

# What is offered for the last of the words, one a line.
offered() {
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        "$function"
        printf '%s\n' "${COMPREPLY[@]}" | sort
}

n=0
compare() {
        local what=$1 wanted=$2 got=$3
        [ "$wanted" = "$got" ] || fail "$file: $what: offered are ${got//$'\n'/ }; there are ${wanted//$'\n'/ }"
        n=$((n + $(wc -w <<<"$wanted")))
}

compare "commands" "$(printf '%s\n' "$@" | sort)" "$(offered "$name" "")"
for command in "" "$@"; do
        help=$("$program" ${command:+"$command"} --help)
        options=$(sed -nE 's/^ +(-., *)?(--[a-z][a-z0-9-]*=?).*/\2/p' <<<"$help" | sort)
        compare "options of '$command'" "$options" "$(offered "$name" ${command:+"$command"} --)"
done
[ "$n" -gt 10 ] || fail "$program --help: only $n commands and options found"
echo "$n commands and options"
exit $failed
