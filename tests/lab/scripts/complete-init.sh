#!/bin/bash
# Pid 1 of a lab host with a complete kernel (user-mode Linux). Its root is the machine's, read-only.
# From the kernel's command line: LAB_NAME, LAB_ADDRESS (on the management network), LAB_STATE (the lab's files, writable),
# LAB_DIR (the host's own), LAB_MODULES (of this kernel).
set -u
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs tmpfs /var/tmp
mkdir -p /dev/pts /dev/shm /dev/net /run/lock /run/libvirt /run/kernel/lib /run/own
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t hostfs none "$LAB_STATE" -o "$LAB_STATE"

# modprobe(8) looks below lib/modules of the directory that it is given
ln -s "$LAB_MODULES" /run/kernel/lib/modules
printf '#!/bin/sh\nexec /usr/sbin/modprobe -d /run/kernel "$@"\n' >/run/kernel/modprobe
chmod +x /run/kernel/modprobe
echo /run/kernel/modprobe >/proc/sys/kernel/modprobe
for module in tun bridge nfs nfsv4; do /run/kernel/modprobe -q "$module"; done
[ -c /dev/net/tun ] || mknod /dev/net/tun c 10 200

hostname "$LAB_NAME"
for directory in var/lib/libvirt var/cache/libvirt var/log/libvirt var/lib/nfs etc/libvirt; do
  mkdir -p "/run/own/$directory" && mount --bind "/run/own/$directory" "/$directory"
done
cp -r "$LAB_DIR/etc/." /etc/libvirt/
mkdir -p /var/lib/libvirt/images /var/log/libvirt/qemu
ip link set lo up
ip link set vec0 up
ip address add "$LAB_ADDRESS/24" dev vec0
mount -t cgroup2 none /sys/fs/cgroup

libvirtd --listen --config /etc/libvirt/libvirtd.conf </dev/null >"$LAB_DIR/libvirtd.log" 2>&1 &
# What is put into run/NAME.sh is run once, its output and status beside it. bash reaps what is re-parented to it meanwhile.
while [ ! -e "$LAB_DIR/stop" ]; do
  for script in "$LAB_DIR"/run/*.sh; do
    [ -e "$script" ] || continue
    mv "$script" "$script.taken"
    (bash "$script.taken" >"${script%.sh}.out" 2>&1; echo $? >"${script%.sh}.new"; mv "${script%.sh}.new" "${script%.sh}.status") &
  done
  sleep 0.3
done
sync
echo o >/proc/sysrq-trigger
sleep 60
