"""A pool of type LVM with a controller and a real host: VM and Volume are logical volumes, and leave only what others had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.live import manifests as make

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.lab.complete import NAME
from tests.lab.volumegroup import NAME as GROUP
from tests.lab.volumegroup import LabVolumeGroup
from tests.scenario.kvmcomplete import MARKS, PATIENCE, Complete, complete, web

pytestmark = MARKS

MIB = 1 << 20
MOUNT = [{"name": "data", "volume": "data"}]
POOLS = {"vireo-fast", f"vireo-lvm_{GROUP}"}
"""What libvirt calls the directory and the group."""


@dataclass(frozen=True)
class World:
    """The cloud, and the volume group of its pool."""

    cloud: Complete
    group: LabVolumeGroup

    @property
    def files(self) -> list[str]:
        """What is in the pool's directory."""
        return [path.name for path in self.cloud.directory.iterdir()]

    def volume(self) -> str:
        """Name of the logical volume that is `data`."""
        identity = self.cloud.get("Volume", "data")["status"]["volumeID"]
        [found] = [name for name in self.group.volumes() if identity in name]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`web` runs from a logical volume."""
    with complete(tmp_path_factory.mktemp("lvm"), "images") as cloud:
        group = LabVolumeGroup(cloud.host, str(cloud.directory.parent))
        group.make()
        spec = {"zone": "z", "scope": "Host", "host": NAME, "type": "LVM", "lvm": {"volumeGroup": GROUP}}
        cloud.cloud.api.apply(make.manifest("StoragePool", "fast", path=str(cloud.directory), **spec), web())
        cloud.current("StoragePool", "fast")
        cloud.current("VirtualMachine", "web")
        yield World(cloud, group)


def test_a_vm_boots_from_a_logical_volume(world: World) -> None:
    vm = world.cloud.get("VirtualMachine", "web")["status"]
    root = f"{vm['instanceID']}-root.raw"
    assert (vm["state"], sorted(world.group.volumes())) == ("Running", sorted(["others", root]))
    assert f"/dev/{GROUP}/{root}" in world.cloud.domains()[0]
    assert world.cloud.pools() >= POOLS
    assert world.cloud.run("hostname") == "web"


def test_a_volume_comes_empty_while_it_runs(world: World) -> None:
    cloud = world.cloud
    cloud.cloud.api.apply(make.manifest("Volume", "data", zone="z", size="16Mi", pool="fast"))
    cloud.current("Volume", "data")
    assert world.group.foreign(world.volume(), 0, 16 * MIB) == 0, "the group's room was full of what somebody left"
    cloud.change(volumes=MOUNT)
    assert cloud.run(f"blockdev --getsize64 /dev/{cloud.disk('data')}") == str(16 * MIB)
    cloud.write("first", "data")
    assert cloud.read("data") == ("first", "first")


def test_snapshots_are_refused_in_words(world: World) -> None:
    for name, of in (("of-vm", {"virtualMachine": "web"}), ("of-volume", {"volume": "data"})):
        world.cloud.cloud.api.apply(make.manifest("Snapshot", name, **of))
        world.cloud.cloud.await_reason("Snapshot", name, "SnapshotsUnsupported", "in storage pool fast, of whose")
        world.cloud.delete("Snapshot", name)


def test_a_volume_grows_as_a_copy_when_no_vm_has_it(world: World) -> None:
    cloud = world.cloud
    before = world.volume()
    cloud.cloud.api.patch("Volume", "data", {"spec": {"size": "32Mi"}})
    cloud.cloud.await_reason("Volume", "data", "GrowNotPossible", "detach it")
    cloud.change(volumes=[])
    cloud.cloud.until(lambda: cloud.get("Volume", "data")["status"]["size"] == "32Mi", "the volume has grown", PATIENCE)
    cloud.current("Volume", "data")
    assert world.volume() != before
    cloud.change(volumes=MOUNT)
    assert cloud.run(f"blockdev --getsize64 /dev/{cloud.disk('data')}") == str(32 * MIB)
    assert cloud.read("data") == ("first", "first")


def test_all_that_was_made_goes_and_the_group_stays(world: World) -> None:
    cloud = world.cloud
    cloud.cloud.api.delete("StoragePool", "fast")
    cloud.cloud.await_reason("StoragePool", "fast", "InUse", "web", type="InUse")
    cloud.delete("VirtualMachine", "web")
    cloud.delete("Volume", "data")
    cloud.gone("StoragePool", "fast")
    assert (world.group.volumes(), world.files, cloud.domains()) == (["others"], [], [])
    assert cloud.pools() & POOLS == {f"vireo-lvm_{GROUP}"}, "to stop that of the group would switch off what others have"
    assert cloud.host.run(f"head -c 4 /dev/{GROUP}/others") == "mine"
