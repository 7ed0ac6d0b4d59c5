#!/usr/bin/env bash
# Packs Perigee for machines without a compiler: the program with the libraries that it needs, `lua`, the pipelines and the guide.
#
#   package.sh [--out DIR] [--perigee PROGRAM]
#
#   --out       where the packages go (default: .build/packages)
#   --perigee   a program that was built with --static-swift-stdlib; by default it is built here
#
# Makes perigee-VERSION-linux-ARCH.tar.gz, a tree that works from any folder; perigee_VERSION_ARCH.deb; and a Python wheel that
# puts the same tree into an environment. All of them need Linux with the C library of the machine that packs, or a newer one.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "package.sh: $1 (see --help)" >&2; exit 1; }

out=$root/.build/packages program=""
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --out | --perigee)
      [ $# -ge 2 ] || mistake "missing value for $1"
      [ "$1" = --out ] && out=$2 || program=$2
      shift 2 ;;
    *) mistake "unknown argument $1" ;;
  esac
done
for tool in strip dpkg-deb python3; do command -v "$tool" >/dev/null || mistake "there is no '$tool'"; done

if [ -z "$program" ]; then
  . "$root/scripts/toolchain.sh"
  bash "$root/scripts/install-packages.sh"
  toolchain_works || exit 1
  # The old kind of run path holds for the libraries of libraries, too: OpenBLAS finds libgfortran beside it.
  swift build --manifest-cache none --package-path "$root" --scratch-path "$root/.build/static" -c release --product perigee \
    --static-swift-stdlib -Xlinker --disable-new-dtags -Xlinker -rpath -Xlinker '$ORIGIN/../lib' >&2
  program=$root/.build/static/release/perigee
fi
[ -x "$program" ] || mistake "$program: no such program"
if ldd "$program" | grep -q libswiftCore; then mistake "$program: needs Swift's libraries; build it with --static-swift-stdlib"; fi
version=$("$program" --version | awk "{ print \$NF }")
machine=$(uname -m)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
title=perigee-$version-linux-$machine
tree=$work/$title
mkdir -p "$tree"/{bin,lib,docs,licenses,completions} "$out"

# ---- the tree ----------------------------------------------------------------------------------------------
strip -o "$tree/bin/perigee" "$program"

# add_library FILE [NAME]: copies a library, and the terms of the package that it is from.
add_library() {
  local file=$1 name=${2:-${1##*/}} package
  cp -L "$file" "$tree/lib/$name"
  # Where /lib is a link to /usr/lib, a package may list either.
  file=$(readlink -f "$file")
  package=$({ dpkg -S "$file" || dpkg -S "${file#/usr}"; } 2>/dev/null | head -n 1 | cut -d: -f1) || true
  [ -n "$package" ] && [ -f "/usr/share/doc/$package/copyright" ] || mistake "$file: the terms of its licence are not to be found"
  cp -L "/usr/share/doc/$package/copyright" "$tree/licenses/$name"
}
# The C library is the system's: programs and their libraries must agree on one.
while read -r library path; do
  case $library in
    libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | ld-linux* | linux-vdso*) ;;
    *) add_library "$path" "$library" ;;
  esac
done < <(ldd "$program" | awk '$2 == "=>" { print $1, $3 }')
# Loaded by name: oneDNN, if the build had it, when a CPU has matrix units that our own products do not use; libedit at the prompt.
for kind in libdnnl libedit; do
  name=$(strings -n 8 "$program" | grep -m 1 "^$kind\.so\." || true)
  [ -n "$name" ] || continue
  add_library "$(ldconfig -p | awk -v name="$name" '$1 == name { print $NF; exit }')" "$name"
  for library in $(ldd "$tree/lib/$name" | awk '$2 == "=>" && $1 !~ /^lib(c|m|dl|pthread|rt)\.so/ { print $3 }'); do
    [ -e "$tree/lib/${library##*/}" ] || add_library "$library"
  done
