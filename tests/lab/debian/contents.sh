# What goes into the Debian guest; sourced by build.sh.
release=bookworm

# As Debian's own cloud images: systemd, netplan over systemd-networkd, and cloud-init as it is packaged.
packages=systemd-sysv,systemd-resolved,udev,dbus,linux-image-cloud-amd64,cloud-init,cloud-guest-utils,netplan.io
packages=$packages,qemu-guest-agent,openssh-server,sudo,iproute2,iputils-ping,e2fsprogs,ca-certificates,zstd
# Boot loaders, for disk.sh.
packages=$packages,systemd-boot-efi,syslinux-common

# Work in the background that an emulated guest would only be slowed down by.
switched_off="apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer"

command_line="root=LABEL=cloudroot ro console=tty0 console=ttyS0,115200 quiet mitigations=off no_timer_check"
command_line="$command_line cryptomgr.notests random.trust_cpu=on panic=5"
