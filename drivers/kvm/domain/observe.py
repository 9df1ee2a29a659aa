"""Domain XML → ObservedVM.

libvirt has two documents for a running domain: what it runs with, and what its next start has. Devices are those it runs with,
since a guest may take its time to let one go; CPUs and memory are reported from both.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

import libvirt

from drivers.kvm import names
from drivers.kvm.domain import limits, memory, pending, port, volumes
from drivers.kvm.domain.disks import SEED_TARGET
from drivers.kvm.host.profile import ACCELERATED
from drivers.kvm.mark import Mark, MarkedDisk, read
from drivers.types import (
    AttachedVolume,
    DiskFailure,
    GuestInfo,
    HostID,
    InstanceID,
    ObservedDisk,
    ObservedNIC,
    ObservedSnapshot,
    ObservedVM,
    Power,
    Unplugged,
)

AGENT_CHANNEL = "devices/channel/target[@name='org.qemu.guest_agent.0']"

_POWER = {
    libvirt.VIR_DOMAIN_RUNNING: Power.ON,
    libvirt.VIR_DOMAIN_BLOCKED: Power.ON,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.ON,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.PAUSED,
    libvirt.VIR_DOMAIN_SHUTOFF: Power.OFF,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
}
# SHUTOFF with the reason CRASHED is off: libvirt keeps that reason until the next start, so no stop would ever clear it
_EXCEPTIONS = {
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP): Power.ON,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): Power.CRASHED,
}

FAILED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR)
"""State and reason of a domain that QEMU suspended for an error of a disk."""


@dataclass(frozen=True, slots=True)
class Documents:
    """What libvirt says about one domain, with its snapshots.

    `inactive` is the document of the next start, `live` the one it runs with (None when off). `state` and `reason` are libvirt's
    numbers. `errors` are those of disks by device, libvirt's numbers too; empty where QEMU was not asked.
    """

    inactive: ET.Element
    live: ET.Element | None
    state: int
    reason: int
    snapshots: tuple[ObservedSnapshot, ...] = ()
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether QEMU suspended the domain for an error of a disk."""
        return (self.state, self.reason) == FAILED


class Key(NamedTuple):
    """A NIC while its VM runs: `run` is libvirt's number of that run, `device` the host's name for the NIC."""

    instance: InstanceID
    run: str
    device: str


def key(instance: InstanceID, live: ET.Element, interface: ET.Element) -> Key:
    """The key of an interface in the document that a VM runs with."""
    target = interface.find("target")
    return Key(instance, live.get("id", ""), "" if target is None else target.get("dev", ""))


NOTHING: Mapping[Key, Unplugged] = MappingProxyType({})


def power(state: int, reason: int) -> Power:
    """Power for libvirt's state and reason."""
    return _EXCEPTIONS.get((state, reason), _POWER.get(state, Power.UNKNOWN))


def observe(documents: Documents, host: HostID, in_the_air: Mapping[Key, Unplugged] = NOTHING) -> ObservedVM | None:
    """The VM; None if it has no mark of ours. `in_the_air`: NICs of the host that are plugged in to nothing."""
    mark = read(documents.inactive)
    if mark is None:
        return None
    devices = documents.inactive if documents.live is None else documents.live
    instance = InstanceID(devices.findtext("uuid", "").strip().lower())
    own = _own_disks(devices, instance, mark)
    later = {device(item): item for item in documents.inactive.iterfind("devices/disk")}
    seen_disks = tuple(
        ObservedDisk(known.name, known.pool, medium(item), known.size, limits.agreed(item, later.get(device(item))))
        for item, known in own
    )
    seen_volumes = _volumes(devices, mark, later)
    gone = frozenset[str]() if documents.live is None else released(documents.inactive, documents.live)
    later_nics = {mac(item): item for item in documents.inactive.iterfind("devices/interface")}
    unplugged = {mac(item): in_the_air.get(key(instance, devices, item)) for item in devices.iterfind("devices/interface")}
    seen_nics = _nics(devices, mark, gone, later_nics, unplugged)
    present, next_start = memory.read(devices), memory.read(documents.inactive)
    return ObservedVM(
        instance=instance,
        owner=mark.owner,
        name=devices.findtext("name", ""),
        host=host,
        power=power(documents.state, documents.reason),
        cpus=cpus(documents.inactive),
        memory=next_start.as_asked(memory.at_start(documents.inactive, adopted=mark.adopted), mark.memory),
        running_cpus=cpus(devices),
        running_memory=present.as_asked(present.total, mark.memory),
        disks=seen_disks,
        nics=seen_nics,
        seed_digest=mark.seed,
        guest=GuestInfo(agent=agent_connected(documents.live)),
        foreign_devices=_foreign(devices, instance, {device(item) for item, _ in own}, mark, gone),
        volumes=seen_volumes,
        snapshots=documents.snapshots,
        restored=_restored(documents.inactive, mark),
        most_cpus=most_cpus(documents.live),
        most_memory=0 if documents.live is None or mark.adopted else present.most,
        offered_memory=present.as_asked(present.base + present.given, mark.memory) if present.waits else 0,
        failures=_failures(documents, devices, mark),
    )


