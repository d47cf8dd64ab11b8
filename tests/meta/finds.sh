#!/bin/bash
# SPDX-License-Identifier: MIT
#
# finds.sh CC - the checks beside this file find what they are there for: each passes on something small and sound, and
# fails on it once it is broken in one way.
set -euo pipefail
cc=${1:?usage: finds.sh CC}
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

failed=0
# expect passes|fails WHAT CHECK...
expect() {
        local expected=$1 what=$2 outcome=passes
        shift 2
        "$@" >output 2>&1 || outcome=fails
        if [ $outcome != "$expected" ]; then
                echo "$what: the check $outcome" >&2
                cat output >&2
                failed=1
        fi
}

mkdir -p tree/{proto,client,daemon}
sound() {
        echo '#include "base.h"' >tree/proto/frame.c
        echo '#include <stdint.h>' >tree/proto/base.h
        printf '#include "npumm.h"\n#include "proto/base.h"\n' | tee tree/client/npumm.c >tree/client/cli.c
        echo '#include <stddef.h>' >tree/client/npumm.h
        echo '#include "../proto/base.h"' >tree/daemon/daemon.c
        echo 'int job;' >tree/daemon/job.h
}
sound
expect passes "sound includes" "$here/includes.sh" tree
while read -r file include; do
        sound
        echo "#include $include" >>"tree/$file"
        expect fails "$file includes $include" "$here/includes.sh" tree
done <<'BROKEN'
proto/frame.c "daemon/job.h"
proto/frame.c "../client/npumm.h"
client/npumm.c "daemon/job.h"
daemon/daemon.c "npumm.h"
daemon/daemon.c "npumm.pb-c.h"
daemon/daemon.c "nowhere.h"
client/cli.c "proto/frame.h"
client/npumm.c <uv.h>
daemon/daemon.c <protobuf-c/protobuf-c.h>
BROKEN

mkdir licences
echo '/* SPDX-License-Identifier: MIT */' >licences/with.c
expect passes "a file with a licence" "$here/spdx.sh" licences
echo 'int x;' >licences/without.c
expect fails "a file without a licence" "$here/spdx.sh" licences

if command -v shellcheck >/dev/null; then
        mkdir scripts
        printf '#!/bin/bash\necho fine\n' >scripts/fine
        expect passes "a sound script" "$here/shell.sh" scripts
        # shellcheck disable=SC2016
        printf '#!/bin/bash\nrm -rf $1/*\n' >scripts/unsound
        expect fails "an unsound script" "$here/shell.sh" scripts
fi

printf 'V_0 {\nglobal:\n        npumm_one;\n        npumm_two;\nlocal:\n        *;\n};\n' >list.sym
echo '*npumm_one*, *npumm_two*' >page.scd
library() {
        printf '%s\n' "int npumm_one(void); int npumm_two(void); int extra(void);" "$1" >library.c
        "$cc" -shared -fPIC -fvisibility=default library.c -o library.so
}
one='int npumm_one(void) { return 1; }' two='int npumm_two(void) { return 2; }'
library "$one $two"
expect passes "a library with the listed symbols" "$here/symbols.sh" library.so list.sym page.scd
library "$one"
expect fails "a library that lacks a symbol" "$here/symbols.sh" library.so list.sym page.scd
library "$one $two int extra(void) { return 3; }"
expect fails "a library with a symbol too many" "$here/symbols.sh" library.so list.sym page.scd
library "#include <stdio.h>"$'\n'"$one int npumm_two(void) { return puts(\"two\"); }"
expect fails "a library that prints" "$here/symbols.sh" library.so list.sym page.scd
library "$one $two"
echo '*npumm_one*' >page.scd
expect fails "a symbol without documentation" "$here/symbols.sh" library.so list.sym page.scd

cat >program <<'PROGRAM'
#!/bin/sh
cat <<'HELP'
Usage: program [OPTION...]
  -b, --backend=NAME         what computes (default auto)
  -s, --socket=PATH          where to listen
  -?, --help                 print this
HELP
PROGRAM
chmod +x program
options() {
        printf '# OPTIONS\n\n'
        printf '*%s*\n\tWords.%s\n\n' "-s, --socket=_PATH_" '' '-?, --help' '' "$@"
}
options '-b, --backend=_NAME_' ' The default is _auto_.' >page.scd
expect passes "a page with all options" "$here/options.sh" page.scd ./program
options >page.scd
expect fails "a page that lacks an option" "$here/options.sh" page.scd ./program
options '-b, --backend=_NAME_' ' The default is _cpu_.' >page.scd
expect fails "a page with another default" "$here/options.sh" page.scd ./program
options '-b, --backend=_NAME_' ' The default is _auto_.' '--verbose' '' >page.scd
expect fails "a page with an option too many" "$here/options.sh" page.scd ./program

exit $failed