done
cp -R "$root/lua" "$root/pipelines" "$root/README.md" "$tree/"
cp -R "$root/docs/." "$tree/docs/"
swift_license=$(dirname "$(dirname "$(command -v swift || echo /none/none/none)")")/share/swift/LICENSE.txt
[ ! -f "$swift_license" ] || cp "$swift_license" "$tree/licenses/swift"
for shell in bash zsh fish; do "$tree/bin/perigee" --generate-completion-script "$shell" >"$tree/completions/perigee.$shell"; done
find "$tree" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
chmod 755 "$tree/bin/perigee"

# The same tree gives the same bytes.
time=$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)
tar -C "$work" --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner -cf - "$title" | gzip -9n >"$out/$title.tar.gz"

# ---- the Debian package ------------------------------------------------------------------------------------
architecture=$(dpkg --print-architecture)
package=$work/deb
mkdir -p "$package"/{DEBIAN,usr/lib,usr/bin,usr/share/bash-completion/completions,usr/share/zsh/vendor-completions,usr/share/fish/vendor_completions.d,usr/share/doc/perigee}
cp -R "$tree" "$package/usr/lib/perigee"
ln -s ../lib/perigee/bin/perigee "$package/usr/bin/perigee"
cp "$tree/completions/perigee.bash" "$package/usr/share/bash-completion/completions/perigee"
cp "$tree/completions/perigee.zsh" "$package/usr/share/zsh/vendor-completions/_perigee"
cp "$tree/completions/perigee.fish" "$package/usr/share/fish/vendor_completions.d/perigee.fish"
cat "$tree"/licenses/* >"$package/usr/share/doc/perigee/copyright"
glibc=$(ldd --version | sed -n '1s/.* //p')
cat >"$package/DEBIAN/control" <<END
Package: perigee
Version: $version
Architecture: $architecture
Maintainer: The Perigee developers <perigee@localhost>
Installed-Size: $(du -sk "$package/usr" | cut -f1)
Depends: libc6 (>= $glibc)
Section: science
Priority: optional
Description: fine-tuning of language models on the CPU
 Trains adapters of the LoRA family on transformers by Lua scripts, without Python and without a GPU.
 It reads and writes the folders of Hugging Face's Transformers and PEFT.
END
SOURCE_DATE_EPOCH=$time dpkg-deb --root-owner-group -Zxz --build "$package" "$out/perigee_${version}_$architecture.deb" >/dev/null

# ---- the wheel ---------------------------------------------------------------------------------------------
python3 - "$tree" "$out" "$version" "$machine" "$glibc" <<'END'
import base64, hashlib, os, sys, zipfile

tree, out, version, machine, glibc = sys.argv[1:]
tag = "py3-none-manylinux_%s_%s" % (glibc.replace(".", "_"), machine)
info, data = f"perigee-{version}.dist-info", f"perigee-{version}.data"
start = b'#!/bin/sh\nexec "$(dirname -- "$(readlink -f -- "$0")")/../lib/perigee/bin/perigee" "$@"\n'
files = {f"{data}/scripts/perigee": (start, 0o755)}
for folder, _, names in os.walk(tree):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            files[f"{data}/data/lib/perigee/{os.path.relpath(path, tree)}"] = (file.read(), os.stat(path).st_mode & 0o777)
files[f"{info}/METADATA"] = (f"Metadata-Version: 2.1\nName: perigee\nVersion: {version}\nSummary: fine-tuning of language models on the CPU\n".encode(), 0o644)
files[f"{info}/WHEEL"] = (f"Wheel-Version: 1.0\nGenerator: package.sh\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(), 0o644)
record = "".join(
    "%s,sha256=%s,%d\n" % (name, base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode(), len(content))
    for name, (content, _) in sorted(files.items()))
files[f"{info}/RECORD"] = ((record + f"{info}/RECORD,,\n").encode(), 0o644)
with zipfile.ZipFile(os.path.join(out, f"perigee-{version}-{tag}.whl"), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
    for name, (content, mode) in sorted(files.items()):
        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        entry.external_attr, entry.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
        wheel.writestr(entry, content)
END
(cd "$out" && ls -l | awk 'NR > 1 { printf "%6.1f MB  %s\n", $5 / 1e6, $NF }')
