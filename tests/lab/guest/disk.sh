#!/bin/bash
# A disk that boots with BIOS (syslinux) and UEFI (systemd-boot), made without mounts.
#   disk.sh UNPACKED ROOT VMLINUZ INITRD QCOW2 LABEL SPARE "COMMAND LINE"
# LABEL: of the root file system; SPARE: MiB that it has beside the files; boot loaders come from UNPACKED.
# MBR; partition 1: FAT, kernel and boot loaders; partition 2: ext4, the root, which grows at boot.
set -eu
unpacked=$1 root=$2 vmlinuz=$3 initrd=$4 qcow2=$5 label=$6 spare=$7 command_line=$8
work=$(dirname "$qcow2")
fat=$work/fat.img ext=$work/ext.img disk=$work/disk.img
export MTOOLS_SKIP_CHECK=1

fat_mib=$((($(stat -c%s "$vmlinuz") + $(stat -c%s "$initrd")) / 1048576 + 3))
root_mib=$(($(du -sm "$root" | cut -f1) + spare))

truncate -s "${fat_mib}M" "$fat"
mkfs.vfat -F 16 -n BOOT "$fat" >/dev/null
cat >"$work/syslinux.cfg" <<C
default guest
prompt 0
label guest
 linux /vmlinuz
 initrd /initrd
 append $command_line
C
printf 'default guest\ntimeout 0\n' >"$work/loader.conf"
printf 'title guest\nlinux /vmlinuz\ninitrd /initrd\noptions %s\n' "$command_line" >"$work/guest.conf"
mmd -i "$fat" ::EFI ::EFI/BOOT ::loader ::loader/entries
mcopy -i "$fat" "$vmlinuz" ::vmlinuz
mcopy -i "$fat" "$initrd" ::initrd
mcopy -i "$fat" "$work/syslinux.cfg" ::
mcopy -i "$fat" "$work/loader.conf" ::loader/
mcopy -i "$fat" "$work/guest.conf" ::loader/entries/
mcopy -i "$fat" "$unpacked/usr/lib/systemd/boot/efi/systemd-bootx64.efi" ::EFI/BOOT/BOOTX64.EFI
syslinux --install "$fat"

# Blocks for the group descriptors of 16 GiB are set aside: the file system can grow to that while mounted.
# A journal: guests lose their power at any moment, and boot again.
truncate -s "${root_mib}M" "$ext"
mke2fs -q -t ext4 -L "$label" -O '^metadata_csum,resize_inode' -J size=4 -E resize=4194304,root_owner=0:0 -m 0 -d "$root" "$ext"

truncate -s "$((fat_mib + root_mib + 1))M" "$disk"
printf 'label: dos\nstart=2048, size=%s, type=ef, bootable\nstart=%s, type=83\n' $((fat_mib * 2048)) $((2048 + fat_mib * 2048)) |
  sfdisk -q "$disk"
dd if="$unpacked/usr/lib/syslinux/mbr/mbr.bin" of="$disk" conv=notrunc bs=440 count=1 status=none
dd if="$fat" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$ext" of="$disk" bs=1M seek=$((1 + fat_mib)) conv=notrunc,sparse status=none
qemu-img convert -f raw -O qcow2 "$disk" "$qcow2"
