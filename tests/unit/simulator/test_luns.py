"""LUNs of an iSCSI target: there or not, on one VM at a time, and nothing else is kept beside them."""

from dataclasses import replace

import pytest

from drivers.errors import Conflict, DriverError, InvalidSpec, NotFound, StorageUnavailable
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.clock import VirtualClock
from drivers.simulator.engine.settings import Settings
from drivers.simulator.server.state import StateFile
from drivers.simulator.service import Service
from drivers.types import (
    AttachVolume,
    DesiredVM,
    DetachVolume,
    ISCSITarget,
    ObservedLUN,
    ObservedPool,
    PoolContents,
    PoolSpec,
    SnapshotID,
    StopMode,
    VolumeAttachment,
    VolumeID,
)
from tests.unit.simulator.world import HOST, IMAGE, MIB, OTHER, World, disk, snapshot, vm, volume

TARGET = ISCSITarget("san.example.org", "iqn.2026-01.org.example:data")
SAN = PoolSpec("san", "", shared=True, iscsi=TARGET)
PLACE = "iqn.2026-01.org.example:data@san.example.org:3260"
ONE = VolumeID("11111111-1111-4111-8111-111111111111")
TWO = VolumeID("22222222-2222-4222-8222-222222222222")


def lun(world: World, number: int = 1, size: int | None = 8 * MIB) -> None:
    world.control.act(Act.SET_LUN, f"{PLACE}/{number}", "" if size is None else str(size))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def san(world: World) -> World:
    """A target with two LUNs."""
    lun(world, 1)
    lun(world, 2, 16 * MIB)
    for host in (HOST, OTHER):
        world.connection.storage.ensure_pool(host, SAN)
    return world


def attachment(volume: VolumeID = ONE, number: int | None = 1, name: str = "data") -> VolumeAttachment:
    return VolumeAttachment(name, volume, SAN, lun=number)


def attach(world: World, wanted: DesiredVM, each: VolumeAttachment) -> None:
    world.connection.compute.apply(HOST, wanted.instance, [AttachVolume(each)])


def test_a_target_is_there_with_its_luns_or_does_not_answer(world: World) -> None:
    with pytest.raises(StorageUnavailable, match=r"san\.example\.org"):
        world.connection.storage.ensure_pool(HOST, SAN)
    lun(world, 3, 5 * MIB)
    assert world.connection.storage.ensure_pool(HOST, SAN) == ObservedPool("san", 5 * MIB, 0)
    assert world.connection.volumes.contents(HOST, SAN) == PoolContents(luns=(ObservedLUN(3, 5 * MIB),))
    lun(world, 3, None)
    assert world.connection.volumes.contents(OTHER, SAN) == PoolContents()


@pytest.mark.parametrize("running", [False, True])
def test_a_lun_is_on_one_vm_whatever_its_volume_is_called(san: World, running: bool) -> None:
    first = san.running() if running else san.created()
    attach(san, first, attachment())
    attach(san, first, attachment())
    assert [(each.name, each.volume, each.pool, each.size) for each in san.see(first).volumes] == [("data", ONE, "san", 8 * MIB)]
    second = san.created()
    for taken in (attachment(), attachment(TWO)):
        with pytest.raises(Conflict):
            attach(san, second, taken)
    with pytest.raises(Conflict):
        san.connection.compute.create(OTHER, vm(volumes=(attachment(TWO),), disks=()))
    attach(san, second, attachment(TWO, 2))
    san.connection.compute.apply(HOST, first.instance, [DetachVolume(ONE)])
    third = vm(volumes=(attachment(ONE, 1),))
    san.connection.compute.create(HOST, third)
    assert [each.volume for each in san.see(third).volumes] == [ONE]
    san.connection.compute.delete(HOST, third.instance, [SAN])
    assert san.connection.volumes.contents(HOST, SAN).luns == (ObservedLUN(1, 8 * MIB), ObservedLUN(2, 16 * MIB))


def test_a_vm_does_not_start_without_its_lun(san: World) -> None:
    wanted = san.created(volumes=(attachment(),))
    lun(san, 1, None)
    with pytest.raises(InvalidSpec, match="gone"):
        san.connection.power.start(HOST, wanted.instance)
    lun(san, 1)
    san.connection.power.start(HOST, wanted.instance)
    san.connection.power.stop(HOST, wanted.instance, StopMode.HARD)


