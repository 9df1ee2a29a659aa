"""Memory of a domain: what it starts with, and what is added while it runs.

A domain of a GiB or more is defined with a range of guest addresses that is empty at first (`maxMemory`). What is added to it
while it runs is given by one virtio-mem device in that range. The device comes with the first addition and is gone with the power:
the next start has everything from the beginning. libvirt counts a device with its whole size in <memory>, whatever it gives;
`requested` is what it gives, `current` what the guest has taken of that. https://libvirt.org/formatdomain.html#memory-devices
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from drivers.errors import Conflict, InvalidSpec
from drivers.kvm.xmltext import add
from drivers.types import Devices

STEP = 1 << 20
"""Memory is given in whole MiB: QEMU refuses sizes that don't align."""

BLOCK = 2 << 20
"""What virtio-mem gives is a multiple of this: libvirt refuses less than a transparent huge page."""

LEAST_WITH_ROOM = 1 << 30
"""Smaller VMs have no room: a Linux guest that may get memory above 4 GiB sets 64 MiB aside to copy through (SWIOTLB)."""

GROWTH = 4
"""Room is this many times what a VM starts with."""

MOST_WITH_ROOM = 512 << 30
"""Nothing grows beyond: QEMU gives guests 40 bits of addresses unless told otherwise, and other things need some of them."""

_VIRTIO = "virtio-mem"


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a domain in bytes.

    `base` is there from its start, `given` is what a device gives and `taken` what the guest has of that. `room` is the most that a
    device can give, 0 where there can be none.
    """

    base: int
    given: int = 0
    taken: int = 0
    room: int = 0

    @property
    def total(self) -> int:
        """What the guest has."""
        return self.base + self.taken

    @property
    def most(self) -> int:
        """Most that the guest can have without a restart; 0 if there is no room."""
        return self.base + self.room if self.room else 0

    @property
    def waits(self) -> bool:
        """Whether the guest has not taken all that is given."""
        return self.taken < self.given

    def share(self, wanted: int) -> int:
        """What a device must give so that the guest has `wanted` bytes, in whole blocks; 0 or less where none is needed."""
        return _up(_up(wanted, STEP) - self.base, BLOCK)

    def as_asked(self, seen: int, asked: int) -> int:
        """`asked` where `seen` is only that, rounded up as the hypervisor needs it; else `seen`."""
        exact = _up(asked, STEP) >= self.base and seen == self.base + self.share(asked)
        return asked if asked and exact else seen


def read(domain: ET.Element) -> Memory:
    """Memory of a domain as a document says; of one that is off, as if its guest took what is given. libvirt always writes KiB."""
    listed = domain.findall("devices/memory")
    virtual = [item for item in listed if item.get("model") == _VIRTIO]
    given = sum(_number(item, "target/requested") for item in virtual)
    taken = sum(map(_taken, virtual))
    sizes = sum(_number(item, "target/size") for item in virtual)
    base = _number(domain, "memory") - sizes
    return Memory(base, given, taken, _room(domain, base, listed, virtual))


def at_start(domain: ET.Element, *, adopted: bool = False) -> int:
    """Bytes that a definition gives to the guest when it starts: what exceeds <currentMemory> its balloon takes at once.

    `virsh setmem --config` writes that. Where there are memory devices libvirt counts them in, and it tells nothing. A VM that was
    `adopted` with a balloon keeps it.
    """
    whole, current = read(domain).total, _number(domain, "currentMemory")
    held = not adopted and 0 < current < whole and domain.find("devices/memory") is None
    return current if held else whole


def _taken(item: ET.Element) -> int:
    current = "target/current" if item.find("target/current") is not None else "target/requested"
    return _number(item, current)


def _room(domain: ET.Element, base: int, listed: list[ET.Element], virtual: list[ET.Element]) -> int:
    """For one device of ours. Where somebody else has plugged memory there is none."""
    if len(domain.findall("cpu/numa/cell")) != 1 or len(listed) > 1 or listed != virtual:
        return 0
    most = _number(virtual[0], "target/size") if virtual else _number(domain, "maxMemory") - base
    return max(0, most // BLOCK * BLOCK)


def kibibytes(memory: int) -> int:
    """`memory` in bytes as libvirt's KiB, in whole MiB. Raises InvalidSpec below one MiB."""
    if memory < STEP:
        raise InvalidSpec(f"a VM needs at least {STEP} bytes of memory, not {memory}")
    return _up(memory, STEP) >> 10


