#!/bin/bash
# SPDX-License-Identifier: MIT
#
# adopt.sh ROOT CMAKE CTEST - tests that tests/xrt/adopt.cmake takes from one build folder to another pass, fail and are
# skipped there as they do at home, and see the same arguments, environment and folder.
set -euo pipefail
root=${1:?usage: adopt.sh ROOT CMAKE CTEST} cmake=${2:?} ctest=${3:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mkdir inner "inner folder" outer
cat >look <<'LOOK'
#!/bin/sh
[ $# -eq 2 ] && [ "$1" = 'a;b "c" $d' ] && [ -z "$2" ] && [ "$HERE" = "x y" ] && [ "${PWD##*/}" = "inner folder" ]
LOOK
cat >inner/CTestTestfile.cmake <<CTEST
add_test(passes "true")
add_test([=[sees all]=] "$work/look" [=[a;b "c" \$d]=] "")
add_test(fails "sh" "-c" "echo the reason of the failure; exit 1")
add_test(skips "sh" "-c" "echo skipped: for a reason; exit 77")
add_test(hangs "sleep" "600")
add_test(unbuilt "$work/inner/nowhere")
add_test(other "false")
set_tests_properties(passes fails skips hangs unbuilt PROPERTIES LABELS "xrt;more")
set_tests_properties([=[sees all]=] PROPERTIES LABELS xrt ENVIRONMENT "HERE=x y" WORKING_DIRECTORY "$work/inner folder")
set_tests_properties(skips PROPERTIES SKIP_RETURN_CODE 77)
set_tests_properties(hangs PROPERTIES TIMEOUT 1)
set_tests_properties(other PROPERTIES LABELS xrtish)
CTEST
# Stands for tests/xrt/enter.
cat >enter <<'ENTER'
#!/bin/sh
test -z "$HERE" || exit 1
[ "$1" = "the tree" ] && cd "$2" && shift 2 && exec "$@"
ENTER
chmod +x look enter

failed=0
expect() {
        if ! grep -qE -e "$1" log; then
                echo "no \"$1\" in:" >&2
                cat log >&2
                failed=1
        fi
}
adopt() {
        "$cmake" -D "ENTER=$work/enter;the tree" -D "LABELS=$1" -D FROM=tests.json -D TO=outer/CTestTestfile.cmake \
                -P "$root/tests/xrt/adopt.cmake" >log 2>&1
}

(cd inner && "$ctest" --show-only=json-v1) >tests.json
adopt '^xrt$'
expect '^-- 6 of 7 tests run in the tree'
(cd outer && "$ctest" --output-on-failure) >log 2>&1 && failed=1
expect 'passes \.+ +Passed'
expect 'sees all \.+ +Passed'
expect 'fails \.+\*+Failed'
expect '^the reason of the failure$'
expect 'skips \.+\*+Skipped'
expect 'hangs \.+\*+Timeout'
expect 'unbuilt \.+\*+Failed'
expect '^it was not built$'
expect '3 tests failed out of 6$'

# None at all is a mistake.
adopt '^nothing$' && failed=1
expect 'of 7 tests none has a label'

exit $failed
