"""NFS pools on a real host with an NFS client, of a real server: mounted, lost, gone and back, under a guest that runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from drivers.errors import Conflict, StorageUnavailable
from drivers.kvm.store import nfs
from drivers.types import (
    AttachVolume,
    DesiredSnapshot,
    DesiredVolume,
    DiskFailure,
    NFSExport,
    PoolSpec,
    Power,
    SnapshotID,
    StopMode,
    VolumeAttachment,
    VolumeID,
)
from tests.contract.kvm_binding import MIB, bootable_image
from tests.contract.kvm_complete import FIND, HOST, INSTANCE, MARKS, OWNER, Web, driven, patiently
from tests.lab import disposable
from tests.lab.complete import NAME, CompleteHost
from tests.lab.guests import execute
from tests.lab.nfsserver import ADDRESS, EXPORT, NFSServer

pytestmark = MARKS

VOLUME = VolumeID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b22")
SNAPSHOT = SnapshotID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b23")


@dataclass
class World(Web):
    """With the server of its pool."""

    server: NFSServer

    @property
    def below(self) -> list[str]:
        """What lies in the host's own directory below the mount: the machine sees that, and not the mount."""
        return [path.name for path in Path(self.pool.path).iterdir()]

    @property
    def files(self) -> set[str]:
        """What lies on the server."""
        return {path.name for path in self.server.files.iterdir()}

    @property
    def mounts(self) -> list[str]:
        """What the host's kernel says of the mount point: source and kind."""
        return self.host.run(f"awk '$2 == \"{self.pool.path}\" {{ print $1, $3 }}' /proc/mounts").splitlines()

    @property
    def listed(self) -> list[PoolSpec]:
        """The mounts that the host has of ours; there is a directory too."""
        return [pool for pool in self.connection.storage.list_pools(HOST) if pool.nfs is not None]

    def ensure(self) -> None:
        self.connection.storage.ensure_pool(HOST, self.pool)

    def refused(self) -> str:
        """What the pool says while it cannot be used."""
        with pytest.raises(StorageUnavailable) as caught:
            self.ensure()
        return caught.value.message

    def let_go_on(self, script: str) -> str:
        """What the guest says, once it was let go on in a pool that is usable: what failed is tried again, and may fail again."""
        self.ensure()
        self.connection.power.resume(HOST, INSTANCE)
        return execute(self.domain, script).strip()

    def observed(self, power: Power) -> bool:
        return self.connection.compute.observe(HOST, INSTANCE).power is power


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with disposable() as lab:
        lab.up(hosts=1)
        server, host = NFSServer(lab), CompleteHost(lab)
        server.start()
        host.start()
        path = str(lab.layout.state / NAME / "vms")
        pool = PoolSpec("nfs", path, shared=True, nfs=NFSExport(ADDRESS, EXPORT))
        with driven(host) as (connection, admin):
            yield World(host, connection, admin, pool, bootable_image(), server)
        host.stop()
        server.stop()


def test_libvirt_mounts_it_and_reports_the_server_s_room(world: World) -> None:
    seen = world.connection.storage.ensure_pool(HOST, world.pool)
    assert world.mounts == [f"{ADDRESS}:{EXPORT} nfs4"]
    assert (world.files, world.below) == ({nfs.MARKER}, [])
    room = world.host.run(f"stat -f -c '%b %S' {world.pool.path}").split()
    assert seen.capacity == int(room[0]) * int(room[1])
    [listed] = world.connection.hosts.list_hosts()
    assert listed.guests is not None
    assert not [text for text in listed.guests.lacks if "NFS" in text]


def test_a_template_is_seeded_and_a_vm_boots_from_it(world: World) -> None:
    world.connection.storage.put_image(HOST, world.pool, world.image)
    assert world.connection.storage.has_image(HOST, world.pool, world.image.name)
    world.connection.compute.create(HOST, world.vm)
    world.connection.power.start(HOST, INSTANCE)
    assert world.guest("echo written > /root/word; sync; cat /root/word") == "written"
    assert f"{INSTANCE}-root.qcow2" in world.files
    assert world.below == []