def ceiling(memory: int) -> int:
    """Most bytes that a VM started with `memory` can have without a restart, where its host and its guest can add memory."""
    amount = _up(memory, STEP)
    if not LEAST_WITH_ROOM <= amount < MOST_WITH_ROOM:
        return amount
    return amount + min(amount * (GROWTH - 1), MOST_WITH_ROOM - amount) // BLOCK * BLOCK


def addable(memory: int, devices: Devices, *, supported: bool) -> bool:
    """Whether a VM of `memory` bytes gets room on a host that supports it. A guest without virtio drivers could not use it."""
    return supported and devices is Devices.VIRTIO and ceiling(memory) > kibibytes(memory) << 10


def write(root: ET.Element, memory: int, *, room: bool) -> None:
    """Give a definition `memory` bytes, and with `room` the range up to their ceiling.

    Raises InvalidSpec below one MiB, Conflict for a definition that has memory devices: they are not ours.
    """
    if root.find("devices/memory") is not None:
        raise Conflict("somebody has given the VM memory devices; take them out of its definition first")
    amount = kibibytes(memory)
    for tag in ("maxMemory", "memory", "currentMemory"):
        for old in root.findall(tag):
            root.remove(old)
    for cpu in root.iterfind("cpu"):
        for numa in cpu.findall("numa"):
            cpu.remove(numa)
    most = ceiling(memory) >> 10
    if room and most > amount:
        add(root, "maxMemory", {"slots": "1", "unit": "KiB"}, str(most))
        _add_cell(root, amount)
    add(root, "memory", {"unit": "KiB"}, str(amount))
    add(root, "currentMemory", {"unit": "KiB"}, str(amount))


def _add_cell(root: ET.Element, amount: int) -> None:
    """One NUMA node of all CPUs, without which libvirt plugs no memory."""
    cpu = root.find("cpu")
    cpu = add(root, "cpu") if cpu is None else cpu
    add(add(cpu, "numa"), "cell", {"id": "0", "memory": str(amount), "unit": "KiB"})
    cover_cpus(root)


def cover_cpus(root: ET.Element) -> None:
    """Have the one node of a definition, if there is one, hold all CPUs that may come."""
    cells = root.findall("cpu/numa/cell")
    if len(cells) == 1:
        cells[0].set("cpus", f"0-{int(root.findtext('vcpu') or 1) - 1}")


def device(now: Memory, share: int) -> ET.Element:
    """A device that can give all of the room and gives `share` bytes of it."""
    item = ET.Element("memory", {"model": _VIRTIO})
    target = add(item, "target")
    add(target, "size", {"unit": "KiB"}, str(now.room >> 10))
    add(target, "node", text="0")
    add(target, "block", {"unit": "KiB"}, str(BLOCK >> 10))
    add(target, "requested", {"unit": "KiB"}, str(share >> 10))
    return item


def giving(domain: ET.Element, share: int) -> ET.Element | None:
    """The device of a running domain as it is with `share` bytes; None if there is none yet."""
    there = domain.find(f"devices/memory[@model='{_VIRTIO}']")
    if there is None:
        return None
    changed = copy.deepcopy(there)
    for requested in changed.iterfind("target/requested"):
        requested.text = str(share >> 10)
    return changed


def _number(item: ET.Element, path: str) -> int:
    """Bytes of an element in KiB."""
    return int(item.findtext(path) or 0) << 10


def _up(amount: int, step: int) -> int:
    return -(-amount // step) * step
