"""Volumes on a real libvirt host: what they hold, on VMs that run and that don't, and what is left when things break."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Connection
from drivers.errors import Busy, Conflict, DriverError, InvalidSpec, NotFound
from drivers.kvm.store import holdings
from drivers.types import (
    AttachedVolume,
    AttachVolume,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    DetachVolume,
    GrowDisk,
    Owner,
    SetCPUs,
    SnapshotID,
    StoredFile,
    StoredKind,
    VolumeAttachment,
    VolumeID,
)
from tests.contract.kvm_binding import MIB, KVMBinding, empty_image, one_host
from tests.contract.suite.tools import Maker
from tests.lab.shell import run

pytestmark = pytest.mark.lab

SIZE = 8 * MIB


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KVMBinding]:
    with one_host() as host:
        yield KVMBinding(host, empty_image(tmp_path_factory.mktemp("image")))


@dataclass(frozen=True)
class Storeroom:
    """The pool, and volumes in it."""

    binding: KVMBinding
    connection: Connection
    make: Maker

    def volume(self, **fields: object) -> DesiredVolume:
        identity = VolumeID(str(uuid.uuid4()))
        made = DesiredVolume(identity, "data", Owner(f"uid-{identity}", "shop", "data"), self.binding.pool, SIZE)
        made = replace(made, **fields)  # type: ignore[arg-type]
        self.connection.volumes.create_volume(self.binding.host, made)
        return made

    def snapshot(self, volume: VolumeID, *, quiesce: bool = False) -> SnapshotID:
        wanted = snapshot(quiesce=quiesce)
        self.connection.volumes.snapshot_volume(self.binding.host, self.binding.pool, volume, wanted)
        return wanted.snapshot

    def sizes(self) -> dict[str, int]:
        found = self.connection.volumes.contents(self.binding.host, self.binding.pool)
        return {each.volume: each.size for each in found.volumes} | {each.snapshot: each.size for each in found.snapshots}

    def path(self, identity: str) -> Path:
        found = self.connection.volumes.contents(self.binding.host, self.binding.pool)
        paths: dict[str, str] = {each.volume: each.volume_id for each in found.volumes}
        paths |= {each.snapshot: each.volume_id for each in found.snapshots}
        return Path(paths[identity])

    def write(self, identity: VolumeID, pattern: int) -> None:
        run("qemu-io", "-c", f"write -P {pattern} 1M 64k", str(self.path(identity)))

    def holds(self, identity: str, pattern: int) -> bool:
        return "verification failed" not in run("qemu-io", "-r", "-c", f"read -P {pattern} 1M 64k", str(self.path(identity)))

    def attach(self, vm: DesiredVM, volume: DesiredVolume, name: str = "data") -> None:
        self.make.apply(vm, AttachVolume(VolumeAttachment(name, volume.volume, self.binding.pool)))

    def detach(self, vm: DesiredVM, volume: DesiredVolume) -> None:
        """Again while QEMU has not let go of it, for which libvirt waits five seconds alone."""
        self.make.apply(vm, DetachVolume(volume.volume))

    def grow(self, volume: DesiredVolume, size: int) -> None:
        self.connection.volumes.grow_volume(self.binding.host, self.binding.pool, volume.volume, size)

    def restore(self, volume: DesiredVolume, snapshot: SnapshotID, token: str = "") -> None:
        token = token or str(uuid.uuid4())
        self.connection.volumes.restore_volume(self.binding.host, self.binding.pool, volume.volume, snapshot, token)

    def delete(self, volume: DesiredVolume) -> None:
        self.connection.volumes.delete_volume(self.binding.host, self.binding.pool, volume.volume)

    def delete_snapshot(self, snapshot: SnapshotID) -> None:
        self.connection.volumes.delete_volume_snapshot(self.binding.host, self.binding.pool, snapshot)

    def stored(self, identity: str) -> list[StoredFile]:
        listed = self.connection.storage.list_files(self.binding.host, self.binding.pool)
        return [file for file in listed if file.identity == identity]

    def files(self) -> set[str]:
        """What the directory has of volumes and their snapshots, past libvirt's own idea of it."""
        return {path.name for path in Path(self.binding.pool.path).iterdir() if path.name.startswith(("vireo-vol-", "vireo-snap-"))}


def snapshot(*, quiesce: bool = False) -> DesiredSnapshot:
    identity = SnapshotID(str(uuid.uuid4()))
    return DesiredSnapshot(identity, "before", Owner(f"uid-{identity}", "shop", "before"), quiesce=quiesce)


