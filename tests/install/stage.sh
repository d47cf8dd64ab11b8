#!/bin/bash
# SPDX-License-Identifier: MIT
#
# stage.sh CMAKE BUILD STAGE - installs the build below the folder STAGE, where the tests of what is installed look.
set -euo pipefail
cmake=${1:?usage: stage.sh CMAKE BUILD STAGE} build=${2:?} stage=${3:?}
rm -rf "$stage"
DESTDIR=$stage "$cmake" --install "$build"
