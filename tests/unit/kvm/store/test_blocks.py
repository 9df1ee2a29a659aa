"""Logical volumes show nothing of others, and count when they are complete, wherever a call breaks off."""

from __future__ import annotations

from contextlib import suppress

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Busy, Conflict, InvalidSpec, NoRoom, NotFound
from drivers.kvm import names, volumes
from drivers.kvm.machine import creation, deletion
from drivers.kvm.names import Kind
from drivers.kvm.store import blocks, holdings, images
from drivers.types import (
    DesiredDisk,
    DesiredVM,
    DesiredVolume,
    InstanceID,
    Owner,
    PoolSpec,
    StoredKind,
    VolumeID,
)
from tests.unit.kvm.fakes import libvirt_error
from tests.unit.kvm.store.group import MIB, World
from tests.unit.kvm.store.pool import FakePool, Killed

ONE = VolumeID("11111111-1111-4111-8111-111111111111")
TWO = VolumeID("22222222-2222-4222-8222-222222222222")
INSTANCE = InstanceID("33333333-3333-4333-8333-333333333333")
OWNER = Owner("uid", "shop", "web")
SPEC = PoolSpec("fast", "/srv/pool", volume_group="vg-1")
IMAGE = "vireo-image-debian.qcow2"
STEPS = st.tuples(st.integers(0, 8), st.integers(0, 6))
ALL = 1 << 30


def world_with_image(content: str = "debian", size: int = 4 * MIB) -> World:
    world = World()
    world.files.put(IMAGE, content, size)
    world.files.put("vireo-image-debian.complete", capacity=0)
    return world


def create(world: World, size: int = 8 * MIB, image: str = "", volume: VolumeID = ONE) -> None:
    volumes._create(world.pool, DesiredVolume(volume, "data", OWNER, SPEC, size, image))


def content(world: World, volume: VolumeID = ONE) -> str | None:
    found = holdings.find(world.pool, Kind.VOLUME, volume)
    return None if found is None else world.group.volumes[found.file].content


@given(st.lists(STEPS, max_size=4), st.sampled_from([("", ""), ("debian", "debian")]), st.sampled_from([4, 32]))
def test_a_volume_that_counts_never_shows_what_was_there(
    breaks: list[tuple[int, int]], source: tuple[str, str], extent: int
) -> None:
    image, wanted = source
    world = world_with_image()
    world.group.extent = extent * MIB
    for files, group in [*breaks, (ALL, ALL)]:
        world.allow(files, group)
        with suppress(Killed):
            create(world, image=image)
        assert content(world) in {None, wanted}
    assert content(world) == wanted
    [seen] = holdings.read(world.pool).volumes
    assert (seen.volume, seen.size) == (ONE, max(8, extent) * MIB)
    holdings.remove(world.pool, Kind.VOLUME, ONE)
    assert world.group.volumes == {}
    assert set(world.files.volumes) == {IMAGE, "vireo-image-debian.complete"}


@given(st.lists(STEPS, max_size=4))
def test_a_volume_grows_into_a_copy_or_stays_as_it_was(breaks: list[tuple[int, int]]) -> None:
    world = world_with_image()
    create(world, image="debian")
    for files, group in [*breaks, (ALL, ALL)]:
        world.allow(files, group)
        with suppress(Killed):
            volumes._grow(world.pool, ONE, 30 * MIB, None)
        assert content(world) == "debian"
    [seen] = holdings.read(world.pool).volumes
    assert seen.size == 32 * MIB
    volumes._grow(world.pool, ONE, 32 * MIB, None)
    assert seen.volume_id == holdings.read(world.pool).volumes[0].volume_id, "it is as large already"
    holdings.remove(world.pool, Kind.VOLUME, ONE)
    assert world.group.volumes == {}, "with what went before, where that was not reached"


@given(STEPS, STEPS)
def test_a_look_at_the_pool_removes_what_was_replaced_and_nothing_else(broken: tuple[int, int], again: tuple[int, int]) -> None:
    """Wherever a growth broke off, and the look itself."""
    world = world_with_image()
    create(world, image="debian")
    create(world, volume=TWO)
    world.allow(*broken)
    with suppress(Killed):
        volumes._grow(world.pool, ONE, 30 * MIB, None)
    for steps in (again, (ALL, ALL)):
        world.allow(*steps)
        seen = set(holdings.read(world.pool).volumes)
        with suppress(Killed):
            holdings.drop_replaced(world.pool)
        assert set(holdings.read(world.pool).volumes) == seen
        assert content(world) == "debian"
    [mine] = [each for each in seen if each.volume == ONE]
    whole = {name for name in world.group.volumes if ONE in name and f"{name.removesuffix('.raw')}.complete" in world.files.volumes}
    assert whole == {mine.volume_id.rpartition("/")[2]}
    if mine.size == 32 * MIB:
        assert len([name for name in (*world.group.volumes, *world.files.volumes) if ONE in name]) == 2, "nothing else has its room"
    assert IMAGE in world.files.volumes


