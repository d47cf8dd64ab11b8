#!/bin/bash
# SPDX-License-Identifier: MIT
#
# includes.sh ROOT - includes point one way: daemon/ and client/ may use proto/, proto/ uses neither, and daemon/
# and client/ never meet. What npumm-client is made of uses the library as any other program would: by npumm.h.
set -euo pipefail
cd "${1:?usage: includes.sh ROOT}"

declare -A may_use=([proto]="proto" [client]="client proto" [daemon]="daemon proto")
declare -A checked=([proto]=0 [client]=0 [daemon]=0)
failed=0
fail() {
        echo "$1" >&2
        failed=1
}

# Where an include of $2 in the file $1 leads, as a path below ROOT; empty: nowhere. Generated headers count as
# what they are made from.
resolve() {
        local dir
        for dir in "$(dirname "$1")" . proto client daemon; do
                if [ -e "$dir/$2" ] || [ -e "$dir/$2.in" ]; then
                        realpath -m --relative-to=. "$dir/$2"
                        return
                fi
        done
}

# Libraries that only one side may know, and the one file that may see protobuf's types.
system_header() {
        local where=$1 file=$2 header=$3
        case $header in
        uv.h | systemd/* | ini.h | blake2.h) [[ $file == daemon/* ]] || fail "$where: <$header> is for daemon/ alone" ;;
        protobuf-c/*) fail "$where: protobuf types do not leave proto/message.c, by way of npumm.pb-c.h" ;;
        esac
}

own_header() {
        local where=$1 file=$2 header=$3 layer=${2%%/*} target
        if [ "$header" = npumm.pb-c.h ]; then
                [ "$file" = proto/message.c ] || fail "$where: protobuf types do not leave proto/message.c"
                return
        fi
        target=$(resolve "$file" "$header")
        if [ -z "$target" ]; then
                fail "$where: \"$header\" is in none of proto/, client/, daemon/"
        elif [[ " ${may_use[$layer]} " != *" ${target%%/*} "* ]]; then
                fail "$where: $layer/ must not include $target"
        fi
        case $file in
        client/cli.[ch] | client/cli-*.[ch] | client/npy*.[ch])
                case $target in
                client/npumm.h | client/cli.h | client/cli-*.h | client/npy*.h | proto/base.h | proto/npu-model.h) ;;
                *) fail "$where: npumm-client uses npumm.h alone, not $target" ;;
                esac
                ;;
        esac
}

include_line='^([^:]+):([0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*([<"])([^>"]+)[>"]'
while IFS= read -r line; do
        [[ $line =~ $include_line ]] || { fail "not understood: $line"; continue; }
        file=${BASH_REMATCH[1]} where=${BASH_REMATCH[1]}:${BASH_REMATCH[2]} header=${BASH_REMATCH[4]}
        if [ "${BASH_REMATCH[3]}" = '<' ]; then
                system_header "$where" "$file" "$header"
        else
                own_header "$where" "$file" "$header"
        fi
        checked[${file%%/*}]=$((checked[${file%%/*}] + 1))
done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include' proto client daemon)

for layer in "${!checked[@]}"; do
        echo "$layer/: ${checked[$layer]} includes"
        [ "${checked[$layer]}" -gt 0 ] || fail "$layer/: no include found, so nothing was checked"
done
exit $failed
