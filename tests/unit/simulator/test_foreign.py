"""VMs that somebody else made in a simulated datacentre, from a line of text."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.foreign import foreign_vm
from drivers.types import Firmware, HostID, InstanceID, Power, Segment

HOST, ID = HostID("h"), InstanceID("11111111-2222-4333-8444-555555555555")


def test_by_default_it_is_small_and_runs() -> None:
    vm = foreign_vm(HOST, ID)
    assert (vm.owner, vm.power, vm.cpus, vm.memory, vm.disks, vm.nics, vm.booted) == (None, Power.ON, 1, 1 << 30, {}, {}, None)
    assert vm.starts == 1


def test_everything_can_be_said() -> None:
    devices = "disk=/a/x.img:10 disk=/b/y:20 nic=52:54:00:00:00:01/120/10.1.0.9 nic=52:54:00:00:00:02//"
    vm = foreign_vm(HOST, ID, f"name=web off uefi cpus=2 memory=4096 {devices}")
    assert (vm.name, vm.power, vm.firmware, vm.cpus, vm.memory, vm.starts) == ("web", Power.OFF, Firmware.UEFI, 2, 4096, 0)
    assert [(disk.name, disk.pool.path, disk.file, disk.size) for disk in vm.disks.values()] == [
        ("vda", "/a", "/a/x.img", 10),
        ("vdb", "/b", "/b/y", 20),
    ]
    assert [(nic.mac, nic.segment) for nic in vm.nics.values()] == [
        ("52:54:00:00:00:01", Segment(120)),
        ("52:54:00:00:00:02", Segment()),
    ]
    assert vm.guest.addresses == (("52:54:00:00:00:01", ("10.1.0.9",)), ("52:54:00:00:00:02", ()))


@pytest.mark.parametrize("text", ["cpus=x", "disk=/a/x.img", "disk=x.img:1", "disk=/a/:1", "nic=m/x/", "size=1", "on"])
def test_text_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        foreign_vm(HOST, ID, text)
