"""Snapshots of VMs on a real libvirt host: the tree, going back once for each request, and restores that break off."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import Conflict, DriverError, InvalidSpec, NotFound
from drivers.kvm.domain import pending
from drivers.kvm.snapshot import restoring
from drivers.types import (
    AttachNIC,
    Capability,
    DesiredSnapshot,
    DesiredVolume,
    DetachNIC,
    DetachVolume,
    Firmware,
    Owner,
    Power,
    SetCPUs,
    SetMemory,
    SetSeed,
    SnapshotID,
    VolumeAttachment,
    VolumeID,
)
from tests.contract.kvm_binding import MIB, KVMBinding, empty_image, one_host
from tests.contract.kvm_snapshots import Bench, console_passwords, restore_broken_off, set_console_password, shown
from tests.contract.suite.tools import Maker
from tests.lab.shell import run

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KVMBinding]:
    with one_host() as host:
        yield KVMBinding(host, empty_image(tmp_path_factory.mktemp("image")))


@pytest.fixture
def bench(binding: KVMBinding, connection: Connection) -> Iterator[Bench]:
    """Off."""
    volume = VolumeID(str(uuid.uuid4()))
    owner = Owner(f"uid-{volume}", "shop", "data")
    connection.volumes.create_volume(binding.host, DesiredVolume(volume, "data", owner, binding.pool, 8 * MIB))
    make = Maker(binding, connection)
    vm = make.create(replace(make.vm(), volumes=(VolumeAttachment("data", volume, binding.pool),)))
    yield Bench(binding, connection, make, vm, volume)
    with suppress(DriverError):
        make.delete(vm)
    connection.volumes.delete_volume(binding.host, binding.pool, volume)
    assert binding.leftovers(vm.instance) == set()


def test_what_is_declared(connection: Connection) -> None:
    declared = {Capability.SNAPSHOTS, Capability.SNAPSHOT_RUNNING, Capability.SNAPSHOT_MEMORY, Capability.SNAPSHOT_QUIESCE}
    assert declared <= connection.capabilities


def test_disks_of_a_vm_that_is_off_come_back(bench: Bench) -> None:
    bench.write(1)
    first = bench.snapshot()
    bench.write(2)
    second = bench.snapshot()
    bench.write(3)
    for token, snapshot, pattern in (("one", first, 1), ("two", second, 2), ("three", first, 1)):
        bench.restore(snapshot, token)
        assert bench.holds(pattern)
        assert bench.seen.power is Power.OFF
        assert bench.one(snapshot).current
    assert bench.tree == {first: None, second: first}
    third = bench.snapshot()
    assert bench.tree == {first: None, second: first, third: first}
    assert sum(each.current for each in bench.seen.snapshots) == 1


def test_disks_of_a_vm_that_runs_come_back_once_it_is_off(bench: Bench) -> None:
    bench.write(1)
    bench.make.start(bench.vm)
    taken = bench.snapshot()
    assert bench.seen.power is Power.ON
    assert not bench.one(taken).memory
    with pytest.raises(Conflict, match="stop the VM"):
        bench.restore(taken, "token")
    assert bench.seen.power is Power.ON, "nothing is stopped behind the user's back"
    bench.make.stop(bench.vm)
    bench.write(2)
    bench.restore(taken, "token")
    assert bench.holds(1)
    assert bench.seen.power is Power.OFF
    bench.make.start(bench.vm)


@pytest.mark.parametrize("power", ["running", "off"])
def test_the_running_state_comes_back(bench: Bench, power: str) -> None:
    bench.write(1)
    bench.make.start(bench.vm)
    taken = bench.snapshot(memory=True)
    assert bench.one(taken).memory
    bench.make.stop(bench.vm)
    bench.write(2)
    if power == "running":
        bench.make.start(bench.vm)
    bench.restore(taken, "token")
    assert bench.seen.power is Power.ON
    assert bench.holds(1)
    assert bench.seen.restored == ("token",)
    assert bench.connection.compute.observe_all()[bench.vm.instance].restored == ("token",)


@pytest.mark.parametrize("memory", [False, True])
def test_a_request_has_one_effect(bench: Bench, memory: bool) -> None:
    bench.write(1)
    bench.make.start(bench.vm)
    taken = bench.snapshot(memory=memory)
    bench.make.stop(bench.vm)
    bench.restore(taken, "first")
    if memory:
        bench.make.stop(bench.vm)
    bench.write(2)
    bench.restore(taken, "first")
    assert bench.holds(2), "not again"
    assert bench.seen.power is Power.OFF
    bench.restore(taken, "second")
    assert bench.holds(1)
    assert bench.seen.restored == ("second", "first")


def test_snapshots_are_deleted_anywhere_in_the_tree(bench: Bench) -> None:
    bench.write(1)
    root = bench.snapshot()
    bench.write(2)
    middle = bench.snapshot()
    bench.make.start(bench.vm)
    leaf, memory = bench.snapshot(), bench.snapshot(memory=True)
    assert bench.tree == {root: None, middle: root, leaf: middle, memory: leaf}
    bench.delete(middle)
    assert bench.tree == {root: None, leaf: root, memory: leaf}
    bench.delete(leaf)
    bench.make.stop(bench.vm)
    bench.delete(memory)
    assert bench.tree == {root: None}
    bench.restore(root, "back")
    assert bench.holds(1)
    bench.delete(root)
    assert bench.seen.snapshots == ()
    assert not any("Snapshot list" in run("qemu-img", "info", str(file)) for file in bench.files)


@pytest.mark.parametrize("memory", [False, True])
def test_what_the_vm_is_now_stays(bench: Bench, memory: bool) -> None:
    """CPUs, memory size, NICs and seed are those of now wherever it ends powered off."""
    bench.make.start(bench.vm)
    taken = bench.snapshot(memory=memory)
    bench.make.stop(bench.vm)
    late, front = bench.make.nic("late"), bench.vm.nics[0]
    seed = replace(bench.make.seed("changed"), meta_data="instance-id: i-2\n")
    bench.apply(SetCPUs(3), SetMemory(2 * bench.vm.memory), DetachNIC(front.name), AttachNIC(late), SetSeed(seed))
    before = bench.seen
    bench.restore(taken, "token")
    if memory:
        running = bench.seen
        assert (running.running_cpus, running.running_memory) == (bench.vm.cpus, bench.vm.memory)
        assert (running.cpus, running.memory) == (3, 2 * bench.vm.memory)
        assert [nic.name for nic in running.nics] == [front.name], "known as ours, so that it can be detached"
        assert running.foreign_devices == ()
        bench.make.stop(bench.vm)
    after = bench.seen
    assert replace(after, restored=(), snapshots=()) == replace(before, snapshots=())
    bench.make.start(bench.vm)
    assert [nic.name for nic in bench.seen.nics] == ["late"]


def test_nics_of_a_state_that_came_back_are_put_right(bench: Bench) -> None:
    bench.make.start(bench.vm)
    taken = bench.snapshot(memory=True)
    late, front = bench.make.nic("late"), bench.vm.nics[0]
    bench.make.stop(bench.vm)
    bench.apply(DetachNIC(front.name), AttachNIC(late))
    bench.restore(taken, "token")
    bench.apply(DetachNIC(front.name), AttachNIC(late))
    assert [nic.name for nic in bench.seen.nics] == ["late"]
    assert bench.seen.power is Power.ON


@pytest.mark.parametrize("step", ["snapshotCreateXML", "revertToSnapshot", "defineXMLFlags"])
def test_a_request_that_others_followed_has_no_effect_wherever_the_next_one_broke_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    bench.write(1)
    taken = bench.snapshot()
    bench.write(2)
    later = bench.snapshot()
    bench.restore(taken, "first")
    bench.restore(later, "second")
    bench.write(3)
    restore_broken_off(bench, monkeypatch, taken, step)
    bench.write(4)
    for token in ("first", "second"):
        bench.restore(taken, token)
        assert bench.holds(4)
    bench.restore(taken, "token")
    assert bench.holds(1 if step == "snapshotCreateXML" else 4)
    assert bench.seen.restored == ("token", "second", "first")


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("step", ["snapshotCreateXML", "revertToSnapshot", "defineXMLFlags"])
def test_a_restore_that_breaks_off_after_each_step_is_carried_through_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str, memory: bool
) -> None:
    bench.write(1)
    bench.make.start(bench.vm)
    taken = bench.snapshot(memory=memory)
    bench.make.stop(bench.vm)
    bench.write(2)
    bench.apply(SetCPUs(3))
    restore_broken_off(bench, monkeypatch, taken, step)
    reverted = step != "snapshotCreateXML"
    assert bench.holds(1 if reverted else 2)
    assert bench.seen.restored == (("token",) if step == "defineXMLFlags" else ())
    effects: list[str] = []
    monkeypatch.setattr(libvirt.virDomain, "revertToSnapshot", lambda *given: effects.append("back"))
    if not reverted:
        monkeypatch.undo()
    bench.restore(taken, "token")
    assert effects == [], "it is not gone back to twice"
    assert (bench.seen.restored, bench.seen.cpus) == (("token",), 3)
    assert bench.holds(1)
    assert bench.seen.power is (Power.ON if memory else Power.OFF)


@pytest.mark.parametrize("step", ["", "revertToSnapshot", "defineXMLFlags"])
@pytest.mark.parametrize("memory", [False, True])
def test_a_console_s_password_stays_and_is_shown_nowhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, memory: bool, step: str
) -> None:
    """Also where it breaks off: what libvirt shows to everybody has neither the password nor, at the end, the restore."""
    bench.make.start(bench.vm)
    taken = bench.snapshot(memory=memory)
    bench.make.stop(bench.vm)
    set_console_password(bench, "pass-now")
    if step:
        restore_broken_off(bench, monkeypatch, taken, step)
        assert not any("pass-now" in text for text in shown(bench))
    bench.restore(taken, "token")
    assert console_passwords(bench) == ["pass-now"]
    for text in shown(bench):
        assert "pass-now" not in text
        assert f"{pending.PREFIX}:pending" not in text
    assert bench.one(taken).current


def test_a_snapshot_that_only_qemu_knows_of_is_taken_afresh(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left where a controller was killed between QEMU's step and libvirt's."""
    bench.write(1)
    bench.make.start(bench.vm)
    identity = SnapshotID(str(uuid.uuid4()))
    wanted = DesiredSnapshot(identity, "before", Owner("uid", "shop", "before"))

    def killed(*_: Any) -> Any:
        raise RuntimeError("the controller is killed")

    with monkeypatch.context() as patch:
        patch.setattr(libvirt.virDomain, "snapshotCreateXML", killed)
        with pytest.raises(RuntimeError):
            bench.connection.snapshots.create_snapshot(bench.binding.host, bench.vm.instance, wanted)
    assert bench.seen.snapshots == ()
    bench.connection.snapshots.create_snapshot(bench.binding.host, bench.vm.instance, wanted)
    [taken] = bench.seen.snapshots
    assert taken.created > 0
    bench.make.stop(bench.vm)
    assert [run("qemu-img", "info", str(file)).count(identity) for file in bench.files] == [1, 1]
    bench.write(2)
    bench.restore(identity, "token")
    assert bench.holds(1)


