#!/bin/bash
# Build the Debian guest in an empty directory.   build.sh WORK  ->  WORK/guest.qcow2
# Packages come from Debian's archive, security updates included; the release is one that has the tools' own versions.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
. "$here/contents.sh"
work=$1 root=$1/root

# The initramfs is made as packages are configured: what it is to hold must be there before.
mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
  --aptopt='APT::Install-Recommends false' --aptopt='Acquire::Languages none' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --essential-hook='cp -r "'"$here"'/before/." "$1/"' \
  "$release" "$root"

cp -r "$here/after/." "$root/"
# Of each guest's own: made at its first boot.
: >"$root/etc/machine-id"
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
for unit in $switched_off; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done

vmlinuz=$(ls "$root"/boot/vmlinuz-* | sort -V | tail -1)
initrd=$root/boot/initrd.img-${vmlinuz#*/vmlinuz-}
mv "$vmlinuz" "$work/vmlinuz"
mv "$initrd" "$work/initrd"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/dev/*
"$here/../guest/disk.sh" "$root" "$root" "$work/vmlinuz" "$work/initrd" "$work/plain.qcow2" cloudroot 96 "$command_line"
qemu-img convert -c -O qcow2 "$work/plain.qcow2" "$work/guest.qcow2"
