#!/usr/bin/env bash
# Installs each package of package.sh on a bare Debian 12, without compiler and without network, and runs the quickstart there.
#
#   package-test.sh [--packages DIR] [--mirror URL] [--quick]
#
#   --packages   where package.sh put them (default: .build/packages)
#   --mirror     where debootstrap gets Debian from
#   --quick      shorter trainings
#
# Needs root and debootstrap. Prints a line for each package; exit code 1 if one does not work.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "package-test.sh: $1 (see --help)" >&2; exit 1; }

packages=$root/.build/packages mirror="" quick=()
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --packages | --mirror)
      [ $# -ge 2 ] || mistake "missing value for $1"
      declare "${1#--}=$2"; shift 2 ;;
    --quick) quick=(--set epochs=1 --set rte_epochs=1 --set mnli_limit=512 --set rte_limit=512 --set pretrain_steps=60); shift ;;
    *) mistake "unknown argument $1" ;;
  esac
done
[ "$(id -u)" = 0 ] || mistake "debootstrap and chroot need root"
command -v debootstrap >/dev/null || mistake "there is no 'debootstrap'"
shopt -s nullglob
archives=("$packages"/perigee-*.tar.gz) debs=("$packages"/perigee_*.deb) wheels=("$packages"/perigee-*.whl)
for kind in archives debs wheels; do
  declare -n files=$kind
  [ ${#files[@]} = 1 ] || mistake "$packages: expected one of the $kind, found ${#files[@]}"
done

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
debootstrap --variant=minbase --include=python3-venv bookworm "$work/python" ${mirror:+"$mirror"} >"$work/log" 2>&1 \
  || { tail -n 5 "$work/log"; mistake "debootstrap failed"; }
debootstrap --variant=minbase bookworm "$work/bare" ${mirror:+"$mirror"} >"$work/log" 2>&1 || { tail -n 5 "$work/log"; mistake "debootstrap failed"; }

# inside ROOT COMMAND...: without network, as a machine that has just this.
inside() { unshare --net --mount --pid --fork chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CI=1 "${@:2}"; }

# attempt KIND ROOT INSTALL PREFIX PROGRAM: installs, and runs the quickstart from the folder that has `pipelines`.
attempt() {
  local kind=$1 folder=$2 began=$SECONDS
  cp -a "$folder" "$work/$kind"
  cp "${archives[0]}" "${debs[0]}" "${wheels[0]}" "$work/$kind/root/"
  [ ! -e "$work/$kind/usr/bin/gcc" ] && [ ! -e "$work/$kind/usr/bin/swift" ] || { echo "$kind: the root has a compiler"; return 1; }
  # /proc: what the program reads of the machine.
  inside "$work/$kind" bash -euc "mount -t proc proc /proc; cd /root; $3; cd /tmp
    $5 run $4/pipelines/mnli_to_rte.lua --out /tmp/run ${quick[*]}
    printf 'premise\thypothesis\nA dog runs.\tA dog moves.\n' > rows.tsv
    $5 predict /tmp/run/stages/rte-delora rows.tsv --text premise --text hypothesis
    $5 help trainer.fit > /dev/null; $5 params builtin:tiny --adapter lora" >"$work/$kind.log" 2>&1 \
    || { echo "$kind: failed"; tail -n 15 "$work/$kind.log"; return 1; }
  grep -q 'rte-delora .*' "$work/$kind.log"
  echo "$kind: works, $((SECONDS - began)) s with installing; $(du -sm --apparent-size "$work/$kind$6" | cut -f1) MB installed"
  rm -rf --one-file-system "${work:?}/$kind"
}

status=0
name=$(basename "${archives[0]}" .tar.gz)
attempt archive "$work/bare" "tar xzf $name.tar.gz -C /opt" "/opt/$name" "/opt/$name/bin/perigee" "/opt/$name" || status=1
attempt deb "$work/bare" "dpkg -i ./perigee_*.deb" /usr/lib/perigee perigee /usr/lib/perigee || status=1
attempt wheel "$work/python" "python3 -m venv /opt/env; /opt/env/bin/pip install --no-index ./perigee-*.whl" /opt/env/lib/perigee /opt/env/bin/perigee \
  /opt/env/lib/perigee || status=1
exit $status