def test_what_somebody_has_open_or_writes_waits_for_another_look(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for number in (0, 1, 2):
        world.group.put(f"vireo-vol-{ONE}.{number}.raw", "x", 4 * MIB)
        world.files.put(f"vireo-vol-{ONE}.{number}.complete", capacity=0)
    world.group.volumes[f"vireo-vol-{ONE}.0.raw"].building = True
    monkeypatch.setattr(world.group.volumes[f"vireo-vol-{ONE}.1.raw"], "delete", refuse)
    holdings.drop_replaced(world.pool)
    assert set(world.group.volumes) == {f"vireo-vol-{ONE}.{number}.raw" for number in (0, 1, 2)}
    world.group.volumes[f"vireo-vol-{ONE}.0.raw"].building = False
    monkeypatch.undo()
    holdings.drop_replaced(world.pool)
    assert set(world.group.volumes) == {f"vireo-vol-{ONE}.2.raw"}


def refuse(_flags: int) -> None:
    raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "Logical volume vg-1/x is used by another device.")


def test_a_copy_that_is_not_complete_replaces_nothing() -> None:
    world = World()
    world.group.put(f"vireo-vol-{ONE}.0.raw", "old", 4 * MIB)
    world.files.put(f"vireo-vol-{ONE}.0.complete", capacity=0)
    world.group.put(f"vireo-vol-{ONE}.1.raw", "half", 8 * MIB)
    world.files.put(f"vireo-vol-{TWO}.7.complete", capacity=0)
    holdings.drop_replaced(world.pool)
    assert content(world) == "old"
    assert f"vireo-vol-{ONE}.1.raw" in world.group.volumes, "it may be being written"


def test_a_volume_that_a_vm_has_does_not_grow() -> None:
    world = World()
    create(world)
    with pytest.raises(Conflict, match="detach it"):
        volumes._grow(world.pool, ONE, 16 * MIB, object())  # type: ignore[arg-type]
    volumes._grow(world.pool, ONE, 8 * MIB, object())  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "wanted"), [(1, 4), (4 * MIB, 4), (4 * MIB + 1, 8), (30 * MIB, 32)])
def test_sizes_are_rounded_up(size: int, wanted: int) -> None:
    assert blocks.rounded(size) == wanted * MIB


def test_what_does_not_fit_is_refused_and_nothing_is_made() -> None:
    world = world_with_image()
    world.group.available = 7 * MIB
    with pytest.raises(NoRoom, match="the volume group vg-1 has 7Mi free of the 8Mi needed"):
        create(world)
    with pytest.raises(InvalidSpec, match="too small for its source"):
        create(world_with_image(size=16 * MIB), image="debian")
    with pytest.raises(NotFound, match="image"):
        create(world, image="other")
    assert world.group.volumes == {}
    assert len(world.files.volumes) == 2


def test_one_that_is_still_being_written_is_left_to_it() -> None:
    world = World()
    world.group.put(f"vireo-vol-{ONE}.0.raw").building = True
    with pytest.raises(Busy):
        holdings.remove(world.pool, Kind.VOLUME, ONE)
    with pytest.raises(Busy):
        create(world)
    assert set(world.group.volumes) == {f"vireo-vol-{ONE}.0.raw"}, "no second one is begun beside it"
    assert holdings.find(world.pool, Kind.VOLUME, ONE) is None


# Disks of VMs ----------------------------------------------------------------------------------------------------------


def make_disk(world: World, monkeypatch: pytest.MonkeyPatch, size: int = 8 * MIB) -> list[tuple[object, str]]:
    monkeypatch.setattr(creation.pools, "get", lambda *_, **__: world.pool)
    made: list[tuple[object, str]] = []
    disk = DesiredDisk("root", SPEC, size, "debian")
    vm = DesiredVM(INSTANCE, "web", OWNER, 1, MIB, (disk,))
    creation._create_disk(None, vm, disk, made)
    return made


@pytest.mark.parametrize("group", range(4))
@pytest.mark.parametrize("files", range(6))
def test_a_root_disk_that_broke_off_is_made_anew(monkeypatch: pytest.MonkeyPatch, files: int, group: int) -> None:
    world, name = world_with_image(), f"{INSTANCE}-root.raw"
    world.allow(files, group)
    with suppress(Killed):
        make_disk(world, monkeypatch)
    world.allow(ALL, ALL)
    make_disk(world, monkeypatch)
    assert world.group.volumes[name].content == "debian"
    assert f"{INSTANCE}-root.complete" in world.files.volumes
    assert f"{INSTANCE}-root.draft" not in world.files.volumes


