#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests, in debug and in release. Arguments go to `swift test`:
#
#   bash scripts/test.sh --filter TokenizerTests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

step "packages"
bash scripts/install-packages.sh

step "debug"
swift build --manifest-cache none --build-tests
.build/debug/perigee stubs --check
swift test --skip-build --no-parallel "$@"

# Optimised code that tests can look into is another build than the product, so it has its own folder.
step "release"
optimised=(-c release --scratch-path .build/optimised-tests -Xswiftc -enable-testing)
swift build --manifest-cache none --build-tests "${optimised[@]}"
swift test --skip-build --no-parallel "${optimised[@]}" "$@"