def _restored(domain: ET.Element, mark: Mark) -> tuple[str, ...]:
    """The restores that took effect; one of which a part is left to be done has not yet."""
    begun = pending.read(domain)
    return mark.restored if begun is None else tuple(token for token in mark.restored if token != begun.token)


def cpus(domain: ET.Element) -> int:
    """CPUs that are present."""
    vcpu = domain.find("vcpu")
    return 0 if vcpu is None else int(vcpu.get("current") or vcpu.text or 0)


def most_cpus(live: ET.Element | None) -> int:
    """CPUs that a running domain can have; an emulated one no more than it has, whatever its room. 0 for one that is off."""
    if live is None:
        return 0
    return int(live.findtext("vcpu") or 0) if live.get("type") == ACCELERATED else cpus(live)


def agent_connected(live: ET.Element | None) -> bool:
    """Whether the guest agent holds its end of the channel."""
    channel = None if live is None else live.find(AGENT_CHANNEL)
    return channel is not None and channel.get("state") == "connected"


def mac(nic: ET.Element) -> str:
    """MAC address of an interface, in lower case."""
    item = nic.find("mac")
    return "" if item is None else item.get("address", "").lower()


def alias(item: ET.Element) -> str:
    """Name of a running device in libvirt."""
    found = item.find("alias")
    return "" if found is None else found.get("name", "")


def cut_link(nic: ET.Element) -> None:
    """Make an interface one whose cable is pulled."""
    for link in nic.findall("link"):
        nic.remove(link)
    ET.SubElement(nic, "link", {"state": "down"})


def released(inactive: ET.Element, live: ET.Element) -> frozenset[str]:
    """MACs of interfaces that are detached, while the guest has not let them go: cut off, and not in the next start."""
    staying = {mac(item) for item in inactive.iterfind("devices/interface")}
    cut = {mac(item) for item in live.iterfind("devices/interface") if item.find("link[@state='down']") is not None}
    return frozenset(cut - staying)


def device(disk: ET.Element) -> str:
    """Device name of a disk, for example vda."""
    item = disk.find("target")
    return "" if item is None else item.get("dev", "")


def source(disk: ET.Element) -> str:
    """Path of a disk's file; empty for a drive without medium and for disks that are not files."""
    item = disk.find("source")
    return "" if item is None else item.get("file", "")


def medium(disk: ET.Element) -> str:
    """Path of a disk's file or block device; empty for a drive without medium and for disks that are neither."""
    item = disk.find("source")
    return "" if item is None else item.get("file", "") or item.get("dev", "")


def form(disk: ET.Element) -> str:
    """What a disk of ours is, if it is one."""
    return names.RAW if disk.get("type") == "block" else names.QCOW2


