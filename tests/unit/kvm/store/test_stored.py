"""What lies in a pool under our names."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.kvm import names
from drivers.kvm.names import Content, Kind
from drivers.kvm.store import stored
from drivers.types import InstanceID, StoredFile, StoredKind
from tests.unit.kvm.fakes import libvirt_error
from tests.unit.kvm.vms import INSTANCES, LABELS

ID = InstanceID("11111111-1111-4111-8111-111111111111")


@given(INSTANCES, LABELS, st.text("0123456789abcdef", min_size=16, max_size=64), st.integers(0, 10**8))
def test_each_name_that_we_give_is_known_again(instance: InstanceID, disk: str, digest: str, number: int) -> None:
    assert names.stored(names.disk(instance, disk)) == (StoredKind.DISK, instance)
    assert names.stored(names.seed(instance, digest)) == (StoredKind.SEED, instance)
    assert names.stored(names.image(f"qcow2-{digest}")) == (StoredKind.IMAGE, f"qcow2-{digest}")
    for kind, expected in ((Kind.VOLUME, StoredKind.VOLUME), (Kind.SNAPSHOT, StoredKind.SNAPSHOT)):
        content = Content(kind, instance, number)
        assert names.stored(content.file) == (expected, instance)
        assert names.stored(content.marker) is None
    assert names.stored(names.image_marker(f"qcow2-{digest}")) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "debian.qcow2",
        "lost+found",
        ".vireo-probe",
        f"{ID}.qcow2",
        f"{ID}-root.img",
        f"{ID}-ROOT.qcow2",
        f"{ID}-seed-.iso",
        f"{ID}-seed-0123456789abcdef.iso.part",
        f"vireo-vol-{ID}.qcow2",
        f"vireo-vol-{ID}.01.qcow2",
        "vireo-vol-of-mine.0.qcow2",
        "vireo-image-.qcow2",
        f"old-{ID}-root.qcow2",
    ],
)
def test_names_of_others_are_not(name: str) -> None:
    assert names.stored(name) is None


@given(st.text(max_size=60))
def test_no_name_makes_it_stumble(name: str) -> None:
    names.stored(name)


@dataclass
class Volume:
    name: str
    allocation: int = 0
    below: str = ""
    gone: int = 0

    def XMLDesc(self, _flags: int) -> str:
        if self.gone:
            raise libvirt_error(self.gone)
        root = ET.Element("volume")
        for tag, text in (("name", self.name), ("allocation", str(self.allocation))):
            ET.SubElement(root, tag).text = text
        for tag, text in (("target", f"/srv/pool/{self.name}"), ("backingStore", self.below)):
            ET.SubElement(ET.SubElement(root, tag), "path").text = text
        return ET.tostring(root, encoding="unicode")


class Pool:
    def __init__(self, *volumes: Volume) -> None:
        self._volumes = volumes

    def listAllVolumes(self, _flags: int) -> tuple[Volume, ...]:
        return self._volumes


def test_files_are_told_with_what_they_take_and_whether_others_need_them() -> None:
    image, disk = "vireo-image-x.qcow2", f"{ID}-root.qcow2"
    pool = Pool(Volume(disk, 7, f"/srv/pool/{image}"), Volume(image, 9), Volume("theirs.qcow2", 5, f"/srv/pool/{disk}"))
    assert stored.read(pool) == (
        StoredFile(StoredKind.DISK, ID, f"/srv/pool/{disk}", 7, layered=True),
        StoredFile(StoredKind.IMAGE, "x", f"/srv/pool/{image}", 9, layered=True),
    )
    assert [file.layered for file in stored.read(Pool(Volume(disk), Volume(image)))] == [False, False]


def test_a_file_that_goes_meanwhile_is_left_out_and_other_errors_are_told() -> None:
    gone = Volume(f"{ID}-a.qcow2", gone=libvirt.VIR_ERR_NO_STORAGE_VOL)
    assert [file.path for file in stored.read(Pool(gone, Volume(f"{ID}-b.qcow2")))] == [f"/srv/pool/{ID}-b.qcow2"]
    with pytest.raises(libvirt.libvirtError):
        stored.read(Pool(Volume(f"{ID}-a.qcow2", gone=libvirt.VIR_ERR_INTERNAL_ERROR)))
