#!/bin/bash
# SPDX-License-Identifier: MIT
#
# spdx.sh ROOT - every source file names its licence within its first three lines.
set -euo pipefail
cd "${1:?usage: spdx.sh ROOT}"

# Source files are known by their name, or by "#!" at their beginning. Build folders, and trees of tests/setup --xrt, are
# left out.
is_source() {
        case ${1##*/} in
        *.json.in) return 1 ;; # JSON has no comments
        *.[ch] | *.cpp | *.in | *.proto | *.py | *.sh | *.bash | *.cmake | CMakeLists.txt) return 0 ;;
        *.scd | *.sym | *.rules | *.sysusers) return 0 ;;
        esac
        [ "$(head -c 2 "$1" | tr -d '\0')" = '#!' ]
}

n=0
failed=0
while IFS= read -r file; do
        is_source "$file" || continue
        n=$((n + 1))
        if ! head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT'; then
                echo "$file: no 'SPDX-License-Identifier: MIT' in its first three lines" >&2
                failed=1
        fi
done < <(find . \( -name .git -o -type d -exec test -e '{}/CMakeCache.txt' -o -e '{}/.npumm-tree' ';' \) -prune \
        -o -type f -print)
echo "$n source files"
[ "$n" -gt 0 ] || failed=1
exit $failed
