#!/usr/bin/env bash
# Checks for the Debian packages that the build needs, and installs those that are missing. Without root it says which
# command does that, and fails. Safe to repeat and to interrupt.
#
#   PERIGEE_ONEDNN=0   do without oneDNN
set -euo pipefail

# gcc brings libgomp's and the C library's development files, g++ those of the C++ library that Swift links.
required=(ca-certificates git gcc g++ pkg-config libopenblas-dev liblua5.4-dev libsqlite3-dev libxxhash-dev)
# oneDNN multiplies bf16 fast on CPUs that can, and libedit edits the lines of perigee repl; everything works without them.
optional=(libedit2)
[ "${PERIGEE_ONEDNN:-1}" = 0 ] || optional+=(libdnnl-dev)

# What there is without an optional package.
without() {
  case $1 in
    libdnnl-dev) echo "building without oneDNN, which is fast at bf16 on CPUs with AMX" ;;
    libedit2) echo "perigee repl neither edits nor keeps lines" ;;
  esac
}

say() { printf '%s\n' "$*" >&2; }

is_installed() {
  dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# Prints those of its arguments that are not installed.
missing_of() {
  local package
  for package in "$@"; do
    is_installed "$package" || printf '%s ' "$package"
  done
}

is_available() {
  apt-cache show --no-all-versions "$1" >/dev/null 2>&1
}

# Runs apt-get; waits while another process, such as the nightly upgrade, holds its locks.
apt() {
  local attempt output status
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    status=0
    output=$("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
      apt-get -q -o DPkg::Lock::Timeout=60 "$@" </dev/null 2>&1) || status=$?
    [ "$status" = 0 ] && return 0
    [[ $output == *"Could not get lock"* || $output == *"Unable to acquire"* ]] || break
    say "another process holds the package manager's lock; trying again ($attempt of 10)"
    sleep 6
  done
  printf '%s\n' "$output" | tail -n 5 >&2
  return "$status"
}

install() {
  apt install -y --no-install-recommends "$@"
}

# Installs what is missing, as root. $1: required ones, $2: optional ones, each a list in one word.
install_missing() {
  local package needed=() wanted=() updated=0
  read -ra needed <<<"$1"
  read -ra wanted <<<"$2"
  # What an installation that was cut off left half done.
  if [ -n "$(dpkg --audit 2>/dev/null)" ]; then
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive dpkg --configure -a </dev/null >&2
  fi
  for package in "${needed[@]}" "${wanted[@]}"; do
    if ! is_available "$package"; then
      say "updating the list of packages"
      apt update || say "warning: the list of packages could not be updated"
      updated=1
      break
    fi
  done
  if [ "${#needed[@]}" -gt 0 ]; then
    say "installing ${needed[*]}"
    # A list that is out of date names files that the mirrors no longer have.
    if ! install "${needed[@]}"; then
      [ "$updated" = 0 ] || return 1
      apt update && install "${needed[@]}" || return 1
    fi
  fi
  for package in "${wanted[@]}"; do
    if ! is_available "$package"; then
      say "note: this distribution has no $package: $(without "$package")"
    elif say "installing $package" && ! install "$package"; then
      say "note: $package could not be installed: $(without "$package")"
    fi
  done
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  say "note: no Debian or Ubuntu: packages are not checked. The build needs what these are there:"
  say "  ${required[*]} ${optional[*]}"
  exit 0
fi

needed=$(missing_of "${required[@]}")
wanted=$(missing_of ${optional[@]+"${optional[@]}"})
if [ -n "$needed$wanted" ]; then
  command="apt-get install -y --no-install-recommends ${needed}${wanted}"
  if [ "$(id -u)" = 0 ]; then
    as_root=()
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  elif [ -n "$needed" ]; then
    say "error: packages are missing, and installing them needs root. Run this, then try again:"
    say "  sudo apt-get update && sudo ${command% }"
    exit 1
  else
    for package in $wanted; do say "note: $(without "$package")"; done
    say "To change that: sudo ${command% }"
    exit 0
  fi
  if ! install_missing "$needed" "$wanted"; then
    say "error: packages could not be installed. Run this to see why, then try again:"
    say "  sudo apt-get update && sudo ${command% }"
    exit 1
  fi
fi
