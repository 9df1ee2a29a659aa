#!/bin/bash
# Build the guest image in an empty directory.   build.sh PACKAGES WORK  ->  WORK/guest.qcow2
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
packages=$1 work=$2

if [ ! -d "$packages" ]; then "$here/packages.sh" "$packages"; fi
mkdir "$work/unpacked"
for package in "$packages"/*.deb; do dpkg-deb --extract "$package" "$work/unpacked"; done
"$here/rootfs.sh" "$work/unpacked" "$work/root"
"$here/kernel.sh" "$work/unpacked" "$work/root" "$work/vmlinuz" "$work/initrd"
"$here/disk.sh" "$work/unpacked" "$work/root" "$work/vmlinuz" "$work/initrd" "$work/guest.qcow2"
