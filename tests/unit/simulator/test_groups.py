"""Volume groups of LVM: what is in one takes its full size, does not grow under a VM, and keeps no snapshots."""

from dataclasses import replace

import pytest

from drivers.errors import Conflict, InvalidSpec, NoRoom
from drivers.simulator.engine.clock import VirtualClock
from drivers.simulator.engine.settings import Settings
from drivers.simulator.server.state import StateFile
from drivers.simulator.service import Service
from drivers.types import (
    ApplyMode,
    AttachVolume,
    DesiredVM,
    DetachVolume,
    DiskLimits,
    GrowDisk,
    HostID,
    PoolSpec,
    StoredKind,
    VolumeAttachment,
)
from tests.unit.simulator.world import HOST, IMAGE, MIB, OTHER, World, disk, snapshot, vm, volume

FAST = PoolSpec("fast", "/var/lib/vireo/fast", volume_group="vg-1")
CAPACITY = 64 * MIB


@pytest.fixture
def world() -> World:
    """A volume group with the image on each of two hosts."""
    world = World(Settings(hosts=3, boot=10, shutdown=5, pool_capacity=CAPACITY))
    for host in (HOST, OTHER):
        world.connection.storage.ensure_pool(host, FAST)
        world.put(host, FAST)
    return world


def room(world: World, host: HostID = HOST) -> int:
    return world.connection.storage.ensure_pool(host, FAST).available


def machine(world: World, *, size: int = 8 * MIB) -> DesiredVM:
    made = replace(vm(), disks=(disk(pool=FAST, size=size),))
    world.connection.compute.create(HOST, made)
    return made


def test_a_disk_takes_its_size_at_once_and_gives_it_back(world: World) -> None:
    made = machine(world)
    assert room(world) == CAPACITY - 8 * MIB
    assert room(world, OTHER) == CAPACITY, "another host has a group of its own by that name"
    [seen] = world.see(made).disks
    assert (seen.pool, seen.size, seen.volume_id.startswith("lvm://vg-1/")) == ("fast", 8 * MIB, True)
    world.connection.compute.delete(HOST, made.instance, [FAST])
    assert room(world) == CAPACITY


def test_its_image_can_go_because_the_disk_is_a_copy(world: World) -> None:
    machine(world)
    world.connection.storage.delete_image(HOST, FAST, IMAGE)
    assert not world.connection.storage.has_image(HOST, FAST, IMAGE)


def test_what_does_not_fit_whole_is_refused(world: World) -> None:
    machine(world, size=40 * MIB)
    with pytest.raises(NoRoom, match="has 24Mi free of the 40Mi needed"):
        machine(world, size=40 * MIB)
    with pytest.raises(NoRoom, match="has 24Mi free of the 25Mi needed"):
        world.connection.volumes.create_volume(HOST, volume(pool=FAST, size=25 * MIB))
    world.connection.volumes.create_volume(HOST, volume(pool=FAST, size=24 * MIB))
    assert room(world) == 0


def test_a_disk_grows_in_a_new_vm_only(world: World) -> None:
    made = machine(world)
    for start in (False, True):
        if start:
            world.connection.power.start(HOST, made.instance)
        grow = GrowDisk("root", 16 * MIB)
        assert world.connection.compute.apply_mode(grow, world.see(made)) is ApplyMode.RECREATE
        with pytest.raises(InvalidSpec, match="can't grow"):
            world.connection.compute.apply(HOST, made.instance, [grow])
    assert [each.size for each in world.see(made).disks] == [8 * MIB]


