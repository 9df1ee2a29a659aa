"""A volume group of LVM on a lab host with a complete kernel: on a loop device, with what somebody left on it."""

from __future__ import annotations

from tests.lab.complete import CompleteHost
from tests.lab.shell import LabError, find

NAME = "vg-1"
SIZE_MIB = 768
LEFT = "LEFT-BY-SOMEBODY"
"""What all of the group's room is full of."""

COMMANDS = {"vgcreate": "lvm2"}

_CONFIG = """
activation { udev_sync=0 udev_rules=0 }
backup { archive=0 backup=0 }
devices { obtain_device_list_from_udev=0 use_devicesfile=0 filter=["a|^/dev/loop|", "r|.*|"] }
"""


class LabVolumeGroup:
    """One on this host."""

    def __init__(self, host: CompleteHost, directory: str) -> None:
        """`directory`, on the host, keeps the file that is its disk."""
        self._host = host
        self._disk = f"{directory}/{NAME}.img"

    def make(self) -> None:
        """A group whose room is not empty, with the logical volume `others`. Raises LabError."""
        if absent := sorted({package for command, package in COMMANDS.items() if find(command) is None}):
            raise LabError(f"it needs Debian packages that are not installed: apt-get install {' '.join(absent)}")
        self._host.run("for module in loop dm-mod; do /run/kernel/modprobe $module || exit 1; done")
        self._host.run("mkdir -p /run/own/etc/lvm && mount --bind /run/own/etc/lvm /etc/lvm")
        self._host.run(f"cat > /etc/lvm/lvm.conf <<'X'{_CONFIG}X")
        self._host.run(f"truncate -s {SIZE_MIB}M {self._disk}")
        self.plug()
        self._host.run(f"pvcreate -q /dev/loop0 && vgcreate -q {NAME} /dev/loop0")
        self._host.run(f"lvcreate -q -Wn -n full -l 100%FREE {NAME}")
        self._host.run(
            f"yes {LEFT} | dd of=/dev/{NAME}/full bs=1M iflag=fullblock oflag=direct status=none; sync; lvremove -qf {NAME}/full"
        )
        self._host.run(f"lvcreate -q -Wn -n others -L 8M {NAME} && echo mine | dd of=/dev/{NAME}/others conv=notrunc status=none")

    def plug(self) -> None:
        """Its disk is there."""
        self._host.run(f"losetup /dev/loop0 {self._disk}")

    def unplug(self) -> None:
        """Its disk is gone."""
        self._host.run(f"vgchange -q -an {NAME} && losetup -d /dev/loop0")

    def volumes(self) -> list[str]:
        """Names of all logical volumes."""
        return self._host.run(f"lvs --noheadings -o lv_name {NAME}").split()

    def foreign(self, name: str, start: int, size: int) -> int:
        """Bytes of a logical volume from `start` on, `size` at most, that are not zero."""
        script = f"dd if=/dev/{NAME}/{name} bs=1M iflag=skip_bytes,count_bytes skip={start} count={size} status=none"
        return int(self._host.run(f"{script} | tr -d '\\0' | wc -c"))