def test_a_vm_is_told_how_large_its_lun_has_become(san: World) -> None:
    wanted = san.running(volumes=(attachment(),))
    lun(san, 1, 12 * MIB)
    assert san.see(wanted).volumes[0].size == 8 * MIB
    with pytest.raises(InvalidSpec):
        san.connection.volumes.grow_volume(HOST, SAN, ONE, 13 * MIB)
    for _ in range(2):
        san.connection.volumes.grow_volume(HOST, SAN, ONE, 12 * MIB)
    assert san.see(wanted).volumes[0].size == 12 * MIB
    san.connection.volumes.grow_volume(HOST, SAN, TWO, 1)


def test_no_snapshot_can_keep_it(san: World) -> None:
    wanted = san.running(volumes=(attachment(),))
    for memory in (False, True):
        with pytest.raises(Conflict, match="LUN"):
            san.connection.snapshots.create_snapshot(HOST, wanted.instance, snapshot(memory=memory))
    with pytest.raises(InvalidSpec):
        san.connection.volumes.snapshot_volume(HOST, SAN, ONE, snapshot())
    with pytest.raises(InvalidSpec):
        san.connection.volumes.restore_volume(HOST, SAN, ONE, SnapshotID(TWO), "token")
    assert san.see(wanted).snapshots == ()


def test_nothing_else_is_kept_there_and_nothing_found(san: World) -> None:
    with pytest.raises(InvalidSpec):
        san.connection.volumes.create_volume(HOST, volume(pool=SAN))
    with pytest.raises(InvalidSpec):
        san.connection.compute.create(HOST, vm(disks=(disk(pool=SAN),)))
    with pytest.raises(InvalidSpec):
        san.put(HOST, SAN)
    san.connection.volumes.delete_volume(HOST, SAN, ONE)
    san.connection.volumes.delete_volume_snapshot(HOST, SAN, SnapshotID(TWO))
    san.connection.storage.delete_image(HOST, SAN, IMAGE)
    assert not san.connection.storage.has_image(HOST, SAN, IMAGE)
    assert san.connection.storage.list_files(HOST, SAN) == ()


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        (attachment(number=9), NotFound),
        (attachment(number=None), InvalidSpec),
        (VolumeAttachment("data", ONE, PoolSpec("local", "/var/lib/vireo/local"), lun=1), InvalidSpec),
        (replace(attachment(), name="../data"), InvalidSpec),
    ],
)
def test_what_is_no_lun_of_the_target_is_refused(san: World, wanted: VolumeAttachment, kind: type[DriverError]) -> None:
    made = san.created()
    with pytest.raises(kind):
        attach(san, made, wanted)
    assert san.see(made).volumes == ()


@pytest.mark.parametrize(
    "pool",
    [
        replace(SAN, path="/srv/x"),
        replace(SAN, iscsi=replace(TARGET, server="")),
        replace(SAN, iscsi=replace(TARGET, server="a b")),
        replace(SAN, iscsi=replace(TARGET, name="iqn.2026-01.org.example:data/1")),
        replace(SAN, iscsi=replace(TARGET, name="data")),
        replace(SAN, iscsi=replace(TARGET, port=0)),
        replace(SAN, iscsi=replace(TARGET, port=65536)),
    ],
)
def test_what_is_no_target_is_refused(san: World, pool: PoolSpec) -> None:
    with pytest.raises(InvalidSpec):
        san.connection.storage.ensure_pool(HOST, pool)


@pytest.mark.parametrize(("target", "value"), [(f"{PLACE}/x", "1"), (f"{PLACE}/-1", "1"), (f"{PLACE}/1", "-1"), ("1", "1")])
def test_acts_that_make_no_sense(san: World, target: str, value: str) -> None:
    with pytest.raises(InvalidSpec):
        san.control.act(Act.SET_LUN, target, value)


def test_luns_and_who_has_them_outlive_the_server(san: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    wanted = san.created(volumes=(attachment(),))
    path = tmp_path_factory.mktemp("state") / "state"
    saved = StateFile(path)
    san.dc.dirty |= {("host", HOST), *(("pool", *key) for key in san.dc.pools), ("vm", HOST, wanted.instance)}
    saved.save(san.dc)
    saved.close()
    later = Service(Settings(hosts=0), VirtualClock())
    StateFile(path).load(later.dc)
    [key] = [key for key in later.dc.pools if key.path == PLACE]
    assert later.dc.pools[key].luns == {1: 8 * MIB, 2: 16 * MIB}
    assert [found.instance for found in later.dc.lun_users(None, key, 1)] == [wanted.instance]
