"""An NFS pool with a controller and a real host: a VM and a Volume live on the export, are taken back, and leave it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.live import manifests as make

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from drivers.kvm.store import nfs
from tests.lab.nfsserver import ADDRESS, EXPORT, NFSServer
from tests.scenario.kvmcomplete import MARKS, Complete, complete, web

pytestmark = MARKS

MOUNT = [{"name": "data", "volume": "data"}]
POOL = "vireo-filer"
"""What libvirt calls it."""


@dataclass(frozen=True)
class World:
    """The cloud, and the server of its pool."""

    cloud: Complete
    server: NFSServer

    @property
    def files(self) -> set[str]:
        """What lies on the server."""
        return {path.name for path in self.server.files.iterdir()}

    @property
    def below(self) -> list[str]:
        """What lies in the host's own directory below the mount: the machine sees that, and not the mount."""
        return [path.name for path in self.cloud.directory.iterdir()]

    @property
    def mounts(self) -> list[str]:
        """What the host's kernel says of the mount point: source and kind."""
        return self.cloud.host.run(f"awk '$2 == \"{self.cloud.directory}\" {{ print $1, $3 }}' /proc/mounts").splitlines()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`web` runs from the export."""
    with complete(tmp_path_factory.mktemp("nfs"), "vms") as cloud:
        server = NFSServer(cloud.lab)
        server.start()
        spec = {"zone": "z", "scope": "Zone", "type": "NFS", "nfs": {"server": ADDRESS, "export": EXPORT}}
        cloud.cloud.api.apply(make.manifest("StoragePool", "filer", path=str(cloud.directory), **spec), web())
        cloud.current("StoragePool", "filer")
        cloud.current("VirtualMachine", "web")
        yield World(cloud, server)
        server.stop()


def test_a_vm_boots_from_the_export(world: World) -> None:
    vm = world.cloud.get("VirtualMachine", "web")["status"]
    assert (world.mounts, POOL in world.cloud.pools()) == ([f"{ADDRESS}:{EXPORT} nfs4"], True)
    assert (vm["state"], f"{vm['instanceID']}-root.qcow2" in world.files, world.below) == ("Running", True, [])
    assert world.cloud.run("hostname") == "web"


def test_a_volume_and_the_root_are_taken_back_to_one_moment(world: World) -> None:
    cloud = world.cloud
    cloud.cloud.api.apply(make.manifest("Volume", "data", zone="z", size="8Mi"))
    cloud.change(volumes=MOUNT)
    assert cloud.get("Volume", "data")["status"]["pool"] == "filer"
    cloud.write("first", "data")
    cloud.cloud.api.apply(make.manifest("Snapshot", "before", virtualMachine="web"))
    cloud.current("Snapshot", "before")
    cloud.write("later", "data")
    assert cloud.read("data") == ("later", "later")
    cloud.change(powerState="Off")
    cloud.cloud.api.apply(make.manifest("SnapshotRestore", "undo", snapshot="before"))
    cloud.current("SnapshotRestore", "undo")
    cloud.change(powerState="On")
    assert cloud.read("data") == ("first", "first")
    cloud.delete("Snapshot", "before")


def test_a_snapshot_of_the_volume_becomes_another_one(world: World) -> None:
    cloud = world.cloud
    cloud.cloud.api.apply(make.manifest("Snapshot", "copy", volume="data"))
    cloud.current("Snapshot", "copy")
    cloud.cloud.api.apply(make.manifest("Volume", "twin", zone="z", size="8Mi", source={"snapshot": {"name": "copy"}}))
    cloud.current("Volume", "twin")
    cloud.change(volumes=[*MOUNT, {"name": "twin", "volume": "twin"}])
    assert cloud.run(f"head -c 5 /dev/{cloud.disk('twin')}") == "first"
    cloud.change(volumes=MOUNT)
    for kind, name in (("Snapshot", "copy"), ("Volume", "twin")):
        cloud.delete(kind, name)


def test_all_that_was_made_goes_and_the_pool_is_unmounted(world: World) -> None:
    cloud = world.cloud
    cloud.cloud.api.delete("StoragePool", "filer")
    cloud.cloud.await_reason("StoragePool", "filer", "InUse", "web", type="InUse")
    cloud.delete("VirtualMachine", "web")
    cloud.delete("Volume", "data")
    cloud.gone("StoragePool", "filer")
    assert (cloud.domains(), POOL in cloud.pools(), world.mounts) == ([], False, [])
    assert (world.files, world.below) == ({nfs.MARKER}, []), "the template's image went with the pool"
