"""Snapshots of simulated VMs beyond the contract: guests, room, tasks, faults."""

from collections.abc import Callable

import pytest

from drivers.errors import Busy, Conflict, NotFound, Transient
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from drivers.types import Capability, DesiredVM, Done, Failed, GuestInfo, Power, SetCPUs, SetMemory, Started, StopMode, VMChanged

from .world import HOST, MIB, World, attachment, disk, snapshot


def restore(world: World, wanted: DesiredVM, taken: str, token: str = "token") -> Done | Started:
    return world.connection.snapshots.restore(HOST, wanted.instance, taken, token)  # type: ignore[arg-type]


def stop(world: World, wanted: DesiredVM) -> None:
    world.connection.power.stop(HOST, wanted.instance, StopMode.HARD)


def test_the_moment_is_kept() -> None:
    world = World()
    wanted = world.created()
    world.let(5)
    first = world.taken(wanted)
    world.let(7)
    world.taken(wanted)
    begun = world.clock.now() - 7
    assert [(one.created, one.parent) for one in world.see(wanted).snapshots] == [(begun, None), (begun + 7, first.snapshot)]


def test_a_guest_that_ran_answers_again_at_once() -> None:
    world = World()
    wanted = world.running()
    taken = world.taken(wanted, memory=True)
    stop(world, wanted)
    assert world.see(wanted).guest == GuestInfo()
    restore(world, wanted, taken.snapshot)
    assert (world.see(wanted).guest.agent, world.see(wanted).guest.hostname) == (True, "web")


def test_a_guest_that_booted_goes_on_booting() -> None:
    world = World()
    wanted = world.created()
    world.connection.power.start(HOST, wanted.instance)
    world.let(4)
    taken = world.taken(wanted, memory=True)
    world.let(100)
    restore(world, wanted, taken.snapshot)
    world.let(5)
    assert not world.see(wanted).guest.agent
    world.let(1)
    assert world.see(wanted).guest.agent


def test_a_guest_that_was_asked_to_stop_has_forgotten_it() -> None:
    world = World()
    wanted = world.running()
    taken = world.taken(wanted, memory=True)
    world.connection.power.stop(HOST, wanted.instance, StopMode.SOFT)
    restore(world, wanted, taken.snapshot)
    world.let(100)
    assert world.see(wanted).power is Power.ON
    world.connection.power.stop(HOST, wanted.instance, StopMode.SOFT)
    world.let(5)
    assert world.see(wanted).power is Power.OFF


def test_it_runs_with_what_it_ran_with_and_starts_with_what_it_is_defined_with() -> None:
    world = World()
    wanted = world.running()
    taken = world.taken(wanted, memory=True)
    stop(world, wanted)
    world.connection.compute.apply(HOST, wanted.instance, [SetCPUs(4), SetMemory(1024 * MIB)])
    restore(world, wanted, taken.snapshot)
    seen = world.see(wanted)
    assert (seen.cpus, seen.memory, seen.running_cpus, seen.running_memory) == (4, 1024 * MIB, 2, 512 * MIB)
    stop(world, wanted)
    assert (world.see(wanted).running_cpus, world.see(wanted).running_memory) == (4, 1024 * MIB)


def test_a_vm_that_comes_back_running_needs_room() -> None:
    world = World(Settings(hosts=2, memory=1024 * MIB, boot=0))
    wanted = world.running(memory=768 * MIB)
    taken = world.taken(wanted, memory=True)
    assert restore(world, wanted, taken.snapshot, "a") == Done(), "its own memory is free for it"
    stop(world, wanted)
    other = world.running(memory=512 * MIB)
    with pytest.raises(Transient, match="memory"):
        restore(world, wanted, taken.snapshot, "b")
    stop(world, other)
    assert restore(world, wanted, taken.snapshot, "b") == Done()
    assert world.see(wanted).power is Power.ON


def test_a_paused_vm_has_memory_and_is_no_vm_that_is_off() -> None:
    world = World()
    wanted = world.running()
    off = world.taken(wanted)
    world.control.act(Act.PAUSE, f"{HOST}/{wanted.instance}")
    on = world.taken(wanted, memory=True)
    with pytest.raises(Conflict):
        restore(world, wanted, off.snapshot)
    restore(world, wanted, on.snapshot)
    assert world.see(wanted).power is Power.ON


def test_a_crashed_vm_is_off_after_a_restore() -> None:
    world = World()
    wanted = world.running()
    taken = world.taken(wanted)
    world.control.act(Act.CRASH_VM, f"{HOST}/{wanted.instance}")
    restore(world, wanted, taken.snapshot)
    assert world.see(wanted).power is Power.OFF


def test_a_disk_that_is_gone_can_t_be_brought_back() -> None:
    world = World()
    one = world.stored()
    wanted = world.created(disks=(disk(), disk("data", image="")), volumes=(attachment(one, "v"),))
    taken = world.taken(wanted)
    world.control.act(Act.DELETE_VOLUME, f"{HOST}/{one.volume}")
    with pytest.raises(NotFound, match="gone"):
        restore(world, wanted, taken.snapshot)
    world.connection.volumes.create_volume(HOST, one)
    world.control.act(Act.REMOVE_DISK, f"{HOST}/{wanted.instance}", "data")
    with pytest.raises(Conflict, match="other disks"):
        restore(world, wanted, taken.snapshot)
    assert world.see(wanted).restored == ()