@pytest.fixture
def room(binding: KVMBinding, connection: Connection) -> Iterator[Storeroom]:
    """Everything in it is gone after the test, and that is checked."""
    made: list[DesiredVM] = []
    maker = Remembering(binding, connection, made)
    room = Storeroom(binding, connection, maker)
    yield room
    for vm in made:
        with suppress(DriverError):
            maker.delete(vm)
    found = connection.volumes.contents(binding.host, binding.pool)
    for volume in found.volumes:
        connection.volumes.delete_volume(binding.host, binding.pool, volume.volume)
    for kept in found.snapshots:
        room.delete_snapshot(kept.snapshot)
    assert room.files() == set()


@dataclass(frozen=True)
class Remembering(Maker):
    """A maker that remembers what it made."""

    made: list[DesiredVM]

    def create(self, vm: DesiredVM) -> DesiredVM:
        self.made.append(vm)
        return super().create(vm)


@pytest.fixture(params=["off", "running"])
def vm(request: pytest.FixtureRequest, room: Storeroom) -> DesiredVM:
    """A VM with a disk, off or running."""
    return room.make.running() if request.param == "running" else room.make.created()


def test_an_empty_volume_has_its_size_and_making_it_again_changes_nothing(room: Storeroom) -> None:
    volume = room.volume()
    room.write(volume.volume, 7)
    room.connection.volumes.create_volume(room.binding.host, replace(volume, size=SIZE * 2))
    assert room.sizes() == {volume.volume: SIZE}
    assert room.holds(volume.volume, 7)


def test_a_volume_of_an_image_stands_alone(room: Storeroom) -> None:
    volume = room.volume(image=room.binding.image.name)
    assert "backing file" not in run("qemu-img", "info", str(room.path(volume.volume)))
    assert room.sizes() == {volume.volume: SIZE}


def test_contents_lists_disks_of_vms_too(room: Storeroom) -> None:
    vm = room.make.created()
    listed = room.connection.volumes.contents(room.binding.host, room.binding.pool)
    [disk] = [disk for disk in listed.disks if disk.instance == vm.instance]
    assert (disk.name, disk.size, Path(disk.volume_id).name) == ("root", vm.disks[0].size, f"{vm.instance}-root.qcow2")
    assert Path(disk.volume_id).is_file()
    assert {file.kind for file in room.stored(vm.instance)} == {StoredKind.DISK, StoredKind.SEED}
    assert all(file.allocated == Path(file.path).stat().st_blocks * 512 for file in room.stored(vm.instance))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"image": "no-such-image"}, NotFound),
        ({"snapshot": SnapshotID("11111111-1111-4111-8111-111111111111")}, NotFound),
        ({"size": 1 << 60}, InvalidSpec),
        ({"size": 0}, InvalidSpec),
        ({"volume": VolumeID("../../etc/passwd")}, InvalidSpec),
    ],
)
def test_a_volume_that_cannot_be_made_leaves_nothing(room: Storeroom, fields: dict[str, object], kind: type[DriverError]) -> None:
    with pytest.raises(kind):
        room.volume(**fields)
    assert room.files() == set()


