#!/bin/bash
# Pid 1 of one lab host, in namespaces of its own (mount, pid, uts, ipc, cgroup, net).
# From the environment: LAB_NAME, LAB_DIR (its files), LAB_HOSTS (its /etc/hosts), LAB_BACKEND (ovs or vxlan),
# LAB_CGROUPS (version 1 controllers, blank separated), LAB_DEVICES (nodes of /dev that it gets).
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
here=$(cd "$(dirname "$0")" && pwd)

hostname "$LAB_NAME"
mount -t proc proc /proc
. "$here/host-mounts.sh"
if [ "$LAB_BACKEND" = ovs ]; then . "$here/host-ovs.sh"; fi

start_libvirtd() {
  libvirtd --listen --config /etc/libvirt/libvirtd.conf </dev/null &
  libvirtd=$!
}
start_libvirtd
# SIGUSR1 starts libvirtd again when it is gone. bash reaps re-parented processes (QEMU, dnsmasq) in its SIGCHLD handler:
# without a reaper libvirt waits 80 s for each guest that it destroys.
trap 'kill -0 "$libvirtd" 2>/dev/null || start_libvirtd' USR1
while :; do
  sleep 86400 &
  wait $! || true
done
