"""Pools of type LVM on a real host with a device mapper: disks and volumes are logical volumes that show nothing of others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest

from drivers.errors import Conflict, InvalidSpec, NoRoom, StorageUnavailable
from drivers.kvm import errors
from drivers.kvm.store.volumes import block as blockxml
from drivers.types import (
    ApplyMode,
    AttachVolume,
    DesiredSnapshot,
    DesiredVolume,
    DetachVolume,
    DiskLimits,
    GrowDisk,
    PoolSpec,
    SnapshotID,
    StopMode,
    StoredKind,
    VolumeAttachment,
    VolumeID,
)
from tests.contract.kvm_binding import MIB, bootable_image
from tests.contract.kvm_complete import FIND, HOST, INSTANCE, MARKS, OWNER, Web, driven, patiently
from tests.lab import disposable
from tests.lab.complete import NAME, CompleteHost
from tests.lab.shell import run
from tests.lab.volumegroup import NAME as GROUP
from tests.lab.volumegroup import SIZE_MIB, LabVolumeGroup

pytestmark = MARKS

EMPTY = VolumeID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b32")
COPY = VolumeID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b33")
SNAPSHOT = SnapshotID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b34")
ROOT = f"{INSTANCE}-root.raw"


@dataclass
class World(Web):
    """With a volume group."""

    group: LabVolumeGroup

    @property
    def files(self) -> set[str]:
        return {path.name for path in Path(self.pool.path).iterdir()}

    def volume(self, volume: VolumeID, size: int, **source: Any) -> None:
        self.connection.volumes.create_volume(HOST, DesiredVolume(volume, "data", OWNER, self.pool, size, **source))

    def attachment(self, limits: DiskLimits) -> VolumeAttachment:
        return VolumeAttachment("data", EMPTY, self.pool, limits)

    def seen(self) -> dict[VolumeID, int]:
        return {one.volume: one.size for one in self.connection.volumes.contents(HOST, self.pool).volumes}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with disposable() as lab:
        lab.up(hosts=1)
        host = CompleteHost(lab)
        host.start()
        directory = lab.layout.state / NAME
        group = LabVolumeGroup(host, str(directory))
        group.make()
        pool = PoolSpec("fast", str(directory / "images"), volume_group=GROUP)
        with driven(host) as (connection, admin):
            yield World(host, connection, admin, pool, bootable_image(), group)
        host.stop()


def test_the_group_is_used_as_it_is(world: World) -> None:
    seen = world.connection.storage.ensure_pool(HOST, world.pool)
    assert SIZE_MIB - 8 < seen.capacity // MIB < SIZE_MIB
    assert seen.capacity - seen.available == 8 * MIB, "that of the others"
    assert world.group.volumes() == ["others"]
    assert world.connection.storage.ensure_pool(HOST, world.pool) == seen


def test_a_template_is_seeded_and_a_vm_boots_from_a_logical_volume(world: World) -> None:
    """Also where an earlier attempt broke off in the middle of the copy."""
    world.connection.storage.put_image(HOST, world.pool, world.image)
    assert world.connection.storage.has_image(HOST, world.pool, world.image.name)
    world.host.run(f"lvcreate -q -Wn -n {ROOT} -L 8M {GROUP}")
    world.connection.compute.create(HOST, world.vm)
    assert world.group.foreign(ROOT, world.image.virtual_size, world.size) == 0, "behind the image there is nothing of others"
    world.connection.power.start(HOST, INSTANCE)
    assert world.guest("echo written > /root/word; sync; cat /root/word") == "written"
    assert world.files == {f"vireo-image-{world.image.name}.{kind}" for kind in ("qcow2", "complete")} | {
        f"{INSTANCE}-root.complete"
    }
    [disk] = world.connection.compute.observe(HOST, INSTANCE).disks
    assert (disk.pool, disk.volume_id, disk.size) == ("fast", f"/dev/{GROUP}/{ROOT}", world.size)
    grow = GrowDisk("root", 2 * world.size)
    assert world.connection.compute.apply_mode(grow, world.connection.compute.observe(HOST, INSTANCE)) is ApplyMode.RECREATE
    with pytest.raises(InvalidSpec, match="cannot grow"):
        world.connection.compute.apply(HOST, INSTANCE, [grow])


def test_a_volume_is_empty_comes_and_goes_while_the_guest_runs_and_has_limits(world: World) -> None:
    world.volume(EMPTY, 16 * MIB)
    [name] = [name for name in world.group.volumes() if EMPTY in name]
    assert world.group.foreign(name, 0, 16 * MIB) == 0
    world.connection.compute.apply(HOST, INSTANCE, [AttachVolume(world.attachment(DiskLimits(write_iops=500)))])
    device = patiently(lambda: found if (found := world.guest(FIND)) != "/dev/sd*" else "")
    assert world.guest(f"blockdev --getsize64 {device}") == str(16 * MIB)
    world.guest(f"printf kept | dd of={device} conv=notrunc; sync; echo done")
    [attached] = world.connection.compute.observe(HOST, INSTANCE).volumes
    assert attached.limits == DiskLimits(write_iops=500)
    with pytest.raises(Conflict, match="detach it"):
        world.connection.volumes.grow_volume(HOST, world.pool, EMPTY, 32 * MIB)
    with pytest.raises(Conflict, match="attached"):
        world.connection.volumes.delete_volume(HOST, world.pool, EMPTY)
    with pytest.raises(Conflict, match="logical volume"):
        world.connection.snapshots.create_snapshot(HOST, INSTANCE, DesiredSnapshot(SNAPSHOT, "no", OWNER))
    with pytest.raises(InvalidSpec, match="no snapshots"):
        world.connection.volumes.snapshot_volume(HOST, world.pool, EMPTY, DesiredSnapshot(SNAPSHOT, "no", OWNER))
    world.connection.compute.apply(HOST, INSTANCE, [DetachVolume(EMPTY)])
    assert patiently(lambda: world.guest(FIND) == "/dev/sd*")


def test_a_volume_that_nobody_has_grows_and_keeps_what_it_has(world: World) -> None:
    world.connection.volumes.grow_volume(HOST, world.pool, EMPTY, 30 * MIB)
    [name] = [name for name in world.group.volumes() if EMPTY in name]
    assert world.host.run(f"head -c 4 /dev/{GROUP}/{name}") == "kept"
    assert world.group.foreign(name, 4, 32 * MIB) == 0
    assert world.seen() == {EMPTY: 32 * MIB}


def test_one_that_has_no_room_for_its_larger_copy_stays_as_it_is(world: World) -> None:
    """The rest of the group is enough for the difference, not for all of it."""
    free = world.connection.storage.ensure_pool(HOST, world.pool).available
    before = set(world.group.volumes()), world.files
    with pytest.raises(NoRoom, match=f"the volume group {GROUP} has .* free"):
        world.connection.volumes.grow_volume(HOST, world.pool, EMPTY, free + 4 * MIB)
    assert (set(world.group.volumes()), world.files) == before
    [name] = [name for name in world.group.volumes() if EMPTY in name]
    assert world.host.run(f"head -c 4 /dev/{GROUP}/{name}") == "kept"


def test_what_lvm_itself_refuses_for_that_is_the_same(world: World) -> None:
    """As where somebody takes the room after libvirt has looked."""
    group = world.admin.storagePoolLookupByName(f"vireo-lvm_{GROUP}")
    with pytest.raises(libvirt.libvirtError) as refused:
        group.createXML(blockxml("theirs", SIZE_MIB * 2 * MIB), 0)
    assert type(errors.translate(refused.value, "make a volume")) is NoRoom
    assert "theirs" not in world.group.volumes()


def test_what_was_replaced_goes_also_where_whoever_did_that_died_before(world: World) -> None:
    old = f"vireo-vol-{EMPTY}.0.raw"
    assert old not in world.group.volumes()
    world.host.run(f"lvcreate -q -Wn -n {old} -L 8M {GROUP}")
    world.connection.storage.ensure_pool(HOST, world.pool)
    assert old not in world.group.volumes()
    assert world.seen() == {EMPTY: 32 * MIB}


def test_a_volume_of_a_template_is_a_copy_of_it(world: World, tmp_path: Path) -> None:
    world.volume(COPY, world.size, image=world.image.name)
    [name] = [name for name in world.group.volumes() if COPY in name]
    run("qemu-img", "convert", "-O", "raw", world.image.path, str(tmp_path / "raw"))
    wanted = hashlib.sha256((tmp_path / "raw").read_bytes()).hexdigest()
    assert world.host.run(f"head -c {world.image.virtual_size} /dev/{GROUP}/{name} | sha256sum").split()[0] == wanted
    assert world.group.foreign(name, world.image.virtual_size, world.size) == 0


def test_what_is_ours_is_told_and_nothing_else(world: World) -> None:
    found = world.connection.storage.list_files(HOST, world.pool)
    assert {(one.kind, one.identity) for one in found} == {
        (StoredKind.IMAGE, world.image.name),
        (StoredKind.DISK, INSTANCE),
        (StoredKind.VOLUME, EMPTY),
        (StoredKind.VOLUME, COPY),
    }
    assert {one.identity: one.allocated for one in found if one.kind is StoredKind.VOLUME} == {EMPTY: 32 * MIB, COPY: world.size}
    with pytest.raises(NoRoom, match=f"the volume group {GROUP} has .* free"):
        world.volume(VolumeID(str(SNAPSHOT)), (SIZE_MIB - 64) * MIB)
    assert not [name for name in (*world.group.volumes(), *world.files) if SNAPSHOT in name], "nothing is left of it"


def test_the_group_is_gone_and_comes_back(world: World) -> None:
    world.connection.power.stop(HOST, INSTANCE, StopMode.HARD)
    world.group.unplug()
    with pytest.raises(StorageUnavailable, match=f"no volume group {GROUP}"):
        world.connection.storage.ensure_pool(HOST, world.pool)
    world.connection.storage.ensure_pool(HOST, PoolSpec("local", str(Path(world.pool.path).with_name("local"))))
    world.group.plug()
    world.connection.storage.ensure_pool(HOST, world.pool)
    world.connection.power.start(HOST, INSTANCE)
    assert world.guest("cat /root/word") == "written"


def test_what_was_made_is_removed_and_its_room_is_given_out_clean(world: World) -> None:
    world.connection.compute.delete(HOST, INSTANCE, [world.pool])
    for volume in (EMPTY, COPY):
        world.connection.volumes.delete_volume(HOST, world.pool, volume)
    world.volume(EMPTY, 512 * MIB)
    [name] = [name for name in world.group.volumes() if EMPTY in name]
    assert world.group.foreign(name, 0, 512 * MIB) == 0
    world.connection.volumes.delete_volume(HOST, world.pool, EMPTY)
    world.connection.storage.delete_image(HOST, world.pool, world.image.name)
    assert (world.files, world.group.volumes()) == (set(), ["others"])
    assert world.host.run(f"head -c 4 /dev/{GROUP}/others") == "mine"


def test_the_group_is_let_go_as_soon_as_that_switches_nothing_off(world: World) -> None:
    """The directory at once; and neither the group nor what others have in it is touched."""
    storage = world.connection.storage
    with pytest.raises(Conflict, match=f"{GROUP} has volumes"):
        storage.release_pool(HOST, world.pool)
    local, left = storage.list_pools(HOST)
    assert (left.path, left.volume_group) == ("", GROUP)
    kept = world.admin.storagePoolLookupByName(f"vireo-lvm_{GROUP}")
    assert (kept.isActive(), kept.autostart()) == (1, 0)
    assert world.host.run(f"head -c 4 /dev/{GROUP}/others") == "mine"
    world.host.run(f"lvremove -qf {GROUP}/others")
    for pool in (left, world.pool):
        storage.release_pool(HOST, pool)
        assert (list(storage.list_pools(HOST)), world.group.volumes()) == ([local], [])
    seen = storage.ensure_pool(HOST, world.pool)
    assert seen.available == seen.capacity, "the group is there"
    assert world.admin.storagePoolLookupByName(f"vireo-lvm_{GROUP}").autostart() == 1
    storage.release_pool(HOST, world.pool)
    assert f"vireo-lvm_{GROUP}" not in {pool.name() for pool in world.admin.listAllStoragePools()}
