# The file systems of a lab host; sourced by host-init.sh.

# With the old /sys the cgroup mounts of the machine go away, which libvirt would find in /proc/mounts.
# The new one shows /sys/class/net of this network namespace.
umount -l -R /sys 2>/dev/null || true
mount -t sysfs sysfs /sys
if [ -n "$LAB_CGROUPS" ]; then
  mount -t tmpfs -o mode=755,size=1m cgroup_root /sys/fs/cgroup
  for controllers in $LAB_CGROUPS; do
    mkdir -p "/sys/fs/cgroup/$controllers"
    mount -t cgroup -o "$controllers" "$controllers" "/sys/fs/cgroup/$controllers"
  done
fi

mount -t tmpfs -o mode=755,size=64m tmpfs /run
mkdir -p /run/lock /run/libvirt /run/openvswitch /run/netns
for kind in lib cache log; do mount --bind "$LAB_DIR/$kind" "/var/$kind/libvirt"; done
mount --bind "$LAB_DIR/etc" /etc/libvirt
mount --bind "$LAB_HOSTS" /etc/hosts

# An own /dev: no disks of the machine, and /dev/kvm only where guests really run on it (libvirt tests that it exists).
dev=$LAB_DIR/dev
mkdir -p "$dev"
mount -t tmpfs -o mode=755,size=1m dev "$dev"
for node in $LAB_DEVICES; do
  mkdir -p "$dev/$(dirname "$node")"
  cp -a "/dev/$node" "$dev/$node"
done
mkdir -p "$dev/pts" "$dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$dev/pts"
mount -t tmpfs -o size=2g shm "$dev/shm"
ln -s pts/ptmx "$dev/ptmx"
ln -s /proc/self/fd "$dev/fd"
ln -s fd/0 "$dev/stdin"
ln -s fd/1 "$dev/stdout"
ln -s fd/2 "$dev/stderr"
mount --move "$dev" /dev
