"""LUNs of an iSCSI target as volumes: `PoolSpec.iscsi` and `VolumeAttachment.lun`."""

import uuid
from dataclasses import replace
from functools import partial

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NotFound, StorageUnavailable
from drivers.types import (
    AttachVolume,
    DesiredDisk,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    DetachVolume,
    DiskLimits,
    Done,
    ISCSITarget,
    ObservedLUN,
    Owner,
    PoolSpec,
    SetDiskLimits,
    SnapshotID,
    VolumeAttachment,
    VolumeID,
)

from .binding import LUNBinding
from .served import SIZE, Served
from .tools import Maker, raises_ours, settle

FIRST, SECOND = 1, 2


def attachment(pool: PoolSpec, number: int = FIRST, name: str = "data", volume: VolumeID | None = None) -> VolumeAttachment:
    """A LUN as a volume, by default one that nobody else knows."""
    return VolumeAttachment(name, volume or VolumeID(str(uuid.uuid4())), pool, lun=number)


class LUNs(Served):
    """The LUNs are the same for all tests; each leaves them free."""

    @pytest.fixture
    def san(self, binding: LUNBinding, connection: Connection) -> PoolSpec:
        for number, size in ((FIRST, SIZE), (SECOND, 2 * SIZE)):
            binding.have_lun(number, size)
        connection.storage.ensure_pool(binding.host, binding.san)
        return binding.san

    def test_a_target_has_its_luns_and_nothing_else(self, make: Maker, san: PoolSpec) -> None:
        for _ in range(2):
            seen = make.connection.storage.ensure_pool(make.binding.host, san)
            assert (seen.name, seen.capacity, seen.available) == (san.name, 3 * SIZE, 0)
        contents = make.connection.volumes.contents(make.binding.host, san)
        assert contents.luns == (ObservedLUN(FIRST, SIZE), ObservedLUN(SECOND, 2 * SIZE))
        assert (contents.disks, contents.volumes, contents.snapshots) == ((), (), ())
        assert list(make.connection.storage.list_files(make.binding.host, san)) == []

    def test_hosts_keep_nothing_of_it(self, make: Maker, san: PoolSpec) -> None:
        assert san.name not in {pool.name for pool in make.connection.storage.list_pools(make.binding.host)}
        for _ in range(2):
            assert make.connection.storage.release_pool(make.binding.host, san) == Done()
        assert len(make.connection.volumes.contents(make.binding.host, san).luns) == 2

    def test_it_comes_and_goes(self, make: Maker, san: PoolSpec, vm: DesiredVM) -> None:
        one, two = attachment(san), attachment(san, SECOND, "more")
        for _ in range(2):
            make.apply(vm, AttachVolume(one), AttachVolume(two))
        seen = make.observe(vm)
        expected = {("data", one.volume, san.name, SIZE), ("more", two.volume, san.name, 2 * SIZE)}
        assert {(each.name, each.volume, each.pool, each.size) for each in seen.volumes} == expected
        assert seen.foreign_devices == ()
        assert make.connection.compute.observe_all()[vm.instance].volumes == seen.volumes
        for _ in range(2):
            make.apply(vm, DetachVolume(one.volume))
        assert [each.volume for each in make.observe(vm).volumes] == [two.volume]

    def test_it_is_on_one_vm_whatever_it_is_called(self, make: Maker, san: PoolSpec, vm: DesiredVM) -> None:
        has = attachment(san)
        make.apply(vm, AttachVolume(has))
        other = make.created()
        for taken in (has, attachment(san)):
            with raises_ours(Conflict):
                make.connection.compute.apply(make.binding.host, other.instance, [AttachVolume(taken)])
            absent = replace(make.vm(), volumes=(taken,))
            with raises_ours(Conflict):
                make.create(absent)
            assert make.binding.leftovers(absent.instance) == set()
        with raises_ours(Conflict):
            make.connection.compute.apply(
                make.binding.host, vm.instance, [AttachVolume(attachment(san, SECOND, volume=has.volume, name="x"))]
            )

    def test_a_vm_is_made_with_it_and_leaves_it(self, make: Maker, san: PoolSpec) -> None:
        has = attachment(san)
        for _ in range(2):
            vm = make.create(replace(make.vm(), volumes=(has,)))
            make.start(vm)
            assert [(each.name, each.volume) for each in make.observe(vm).volumes] == [("data", has.volume)]
            delete = partial(make.connection.compute.delete, make.binding.host, vm.instance, [make.binding.pool, san])
            settle(make.connection, delete)
            assert make.binding.leftovers(vm.instance) == set()
        assert make.connection.volumes.contents(make.binding.host, san).luns[0] == ObservedLUN(FIRST, SIZE)

    def test_limits_hold_for_it(self, make: Maker, san: PoolSpec, vm: DesiredVM) -> None:
        slow, slower = DiskLimits(read_iops=100), DiskLimits(write_bytes=1 << 20)
        make.apply(vm, AttachVolume(replace(attachment(san), limits=slow)))
        assert make.observe(vm).volumes[0].limits == slow
        make.apply(vm, SetDiskLimits("data", slower))
        assert make.observe(vm).volumes[0].limits == slower

    def test_it_is_told_its_size(self, make: Maker, san: PoolSpec, vm: DesiredVM) -> None:
        """One that has not grown keeps it; one that is not there, or on no VM, is nobody's to tell."""
        has = attachment(san)
        make.apply(vm, AttachVolume(has))
        for volume in (has.volume, VolumeID(str(uuid.uuid4()))):
            assert make.connection.volumes.grow_volume(make.binding.host, san, volume, SIZE) == Done()
        assert make.observe(vm).volumes[0].size == SIZE

    def test_no_snapshot_keeps_it(self, make: Maker, san: PoolSpec, vm: DesiredVM) -> None:
        has, identity = attachment(san), SnapshotID(str(uuid.uuid4()))
        make.apply(vm, AttachVolume(has))
        snapshot = DesiredSnapshot(identity, "before", Owner("uid", "shop", "before"))
        with raises_ours(Conflict) as refused:
            make.connection.snapshots.create_snapshot(make.binding.host, vm.instance, snapshot)
        assert "LUN" in refused.value.message
        with raises_ours(InvalidSpec):
            make.connection.volumes.snapshot_volume(make.binding.host, san, has.volume, snapshot)
        with raises_ours(InvalidSpec):
            make.connection.volumes.restore_volume(make.binding.host, san, has.volume, identity, "token")
        assert make.binding.leftovers(identity) == set()
        assert make.observe(vm).snapshots == ()

    def test_nothing_is_made_there_or_found(self, make: Maker, san: PoolSpec) -> None:
        identity = VolumeID(str(uuid.uuid4()))
        with raises_ours(InvalidSpec):
            make.connection.volumes.create_volume(
                make.binding.host, DesiredVolume(identity, "data", Owner("u", "n", "data"), san, SIZE)
            )
        with raises_ours(InvalidSpec):
            make.connection.storage.put_image(make.binding.host, san, make.binding.image)
        rooted = replace(make.vm(), disks=(DesiredDisk("root", san, SIZE),))
        with raises_ours(InvalidSpec):
            make.create(rooted)
        assert make.binding.leftovers(rooted.instance) == set()
        assert not make.connection.storage.has_image(make.binding.host, san, make.binding.image.name)
        for call in (
            lambda: make.connection.storage.delete_image(make.binding.host, san, make.binding.image.name),
            lambda: make.connection.volumes.delete_volume(make.binding.host, san, identity),
            lambda: make.connection.volumes.delete_volume_snapshot(make.binding.host, san, SnapshotID(identity)),
        ):
            assert call() == Done()

    def test_what_is_no_lun_is_refused(self, make: Maker, san: PoolSpec, vm: DesiredVM) -> None:
        local = replace(attachment(san), pool=make.binding.pool)
        for wanted, kind in (
            (attachment(san, 77), NotFound),
            (replace(attachment(san), lun=None), InvalidSpec),
            (local, InvalidSpec),
        ):
            with raises_ours(kind):
                make.connection.compute.apply(make.binding.host, vm.instance, [AttachVolume(wanted)])
        assert make.observe(vm).volumes == ()

    @pytest.mark.parametrize(
        "harm",
        [
            {"server": "san'/><host name='evil"},
            {"server": "san.example.org -o x"},
            {"server": ""},
            {"name": "iqn.2026-01.org.example:a/1"},
            {"name": "iqn.2026-01.org.example:<x>"},
            {"name": "--help"},
            {"name": "iqn.2026-01.org.example:" + "x" * 300},
            {"port": 0},
            {"port": 70000},
        ],
    )
    def test_hostile_targets_are_refused(self, make: Maker, san: PoolSpec, vm: DesiredVM, harm: dict[str, str | int]) -> None:
        assert san.iscsi is not None
        bad = replace(san, iscsi=replace(san.iscsi, **harm))  # type: ignore[arg-type]
        for call in (
            lambda: make.connection.storage.ensure_pool(make.binding.host, bad),
            lambda: make.connection.volumes.contents(make.binding.host, bad),
            lambda: make.connection.compute.apply(make.binding.host, vm.instance, [AttachVolume(attachment(bad))]),
        ):
            with pytest.raises((InvalidSpec, NotFound)):
                call()

    def test_a_target_that_is_not_there_is_waited_for(self, make: Maker, san: PoolSpec) -> None:
        assert san.iscsi is not None
        lost = replace(san, name="lost", iscsi=ISCSITarget(san.iscsi.server, "iqn.2026-01.org.example:lost", san.iscsi.port))
        with raises_ours(StorageUnavailable):
            make.connection.storage.ensure_pool(make.binding.host, lost)
        make.connection.storage.ensure_pool(make.binding.host, san)
