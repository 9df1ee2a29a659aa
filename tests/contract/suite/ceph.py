"""Volumes in a pool of a Ceph cluster: `PoolSpec.rbd`."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NoRoom, NotFound
from drivers.types import (
    AttachVolume,
    DesiredDisk,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    DetachVolume,
    DiskLimits,
    Done,
    Owner,
    PoolSpec,
    SetDiskLimits,
    SnapshotID,
    StoredKind,
    VolumeAttachment,
    VolumeID,
)

from .binding import CephBinding
from .served import SIZE, Served
from .tools import Maker, raises_ours, settle


@dataclass
class Pool:
    """The pool, and the volumes that a test has made in it."""

    make: Maker
    spec: PoolSpec
    made: list[VolumeID]

    def volume(self, size: int = SIZE) -> DesiredVolume:
        identity = VolumeID(str(uuid.uuid4()))
        self.made.append(identity)
        return DesiredVolume(identity, "data", Owner("uid", "shop", "data"), self.spec, size)

    def create(self, volume: DesiredVolume) -> None:
        settle(self.make.connection, lambda: self.make.connection.volumes.create_volume(self.make.binding.host, volume))

    def created(self, size: int = SIZE) -> VolumeID:
        volume = self.volume(size)
        self.create(volume)
        return volume.volume

    def grow(self, volume: VolumeID, size: int) -> None:
        grow = partial(self.make.connection.volumes.grow_volume, self.make.binding.host, self.spec, volume, size)
        settle(self.make.connection, grow)

    def delete(self, volume: VolumeID) -> None:
        settle(self.make.connection, partial(self.make.connection.volumes.delete_volume, self.make.binding.host, self.spec, volume))

    def sizes(self) -> dict[VolumeID, int]:
        """Of those that this test has made."""
        contents = self.make.connection.volumes.contents(self.make.binding.host, self.spec)
        assert (contents.disks, contents.snapshots, contents.luns) == ((), (), ())
        return {each.volume: each.size for each in contents.volumes if each.volume in self.made}

    def attachment(self, volume: VolumeID, name: str = "data") -> VolumeAttachment:
        return VolumeAttachment(
            name, volume, replace(self.spec, rbd=replace(self.spec.rbd, key="")) if self.spec.rbd else self.spec
        )


class CephVolumes(Served):
    """Each test makes its own volumes, in the one pool."""

    @pytest.fixture
    def pool(self, binding: CephBinding, connection: Connection, make: Maker) -> Iterator[Pool]:
        connection.storage.ensure_pool(binding.host, binding.ceph)
        pool = Pool(make, binding.ceph, [])
        yield pool
        for vm in make.described:
            make.delete(vm)
        for volume in pool.made:
            pool.delete(volume)
        assert pool.sizes() == {}

    def test_the_pool_has_room_and_its_key_is_told_nobody(self, make: Maker, pool: Pool) -> None:
        """It is given once; without it the pool goes on."""
        keyless = pool.attachment(VolumeID("")).pool
        for spec in (pool.spec, pool.spec, keyless):
            seen = make.connection.storage.ensure_pool(make.binding.host, spec)
            assert (seen.name, seen.capacity > 0, seen.available > 0) == (pool.spec.name, True, True)
        assert pool.spec.rbd is not None
        assert pool.spec.rbd.key not in repr(pool.spec)
        assert pool.spec.name not in {each.name for each in make.connection.storage.list_pools(make.binding.host)}
        for _ in range(2):
            assert make.connection.storage.release_pool(make.binding.host, pool.spec) == Done()
        assert make.connection.storage.ensure_pool(make.binding.host, pool.spec).capacity

    def test_a_volume_comes_grows_and_goes(self, make: Maker, pool: Pool) -> None:
        volume, other = pool.volume(), pool.created(2 * SIZE)
        pool.create(volume)
        pool.create(replace(volume, size=4 * SIZE))
        assert pool.sizes() == {volume.volume: SIZE, other: 2 * SIZE}, "one that is there is left as it is"
        for _ in range(2):
            pool.grow(volume.volume, 3 * SIZE)
        pool.grow(volume.volume, SIZE)
        assert pool.sizes()[volume.volume] == 3 * SIZE
        files = make.connection.storage.list_files(make.binding.host, pool.spec)
        assert {each.identity for each in files} >= {volume.volume, other}
        assert {each.kind for each in files} == {StoredKind.VOLUME}
        for _ in range(2):
            pool.delete(volume.volume)
        assert pool.sizes() == {other: 2 * SIZE}

    def test_it_comes_to_a_vm_and_leaves_it(self, make: Maker, pool: Pool, vm: DesiredVM) -> None:
        one, two = pool.created(), pool.created(2 * SIZE)
        first, second = pool.attachment(one), pool.attachment(two, "more")
        for _ in range(2):
            pool.make.apply(vm, AttachVolume(first), AttachVolume(second))
        seen = make.observe(vm)
        expected = {("data", one, pool.spec.name, SIZE), ("more", two, pool.spec.name, 2 * SIZE)}
        assert {(each.name, each.volume, each.pool, each.size) for each in seen.volumes} == expected
        assert seen.foreign_devices == ()
        assert make.connection.compute.observe_all()[vm.instance].volumes == seen.volumes
        with raises_ours(Conflict):
            make.connection.volumes.delete_volume(make.binding.host, pool.spec, one)
        for _ in range(2):
            pool.make.apply(vm, DetachVolume(one))
        assert [each.volume for each in make.observe(vm).volumes] == [two]

    def test_it_grows_on_a_vm(self, make: Maker, pool: Pool, vm: DesiredVM) -> None:
        volume = pool.created()
        pool.make.apply(vm, AttachVolume(pool.attachment(volume)))
        for _ in range(2):
            pool.grow(volume, 2 * SIZE)
        assert pool.sizes() == {volume: 2 * SIZE}
        assert [each.size for each in make.observe(vm).volumes] == [2 * SIZE]

    def test_it_is_on_one_vm(self, make: Maker, pool: Pool, vm: DesiredVM) -> None:
        has = pool.attachment(pool.created())
        pool.make.apply(vm, AttachVolume(has))
        other = make.created()
        with raises_ours(Conflict):
            make.connection.compute.apply(make.binding.host, other.instance, [AttachVolume(has)])
        absent = replace(make.vm(), volumes=(has,))
        with raises_ours(Conflict):
            make.create(absent)
        assert make.binding.leftovers(absent.instance) == set()

    def test_a_vm_is_made_with_it_and_it_outlives_the_vm(self, make: Maker, pool: Pool) -> None:
        volume = pool.created()
        for _ in range(2):
            vm = make.create(replace(make.vm(), volumes=(pool.attachment(volume),)))
            make.start(vm)
            assert [(each.name, each.volume) for each in make.observe(vm).volumes] == [("data", volume)]
            delete = partial(make.connection.compute.delete, make.binding.host, vm.instance, [make.binding.pool, pool.spec])
            settle(make.connection, delete)
            assert make.binding.leftovers(vm.instance) == set()
        assert pool.sizes() == {volume: SIZE}

    def test_in_ceph_limits_hold_for_it(self, make: Maker, pool: Pool, vm: DesiredVM) -> None:
        slow, slower = DiskLimits(read_iops=100), DiskLimits(write_bytes=1 << 20)
        pool.make.apply(vm, AttachVolume(replace(pool.attachment(pool.created()), limits=slow)))
        assert make.observe(vm).volumes[0].limits == slow
        pool.make.apply(vm, SetDiskLimits("data", slower))
        assert make.observe(vm).volumes[0].limits == slower

    def test_in_ceph_no_snapshot_keeps_it(self, make: Maker, pool: Pool, vm: DesiredVM) -> None:
        volume, identity = pool.created(), SnapshotID(str(uuid.uuid4()))
        pool.make.apply(vm, AttachVolume(pool.attachment(volume)))
        snapshot = DesiredSnapshot(identity, "before", Owner("uid", "shop", "before"))
        with raises_ours(Conflict) as refused:
            make.connection.snapshots.create_snapshot(make.binding.host, vm.instance, snapshot)
        assert "Ceph" in refused.value.message
        with raises_ours(InvalidSpec):
            make.connection.volumes.snapshot_volume(make.binding.host, pool.spec, volume, snapshot)
        with raises_ours(InvalidSpec):
            make.connection.volumes.restore_volume(make.binding.host, pool.spec, volume, identity, "token")
        assert make.connection.volumes.delete_volume_snapshot(make.binding.host, pool.spec, identity) == Done()
        assert make.observe(vm).snapshots == ()

    def test_nothing_but_empty_volumes_is_made_there(self, make: Maker, pool: Pool) -> None:
        image = make.binding.image
        for source in ({"image": image.name}, {"snapshot": SnapshotID(str(uuid.uuid4()))}):
            with raises_ours(InvalidSpec):
                make.connection.volumes.create_volume(make.binding.host, replace(pool.volume(), **source))  # type: ignore[arg-type]
        with raises_ours(InvalidSpec):
            make.connection.storage.put_image(make.binding.host, pool.spec, image)
        rooted = replace(make.vm(), disks=(DesiredDisk("root", pool.spec, SIZE),))
        with raises_ours(InvalidSpec):
            make.create(rooted)
        assert make.binding.leftovers(rooted.instance) == set()
        assert not make.connection.storage.has_image(make.binding.host, pool.spec, image.name)
        assert make.connection.storage.delete_image(make.binding.host, pool.spec, image.name) == Done()
        assert pool.sizes() == {}

    def test_what_can_t_be_is_refused(self, make: Maker, pool: Pool, vm: DesiredVM) -> None:
        capacity = make.connection.storage.ensure_pool(make.binding.host, pool.spec).capacity
        for size, refused in ((0, InvalidSpec), (-1, InvalidSpec), (capacity * 4, NoRoom)):
            with raises_ours(refused):
                make.connection.volumes.create_volume(make.binding.host, pool.volume(size))
        volume, absent = pool.created(), VolumeID(str(uuid.uuid4()))
        with raises_ours(NoRoom):
            make.connection.volumes.grow_volume(make.binding.host, pool.spec, volume, capacity * 4)
        with raises_ours(NotFound):
            make.connection.volumes.grow_volume(make.binding.host, pool.spec, absent, SIZE)
        for wanted, kind in (
            (pool.attachment(absent), NotFound),
            (replace(pool.attachment(volume), lun=1), InvalidSpec),
        ):
            with raises_ours(kind):
                make.connection.compute.apply(make.binding.host, vm.instance, [AttachVolume(wanted)])
        assert make.observe(vm).volumes == ()
        assert pool.sizes() == {volume: SIZE}

    @pytest.mark.parametrize(
        "harm",
        [
            {"monitors": ()},
            {"monitors": ("mon'/><host name='evil",)},
            {"monitors": ("mon.example.org -k x",)},
            {"monitors": ("mon:0",)},
            {"monitors": ("mon:70000",)},
            {"monitors": ("",)},
            {"pool": "vms/../other"},
            {"pool": "vms'/><x"},
            {"pool": ""},
            {"user": "admin:key=x"},
            {"user": "--help"},
        ],
    )
    def test_hostile_pools_are_refused(self, make: Maker, pool: Pool, vm: DesiredVM, harm: dict[str, object]) -> None:
        assert pool.spec.rbd is not None
        bad = replace(pool.spec, rbd=replace(pool.spec.rbd, **harm))  # type: ignore[arg-type]
        attachment = VolumeAttachment("data", VolumeID(str(uuid.uuid4())), bad)
        for call in (
            lambda: make.connection.storage.ensure_pool(make.binding.host, bad),
            lambda: make.connection.volumes.contents(make.binding.host, bad),
            lambda: make.connection.volumes.create_volume(make.binding.host, replace(pool.volume(), pool=bad)),
            lambda: make.connection.compute.apply(make.binding.host, vm.instance, [AttachVolume(attachment)]),
        ):
            with pytest.raises((InvalidSpec, NotFound)):
                call()
