"""Snapshots of VMs (Capability.SNAPSHOTS)."""

import uuid
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NotFound, Unsupported
from drivers.types import (
    REMEMBERED,
    AttachNIC,
    AttachVolume,
    Capability,
    DetachNIC,
    DetachVolume,
    GrowDisk,
    InstanceID,
    Owner,
    Power,
    Seed,
    SetCPUs,
    SetMemory,
    SetSeed,
    SnapshotID,
)

from .binding import Binding
from .hostile import each_text
from .storebase import SIZE, Store, StoreBase
from .tools import MIB, raises_ours


class _Taking(StoreBase):
    def test_a_first_snapshot_is_the_root(self, connection: Connection, store: Store) -> None:
        vm = store.vm()
        assert store.make.observe(vm).snapshots == ()
        snapshot = store.take(vm)
        [seen] = store.make.observe(vm).snapshots
        assert (seen.snapshot, seen.parent, seen.memory, seen.current) == (snapshot.snapshot, None, False, True)
        assert seen.created > 0
        assert connection.compute.observe_all()[vm.instance].snapshots == (seen,)
        assert (store.make.power(vm), store.make.observe(vm).restored) == (Power.OFF, ())

    def test_a_snapshot_taken_again_is_left_as_it_is(self, store: Store) -> None:
        vm = store.vm()
        store.mark(vm, "before")
        snapshot = store.take(vm)
        before = store.taken(vm)
        store.mark(vm, "after")
        store.take(vm, snapshot)
        assert store.taken(vm) == before
        store.restore(vm, snapshot)
        assert store.marks(vm) == {"before"}

    def test_of_a_running_vm(self, connection: Connection, store: Store) -> None:
        vm = store.vm()
        store.mark(vm, "before")
        store.make.start(vm)
        snapshot = store.snapshot()
        if Capability.SNAPSHOT_RUNNING in connection.capabilities:
            store.take(vm, snapshot)
            assert [one.memory for one in store.taken(vm).values()] == [False]
            assert store.make.power(vm) is Power.ON
            store.make.stop(vm)
            store.mark(vm, "after")
            store.restore(vm, snapshot)
            assert store.marks(vm) == {"before"}
        else:
            with raises_ours(Conflict):
                store.take(vm, snapshot)
            assert (store.taken(vm), store.make.power(vm)) == ({}, Power.ON)

    def test_what_is_not_there_or_not_ours_has_none(self, binding: Binding, store: Store) -> None:
        with raises_ours(NotFound):
            store.take(store.make.vm())
        foreign = replace(store.make.vm(), instance=InstanceID(str(uuid.uuid4())))
        binding.make_foreign_vm(foreign.instance)
        before = binding.fingerprint(foreign.instance)
        for call in (store.take, lambda vm: store.restore(vm, store.snapshot()), lambda vm: store.forget(vm, store.snapshot())):
            with raises_ours(Conflict):
                call(foreign)
        assert binding.fingerprint(foreign.instance) == before
        binding.remove_foreign_vm(foreign.instance)

    def test_memory_of_a_frozen_guest_is_refused(self, store: Store) -> None:
        vm = store.vm()
        with raises_ours(InvalidSpec):
            store.take(vm, store.snapshot(memory=True, quiesce=True))
        assert store.taken(vm) == {}

    def test_memory_needs_its_capability_and_a_running_vm(self, connection: Connection, store: Store) -> None:
        vm = store.vm()
        with raises_ours(Conflict if Capability.SNAPSHOT_MEMORY in connection.capabilities else Unsupported):
            store.take(vm, store.snapshot(memory=True))
        assert (store.taken(vm), store.make.power(vm)) == ({}, Power.OFF)

    @pytest.mark.parametrize("running", [False, True])
    def test_without_an_agent_nothing_is_frozen(self, connection: Connection, store: Store, running: bool) -> None:
        vm = store.vm(empty=True)
        if running:
            store.make.start(vm)
        with raises_ours(Conflict if Capability.SNAPSHOT_QUIESCE in connection.capabilities else Unsupported):
            store.take(vm, store.snapshot(quiesce=True))
        assert (store.taken(vm), store.make.power(vm)) == ({}, Power.ON if running else Power.OFF)

    @pytest.mark.parametrize("identity", ["", "../../etc/passwd", "a/b", "snap"])
    def test_a_snapshot_s_identity_is_a_uuid(self, store: Store, identity: str) -> None:
        vm = store.vm()
        with raises_ours(InvalidSpec):
            store.take(vm, replace(store.snapshot(), snapshot=SnapshotID(identity)))
        assert store.taken(vm) == {}

    @each_text
    def test_snapshot_names_that_mean_harm_are_kept_or_refused(self, store: Store, text: str) -> None:
        vm, snapshot = store.vm(), store.snapshot()
        try:
            store.take(vm, replace(snapshot, name=text, owner=Owner(snapshot.owner.uid, text, text)))
        except InvalidSpec:
            assert store.taken(vm) == {}
        else:
            assert list(store.taken(vm)) == [snapshot.snapshot]