@pytest.mark.parametrize("fields", [{"memory": True}, {"quiesce": True}])
def test_what_needs_a_running_guest_is_refused_while_it_is_off(bench: Bench, fields: dict[str, bool]) -> None:
    with pytest.raises(Conflict):
        bench.snapshot(**fields)
    assert bench.seen.snapshots == ()


def test_without_an_agent_nothing_is_quiesced(bench: Bench) -> None:
    bench.make.start(bench.vm)
    with pytest.raises(Conflict, match="cannot be frozen"):
        bench.snapshot(quiesce=True)
    assert bench.seen.snapshots == ()


def test_vms_that_can_have_none_are_told(binding: KVMBinding, connection: Connection) -> None:
    make = Maker(binding, connection)
    for vm in (make.vm(empty=True), replace(make.vm(), firmware=Firmware.UEFI)):
        make.create(vm)
        bench = Bench(binding, connection, make, vm, VolumeID(""))
        with pytest.raises(InvalidSpec):
            bench.snapshot()
        make.delete(vm)


@pytest.mark.parametrize("power", ["running", "off"])
def test_a_disk_of_somebody_else_that_cannot_keep_one_is_named(bench: Bench, power: str) -> None:
    raw = bench.binding.lab_host.local / "raw.img"
    raw.write_bytes(bytes(MIB))
    disk = f"<disk type='file'><driver type='raw'/><source file='{raw}'/><target dev='sdq' bus='scsi'/></disk>"
    with bench.domain() as domain:
        domain.attachDeviceFlags(disk, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    if power == "running":
        bench.make.start(bench.vm)
    assert bench.seen.foreign_devices == ("sdq",)
    with pytest.raises(Conflict, match="sdq"):
        bench.snapshot()
    assert bench.seen.snapshots == ()


def test_what_is_not_there(bench: Bench) -> None:
    nothing = SnapshotID(str(uuid.uuid4()))
    with pytest.raises(NotFound):
        bench.restore(nothing, "token")
    bench.delete(nothing)
    assert bench.seen.restored == ()
    bench.make.delete(bench.vm)
    with pytest.raises(NotFound):
        bench.snapshot()
    bench.delete(nothing)


def test_snapshots_of_somebody_else_are_left_out(bench: Bench) -> None:
    with bench.domain() as domain:
        domain.snapshotCreateXML("<domainsnapshot><name>mine</name></domainsnapshot>", 0)
        assert bench.seen.snapshots == ()
        ours = bench.snapshot()
        assert bench.tree == {ours: None}
        with pytest.raises(Conflict, match="snapshots"):
            bench.apply(DetachVolume(bench.volume))
        bench.delete(ours)
        assert domain.snapshotListNames(0) == ["mine"]


def test_the_steps_that_are_broken_off_are_those_of_a_restore() -> None:
    """If the code goes another way, the test above must go with it."""
    source = Path(restoring.__file__).read_text()
    assert [source.count(f".{step}(") for step in ("snapshotCreateXML", "revertToSnapshot", "defineXMLFlags")] == [1, 1, 1]