def test_every_step_is_an_event() -> None:
    world = World()
    wanted = world.created()
    listener = world.connect()
    steps: list[Callable[[], object]] = [
        lambda: world.taken(wanted, number=1),
        lambda: restore(world, wanted, snapshot(1).snapshot),
        lambda: world.connection.snapshots.delete_snapshot(HOST, wanted.instance, snapshot(1).snapshot),
    ]
    for step in steps:
        step()
        assert list(listener.events.fetch()) == [VMChanged(wanted.instance)]
        step()
        if step is not steps[0]:
            assert list(listener.events.fetch()) == [], "nothing was done, so nobody is told"


def test_while_a_restore_is_under_way_the_vm_is_busy() -> None:
    world = World(Settings(hosts=2, boot=0, durations={"snapshots.restore": 10.0}))
    wanted = world.created()
    world.control.act(Act.WRITE_DISK, f"{HOST}/{wanted.instance}", "root=before")
    taken = world.taken(wanted)
    world.control.act(Act.WRITE_DISK, f"{HOST}/{wanted.instance}", "root=after")
    assert isinstance(restore(world, wanted, taken.snapshot), Started)
    for call in (
        lambda: world.connection.power.start(HOST, wanted.instance),
        lambda: world.connection.compute.delete(HOST, wanted.instance),
        lambda: restore(world, wanted, taken.snapshot),
        lambda: world.connection.snapshots.delete_snapshot(HOST, wanted.instance, taken.snapshot),
    ):
        with pytest.raises(Busy):
            call()
    assert [one.content for one in world.control.census().disks] == ["after"]
    assert world.see(wanted).restored == ()
    world.let(10)
    assert [one.content for one in world.control.census().disks] == ["before"]
    assert restore(world, wanted, taken.snapshot) == Done()


def test_a_restore_whose_vm_was_started_meanwhile_fails() -> None:
    world = World(Settings(hosts=2, boot=0, durations={"snapshots.restore": 10.0}))
    wanted = world.created()
    taken = world.taken(wanted)
    outcome = restore(world, wanted, taken.snapshot)
    world.control.act(Act.POWER_ON, f"{HOST}/{wanted.instance}")
    world.let(10)
    assert isinstance(outcome, Started)
    assert isinstance(world.connection.tasks.poll(outcome.op), Failed)
    assert (world.see(wanted).power, world.see(wanted).restored) == (Power.ON, ())


def test_a_snapshot_whose_vm_was_deleted_meanwhile_fails() -> None:
    world = World(Settings(hosts=2, boot=0, durations=dict.fromkeys(TASK_METHODS - {"compute.create"}, 10.0)))
    wanted = world.created()
    outcome = world.connection.snapshots.create_snapshot(HOST, wanted.instance, snapshot())
    world.control.act(Act.DELETE_VM, f"{HOST}/{wanted.instance}")
    world.let(10)
    assert isinstance(outcome, Started)
    assert isinstance(world.connection.tasks.poll(outcome.op), Failed)
    assert world.control.census().vms == ()


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.HANG, FaultKind.TASK_ERROR])
def test_a_call_that_goes_wrong_changes_nothing_and_can_be_repeated(kind: FaultKind) -> None:
    world = World()
    wanted, one = world.running(), snapshot(memory=True)
    calls: list[Callable[[], Done | Started]] = [
        lambda: world.connection.snapshots.create_snapshot(HOST, wanted.instance, one),
        lambda: restore(world, wanted, one.snapshot),
        lambda: world.connection.snapshots.delete_snapshot(HOST, wanted.instance, one.snapshot),
    ]
    for call in calls:
        world.control.add_fault(Fault(kind, "snapshots.*", wanted.name, count=1))
        before = world.see(wanted)
        world.goes_wrong(kind, call)
        assert world.see(wanted) == before
        assert call() == Done()
        assert world.see(wanted) != before


def test_faults_know_a_snapshot_by_its_names() -> None:
    world = World()
    wanted = world.created()
    taken = world.taken(wanted)
    for name in (taken.snapshot, taken.name, taken.owner.name):
        world.control.add_fault(Fault(FaultKind.ERROR, "snapshots.*", name))
        with pytest.raises(Transient):
            restore(world, wanted, taken.snapshot)
        world.taken(wanted)
        world.control.clear_faults()


def test_a_running_vm_without_that_capability_still_keeps_its_memory() -> None:
    world = World(Settings(hosts=2, boot=0, capabilities=frozenset(Capability) - {Capability.SNAPSHOT_RUNNING}))
    wanted = world.running()
    with pytest.raises(Conflict):
        world.taken(wanted)
    world.taken(wanted, memory=True)
    assert [one.memory for one in world.see(wanted).snapshots] == [True]