class _Restoring(StoreBase):
    def test_disks_and_volumes_come_back_and_snapshots_stay(self, store: Store) -> None:
        volumes = store.created(), store.created(2 * SIZE)
        vm = store.vm(*volumes)
        store.mark(vm, "first", volumes)
        first = store.take(vm)
        store.mark(vm, "second", volumes)
        second = store.take(vm)
        store.mark(vm, "third", volumes)
        for snapshot, marker in ((first, "first"), (second, "second"), (first, "first")):
            token = store.restore(vm, snapshot)
            assert store.marks(vm, volumes) == {marker}
            assert store.current(vm) == [snapshot.snapshot]
            assert store.make.observe(vm).restored[0] == token
            assert store.tree(vm) == {first.snapshot: None, second.snapshot: first.snapshot}
        assert len(store.attached(vm)) == 2
        store.make.start(vm)
        assert store.make.power(vm) is Power.ON

    def test_a_running_vm_is_stopped_first(self, store: Store) -> None:
        vm = store.vm()
        snapshot = store.take(vm)
        store.mark(vm, "after")
        store.make.start(vm)
        with raises_ours(Conflict):
            store.restore(vm, snapshot)
        assert (store.make.power(vm), store.make.observe(vm).restored) == (Power.ON, ())
        store.make.stop(vm)
        assert store.marks(vm) == {"after"}
        store.restore(vm, snapshot)
        assert store.make.power(vm) is Power.OFF
        assert store.marks(vm) != {"after"}

    def test_a_token_takes_effect_once(self, binding: Binding, store: Store) -> None:
        vm = store.vm()
        store.mark(vm, "before")
        snapshot = store.take(vm)
        token = store.restore(vm, snapshot)
        store.mark(vm, "after")
        before = binding.fingerprint(vm.instance)
        store.restore(vm, snapshot, token)
        assert store.marks(vm) == {"after"}
        assert binding.fingerprint(vm.instance) == before
        store.make.start(vm)
        store.restore(vm, snapshot, token)
        assert store.make.power(vm) is Power.ON
        store.make.stop(vm)
        store.restore(vm, snapshot)
        assert store.marks(vm) == {"before"}

    def test_older_tokens_take_no_effect_again(self, binding: Binding, store: Store) -> None:
        vm = store.vm()
        store.mark(vm, "first")
        first = store.take(vm)
        store.mark(vm, "second")
        second = store.take(vm)
        oldest, older = store.restore(vm, first), store.restore(vm, second)
        store.apply(vm, SetCPUs(vm.cpus + 1))
        newest = store.restore(vm, second)
        store.mark(vm, "after")
        before = binding.fingerprint(vm.instance), store.make.observe(vm)
        for snapshot, token in ((first, oldest), (second, older), (second, newest), (first, oldest)):
            store.restore(vm, snapshot, token)
            assert store.marks(vm) == {"after"}
            assert (binding.fingerprint(vm.instance), store.make.observe(vm)) == before
        assert before[1].restored == (newest, older, oldest)
        store.make.start(vm)
        store.restore(vm, first, oldest)
        assert store.make.power(vm) is Power.ON
        store.make.stop(vm)
        store.forget(vm, first)
        store.restore(vm, first, oldest)
        assert store.marks(vm) == {"after"}

    def test_the_last_tokens_are_remembered(self, store: Store) -> None:
        vm = store.vm()
        store.mark(vm, "before")
        snapshot = store.take(vm)
        tokens = [store.restore(vm, snapshot) for _ in range(REMEMBERED + 2)]
        store.mark(vm, "after")
        for token in tokens[-REMEMBERED:]:
            store.restore(vm, snapshot, token)
        assert store.marks(vm) == {"after"}
        assert store.make.observe(vm).restored[:REMEMBERED] == tuple(reversed(tokens))[:REMEMBERED]
        token = store.restore(vm, snapshot)
        assert (store.marks(vm), store.make.observe(vm).restored[0]) == ({"before"}, token)

    def test_a_token_is_no_empty_text(self, connection: Connection, store: Store) -> None:
        vm = store.vm()
        snapshot = store.take(vm)
        store.mark(vm, "after")
        with raises_ours(InvalidSpec):
            store.do(connection.snapshots.restore, vm.instance, snapshot.snapshot, "")
        assert store.marks(vm) == {"after"}

    def test_the_hardware_stays_as_it_is_now(self, store: Store) -> None:
        vm = store.vm()
        snapshot = store.take(vm)
        seed = Seed("local-hostname: renamed\n", "version: 2\nethernets: {}\n", b"#cloud-config\n")
        nic = store.make.nic("back", vlan=11)
        changes = (SetCPUs(vm.cpus + 1), SetMemory(vm.memory * 2), SetSeed(seed), DetachNIC("front"), AttachNIC(nic))
        store.apply(vm, *changes)
        before = store.make.observe(vm)
        token = store.restore(vm, snapshot)
        assert replace(store.make.observe(vm), restored=()) == before
        store.make.start(vm)
        seen = store.make.observe(vm)
        assert (seen.running_cpus, seen.running_memory, seen.restored) == (vm.cpus + 1, vm.memory * 2, (token,))

    def test_a_vm_or_snapshot_that_is_not_there_is_not_found(self, store: Store) -> None:
        vm = store.vm()
        snapshot = store.take(vm)
        with raises_ours(NotFound):
            store.restore(vm, store.snapshot())
        with raises_ours(NotFound):
            store.restore(store.vm(), snapshot)
        with raises_ours(NotFound):
            store.restore(store.make.vm(), snapshot)
        assert store.make.observe(vm).restored == ()

    def test_other_vms_are_left_alone(self, binding: Binding, store: Store) -> None:
        volume = store.created(marker="other")
        neighbour, vm = store.vm(volume), store.vm()
        kept = store.take(neighbour)
        before = binding.fingerprint(neighbour.instance), store.tree(neighbour)
        snapshot = store.take(vm)
        store.restore(vm, snapshot)
        store.forget(vm, snapshot)
        assert (binding.fingerprint(neighbour.instance), store.tree(neighbour)) == before
        assert (list(before[1]), store.read(volume)) == ([kept.snapshot], "other")


