"""Pools of Ceph clusters in the simulator: empty volumes, and nothing else."""

from dataclasses import replace

import pytest

from drivers.errors import Conflict, InvalidSpec
from drivers.types import (
    AttachVolume,
    DesiredVM,
    DesiredVolume,
    PoolSpec,
    RBDPool,
    SnapshotID,
    StoredKind,
    VolumeAttachment,
)
from tests.unit.simulator.world import HOST, IMAGE, MIB, OTHER, World, disk, snapshot, vm, volume

CEPH = PoolSpec("ceph", "", shared=True, rbd=RBDPool(("mon1.example.org", "192.0.2.9:6789"), "vms", "vireo", "c2VjcmV0"))


@pytest.fixture
def world() -> World:
    world = World()
    for host in (HOST, OTHER):
        world.connection.storage.ensure_pool(host, CEPH)
    return world


def made(world: World, **values: object) -> DesiredVolume:
    wanted = replace(volume(), pool=CEPH, **values)  # type: ignore[arg-type]
    world.connection.volumes.create_volume(HOST, wanted)
    return wanted


def with_volume(world: World, wanted: DesiredVolume) -> DesiredVM:
    machine = vm()
    world.connection.compute.create(HOST, machine)
    attachment = VolumeAttachment("data", wanted.volume, CEPH)
    world.connection.compute.apply(HOST, machine.instance, [AttachVolume(attachment)])
    return machine


def test_hosts_have_the_same_volumes_however_monitors_are_listed(world: World) -> None:
    wanted = made(world)
    assert CEPH.rbd is not None
    turned = replace(CEPH, rbd=replace(CEPH.rbd, monitors=CEPH.rbd.monitors[::-1], key=""))
    for host, pool in ((HOST, CEPH), (OTHER, CEPH), (OTHER, turned)):
        [seen] = world.connection.volumes.contents(host, pool).volumes
        assert (seen.volume, seen.size) == (wanted.volume, 8 * MIB)
        [file] = world.connection.storage.list_files(host, pool)
        assert (file.kind, file.identity) == (StoredKind.VOLUME, wanted.volume)


def test_a_volume_lives_there(world: World) -> None:
    wanted = made(world)
    machine = with_volume(world, wanted)
    world.connection.volumes.grow_volume(HOST, CEPH, wanted.volume, 16 * MIB)
    found = world.connection.compute.observe(HOST, machine.instance)
    assert found is not None
    assert [(each.volume, each.size, each.pool) for each in found.volumes] == [(wanted.volume, 16 * MIB, "ceph")]
    with pytest.raises(Conflict):
        world.connection.volumes.delete_volume(HOST, CEPH, wanted.volume)


@pytest.mark.parametrize("source", [{"image": IMAGE}, {"snapshot": SnapshotID("11111111-1111-4111-8111-111111111111")}])
def test_volumes_have_no_content_at_first(world: World, source: dict[str, str]) -> None:
    with pytest.raises(InvalidSpec, match="volumes only"):
        made(world, **source)
    assert world.connection.volumes.contents(HOST, CEPH).volumes == ()


def test_nothing_else_is_kept_there(world: World) -> None:
    wanted = made(world)
    machine = with_volume(world, wanted)
    with pytest.raises(Conflict, match="Ceph"):
        world.connection.snapshots.create_snapshot(HOST, machine.instance, snapshot())
    with pytest.raises(InvalidSpec):
        world.connection.volumes.snapshot_volume(HOST, CEPH, wanted.volume, snapshot())
    with pytest.raises(InvalidSpec):
        world.connection.compute.create(HOST, vm(disks=(disk(pool=CEPH, image=""),)))
    with pytest.raises(InvalidSpec):
        world.put(HOST, CEPH)


@pytest.mark.parametrize(
    "harm",
    [
        {"monitors": ()},
        {"monitors": ("a b",)},
        {"monitors": ("a:0",)},
        {"monitors": ("a:65536",)},
        {"monitors": ("a:x",)},
        {"pool": "a/b"},
        {"user": ""},
    ],
)
def test_what_is_no_ceph_pool_is_refused(world: World, harm: dict[str, object]) -> None:
    assert CEPH.rbd is not None
    for bad in (replace(CEPH, rbd=replace(CEPH.rbd, **harm)), replace(CEPH, path="/srv/x")):  # type: ignore[arg-type]
        with pytest.raises(InvalidSpec, match="not a Ceph pool"):
            world.connection.storage.ensure_pool(HOST, bad)


def test_a_key_is_shown_nowhere(world: World) -> None:
    with pytest.raises(InvalidSpec) as refused:
        world.connection.storage.ensure_pool(HOST, replace(CEPH, path="/srv/x"))
    assert "c2VjcmV0" not in str(refused.value) + repr(CEPH) + repr(world.dc.pools)
