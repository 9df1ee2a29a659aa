"""What the simulated hypervisor refuses: the table, and that nothing else trips it."""

import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec, Unsupported
from drivers.simulator.engine.rules import check_image, check_image_file, check_nic, check_vm
from drivers.types import Attachment, Capability, DesiredVM, Firmware, ImageFile, InstanceID, NetworkBackend, Segment

from .world import disk, nic, vm

EVERYTHING = frozenset(Capability)
NIC = nic()
FILE_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", fullmatch=True)

WRONG_VMS: dict[str, dict[str, Any]] = {
    "no identity": {"instance": ""},
    "upper case": {"instance": str(uuid.UUID(int=2**127)).upper().replace("8", "A")},
    "a path": {"instance": "../../../etc"},
    "a line more": {"instance": f"{uuid.UUID(int=1)}\n"},
    "no name": {"name": ""},
    "a name in two lines": {"name": "a\nb"},
    "no CPU": {"cpus": 0},
    "less than no CPU": {"cpus": -1},
    "no memory": {"memory": 0},
    "a disk twice": {"disks": (disk(), disk())},
    "a disk without size": {"disks": (disk(size=0),)},
    "a disk with a path": {"disks": (disk("../root"),)},
    "a disk without name": {"disks": (disk(""),)},
    "a NIC twice": {"nics": (nic("a"), nic("a"))},
    "a MAC twice": {"nics": (NIC, replace(NIC, name="b"))},
    "a NIC to nowhere": {"nics": (replace(NIC, attachment=Attachment(NetworkBackend.OVS, "")),)},
}


@pytest.mark.parametrize("what", WRONG_VMS)
def test_a_vm_that_can_t_be_is_refused(what: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        check_vm(vm(**WRONG_VMS[what]), EVERYTHING)
    assert caught.value.native_code == "SIM_INVALID"


@given(
    number=st.integers(0, 2**128 - 1),
    cpus=st.integers(1, 1024),
    memory=st.integers(1, 2**50),
    disks=st.lists(FILE_NAMES, unique=True, max_size=4),
    nics=st.lists(st.text(), unique=True, max_size=4),
    vlan=st.none() | st.integers(1, 4094),
)
def test_every_other_vm_is_fine(number: int, cpus: int, memory: int, disks: list[str], nics: list[str], vlan: int | None) -> None:
    wanted: DesiredVM = vm(
        instance=InstanceID(str(uuid.UUID(int=number))),
        cpus=cpus,
        memory=memory,
        disks=tuple(disk(name) for name in disks),
        nics=tuple(replace(NIC, name=name, segment=Segment(vlan), mac=f"02:00:00:00:01:{at:02x}") for at, name in enumerate(nics)),
    )
    check_vm(wanted, EVERYTHING)


def test_uefi_needs_its_capability() -> None:
    wanted = vm(firmware=Firmware.UEFI)
    check_vm(wanted, EVERYTHING)
    with pytest.raises(Unsupported):
        check_vm(wanted, EVERYTHING - {Capability.UEFI})


@pytest.mark.parametrize("mac", ["02:00:00:00:00:01", "fe:ff:ff:ff:ff:ff", "00:16:3e:00:00:01"])
def test_unicast_macs_are_fine(mac: str) -> None:
    check_nic(replace(NIC, mac=mac))


@pytest.mark.parametrize(
    "mac",
    [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:01:02",
        "02-00-00-00-00-01",
        "03:00:00:00:00:01",
        "02:00:00:00:00:0G",
        "02:00:00:00:00:0A",
    ],
)
def test_other_macs_are_not(mac: str) -> None:
    with pytest.raises(InvalidSpec):
        check_nic(replace(NIC, mac=mac))


@pytest.mark.parametrize("vlan", [-1, 0, 4095, 2**16])
def test_vlans_have_bounds(vlan: int) -> None:
    with pytest.raises(InvalidSpec):
        check_nic(replace(NIC, segment=Segment(vlan)))


@given(FILE_NAMES)
def test_file_names_are_image_names(name: str) -> None:
    check_image(name)


@given(st.text().filter(lambda name: not name.isascii() or "/" in name or name.startswith(".") or not name))
def test_other_texts_are_not(name: str) -> None:
    with pytest.raises(InvalidSpec):
        check_image(name)


@pytest.mark.parametrize(("virtual", "physical"), [(0, 1), (-1, 1), (1, -1)])
def test_an_image_has_a_size(virtual: int, physical: int) -> None:
    with pytest.raises(InvalidSpec):
        check_image_file(ImageFile("a.qcow2", "/dev/null", virtual, physical))