class _Tree(StoreBase):
    def test_branches_grow_from_where_the_vm_was_brought_back_to(self, store: Store) -> None:
        vm = store.vm()
        marks = {}
        root = store.take(vm)
        for marker in ("left", "right"):
            store.restore(vm, root)
            store.mark(vm, marker)
            marks[store.take(vm).snapshot] = marker
        left, right = marks
        assert store.tree(vm) == {root.snapshot: None, left: root.snapshot, right: root.snapshot}
        assert store.current(vm) == [right]
        created = [
            one.created
            for one in sorted(store.taken(vm).values(), key=lambda one: [root.snapshot, left, right].index(one.snapshot))
        ]
        assert created == sorted(created)

    @pytest.mark.parametrize("gone", [0, 1, 2])
    def test_any_can_go_and_the_others_hold(self, store: Store, gone: int) -> None:
        vm = store.vm()
        snapshots = []
        for marker in ("one", "two", "three"):
            store.mark(vm, marker)
            snapshots.append(store.take(vm))
        store.mark(vm, "now")
        removed = snapshots.pop(gone)
        store.forget(vm, removed)
        upper, lower = snapshots
        assert store.tree(vm) == {upper.snapshot: None, lower.snapshot: upper.snapshot}
        assert store.current(vm) == [lower.snapshot]
        assert store.marks(vm) == {"now"}
        left = [marker for number, marker in enumerate(("one", "two", "three")) if number != gone]
        for snapshot, marker in zip(snapshots, left, strict=True):
            store.restore(vm, snapshot)
            assert store.marks(vm) == {marker}

    def test_children_of_a_root_become_roots(self, store: Store) -> None:
        vm = store.vm()
        root = store.take(vm)
        left = store.take(vm)
        store.restore(vm, root)
        right = store.take(vm)
        store.forget(vm, root)
        assert store.tree(vm) == {left.snapshot: None, right.snapshot: None}
        store.restore(vm, left)
        assert store.current(vm) == [left.snapshot]

    def test_one_goes_under_a_running_vm(self, binding: Binding, store: Store) -> None:
        vm = store.vm()
        store.mark(vm, "before")
        first, second = store.take(vm), store.take(vm)
        store.make.start(vm)
        store.forget(vm, first)
        assert (store.tree(vm), store.make.power(vm)) == ({second.snapshot: None}, Power.ON)
        store.forget(vm, second)
        assert (store.tree(vm), store.make.power(vm)) == ({}, Power.ON)
        assert binding.leftovers(first.snapshot) == set()
        store.make.stop(vm)
        assert store.marks(vm) == {"before"}

    def test_an_absent_snapshot_is_removed(self, store: Store) -> None:
        vm = store.vm()
        snapshot = store.take(vm)
        for gone in (snapshot, snapshot, store.snapshot()):
            store.forget(vm, gone)
        store.make.delete(vm)
        store.forget(vm, snapshot)
        store.forget(store.make.vm(), snapshot)