def is_own(disk: ET.Element, known: MarkedDisk, instance: InstanceID) -> bool:
    """Whether a disk is the one that the mark means: by our name of its file, or as it was found when the VM was adopted.

    What is only noted, as a drive is, may have another medium by now.
    """
    if not known.pool:
        return True
    return medium(disk) == known.path if known.path else names.belongs(PurePosixPath(medium(disk)).name, instance, form(disk))


def is_seed(disk: ET.Element, instance: InstanceID) -> bool:
    """Whether a drive is the one with the seed that Vireo made for the VM."""
    return device(disk) == SEED_TARGET and names.is_seed(PurePosixPath(source(disk)).name, instance)


def _failures(documents: Documents, devices: ET.Element, mark: Mark) -> tuple[DiskFailure, ...]:
    """Why QEMU suspended the domain. A disk of somebody else is named as libvirt does."""
    if not documents.failed:
        return ()
    known = {disk.target: (disk.name, disk.pool) for disk in mark.disks}
    marked: dict[str, tuple[str, str]] = {volume.volume: (volume.name, volume.pool) for volume in mark.volumes}
    for item in devices.iterfind("devices/disk"):
        known |= {device(item): marked[each] for each in volumes.identities(item) if each in marked}
    full = libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE
    found = [DiskFailure(*known.get(name, (name, "")), full=error == full) for name, error in sorted(documents.errors.items())]
    return tuple(found) or (DiskFailure(),)


def _own_disks(domain: ET.Element, instance: InstanceID, mark: Mark) -> list[tuple[ET.Element, MarkedDisk]]:
    """Disks that the mark names, with their marks. Their size is the mark's: only QEMU knows better, and it may hang."""
    marked = {disk.target: disk for disk in mark.disks}
    pairs = ((item, marked.get(device(item))) for item in domain.iterfind("devices/disk"))
    return [(item, known) for item, known in pairs if known is not None and is_own(item, known, instance)]


def _volumes(domain: ET.Element, mark: Mark, later: Mapping[str, ET.Element]) -> tuple[AttachedVolume, ...]:
    """Volumes that the mark names and whose file is on the VM; sizes are the mark's, as for disks. `later`: of the next start."""
    there = {identity: item for item in domain.iterfind("devices/disk") for identity in volumes.identities(item)}
    marked = ((volume, there[volume.volume]) for volume in mark.volumes if volume.volume in there)
    return tuple(
        AttachedVolume(each.name, each.volume, each.pool, each.size, limits.agreed(item, later.get(device(item))))
        for each, item in marked
    )


def _nics(
    domain: ET.Element,
    mark: Mark,
    gone: frozenset[str],
    later: Mapping[str, ET.Element],
    unplugged: Mapping[str, Unplugged | None],
) -> tuple[ObservedNIC, ...]:
    """NICs that the mark names and that are on the VM. `later`: of the next start. `unplugged`: by MAC, those in the air."""
    marked = {nic.mac: nic for nic in mark.nics}
    pairs = ((item, marked.get(mac(item))) for item in domain.iterfind("devices/interface"))
    return tuple(
        ObservedNIC(
            name=known.name,
            mac=known.mac,
            network=known.network,
            segment=known.segment,
            ip=known.ip,
            moved=port.moved(item, later.get(known.mac), known),
            unplugged=unplugged.get(known.mac),
        )
        for item, known in pairs
        if known is not None and known.mac not in gone
    )


def _foreign(domain: ET.Element, instance: InstanceID, own: set[str], mark: Mark, gone: frozenset[str]) -> tuple[str, ...]:
    """Device names of disks and MACs of NICs that are neither ours nor on their way out."""
    attached = {volume.volume for volume in mark.volumes}
    others = [item for item in domain.iterfind("devices/disk") if attached.isdisjoint(volumes.identities(item))]
    disks = [device(item) for item in others if not _ours(item, instance, own)]
    macs = {nic.mac for nic in mark.nics} | gone
    return (*disks, *(mac(item) for item in domain.iterfind("devices/interface") if mac(item) not in macs))


def _ours(disk: ET.Element, instance: InstanceID, own: set[str]) -> bool:
    return is_seed(disk, instance) if device(disk) == SEED_TARGET else device(disk) in own
