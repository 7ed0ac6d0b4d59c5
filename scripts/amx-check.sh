#!/usr/bin/env bash
# Runs the engine's products on AMX tiles with the CPU's real instructions, in an emulated CPU (Bochs, a Sapphire Rapids), and compares
# every bit with the emulation in C that the tests use. For machines without AMX, after a change in Sources/CKernels/amx*.
#
#   amx-check.sh
#
# Needs clang, binutils, and Debian 13's packages bochs (3.0), bochs-term, bochsbios, vgabios, isolinux, syslinux-common and xorriso.
# There is no system in the emulated machine: it starts the check itself, and is switched off at its end. Takes a minute. Exit code 1
# if a result differs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "amx-check.sh: $1 (see --help)" >&2; exit 1; }
case ${1:-} in
  "") ;;
  --help | -h) usage; exit 0 ;;
  *) mistake "unknown argument $1" ;;
esac
for tool in clang ld objcopy xorriso bochs script; do command -v "$tool" >/dev/null || mistake "there is no '$tool'"; done
bios=/usr/share/bochs/BIOS-bochs-latest vga=/usr/share/bochs/VGABIOS-lgpl-latest
isolinux=/usr/lib/ISOLINUX/isolinux.bin modules=/usr/lib/syslinux/modules/bios
for file in "$bios" "$vga" "$isolinux" "$modules/mboot.c32"; do [ -e "$file" ] || mistake "there is no $file"; done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kernels=$root/Sources/CKernels check=$root/scripts/amx-check
cd "$work"

# compile OUT OPTION... FILE: for a machine without a system: no threads, no red zone below the stack, fixed addresses.
compile() {
  clang -O2 -ffreestanding -fno-stack-protector -mno-red-zone -fno-pic -mcmodel=small -ffp-contract=off -D_Thread_local= -w \
    -I "$kernels" -I "$kernels/include" -I "$root/Sources/CLimits/include" -c -o "$1" "${@:2}"
}
compile amx.o -mavx512f -mavx512bw -mavx512vl -mavx512dq "$kernels/amx.c"
# Without Linux's loader nobody would choose among copies of a function.
compile emulated.o -U__linux__ -mavx2 -mfma "$kernels/amx_emulated.c"
compile check.o -mavx2 -mfma "$check/check.c"
compile start.o "$check/start.S"
ld -n -T "$check/link.ld" -o check64 start.o check.o amx.o emulated.o 2>/dev/null
mkdir disk
objcopy -O elf32-i386 check64 disk/check
cp "$isolinux" "$modules"/{mboot,ldlinux,libcom32}.c32 disk/
printf 'DEFAULT check\nLABEL check\n  KERNEL mboot.c32\n  APPEND check\n' >disk/isolinux.cfg
xorriso -as mkisofs -o disk.iso -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table disk >log 2>&1 \
  || { cat log; mistake "xorriso failed"; }

cat >bochsrc <<END
display_library: term
plugin_ctrl: unmapped=1, biosdev=1
cpu: model=sapphire_rapids, count=1, ips=400000000, reset_on_triple_fault=0
memory: guest=512, host=512
romimage: file=$bios
vgaromimage: file=$vga
ata0-master: type=cdrom, path=$work/disk.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/said
log: $work/bochs.log
panic: action=fatal
END
# Its screen wants a terminal; its exit code says nothing.
TERM=xterm timeout 600 script -qec "bochs -q -f bochsrc" /dev/null </dev/null >/dev/null 2>&1 || true
cat said 2>/dev/null || { tail -n 5 bochs.log; mistake "the check said nothing"; }
grep -q ' 0 different' said
