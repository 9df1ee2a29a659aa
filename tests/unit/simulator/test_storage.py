"""Pools and images of simulated hosts beyond the contract: sharing, room, sums."""

from dataclasses import replace

import pytest

from drivers.errors import Conflict, InvalidSpec, NoRoom, NotFound, StorageUnavailable
from drivers.simulator.engine.datacentre import DISK_OVERHEAD
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.engine.settings import Settings
from drivers.types import HostID, NFSExport, PoolSpec, Power, StopMode

from .world import HOST, IMAGE, MIB, OTHER, POOL, SHARED, World, attachment, disk, vm, volume

THIRD = HostID("host-00003")


def room(world: World, pool: PoolSpec = POOL, host: HostID = HOST) -> int:
    return world.connection.storage.ensure_pool(host, pool).available


def test_a_local_pool_is_its_host_s_and_a_shared_one_everybody_s() -> None:
    world = World()
    world.put(HOST, POOL, "local.qcow2")
    world.put(HOST, SHARED, "shared.qcow2")
    assert not world.connection.storage.has_image(THIRD, SHARED, "shared.qcow2")
    world.connection.storage.ensure_pool(THIRD, SHARED)
    has = world.connection.storage.has_image
    assert (has(HOST, POOL, "local.qcow2"), has(OTHER, POOL, "local.qcow2")) == (True, False)
    assert (has(HOST, SHARED, "shared.qcow2"), has(THIRD, SHARED, "shared.qcow2")) == (True, True)


def test_an_nfs_export_is_the_same_wherever_it_is_mounted_and_another_one_is_not() -> None:
    world = World()
    export = NFSExport("nfs1", "/vms")
    here, there = PoolSpec("a", "/mnt/a", nfs=export), PoolSpec("b", "/mnt/b", shared=True, nfs=export)
    other = PoolSpec("c", "/mnt/a", nfs=NFSExport("nfs2", "/vms"))
    world.connection.storage.ensure_pool(HOST, here)
    world.put(HOST, here, "debian.qcow2")
    world.connection.storage.ensure_pool(OTHER, there)
    has = world.connection.storage.has_image
    assert (has(OTHER, there, "debian.qcow2"), has(HOST, other, "debian.qcow2")) == (True, False)
    [file] = world.connection.storage.list_files(OTHER, there)
    assert file.path == "nfs://nfs1/vms/image-debian.qcow2"


def test_an_nfs_server_that_is_away_holds_up_its_own_pool_only() -> None:
    world = World()
    pool = PoolSpec("nfs", "/mnt/a", nfs=NFSExport("nfs1", "/vms"))
    world.connection.storage.ensure_pool(HOST, pool)
    for method in ("storage.*", "volumes.*"):
        world.control.add_fault(Fault(FaultKind.ERROR, method, "nfs", error="StorageUnavailable"))
    with pytest.raises(StorageUnavailable):
        world.connection.storage.ensure_pool(HOST, pool)
    with pytest.raises(StorageUnavailable):
        world.connection.volumes.contents(HOST, pool)
    world.connection.storage.ensure_pool(HOST, POOL)
    world.control.clear_faults()
    world.connection.storage.ensure_pool(HOST, pool)


@pytest.mark.parametrize(
    ("server", "export"),
    [
        ("", "/a"),
        ("-o", "/a"),
        ("a b", "/a"),
        ("a:/b", "/a"),
        ("a" * 254, "/a"),
        ("a", ""),
        ("a", "b"),
        ("a", "/a/../b"),
        ("a", "/a\n"),
    ],
)
def test_what_is_no_nfs_export_is_refused(server: str, export: str) -> None:
    with pytest.raises(InvalidSpec, match="NFS export"):
        World().connection.storage.ensure_pool(HOST, PoolSpec("p", "/mnt", nfs=NFSExport(server, export)))


def test_disks_on_a_shared_pool_count_for_its_images() -> None:
    world = World()
    wanted = world.created(disks=(disk(pool=SHARED),))
    with pytest.raises(Conflict):
        world.connection.storage.delete_image(OTHER, SHARED, IMAGE)
    world.connection.compute.delete(HOST, wanted.instance)
    world.connection.storage.delete_image(OTHER, SHARED, IMAGE)


def test_a_delete_on_the_wrong_host_takes_a_shared_disk_away() -> None:
    """As unlinking a file on NFS does. The VM is found out at its next start."""
    world = World()
    wanted = world.running(disks=(disk(pool=SHARED),))
    world.connection.compute.delete(OTHER, wanted.instance, [SHARED])
    assert world.see(wanted).power is Power.ON
    assert world.control.census().disks == ()
    world.connection.power.stop(HOST, wanted.instance, StopMode.HARD)
    with pytest.raises(InvalidSpec, match="gone"):
        world.connection.power.start(HOST, wanted.instance)
    world.connection.compute.delete(HOST, wanted.instance, [SHARED])
    assert world.control.census().vms == ()