class _Holding(StoreBase):
    def test_disks_and_volumes_stay_while_there_are_snapshots(self, binding: Binding, store: Store) -> None:
        mine, free = store.created(), store.created()
        vm = store.vm(mine)
        size = vm.disks[0].size + 8 * MIB
        snapshot = store.take(vm)
        before = binding.fingerprint(vm.instance)
        changes = (GrowDisk("root", size), AttachVolume(store.attachment(free)), DetachVolume(mine.volume))
        for change in changes:
            with raises_ours(Conflict):
                store.apply(vm, change)
        with raises_ours(Conflict):
            store.grow(mine, 2 * SIZE)
        assert binding.fingerprint(vm.instance) == before
        assert store.size(mine) == SIZE
        store.forget(vm, snapshot)
        store.grow(mine, 2 * SIZE)
        store.apply(vm, *changes)
        seen = store.make.observe(vm)
        assert ([disk.size for disk in seen.disks], [one.volume for one in seen.volumes]) == ([size], [free.volume])

    def test_what_is_in_effect_already_is_no_change(self, store: Store) -> None:
        mine, free = store.created(), store.created()
        vm = store.vm(mine)
        store.take(vm)
        store.apply(vm, AttachVolume(store.attachment(mine, "data0")), DetachVolume(free.volume))
        store.grow(mine, SIZE)
        assert [volume for _, volume, *_ in store.attached(vm)] == [mine.volume]

    @pytest.mark.parametrize("running", [False, True])
    def test_snapshots_go_with_their_vm(self, binding: Binding, store: Store, running: bool) -> None:
        volume = store.created(marker="kept")
        vm = store.vm(volume)
        snapshots = store.take(vm), store.take(vm)
        if running:
            store.make.start(vm)
        store.make.delete(vm)
        assert binding.leftovers(vm.instance) == set()
        assert [binding.leftovers(one.snapshot) for one in snapshots] == [set(), set()]
        assert store.read(volume) == "kept"
        store.attach(store.vm(), volume)
        store.make.create(vm if not vm.volumes else replace(vm, volumes=()))
        assert store.taken(vm) == {}


class Snapshots(_Taking, _Restoring, _Tree, _Holding):
    """Snapshots of VMs."""
