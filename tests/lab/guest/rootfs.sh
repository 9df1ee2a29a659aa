#!/bin/bash
# The guest's root directory from unpacked packages.   rootfs.sh UNPACKED ROOT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/contents.sh"
unpacked=$1 root=$2
libraries=lib/x86_64-linux-gnu

mkdir -p "$root"/{bin,sbin,etc,proc,sys,dev,run,tmp,root,mnt,lib64,$libraries} \
  "$root"/{var/log,var/lib/cloud,usr/bin,usr/sbin,usr/lib,usr/share/lua,etc/dropbear}

cp "$unpacked/bin/busybox" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do
  if [ ! -e "$root/bin/$applet" ]; then ln -s busybox "$root/bin/$applet"; fi
done
for applet in init getty reboot poweroff halt udhcpc modprobe insmod ip hwclock; do
  ln -sf ../bin/busybox "$root/sbin/$applet"
done

for program in $programs $plugins; do
  mkdir -p "$root/$(dirname "$program")"
  rm -f "$root/$program"
  cp -L "$unpacked/$program" "$root/$program"
done
cp -rL "$unpacked/usr/share/lua/5.4" "$root/usr/share/lua/"

# The libraries that the programs are linked with, and those of the name service, which glibc loads by name.
needed() {
  local path="$unpacked/lib/x86_64-linux-gnu:$unpacked/usr/lib/x86_64-linux-gnu" file
  for file in $programs $plugins; do LD_LIBRARY_PATH=$path ldd "$unpacked/$file"; done | awk '$3 ~ /^\// {print $3}'
  find "$unpacked/lib" -name 'libnss_files.so.2' -o -name 'libnss_dns.so.2' -o -name 'libresolv.so.2'
}
needed | sort -u | while read -r library; do
  own=$(find "$unpacked/lib" "$unpacked/usr/lib" -name "${library##*/}" -print -quit)
  if [ -z "$own" ]; then
    echo "no package of the guest has ${library##*/}" >&2
    exit 1
  fi
  cp -L "$own" "$root/$libraries/"
done
cp -L "$unpacked/lib64/ld-linux-x86-64.so.2" "$root/lib64/"
find "$root" -type f \( -name '*.so*' -o -path '*/bin/*' -o -path '*/sbin/*' \) -exec strip --strip-unneeded {} + 2>/dev/null || true

cp -r "$here/skel/." "$root/"
# Password `lab`, for the serial console only: dropbear takes keys alone.
sed -i "s|@PASSWORD@|$("$root/bin/busybox" mkpasswd -m sha512 lab)|" "$root/etc/passwd"
chmod 700 "$root/root"
