#!/bin/bash
# SPDX-License-Identifier: MIT
#
# shell.sh ROOT - shellcheck has nothing to say about any shell script. Exit 77: there is no shellcheck.
set -euo pipefail
cd "${1:?usage: shell.sh ROOT}"

if ! command -v shellcheck >/dev/null; then
        echo "skipped: there is no shellcheck"
        exit 77
fi

scripts=()
while IFS= read -r file; do
        if [[ $file == *.bash ]] || head -c 80 "$file" | head -n 1 | grep -aqE '^#!.*\b(ba)?sh\b'; then
                scripts+=("$file")
        fi
done < <(find . \( -name .git -o -type d -exec test -e '{}/CMakeCache.txt' -o -e '{}/.npumm-tree' ';' \) -prune \
        -o -type f -print)
echo "${#scripts[@]} scripts"
[ ${#scripts[@]} -gt 0 ]
shellcheck --shell=bash "${scripts[@]}"
