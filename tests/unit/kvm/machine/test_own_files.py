"""A VM that carries something of Vireo's without being one of its VMs is not taken over with it: it would go with the VM."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from drivers.adoption import AdoptedDisk
from drivers.errors import Conflict
from drivers.kvm import names
from drivers.kvm.adoption import require_own_files
from drivers.kvm.machine.shared import adopted_files, removable_files
from drivers.kvm.mark import Mark, MarkedDisk, write
from drivers.kvm.names import Content, Kind
from drivers.kvm.xmltext import add, element, render
from drivers.types import InstanceID, Owner

ME = InstanceID("11111111-2222-4333-8444-555555555555")
OTHER = InstanceID("99999999-2222-4333-8444-555555555555")
FILES = [
    ("legacy.qcow2", False),
    ("vireo.img", False),
    (f"{ME}.qcow2", False),
    (names.disk(ME, "root"), False),
    (names.disk(OTHER, "root"), True),
    (names.image("debian"), True),
    *((Content(kind, OTHER, 3).file, True) for kind in Kind),
    (Content(Kind.VOLUME, ME, 0).file, True),
]


@pytest.mark.parametrize(("file", "refused"), FILES)
@pytest.mark.parametrize("first", [False, True])
def test_only_a_file_of_its_own_goes_with_a_vm(file: str, refused: bool, first: bool) -> None:
    mine = AdoptedDisk("root", "vda", "/srv/vms/legacy.img", "local", 1)
    disk = AdoptedDisk("vdb", "vdb", f"/srv/vms/{file}", "local", 1)
    with pytest.raises(Conflict, match=r"vdb.*detach it first") if refused else nullcontext():
        require_own_files(ME, [disk, mine] if first else [mine, disk])


def test_one_that_is_only_noted_is_never_removed() -> None:
    require_own_files(ME, [AdoptedDisk("sda", "sda", f"/srv/vms/{names.image('debian')}", "", 1)])


class Domain:
    """A domain with these disks, adopted when it had vda, vdb and sda."""

    def __init__(self, *files: str, adopted: bool = True) -> None:
        known = [("root", "local", "vda", "/srv/a.img"), ("vdb", "local", "vdb", "/srv/b.img"), ("sda", "", "sda", "/iso/c.iso")]
        disks = tuple(MarkedDisk(name, pool, target, 1, path) for name, pool, target, path in known)
        self._document = element("domain")
        devices = add(self._document, "devices")
        for file in files:
            add(add(devices, "disk"), "source", {"file": file})
        write(self._document, Mark(Owner("uid-1", "shop", "web"), 1, "", disks, adopted=adopted))

    def XMLDesc(self, _flags: int) -> str:  # libvirt's name
        return render(self._document)


def test_a_disk_that_somebody_took_out_of_the_vm_does_not_go_with_it() -> None:
    whole, detached, replaced = (
        Domain(*files) for files in (("/srv/a.img", "/srv/b.img", "/iso/c.iso"), ("/srv/a.img",), ("/new",))
    )
    assert removable_files(whole) == ["/srv/a.img", "/srv/b.img"]
    assert removable_files(detached) == ["/srv/a.img"]
    assert removable_files(replaced) == []
    assert adopted_files(replaced) == ["/srv/a.img", "/srv/b.img"]
    assert removable_files(Domain("/srv/a.img", adopted=False)) == []
