#!/usr/bin/env bash
# From a new clone to a trained model: installs what is missing, builds, and runs the main pipeline on the
# built-in data. Arguments go to `perigee run`:
#
#   bash scripts/quickstart.sh [--yes | --no-install] --set r=16
#
# Where there is no Swift, it asks whether to install it; --yes answers, --no-install installs none.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

. "$root/scripts/toolchain.sh"
bash "$root/scripts/install-packages.sh"
toolchain_works || exit 1
swift build --manifest-cache none --package-path "$root" -c release --product perigee
exec "$root/.build/release/perigee" run "$root/pipelines/mnli_to_rte.lua" "$@"
