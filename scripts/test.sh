#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests, in debug and in release. Arguments go to `swift test`:
#
#   bash scripts/test.sh [--yes | --no-install] --filter TokenizerTests
#
# Where there is no Swift, it asks whether to install it, or does so where $CI is set; --yes answers, --no-install installs none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

# run_tests BUILD_OPTION...: tests take turns, because they set the number of threads and count memory of their process. Those that
# run the whole program have one process, all others have another.
run_tests() {
  if [ ${#chosen[@]} -gt 0 ]; then
    swift test --skip-build --no-parallel "$@" "${chosen[@]}"
    return
  fi
  local tests
  tests=$(swift build --show-bin-path "$@")/perigeePackageTests.xctest
  local log=.build/tests.log
  printf '%s\n' '--filter ^PipelineTests' '--skip ^PipelineTests' \
    | NO_COLOR=1 xargs -P 2 -L 1 "$tests" --testing-library swift-testing --no-parallel 2>&1 | tee "$log" && return
  failures "$log"
  return 1
}

# failures LOG: what failed, once more at the end, where a reader finds it behind ten thousand lines.
failures() {
  printf '\n== what failed\n'
  grep -E -A 3 'recorded an issue|Fatal error|Fatal signal|Crash:' "$1" | grep -vE '^--$|◇|✔' || tail -n 40 "$1"
  grep -E '^✘ Test run' "$1" || true
}

step "packages"
. scripts/toolchain.sh
bash scripts/install-packages.sh
toolchain_works || exit 1
chosen=("$@")

step "debug"
swift build --manifest-cache none --build-tests
.build/debug/perigee stubs --check
.build/debug/perigee stubs --reference --check
run_tests

# Optimised code that tests can look into is another build than the product, so it has its own folder.
step "release"
optimised=(-c release --scratch-path .build/optimised-tests -Xswiftc -enable-testing)
swift build --manifest-cache none --build-tests "${optimised[@]}"
run_tests "${optimised[@]}"
