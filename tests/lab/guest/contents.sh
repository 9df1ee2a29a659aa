# What goes into the guest; sourced by the build scripts.

# Whose dependencies come along.
packages="qemu-guest-agent dropbear-bin busybox-static fdisk e2fsprogs util-linux lua5.4 lua-yaml"
# Boot loaders, without their dependencies.
boot_packages="systemd-boot-efi syslinux-common"
programs="usr/sbin/qemu-ga usr/sbin/dropbear usr/bin/dropbearkey sbin/sfdisk sbin/resize2fs usr/bin/partx usr/bin/lua5.4"
# A shared object that a program loads by name at run time.
plugins="usr/lib/x86_64-linux-gnu/lua/5.4/yaml.so"

# Kernel modules: the disk of a virtio guest, the disks of other hypervisors, everything else.
disk_modules="virtio_pci virtio_blk"
other_disk_modules="virtio_scsi sd_mod sr_mod ata_piix vmw_pvscsi xen-blkfront"
modules="virtio_net virtio_console virtio-rng virtio_balloon virtio_mem button evdev isofs af_packet vmxnet3 8021q pvpanic-mmio"

# Quick under emulation: no mitigations, no self-tests; hot-added memory is used at once.
command_line="root=LABEL=tinyroot console=tty0 console=ttyS0,115200 quiet net.ifnames=0 mitigations=off nokaslr"
command_line="$command_line no_timer_check cryptomgr.notests rcupdate.rcu_expedited=1 memhp_default_state=online panic=5"
command_line="$command_line random.trust_cpu=on"
