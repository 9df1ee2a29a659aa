"""A libvirt pool in memory, which can break off after any number of steps."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

import libvirt

from tests.unit.kvm.fakes import libvirt_error


class Killed(Exception):
    """The controller is gone; nothing that it would still do happens."""


@dataclass
class FakeVolume:
    """A file of the pool: its size, and what is in it."""

    pool: FakePool
    title: str
    capacity: int
    content: str = ""
    building: bool = False

    def name(self) -> str:
        return self.title

    def path(self) -> str:
        return f"/srv/pool/{self.title}"

    def info(self) -> tuple[int, int, int]:
        return 0, self.capacity, len(self.content)

    def resize(self, size: int, _flags: int) -> None:
        self.pool.step()
        self.capacity = size

    def delete(self, _flags: int) -> None:
        self.pool.step()
        if self.building:
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "volume is still being allocated.")
        del self.pool.volumes[self.title]


@dataclass
class FakePool:
    """`steps` changes succeed; what follows raises Killed. A copy that is killed leaves half a file."""

    volumes: dict[str, FakeVolume] = field(default_factory=dict)
    capacity: int = 1 << 40
    available: int = 1 << 40
    steps: int = 1 << 30

    def step(self) -> None:
        if self.steps <= 0:
            raise Killed
        self.steps -= 1

    def put(self, title: str, content: str = "", capacity: int = 1 << 20) -> FakeVolume:
        self.volumes[title] = FakeVolume(self, title, capacity, content)
        return self.volumes[title]

    def info(self) -> tuple[int, int, int, int]:
        return 2, self.capacity, self.capacity - self.available, self.available

    def XMLDesc(self, _flags: int) -> str:
        return "<pool><target><path>/srv/pool</path></target></pool>"

    def listVolumes(self) -> list[str]:
        return list(self.volumes)

    def listAllVolumes(self, _flags: int) -> list[FakeVolume]:
        return list(self.volumes.values())

    def storageVolLookupByName(self, title: str) -> FakeVolume:
        if title not in self.volumes:
            raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_VOL)
        return self.volumes[title]

    def createXML(self, document: str, _flags: int) -> FakeVolume:
        return self._make(document, "")

    def createXMLFrom(self, document: str, source: FakeVolume, _flags: int) -> FakeVolume:
        """As libvirt does: the copy has the size of its source, whatever it should have."""
        made = self._make(document, "half of it")
        self.step()
        made.content, made.capacity = source.content, source.capacity
        return made

    def refresh(self, _flags: int) -> None:
        """What is listed is always what is there."""

    def _make(self, document: str, content: str) -> FakeVolume:
        self.step()
        root = ET.fromstring(document)
        if root.findtext("name", "") in self.volumes:
            raise libvirt_error(libvirt.VIR_ERR_STORAGE_VOL_EXIST)
        return self.put(root.findtext("name", ""), content, int(root.findtext("capacity", "0")))
