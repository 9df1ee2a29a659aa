"""Our owner mark: one element in a domain's <metadata>, from which an observation gets the names that libvirt does not know.

    <vireo:vm xmlns:vireo="https://vireo.dev/libvirt/1" uid="…" namespace="…" name="…" memory="…" seed="…" restored="…"
              adopted="yes">
      <vireo:disk name="root" pool="local" target="vda" size="…" path="…"/>
      <vireo:nic name="eth0" mac="…" network="ns/net" segment="vlan-10" ip="…" port="ovs:br0"/>
      <vireo:volume name="data" volume="…" pool="local" target="sda" size="…"/>
      <vireo:restored token="…"/>
    </vireo:vm>

A domain without it is not ours, whatever its name or UUID. `adopted` and `path` are there for a domain that others made only.
The attribute `restored` is the token of the last restore of a snapshot, the only one that marks of earlier versions have; the
elements are those before it, the newest first.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from drivers.kvm import carrier
from drivers.kvm.xmltext import add, element
from drivers.types import DesiredNIC, DesiredVM, Owner, Segment, VolumeID

NAMESPACE = "https://vireo.dev/libvirt/1"
PREFIX = "vireo"


_SPACE = f"{{{NAMESPACE}}}"


@dataclass(frozen=True, slots=True)
class MarkedDisk:
    """A disk of ours: `target` is its device name in the domain, `size` its bytes when it was last set.

    `path` is the file of one that others made, which has none of our names; without a `pool` it is only noted.
    """

    name: str
    pool: str
    target: str
    size: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class MarkedNIC:
    """A NIC of ours, found in the domain by its MAC; `carrier` says how its segment is carried where Vireo makes it there, `port`
    which bridge it was made on where others do (see `drivers.kvm.domain.port`), "" in marks of earlier versions.
    """

    name: str
    mac: str
    network: str
    segment: Segment
    ip: str
    carrier: str = ""
    port: str = ""


@dataclass(frozen=True, slots=True)
class MarkedVolume:
    """A volume of ours on the VM: `target` is its device name in the domain, `size` its bytes when it was last set."""

    name: str
    volume: VolumeID
    pool: str
    target: str
    size: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What the owner mark says.

    `memory` is the size in bytes as it was asked for, before rounding; `restored` are the tokens of restores that took
    effect, the newest first; `adopted` says that others made the VM.
    """

    owner: Owner
    memory: int
    seed: str
    disks: tuple[MarkedDisk, ...] = ()
    nics: tuple[MarkedNIC, ...] = ()
    volumes: tuple[MarkedVolume, ...] = ()
    restored: tuple[str, ...] = ()
    adopted: bool = False


def target(index: int, bus: str = "vd") -> str:
    """Device name of the disk at `index`: vda … vdz, vdaa …"""
    letters = ""
    number = index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"{bus}{letters}"


def of(vm: DesiredVM, volumes: tuple[MarkedVolume, ...] = ()) -> Mark:
    """The mark of a VM to be made, with `volumes`."""
    disks = (MarkedDisk(disk.name, disk.pool.name, target(index), disk.size) for index, disk in enumerate(vm.disks))
    seed = vm.seed.digest if vm.seed else ""
    return Mark(vm.owner, vm.memory, seed, tuple(disks), tuple(map(of_nic, vm.nics)), volumes)


def of_nic(nic: DesiredNIC) -> MarkedNIC:
    """The mark of a NIC to be made."""
    made, there = carrier.of(nic.attachment), nic.attachment
    port = "" if made else f"{there.backend.value.lower()}:{there.bridge}"
    return MarkedNIC(nic.name, nic.mac, nic.network, nic.segment, nic.ip, made, port)


def build(mark: Mark, *, bare: bool = False) -> ET.Element:
    """The element; `bare` is without the namespace, which virDomainSetMetadata puts in. Raises InvalidSpec for illegal text."""
    ET.register_namespace(PREFIX, NAMESPACE)
    space = "" if bare else _SPACE
    owner = {"uid": mark.owner.uid, "namespace": mark.owner.namespace, "name": mark.owner.name}
    about = {"memory": str(mark.memory), "seed": mark.seed}
    restored = {"restored": mark.restored[0]} if mark.restored else {}
    adopted = {"adopted": "yes"} if mark.adopted else {}
    root = element(f"{space}vm", {**owner, **about, **restored, **adopted})
    for disk in mark.disks:
        where = {"pool": disk.pool, "target": disk.target, "size": str(disk.size)}
        add(root, f"{space}disk", {"name": disk.name, **where, **({"path": disk.path} if disk.path else {})})
    for nic in mark.nics:
        where = {"network": nic.network, "segment": str(nic.segment), "ip": nic.ip}
        carried = {name: value for name, value in (("carrier", nic.carrier), ("port", nic.port)) if value}
        add(root, f"{space}nic", {"name": nic.name, "mac": nic.mac, **where, **carried})
    for volume in mark.volumes:
        where = {"volume": volume.volume, "pool": volume.pool, "target": volume.target, "size": str(volume.size)}
        add(root, f"{space}volume", {"name": volume.name, **where})
    for token in mark.restored[1:]:
        add(root, f"{space}restored", {"token": token})
    return root


def read(domain: ET.Element) -> Mark | None:
    """The mark of a domain; None if it has none, or one that is no mark (no owner)."""
    root = domain.find(f"metadata/{_SPACE}vm")
    if root is None or not root.get("uid"):
        return None
    return Mark(
        owner=Owner(root.get("uid", ""), root.get("namespace", ""), root.get("name", "")),
        memory=_number(root.get("memory", "")),
        seed=root.get("seed", ""),
        disks=tuple(map(_disk, root.iterfind(f"{_SPACE}disk"))),
        nics=tuple(map(_nic, root.iterfind(f"{_SPACE}nic"))),
        volumes=tuple(map(_volume, root.iterfind(f"{_SPACE}volume"))),
        restored=_restored(root),
        adopted=root.get("adopted") == "yes",
    )


def write(domain: ET.Element, mark: Mark) -> None:
    """Give the document this mark in place of the one it has."""
    metadata = domain.find("metadata")
    metadata = add(domain, "metadata") if metadata is None else metadata
    for old in metadata.findall(f"{_SPACE}vm"):
        metadata.remove(old)
    metadata.append(build(mark))


def _restored(root: ET.Element) -> tuple[str, ...]:
    tokens = root.get("restored"), *(item.get("token") for item in root.iterfind(f"{_SPACE}restored"))
    return tuple(filter(None, tokens))


def _disk(item: ET.Element) -> MarkedDisk:
    where = (item.get("pool", ""), item.get("target", ""), _number(item.get("size", "")), item.get("path", ""))
    return MarkedDisk(item.get("name", ""), *where)


def _nic(item: ET.Element) -> MarkedNIC:
    segment = item.get("segment", "").removeprefix("vlan-")
    vlan = Segment(_number(segment)) if segment.isdecimal() else Segment()
    where = (item.get("network", ""), vlan, item.get("ip", ""), item.get("carrier", ""), item.get("port", ""))
    return MarkedNIC(item.get("name", ""), item.get("mac", "").lower(), *where)


def _volume(item: ET.Element) -> MarkedVolume:
    where = (item.get("pool", ""), item.get("target", ""), _number(item.get("size", "")))
    return MarkedVolume(item.get("name", ""), VolumeID(item.get("volume", "")), *where)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
