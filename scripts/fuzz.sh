#!/usr/bin/env bash
# Attacks the program with damaged files, command lines and scripts, all drawn from one seed, and says what did not
# end as it has to: with the right answer, or with a short error and exit code 1.
#
#   fuzz.sh [OPTIONS]
#
#   --files N      damaged files of every format that is read (default 500)
#   --commands N   command lines (default 200)
#   --scripts N    generated Lua scripts (default 100)
#   --seed S       what is drawn (default 0); the same seed draws the same
#   --seconds T    stop after so long (default: no limit)
#   --only TEXT    damaged files of formats whose name contains this
#   --jobs N       programs at the same time (default: one for each core)
#   --keep DIR     copy everything that a failure needs to be seen again into this folder
#   --perigee P    the program (default: the release build, built first)
#
# A failure is: a signal, an exit code other than 0 and 1, more than 10 seconds, a message of more than 3 lines or 600
# characters, or exit code 0 with other numbers than the undamaged file gives, where the damage can be noticed.
# Exit code 1 if there was any failure. Needs Python 3 with its standard library alone.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case " $* " in
  *" --help "* | *" -h "*) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
command -v python3 >/dev/null || { echo "fuzz.sh: python3 is not there" >&2; exit 1; }
if [[ " $* " != *" --perigee "* ]]; then
  swift build --package-path "$root" -c release --product perigee >&2
  set -- "$@" --perigee "$root/.build/release/perigee"
fi
exec python3 -B "$root/scripts/fuzz" "$@"
