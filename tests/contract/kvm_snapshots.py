"""A VM of a libvirt host with a volume, and what is done with its snapshots."""

import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest

from drivers.base import Connection
from drivers.types import DesiredSnapshot, DesiredVM, ObservedSnapshot, ObservedVM, Owner, SnapshotID, VolumeID
from tests.contract.kvm_binding import KVMBinding
from tests.contract.suite.tools import Maker
from tests.lab.shell import run


@dataclass(frozen=True)
class Bench:
    """A VM with a volume, and what is done with its snapshots."""

    binding: KVMBinding
    connection: Connection
    make: Maker
    vm: DesiredVM
    volume: VolumeID

    def snapshot(self, *, memory: bool = False, quiesce: bool = False) -> SnapshotID:
        identity = SnapshotID(str(uuid.uuid4()))
        wanted = DesiredSnapshot(identity, "before", Owner(f"uid-{identity}", "shop", "before"), memory, quiesce)
        for _ in range(2):
            self.connection.snapshots.create_snapshot(self.binding.host, self.vm.instance, wanted)
        return identity

    def restore(self, snapshot: SnapshotID, token: str) -> None:
        self.connection.snapshots.restore(self.binding.host, self.vm.instance, snapshot, token)

    def delete(self, snapshot: SnapshotID) -> None:
        for _ in range(2):
            self.connection.snapshots.delete_snapshot(self.binding.host, self.vm.instance, snapshot)

    def apply(self, *changes: Any) -> None:
        self.connection.compute.apply(self.binding.host, self.vm.instance, changes)

    @property
    def seen(self) -> ObservedVM:
        return self.make.observe(self.vm)

    @property
    def tree(self) -> dict[SnapshotID, SnapshotID | None]:
        return {each.snapshot: each.parent for each in self.seen.snapshots}

    def one(self, snapshot: SnapshotID) -> ObservedSnapshot:
        [found] = [each for each in self.seen.snapshots if each.snapshot == snapshot]
        return found

    @property
    def files(self) -> list[Path]:
        listed = self.connection.volumes.contents(self.binding.host, self.binding.pool)
        paths = [each.volume_id for each in listed.disks if each.instance == self.vm.instance]
        return [Path(path) for path in (*paths, *(each.volume_id for each in listed.volumes if each.volume == self.volume))]

    def write(self, pattern: int) -> None:
        """Give each disk of the VM, which is off, this content."""
        for file in self.files:
            run("qemu-io", "-c", f"write -P {pattern} 1M 64k", str(file))

    def holds(self, pattern: int) -> bool:
        reads = [run("qemu-io", "-r", "-U", "-c", f"read -P {pattern} 1M 64k", str(file)) for file in self.files]
        assert len(reads) == 2
        return not any("verification failed" in said for said in reads)

    @contextmanager
    def domain(self) -> Iterator[Any]:
        with self.binding.admin() as admin:
            yield admin.lookupByUUIDString(self.vm.instance)


def restore_broken_off(bench: Bench, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotID, step: str) -> None:
    """Go back with the token "token", by a controller that is killed right after this call of libvirt."""
    kind = libvirt.virConnect if step == "defineXMLFlags" else libvirt.virDomain
    call = getattr(kind, step)

    def break_off(*arguments: Any) -> Any:
        call(*arguments)
        raise RuntimeError("the controller is killed")

    with monkeypatch.context() as patch:
        patch.setattr(kind, step, break_off)
        with pytest.raises(RuntimeError):
            bench.restore(snapshot, "token")


def set_console_password(bench: Bench, password: str) -> None:
    """As an administrator does, with one more console than Vireo made."""
    with bench.domain() as domain:
        text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        document = ET.fromstring(text)
        devices = document.find("devices")
        assert devices is not None
        for old in devices.findall("graphics"):
            devices.remove(old)
        ET.SubElement(devices, "graphics", {"type": "vnc", "passwd": password, "autoport": "yes"})
        domain.connect().defineXML(ET.tostring(document, encoding="unicode"))


def console_passwords(bench: Bench) -> list[str | None]:
    with bench.domain() as domain:
        document = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
    return [console.get("passwd") for console in document.iterfind("devices/graphics")]


def shown(bench: Bench) -> list[str]:
    """Every document that needs no right to see secrets."""
    with bench.domain() as domain:
        snapshots = [item.getXMLDesc(0) for item in domain.listAllSnapshots(0)]
        return [*snapshots, domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)]
