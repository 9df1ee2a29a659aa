#!/bin/bash
# Kernel, its modules in ROOT, and an initramfs.   kernel.sh UNPACKED ROOT VMLINUZ INITRD
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/contents.sh"
unpacked=$1 root=$2 vmlinuz=$3 initrd=$4
version=$(ls "$unpacked/lib/modules" | sort -V | tail -1)
initramfs=$initrd.d

# Files of the modules and of all that they need, in the order of loading.
with_dependencies() {
  local module
  for module; do
    modprobe -d "$unpacked" -S "$version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" {print $2}'
  done | awk '!seen[$0]++'
}
names() { local file; for file; do basename "$file" .ko; done; }

depmod -b "$unpacked" "$version"
first=$(with_dependencies $disk_modules)
second=$(with_dependencies $disk_modules $other_disk_modules | grep -vxF "$first")

target=$root/lib/modules/$version
mkdir -p "$target" "$initramfs"/{bin,modules}
for file in $first $second $(with_dependencies $modules); do
  mkdir -p "$target/$(dirname "${file#*"$version"/}")"
  cp "$file" "$target/${file#*"$version"/}"
done
cp "$unpacked/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$target/"
# No signature is checked in the guest; without debug data the modules have a third of the size.
find "$target" -name '*.ko' -exec strip --strip-debug {} +
depmod -b "$root" "$version"

cp "$root/bin/busybox" "$initramfs/bin/"
cp "$here/initramfs-init" "$initramfs/init"
for file in $first $second; do cp "$target/${file#*"$version"/}" "$initramfs/modules/"; done
names $first >"$initramfs/modules.first"
names $second >"$initramfs/modules.second"
(cd "$initramfs" && find . | cpio --create --format=newc --owner=0:0 --quiet | gzip -9) >"$initrd"
cp "$unpacked/boot/vmlinuz-$version" "$vmlinuz"
