#!/usr/bin/env bash
# From a new clone to a trained model: installs what is missing, builds, and runs the main pipeline on the
# built-in data. Arguments go to `perigee run`:
#
#   bash scripts/quickstart.sh --set r=16
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

bash "$root/scripts/install-packages.sh"
swift build --manifest-cache none --package-path "$root" -c release --product perigee
exec "$root/.build/release/perigee" run "$root/pipelines/mnli_to_rte.lua" "$@"
