# Puts a Swift toolchain, 6.0 or newer, on the PATH of the script that reads this file (`. scripts/toolchain.sh`), and installs one
# where there is none: the distribution's package `swiftlang`, if that is new enough; else the official toolchain, by swiftly, into
# the user's folder. Where nothing can be installed, or may not, it says how, and the build says what is missing.
#
# It asks on a terminal, installs at once where $CI is set, and nothing elsewhere. The options --yes and --no-install, in front of
# the script's own, say it beforehand: the first is taken off the script's arguments.
#
# swiftly's archive counts only with a good signature by a key that swift.org publishes; swiftly checks the toolchain's itself.
# PERIGEE_SWIFT_DOWNLOADS and PERIGEE_SWIFT_KEYS name other places than download.swift.org and swift.org, such as a mirror.

swift_downloads=${PERIGEE_SWIFT_DOWNLOADS:-https://download.swift.org}
swift_keys=${PERIGEE_SWIFT_KEYS:-https://www.swift.org/keys/all-keys.asc}
swiftly_home=${SWIFTLY_HOME_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/swiftly}

toolchain_say() { printf '%s\n' "$*" >&2; }

# Whether `swift build` works and is new enough; says in `toolchain_trouble` what is wrong.
toolchain_works() {
  local version
  toolchain_trouble=""
  if ! command -v swift >/dev/null; then
    toolchain_trouble="there is no 'swift' on the PATH; Perigee needs a Swift toolchain, version 6.0 or newer."
  elif ! version=$(swift build --version 2>&1); then
    toolchain_trouble="'swift build --version' fails: ${version##*$'\n'}"
  elif [[ $version =~ ([0-9]+)\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 6)); then
    return 0
  else
    toolchain_trouble="$(command -v swift) is too old (${version##*$'\n'}); Perigee needs Swift 6.0 or newer."
  fi
  return 1
}

toolchain_advice() {
  toolchain_say "error: $toolchain_trouble"
  toolchain_say "  https://www.swift.org/install/linux/"
  toolchain_say "The short way, without root:"
  toolchain_say "  curl -O https://download.swift.org/swiftly/linux/swiftly-\$(uname -m).tar.gz"
  toolchain_say "  tar zxf swiftly-\$(uname -m).tar.gz && ./swiftly init && . ~/.local/share/swiftly/env.sh"
}

# What swiftly installed before, also where this shell's start-up files did not say so.
toolchain_of_swiftly() {
  local bin=${SWIFTLY_BIN_DIR:-$swiftly_home/bin}
  [ -x "$bin/swift" ] || return 1
  export SWIFTLY_HOME_DIR=$swiftly_home SWIFTLY_BIN_DIR=$bin PATH=$bin:$PATH
  hash -r
}

# The way to be root, in the list `toolchain_root`.
toolchain_can_be_root() {
  toolchain_root=()
  [ "$(id -u)" = 0 ] && return 0
  toolchain_root=(sudo -n)
  command -v sudo >/dev/null && sudo -n true 2>/dev/null
}

toolchain_apt() {
  "${toolchain_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -o DPkg::Lock::Timeout=60 "$@" </dev/null >&2
}

# Whether the distribution has a `swiftlang` that is new enough.
toolchain_is_packaged() {
  local candidate
  command -v apt-cache >/dev/null && toolchain_can_be_root || return 1
  candidate=$(LC_ALL=C apt-cache policy swiftlang 2>/dev/null | sed -n 's/^ *Candidate: *//p')
  [ -n "$candidate" ] && [ "$candidate" != "(none)" ] && dpkg --compare-versions "$candidate" ge 6.0
}

# toolchain_fetch URL FILE
toolchain_fetch() {
  if command -v curl >/dev/null; then
    curl --fail --silent --show-error --location --retry 2 --connect-timeout 20 --output "$2" "$1" >&2
  else
    wget --quiet --tries=2 --timeout=20 --output-document="$2" "$1" >&2
  fi
}

# What swiftly needs on a bare machine, by the distribution's packages.
toolchain_prepare() {
  local needed=()
  command -v curl >/dev/null || command -v wget >/dev/null || needed+=(curl)
  command -v gpg >/dev/null || needed+=(gnupg)
  [ -e /etc/ssl/certs/ca-certificates.crt ] || needed+=(ca-certificates)
  [ ${#needed[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null || ! toolchain_can_be_root; then
    toolchain_say "error: installing Swift needs ${needed[*]}"
    return 1
  fi
  toolchain_say "installing ${needed[*]}"
  toolchain_apt update && toolchain_apt install -y --no-install-recommends "${needed[@]}"
}

# Fetches swiftly into the folder $1, checks who signed it, and lets it install the newest toolchain.
toolchain_from_swiftly() {
  local folder=$1 name
  name=swiftly-$(uname -m).tar.gz
  toolchain_prepare || return 1
  toolchain_fetch "$swift_downloads/swiftly/linux/$name" "$folder/$name" \
    && toolchain_fetch "$swift_downloads/swiftly/linux/$name.sig" "$folder/$name.sig" \
    && toolchain_fetch "$swift_keys" "$folder/keys.asc" || { toolchain_say "error: Swift could not be downloaded."; return 1; }
  # A keyring of its own: what else the user trusts does not count, and nothing is added to it.
  (umask 077 && mkdir "$folder/gnupg")
  if ! gpg --homedir "$folder/gnupg" --batch --quiet --import "$folder/keys.asc" 2>"$folder/gpg" \
    || ! gpg --homedir "$folder/gnupg" --batch --quiet --verify "$folder/$name.sig" "$folder/$name" 2>"$folder/gpg"; then
    toolchain_say "error: $name has no good signature by swift.org, and nothing of it was run:"
    tail -n 2 "$folder/gpg" >&2
    return 1
  fi
  tar xzf "$folder/$name" -C "$folder" || return 1
  export SWIFTLY_HOME_DIR=$swiftly_home SWIFTLY_BIN_DIR=${SWIFTLY_BIN_DIR:-$swiftly_home/bin}
  if ! "$folder/swiftly" init --skip-install --assume-yes --quiet-shell-followup </dev/null >&2 \
    || ! "$SWIFTLY_BIN_DIR/swiftly" install latest --use --assume-yes --post-install-file "$folder/packages" </dev/null >&2; then
    toolchain_say "error: swiftly could not install Swift."
    return 1
  fi
  # The packages of the distribution that the toolchain itself needs, as a command.
  if [ -s "$folder/packages" ]; then
    if toolchain_can_be_root; then
      "${toolchain_root[@]}" env DEBIAN_FRONTEND=noninteractive bash "$folder/packages" </dev/null >&2 || toolchain_say "warning: failed: $(cat "$folder/packages")"
    else
      toolchain_say "Swift needs packages, and installing them needs root. Run this, then try again:"
      sed 's/^/  sudo /' "$folder/packages" >&2
    fi
  fi
  toolchain_of_swiftly
}

toolchain_install() {
  local folder status=0
  if toolchain_is_packaged; then
    toolchain_say "installing Swift: the distribution's package swiftlang"
    if toolchain_apt install -y --no-install-recommends swiftlang; then hash -r; return 0; fi
    toolchain_say "the package swiftlang could not be installed"
  fi
  toolchain_say "installing Swift: the official toolchain, by swiftly, into $swiftly_home (about 1 GB)"
  folder=$(mktemp -d)
  toolchain_from_swiftly "$folder" || status=1
  rm -rf "$folder"
  return "$status"
}

# Asks, where somebody can answer.
toolchain_may_install() {
  local answer
  case ${toolchain:-ask} in
    install) return 0 ;;
    keep) return 1 ;;
  esac
  [ -z "${CI:-}" ] || return 0
  [ -t 0 ] && [ -t 2 ] || return 1
  printf 'There is no Swift 6.0 or newer. Install it, for this user alone? [Y/n] ' >&2
  read -r answer || return 1
  [[ $answer =~ ^([Yy]|[Yy][Ee][Ss])?$ ]]
}

# Options in front of a script's own: --yes installs a toolchain without asking, --no-install installs none.
case ${1:-} in
  --yes) toolchain=install; shift ;;
  --no-install) toolchain=keep; shift ;;
esac

if ! toolchain_works && ! { toolchain_of_swiftly && toolchain_works; }; then
  if toolchain_may_install; then toolchain_install || true; fi
  toolchain_works || toolchain_advice
fi