def test_a_volume_is_made_attached_grown_copied_and_brought_back(world: World) -> None:
    volumes, attachment = world.connection.volumes, VolumeAttachment("data", VOLUME, world.pool)
    volumes.create_volume(HOST, DesiredVolume(VOLUME, "data", OWNER, world.pool, 8 * MIB))
    world.connection.compute.apply(HOST, INSTANCE, [AttachVolume(attachment)])
    device = patiently(lambda: found if (found := world.guest(FIND)) != "/dev/sd*" else "")
    world.guest(f"printf first | dd of={device} conv=notrunc; sync; echo done")
    volumes.snapshot_volume(HOST, world.pool, VOLUME, DesiredSnapshot(SNAPSHOT, "before", OWNER))
    volumes.grow_volume(HOST, world.pool, VOLUME, 16 * MIB)
    assert patiently(lambda: world.guest(f"blockdev --getsize64 {device}") == str(16 * MIB))
    contents = volumes.contents(HOST, world.pool)
    assert [(one.volume, one.size) for one in contents.volumes] == [(VOLUME, 16 * MIB)]
    assert [(one.snapshot, one.size) for one in contents.snapshots] == [(SNAPSHOT, 8 * MIB)]
    assert world.guest(f"head -c 5 {device}") == "first"


def test_the_server_is_killed_and_comes_back(world: World) -> None:
    """The pool says so, the guest waits for it and loses nothing, and is told to go on once the pool is usable."""
    boot = world.guest("cat /proc/sys/kernel/random/boot_id")
    world.server.stop()
    assert ADDRESS in world.refused()
    world.connection.hosts.list_hosts()
    local = PoolSpec("local", str(Path(world.pool.path).with_name("local")))
    world.connection.storage.ensure_pool(HOST, local)
    execute(world.domain, "(echo later > /root/word; sync) >/dev/null 2>&1 &")
    patiently(lambda: world.observed(Power.PAUSED))
    told = world.connection.compute.observe(HOST, INSTANCE).failures
    assert told == (DiskFailure(),), "QEMU is not asked: it would wait for the server"
    world.server.start()
    said = patiently(lambda: world.let_go_on("sync; cat /root/word; cat /proc/sys/kernel/random/boot_id"))
    assert said.split() == ["later", boot]
    assert world.observed(Power.ON)
    assert world.below == []


def test_a_mount_that_was_lost_is_made_again_and_nothing_lies_below(world: World) -> None:
    world.connection.power.stop(HOST, INSTANCE, StopMode.HARD)
    world.host.run(f"umount {world.pool.path}")
    assert world.mounts == []
    assert world.admin.storagePoolLookupByName("vireo-nfs").isActive(), "libvirt has not noticed"
    other = VolumeID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b24")
    world.connection.volumes.create_volume(HOST, DesiredVolume(other, "more", OWNER, world.pool, 8 * MIB))
    assert world.mounts == [f"{ADDRESS}:{EXPORT} nfs4"]
    assert any(other in name for name in world.files)
    assert world.below == []


def test_an_export_that_is_not_there_is_named(world: World) -> None:
    missing = replace(world.pool, name="missing", path=f"{world.pool.path}-2", nfs=NFSExport(ADDRESS, "/missing"))
    with pytest.raises(StorageUnavailable, match=r"/missing cannot be used: mount\.nfs"):
        world.connection.storage.ensure_pool(HOST, missing)
    names = [pool.name() for pool in world.admin.listAllStoragePools()]
    assert "vireo-missing" not in names


def test_what_was_made_is_removed(world: World) -> None:
    world.connection.compute.delete(HOST, INSTANCE, [world.pool])
    for volume in world.connection.volumes.contents(HOST, world.pool).volumes:
        world.connection.volumes.delete_volume(HOST, world.pool, volume.volume)
    world.connection.volumes.delete_volume_snapshot(HOST, world.pool, SNAPSHOT)
    world.connection.storage.delete_image(HOST, world.pool, world.image.name)
    assert world.files == {nfs.MARKER}


def test_a_pool_that_is_let_go_is_unmounted(world: World) -> None:
    world.ensure()
    user = world.host.run(f"(cd {world.pool.path} && exec setsid sleep 3600) >/dev/null 2>&1 & sleep 1; echo $!")
    with pytest.raises(Conflict, match="still uses the mount"):
        world.connection.storage.release_pool(HOST, world.pool)
    world.host.run(f"kill {user}; sleep 1")
    for _ in range(2):
        world.connection.storage.release_pool(HOST, world.pool)
    assert (world.mounts, world.listed) == ([], [])
    assert (world.files, world.below) == ({nfs.MARKER}, [])


def test_a_pool_whose_server_is_away_is_let_go_too(world: World) -> None:
    """In a time that has a bound, and the host goes on meanwhile."""
    world.ensure()
    world.server.stop()
    world.connection.storage.release_pool(HOST, world.pool)
    assert (world.mounts, world.listed) == ([], [])
    world.connection.hosts.list_hosts()
    world.server.start()
    assert (world.files, world.below) == ({nfs.MARKER}, [])