def test_a_volume_comes_goes_has_limits_and_grows_while_no_vm_has_it(world: World) -> None:
    made, data = machine(world), volume(pool=FAST)
    world.connection.power.start(HOST, made.instance)
    world.connection.volumes.create_volume(HOST, data)
    attached = VolumeAttachment("data", data.volume, FAST, DiskLimits(1 << 20))
    world.connection.compute.apply(HOST, made.instance, [AttachVolume(attached)])
    assert [each.limits for each in world.see(made).volumes] == [DiskLimits(1 << 20)]
    with pytest.raises(Conflict, match="attached"):
        world.connection.volumes.grow_volume(HOST, FAST, data.volume, 16 * MIB)
    world.connection.compute.apply(HOST, made.instance, [DetachVolume(data.volume)])
    world.connection.volumes.grow_volume(HOST, FAST, data.volume, 16 * MIB)
    assert [each.size for each in world.connection.volumes.contents(HOST, FAST).volumes] == [16 * MIB]
    assert room(world) == CAPACITY - 24 * MIB
    with pytest.raises(NoRoom, match="free of the 60Mi needed"):
        world.connection.volumes.grow_volume(HOST, FAST, data.volume, 60 * MIB)
    world.connection.volumes.delete_volume(HOST, FAST, data.volume)
    assert room(world) == CAPACITY - 8 * MIB


def test_growing_needs_room_for_both_as_the_copy_does(world: World) -> None:
    data = volume(pool=FAST, size=24 * MIB)
    world.connection.volumes.create_volume(HOST, data)
    with pytest.raises(NoRoom, match="has 40Mi free of the 48Mi needed"):
        world.connection.volumes.grow_volume(HOST, FAST, data.volume, 48 * MIB)
    world.connection.volumes.grow_volume(HOST, FAST, data.volume, 40 * MIB)


def test_there_are_no_snapshots(world: World) -> None:
    made, data = machine(world), volume(pool=FAST)
    world.connection.volumes.create_volume(HOST, data)
    with pytest.raises(Conflict, match="volume group"):
        world.connection.snapshots.create_snapshot(HOST, made.instance, snapshot())
    with pytest.raises(InvalidSpec, match="keeps no snapshots"):
        world.connection.volumes.snapshot_volume(HOST, FAST, data.volume, snapshot())
    with pytest.raises(InvalidSpec, match="keeps no snapshots"):
        world.connection.volumes.restore_volume(HOST, FAST, data.volume, snapshot().snapshot, "token")
    other = world.created()
    world.connection.compute.apply(HOST, other.instance, [AttachVolume(VolumeAttachment("data", data.volume, FAST))])
    with pytest.raises(Conflict, match="volume group"):
        world.connection.snapshots.create_snapshot(HOST, other.instance, snapshot())
    world.connection.volumes.delete_volume_snapshot(HOST, FAST, snapshot().snapshot)


def test_what_lies_there_is_told_with_its_size(world: World) -> None:
    made, data = machine(world), volume(pool=FAST, size=16 * MIB)
    world.connection.volumes.create_volume(HOST, data)
    found = {(each.kind, each.identity, each.layered): each.allocated for each in world.connection.storage.list_files(HOST, FAST)}
    assert found == {
        (StoredKind.IMAGE, IMAGE, False): 0,
        (StoredKind.DISK, made.instance, False): 8 * MIB,
        (StoredKind.VOLUME, data.volume, False): 16 * MIB,
    }


@pytest.mark.parametrize("name", ["-a", ".", "..", "a/b", "a b", "a\n", "$(id)", "v" * 64, "ä"])
def test_hostile_names_are_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidSpec):
        world.connection.storage.ensure_pool(HOST, replace(FAST, volume_group=name))


def test_a_saved_datacentre_has_the_same_room_again(world: World, tmp_path: object) -> None:
    state = StateFile(str(tmp_path) + "/state")
    machine(world)
    world.connection.volumes.create_volume(HOST, volume(pool=FAST, size=16 * MIB))
    state.save(world.dc)
    again = Service(world.settings, VirtualClock())
    state.load(again.dc)
    state.close()
    used = {key: pool.used for key, pool in again.dc.pools.items() if key.raw}
    assert used == {key: pool.used for key, pool in world.dc.pools.items() if key.raw}
    assert sorted(used.values()) == [0, 24 * MIB]
