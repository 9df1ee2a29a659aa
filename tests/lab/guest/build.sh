#!/bin/bash
# Build the guest image in an empty directory.   build.sh PACKAGES WORK  ->  WORK/guest.qcow2
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
directory=$1 work=$2

if [ ! -d "$directory" ]; then "$here/packages.sh" "$directory"; fi
mkdir "$work/unpacked"
for package in "$directory"/*.deb; do dpkg-deb --extract "$package" "$work/unpacked"; done
"$here/rootfs.sh" "$work/unpacked" "$work/root"
"$here/kernel.sh" "$work/unpacked" "$work/root" "$work/vmlinuz" "$work/initrd"
. "$here/contents.sh"
"$here/disk.sh" "$work/unpacked" "$work/root" "$work/vmlinuz" "$work/initrd" "$work/guest.qcow2" tinyroot 16 "$command_line"