def test_room_is_taken_and_given_back() -> None:
    world = World()
    before = room(world)
    world.put(HOST, POOL, "big.qcow2", 100 * MIB)
    wanted = world.created(disks=(disk(), disk("data", image="")))
    assert room(world) == before - 100 * MIB - 2 * DISK_OVERHEAD
    world.connection.compute.delete(HOST, wanted.instance)
    world.connection.storage.delete_image(HOST, POOL, "big.qcow2")
    assert room(world) == before


def test_what_does_not_fit_is_refused() -> None:
    world = World(Settings(hosts=2, pool_capacity=4 * MIB))
    with pytest.raises(NoRoom, match=f"the pool {POOL.name} has 4Mi free of the 4.1Mi needed"):
        world.put(HOST, POOL, "big.qcow2", 4 * MIB + 1)
    world.put(HOST, POOL, "fits.qcow2", 4 * MIB)
    assert room(world) == 0
    with pytest.raises(NoRoom, match="has 0 free"):
        world.created()
    assert world.control.census().vms == world.control.census().disks == ()


def test_an_unknown_pool_has_nothing() -> None:
    world = World()
    unknown = PoolSpec("unknown", "/srv/unknown")
    assert not world.connection.storage.has_image(HOST, unknown, IMAGE)
    world.connection.storage.delete_image(HOST, unknown, IMAGE)
    with pytest.raises(NotFound):
        world.put(HOST, unknown)


@pytest.mark.parametrize(
    "path", ["", "a", "/", "/a/", "/a//b", "/a/../b", "/a/./b", "/a\nb", "/a\0b", "/proc", "/sys/x", "/dev/shm"]
)
def test_a_path_that_is_no_directory_for_disks_is_refused(path: str) -> None:
    world = World()
    with pytest.raises(InvalidSpec):
        world.connection.storage.ensure_pool(HOST, PoolSpec("p", path))
    with pytest.raises(InvalidSpec):
        world.connection.compute.create(HOST, vm(disks=(disk(pool=PoolSpec("p", path)),)))
    with pytest.raises(InvalidSpec):
        world.connection.compute.delete(HOST, vm().instance, [PoolSpec("p", path)])


@pytest.mark.parametrize("path", ["/var/lib/vireo", "/procession", "/a b", "/ä"])
def test_other_paths_are_fine(path: str) -> None:
    assert World().connection.storage.ensure_pool(HOST, PoolSpec("p", path)).capacity > 0


# What a host has -------------------------------------------------------------------------------------------------------

EXPORT = NFSExport("nfs1", "/vms")
NET = PoolSpec("net", "/mnt/net", shared=True, nfs=EXPORT)


def has(world: World, host: HostID = HOST) -> list[str]:
    return [pool.name for pool in world.connection.storage.list_pools(host)]


def test_a_host_has_what_was_made_for_it_and_no_other_has_it() -> None:
    world = World()
    before = has(world)
    world.connection.storage.ensure_pool(OTHER, NET)
    assert NET.name in has(world, OTHER)
    assert has(world) == before
    world.connection.storage.release_pool(HOST, NET)
    assert NET.name in has(world, OTHER)


def test_two_names_for_one_place_are_one_pool() -> None:
    world = World()
    place = PoolSpec("first", "/srv/place")
    for name in ("first", "second"):
        world.connection.storage.ensure_pool(HOST, replace(place, name=name))
    assert "second" not in has(world)
    world.connection.storage.release_pool(HOST, replace(place, name="second"))
    assert "first" not in has(world)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("pool", [POOL, SHARED], ids=["local", "shared"])
def test_it_stays_while_a_vm_of_the_host_has_a_disk_there(pool: PoolSpec, shared: bool) -> None:
    """Whoever asks may not know whether it is shared."""
    world = World()
    wanted = world.created(disks=(disk(pool=pool),))
    world.connection.storage.ensure_pool(HOST, pool)
    world.connection.storage.ensure_pool(OTHER, pool)
    with pytest.raises(Conflict, match=wanted.instance):
        world.connection.storage.release_pool(HOST, replace(pool, shared=shared))
    world.connection.storage.release_pool(OTHER, replace(pool, shared=shared))
    world.connection.compute.delete(HOST, wanted.instance)
    world.connection.storage.release_pool(HOST, replace(pool, shared=shared))
    assert pool.name not in has(world)


def test_a_volume_keeps_it_where_it_is_attached() -> None:
    world = World()
    world.connection.storage.ensure_pool(HOST, SHARED)
    one = volume(pool=SHARED)
    world.connection.volumes.create_volume(HOST, one)
    wanted = world.created(disks=(disk(),), volumes=(attachment(one),))
    with pytest.raises(Conflict, match=wanted.instance):
        world.connection.storage.release_pool(HOST, SHARED)


def test_what_is_in_it_stays() -> None:
    world = World()
    world.put(HOST, POOL, "debian.qcow2")
    world.connection.storage.release_pool(HOST, POOL)
    world.connection.storage.ensure_pool(HOST, POOL)
    assert world.connection.storage.has_image(HOST, POOL, "debian.qcow2")