def test_a_root_disk_that_is_complete_is_kept_with_what_is_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world, name = world_with_image(), f"{INSTANCE}-root.raw"
    made = make_disk(world, monkeypatch)
    assert {each for _, each in made} == {name, f"{INSTANCE}-root.complete"}, "what a failed creation takes away again"
    world.group.volumes[name].content = "written by the guest"
    assert make_disk(world, monkeypatch) == []
    assert world.group.volumes[name].content == "written by the guest"


def test_a_marker_without_its_disk_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_with_image()
    world.files.put(f"{INSTANCE}-root.complete", capacity=0)
    make_disk(world, monkeypatch)
    assert world.group.volumes[f"{INSTANCE}-root.raw"].content == "debian"


def test_a_disk_is_no_smaller_than_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_with_image(size=16 * MIB)
    with pytest.raises(InvalidSpec, match="its image needs"):
        make_disk(world, monkeypatch)
    assert world.group.volumes == {}


def test_everything_of_a_vm_goes_and_nothing_else() -> None:
    ours = [f"{INSTANCE}-root.{end}" for end in ("raw", "complete", "draft")]
    assert all(names.belongs(name, INSTANCE, names.RAW) for name in (*ours, names.seed(INSTANCE, "abc")))
    assert not any(names.belongs(name, InstanceID(ONE), names.RAW) for name in ours)
    assert not any(names.belongs(name, INSTANCE) for name in ours), "in a directory such files are somebody's"
    assert not names.belongs("others", INSTANCE, names.RAW)


def test_a_vm_is_removed_from_its_pool_with_its_notes_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_with_image()
    make_disk(world, monkeypatch)
    world.files.put(names.seed(INSTANCE, "abc"))
    world.files.put(f"{INSTANCE}-root.qcow2", "somebody's")
    create(world)
    world.group.put("others", "mine")
    deletion._clean(world.pool, INSTANCE)
    assert set(world.group.volumes) == {f"vireo-vol-{ONE}.0.raw", "others"}
    assert {name for name in world.files.volumes if INSTANCE in name} == {f"{INSTANCE}-root.qcow2"}


def test_a_group_without_its_directory_is_cleaned_too() -> None:
    """Where a VM's disk is all that tells of the pool."""
    world = World()
    world.group.put(f"{INSTANCE}-root.raw")
    world.group.put("others")
    deletion._clean(world.group, INSTANCE)
    assert set(world.group.volumes) == {"others"}


# What is told ----------------------------------------------------------------------------------------------------------


def test_others_in_the_group_are_nobody_s_business() -> None:
    world = World()
    create(world)
    for name in ("others", "root", f"{ONE}", "vireo-vol-x.0.raw", f"vireo-vol-{TWO}.0.qcow2"):
        world.group.put(name, "mine", 64 * MIB)
    assert [each.volume for each in holdings.read(world.pool).volumes] == [ONE]
    assert set(world.pool.listVolumes()) == {f"vireo-vol-{ONE}.0.raw", f"vireo-vol-{ONE}.0.complete", "vireo-vol-x.0.raw"}
    holdings.remove(world.pool, Kind.VOLUME, TWO)
    assert world.group.volumes[f"vireo-vol-{TWO}.0.qcow2"].content == "mine"


def test_where_each_is_on_the_host() -> None:
    world = world_with_image()
    create(world)
    [seen] = holdings.read(world.pool).volumes
    assert seen.volume_id == f"/dev/vg-1/vireo-vol-{ONE}.0.raw"
    assert holdings.path(world.pool, IMAGE) == f"/srv/pool/{IMAGE}"


def test_an_image_needs_room_in_the_directory_not_in_the_group() -> None:
    world = World()
    world.group.available, world.files.available = 0, 10
    images.require_room(world.pool, SPEC, 10)
    with pytest.raises(NoRoom, match="has 10 free of the 11 needed"):
        images.require_room(world.pool, SPEC, 11)


@pytest.mark.parametrize(
    ("volume", "told"),
    [
        (f"{INSTANCE}-root.raw", (StoredKind.DISK, INSTANCE)),
        (f"{INSTANCE}-root.complete", None),
        (f"{INSTANCE}-root.draft", None),
        (f"vireo-vol-{ONE}.3.raw", (StoredKind.VOLUME, ONE)),
        (f"vireo-vol-{ONE}.3.complete", None),
        (f"vireo-vol-{ONE}.3.draft", None),
        ("others", None),
    ],
)
def test_what_an_orphan_can_be(volume: str, told: tuple[StoredKind, str] | None) -> None:
    assert names.stored(volume) == told


def test_a_plain_pool_has_files() -> None:
    assert (blocks.form(FakePool()), blocks.form(World().pool)) == ("qcow2", "raw")
