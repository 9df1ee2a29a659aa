"""A volume group in memory with the directory beside it. Its room is full of what somebody left."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

import libvirt

from drivers.kvm.store.groups import GroupPool
from tests.unit.kvm.fakes import libvirt_error
from tests.unit.kvm.store.pool import FakePool, FakeVolume

MIB = 1 << 20
LEFT = "left by somebody"


@dataclass
class FakeFiles(FakePool):
    """A thin file reads as what it is layered on, and as zeros behind that."""

    below: FakeGroup | None = None

    def createXML(self, document: str, flags: int) -> FakeVolume:
        made = super().createXML(document, flags)
        store = ET.fromstring(document).find("backingStore")
        if store is not None:
            path, form = store.findtext("path", ""), store.find("format")
            kind = "" if form is None else form.get("type", "")
            assert (kind == "raw") == path.startswith("/dev/"), "the format is never left for QEMU to guess"
            assert self.below is not None
            source = (self.below if kind == "raw" else self).volumes[path.rpartition("/")[2]]
            made.content = source.content
        return made


@dataclass
class FakeGroup(FakePool):
    """Gives out whole extents; what is not written shows what was there."""

    extent: int = 4 * MIB

    def XMLDesc(self, _flags: int) -> str:
        return "<pool type='logical'><source><name>vg-1</name></source></pool>"

    def createXML(self, document: str, flags: int) -> FakeVolume:
        raise AssertionError("a logical volume that is not written whole")

    def createXMLFrom(self, document: str, source: FakeVolume, _flags: int) -> FakeVolume:
        root = ET.fromstring(document)
        assert root.find("allocation") is None, "libvirt would make a sparse one"
        name, asked = root.findtext("name", ""), int(root.findtext("capacity", "0"))
        if name in self.volumes:
            raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, f'Logical Volume "{name}" already exists')
        self.step()
        given = -(-asked // self.extent) * self.extent
        made = self.put(name, LEFT, given)
        self.available -= given
        self.step()
        made.content = source.content if source.capacity >= given else f"{source.content} {LEFT}"
        return made


@dataclass
class World:
    """Both, as one pool."""

    group: FakeGroup = field(default_factory=FakeGroup)
    files: FakeFiles = field(default_factory=FakeFiles)

    def __post_init__(self) -> None:
        self.files.below = self.group

    @property
    def pool(self) -> GroupPool:
        return GroupPool(self.files, self.group, "vg-1")

    def allow(self, files: int, group: int) -> None:
        """How many changes succeed in each."""
        self.files.steps, self.group.steps = files, group
