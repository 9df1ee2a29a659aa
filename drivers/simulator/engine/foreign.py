"""VMs that somebody else made, from a line of text.

    name=web off cpus=2 memory=2147483648 uefi disk=/srv/images/web.img:10737418240 nic=52:54:00:00:00:01/120/10.1.0.9

A guest with a name has an agent. `disk` and `nic` may come several times; a NIC has its MAC address, its VLAN (empty: untagged) and
the address that its guest has.
"""

from __future__ import annotations

import posixpath

from drivers.types import Firmware, HostID, InstanceID, ObservedNIC, Power, Segment

from .model import VM, Disk, GuestConfig, PoolKey

__all__ = ["foreign_vm"]

_GIB = 1024**3
_WORDS = frozenset({"off", "uefi"})
_NAMES = frozenset({"name", "cpus", "memory", "disk", "nic"})


def foreign_vm(host: HostID, instance: InstanceID, description: str = "") -> VM:
    """The VM, running unless it is `off`; 1 CPU and 1 GiB without a device by default. Raises ValueError for other text."""
    words = description.split()
    pairs = [(name, value) for name, _, value in (word.partition("=") for word in words if word not in _WORDS)]
    if unknown := {name for name, _ in pairs} - _NAMES:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    values = dict(pairs)
    cpus, memory = int(values.get("cpus", 1)), int(values.get("memory", _GIB))
    nics = [_nic(value) for name, value in pairs if name == "nic"]
    disks = [_disk(host, number, value) for number, value in enumerate(value for name, value in pairs if name == "disk")]
    guest = GuestConfig(values.get("name", ""), tuple((nic.mac, (nic.ip,) if nic.ip else ()) for nic in nics))
    running = "off" not in words
    return VM(
        instance=instance,
        host=host,
        name=values.get("name", "foreign"),
        owner=None,
        cpus=cpus,
        memory=memory,
        running_cpus=cpus,
        running_memory=memory,
        firmware=Firmware.UEFI if "uefi" in words else Firmware.BIOS,
        power=Power.ON if running else Power.OFF,
        disks={disk.name: disk for disk in disks},
        nics={nic.mac: ObservedNIC(nic.mac, nic.mac, "", nic.segment) for nic in nics},
        guest=guest,
        booted=guest if running and "name" in values else None,
        starts=int(running),
    )


def _disk(host: HostID, number: int, text: str) -> Disk:
    path, _, size = text.rpartition(":")
    directory, file = posixpath.split(path)
    if not directory or not file:
        raise ValueError(text)
    return Disk(f"vd{chr(ord('a') + number)}", PoolKey(host, directory), "", int(size), content=file, file=path)


def _nic(text: str) -> ObservedNIC:
    mac, _, rest = text.partition("/")
    vlan, _, address = rest.partition("/")
    return ObservedNIC(mac, mac, "", Segment(int(vlan) if vlan else None), address)