def test_a_source_that_is_larger_is_refused(room: Storeroom) -> None:
    volume = room.volume()
    kept = room.snapshot(volume.volume)
    with pytest.raises(InvalidSpec, match="too small"):
        room.volume(snapshot=kept, size=SIZE // 2)
    assert set(room.sizes()) == {volume.volume, kept}


def test_half_a_volume_does_not_count_and_goes_with_the_next_attempt(room: Storeroom) -> None:
    identity = VolumeID(str(uuid.uuid4()))
    half = f"vireo-vol-{identity}.0.qcow2"
    (Path(room.binding.pool.path) / half).write_bytes(b"QFI\xfb" + bytes(500))
    assert identity not in room.sizes()
    assert [Path(file.path).name for file in room.stored(identity)] == [half]
    room.volume(volume=identity)
    assert room.sizes() == {identity: SIZE}
    assert half not in room.files()
    assert [file.kind for file in room.stored(identity)] == [StoredKind.VOLUME]


def test_an_attached_volume_is_seen_and_grows_at_once(room: Storeroom, vm: DesiredVM) -> None:
    volume = room.volume()
    room.attach(vm, volume)
    room.attach(vm, volume)
    seen = room.make.observe(vm)
    assert seen.volumes == (AttachedVolume("data", volume.volume, room.binding.pool.name, SIZE),)
    assert seen.foreign_devices == ()
    for _ in range(2):
        room.grow(volume, 2 * SIZE)
    assert room.make.observe(vm).volumes[0].size == 2 * SIZE
    assert room.connection.compute.observe_all()[vm.instance].volumes == room.make.observe(vm).volumes
    assert room.sizes()[volume.volume] == 2 * SIZE


def test_a_detached_volume_keeps_its_content_and_goes_to_another_vm(room: Storeroom, vm: DesiredVM) -> None:
    volume, other = room.volume(), room.make.created()
    room.write(volume.volume, 9)
    room.attach(vm, volume)
    with pytest.raises(Conflict):
        room.attach(other, volume)
    with pytest.raises(Conflict):
        room.delete(volume)
    for _ in range(2):
        room.detach(vm, volume)
    assert room.make.observe(vm).volumes == ()
    room.attach(other, volume)
    room.make.start(other)
    assert [each.volume for each in room.make.observe(other).volumes] == [volume.volume]
    room.make.delete(other)
    assert room.holds(volume.volume, 9), "deleting a VM leaves its volumes"


def test_a_vm_is_made_with_its_volumes(room: Storeroom) -> None:
    first, second = room.volume(), room.volume()
    both = tuple(VolumeAttachment(name, each.volume, room.binding.pool) for name, each in (("one", first), ("two", second)))
    vm = room.make.create(replace(room.make.vm(), volumes=both))
    room.make.start(vm)
    assert [(each.name, each.volume) for each in room.make.observe(vm).volumes] == [("one", first.volume), ("two", second.volume)]
    room.detach(vm, first)
    room.attach(vm, first, "one")
    assert {each.name for each in room.make.observe(vm).volumes} == {"one", "two"}
    lost = VolumeAttachment("three", VolumeID(str(uuid.uuid4())), room.binding.pool)
    absent = replace(room.make.vm(), volumes=(lost,))
    with pytest.raises(NotFound):
        room.make.create(absent)
    assert room.binding.leftovers(absent.instance) == set()


@pytest.mark.parametrize("name", ["root", "data"])
def test_a_name_is_used_once(room: Storeroom, vm: DesiredVM, name: str) -> None:
    first, second = room.volume(), room.volume()
    room.attach(vm, first)
    with pytest.raises(Conflict):
        room.attach(vm, second, name)
    assert [each.volume for each in room.make.observe(vm).volumes] == [first.volume]


def test_a_volume_that_is_not_there_is_not_attached(room: Storeroom, vm: DesiredVM) -> None:
    volume = room.volume()
    room.delete(volume)
    room.delete(volume)
    with pytest.raises(NotFound):
        room.attach(vm, volume)
    with pytest.raises(NotFound):
        room.grow(volume, 2 * SIZE)
    assert room.make.observe(vm).volumes == ()


def test_many_volumes_find_room_on_a_running_vm(room: Storeroom) -> None:
    vm = room.make.running()
    volumes = [room.volume(size=MIB) for _ in range(12)]
    for number, volume in enumerate(volumes):
        room.attach(vm, volume, f"data-{number}")
    room.detach(vm, volumes[3])
    room.attach(vm, volumes[3], "again")
    room.make.stop(vm)
    room.make.start(vm)
    assert {each.volume for each in room.make.observe(vm).volumes} == {volume.volume for volume in volumes}


def test_a_snapshot_outlives_its_volume(room: Storeroom) -> None:
    volume = room.volume()
    room.write(volume.volume, 5)
    wanted = snapshot()
    for pattern in (6, 7):
        room.connection.volumes.snapshot_volume(room.binding.host, room.binding.pool, volume.volume, wanted)
        room.write(volume.volume, pattern)
    room.delete(volume)
    assert room.sizes() == {wanted.snapshot: SIZE}
    clone = room.volume(snapshot=wanted.snapshot, size=2 * SIZE)
    room.delete_snapshot(wanted.snapshot)
    room.delete_snapshot(wanted.snapshot)
    assert room.holds(clone.volume, 5)
    assert room.sizes() == {clone.volume: 2 * SIZE}


def test_a_snapshot_of_an_attached_volume(room: Storeroom, vm: DesiredVM) -> None:
    volume = room.volume()
    room.write(volume.volume, 5)
    room.attach(vm, volume)
    kept = room.snapshot(volume.volume)
    room.grow(volume, 2 * SIZE)
    again = room.snapshot(volume.volume)
    room.make.stop(vm)
    assert room.holds(kept, 5)
    assert (room.sizes()[kept], room.sizes()[again]) == (SIZE, 2 * SIZE)
    with pytest.raises(Conflict):
        room.restore(volume, kept)


def test_without_an_agent_no_volume_is_quiesced(room: Storeroom, vm: DesiredVM) -> None:
    volume = room.volume()
    room.attach(vm, volume)
    with pytest.raises(Conflict):
        room.snapshot(volume.volume, quiesce=True)
    assert set(room.sizes()) == {volume.volume}


def test_a_restore_brings_the_content_back_and_keeps_the_larger_size(room: Storeroom) -> None:
    volume = room.volume()
    room.write(volume.volume, 1)
    kept = room.snapshot(volume.volume)
    room.write(volume.volume, 2)
    room.grow(volume, 2 * SIZE)
    for _ in range(2):
        room.restore(volume, kept)
        assert room.holds(volume.volume, 1)
        assert room.sizes() == {volume.volume: 2 * SIZE, kept: SIZE}
    assert len(room.files()) == 6, "file and marker of each, and the tokens"


def test_a_token_is_in_the_directory_and_goes_with_the_content(room: Storeroom) -> None:
    volume = room.volume()
    room.write(volume.volume, 1)
    kept, tokens = room.snapshot(volume.volume), []
    for token in ("one", "two"):
        room.restore(volume, kept, token)
        tokens.append([name for name in room.files() if ".restored-" in name])
        room.write(volume.volume, 2)
        room.restore(volume, kept, token)
        assert room.holds(volume.volume, 2)
    assert [len(each) for each in tokens] == [1, 2]
    assert tokens[0] != tokens[1]
    assert [file.kind for file in room.stored(volume.volume)] == [StoredKind.VOLUME]
    room.delete(volume)
    assert {name for name in room.files() if volume.volume in name} == set()


def test_whoever_made_the_same_content_meanwhile_keeps_it(room: Storeroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """libvirt refuses a name that is taken, be it known to it or only in the directory: a sleeper's copy is put over no other."""
    volume = room.volume()
    room.write(volume.volume, 1)
    kept = room.snapshot(volume.volume)
    real = holdings.copy

    def another_first(pool: Any, name: str, source: str, size: int) -> None:
        monkeypatch.setattr(holdings, "copy", real)
        room.path(volume.volume).with_name(name).write_bytes(b"of another host")
        real(pool, name, source, size)

    monkeypatch.setattr(holdings, "copy", another_first)
    with pytest.raises(Busy):
        room.restore(volume, kept, "one")
    theirs = Path(room.binding.pool.path) / f"vireo-vol-{volume.volume}.1.qcow2"
    assert theirs.read_bytes() == b"of another host"
    room.restore(volume, kept, "one")
    assert room.holds(volume.volume, 1)


def test_a_restore_that_broke_off_has_no_effect(room: Storeroom) -> None:
    volume = room.volume()
    room.write(volume.volume, 1)
    half = Path(room.binding.pool.path) / f"vireo-vol-{volume.volume}.1.qcow2"
    half.write_bytes(b"QFI\xfb" + bytes(500))
    assert room.holds(volume.volume, 1)
    with pytest.raises(NotFound):
        room.restore(volume, SnapshotID(str(uuid.uuid4())))
    room.delete(volume)
    assert room.files() == set()


def test_while_a_vm_has_snapshots_its_volumes_stay_as_they_are(room: Storeroom, vm: DesiredVM) -> None:
    on, off = room.volume(), room.volume()
    room.attach(vm, on)
    taken = snapshot()
    room.connection.snapshots.create_snapshot(room.binding.host, vm.instance, taken)
    forbidden: list[Callable[[], object]] = [
        lambda: room.attach(vm, off, "more"),
        lambda: room.detach(vm, on),
        lambda: room.grow(on, 2 * SIZE),
        lambda: room.connection.compute.apply(room.binding.host, vm.instance, [GrowDisk("root", 64 * MIB)]),
    ]
    for call in forbidden:
        with pytest.raises(Conflict, match="snapshots"):
            call()
    grow = GrowDisk("root", 64 * MIB)
    with pytest.raises(Conflict, match="snapshots"):
        room.connection.compute.apply(room.binding.host, vm.instance, [SetCPUs(2), grow])
    assert room.make.observe(vm).cpus == vm.cpus, "all changes or none"
    room.attach(vm, on)
    room.grow(on, SIZE)
    room.connection.snapshots.delete_snapshot(room.binding.host, vm.instance, taken.snapshot)
    for call in forbidden:
        call()


def test_a_vm_that_goes_takes_its_snapshots_out_of_its_volumes(room: Storeroom, vm: DesiredVM) -> None:
    volume = room.volume()
    room.attach(vm, volume)
    room.connection.snapshots.create_snapshot(room.binding.host, vm.instance, snapshot())
    room.make.delete(vm)
    assert "Snapshot list" not in run("qemu-img", "info", str(room.path(volume.volume)))
