"""Native tasks in virtual time."""

import pytest

from drivers.errors import Busy, NotFound
from drivers.simulator.engine import tasks as module
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.clock import Timers, VirtualClock
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from drivers.simulator.engine.tasks import Tasks
from drivers.types import Done, Failed, OpRef, Power, Running, SetCPUs, Started, StopMode, Succeeded

from .world import HOST, POOL, World, disk, vm


def slow_world() -> World:
    return World(Settings(hosts=2, boot=0, durations=dict.fromkeys(TASK_METHODS, 10.0)))


def started(outcome: Done | Started) -> OpRef:
    assert isinstance(outcome, Started)
    return outcome.op


def test_a_task_tells_how_far_it_is_and_takes_effect_at_its_end() -> None:
    world = slow_world()
    wanted = vm()
    op = started(world.connection.compute.create(HOST, wanted))
    assert world.connection.tasks.poll(op) == Running(0)
    world.let(5)
    assert world.connection.tasks.poll(op) == Running(50)
    with pytest.raises(NotFound):
        world.see(wanted)
    assert world.control.census().disks == ()
    world.let(5)
    assert world.connection.tasks.poll(op) == Succeeded()
    assert world.see(wanted).power is Power.OFF


def test_everything_else_on_that_vm_is_busy_meanwhile() -> None:
    world = slow_world()
    wanted = vm()
    world.connection.compute.create(HOST, wanted)
    for call in (
        lambda: world.connection.compute.create(HOST, wanted),
        lambda: world.connection.compute.delete(HOST, wanted.instance, [POOL]),
        lambda: world.connection.compute.apply(HOST, wanted.instance, [SetCPUs(3)]),
        lambda: world.connection.power.start(HOST, wanted.instance),
        lambda: world.connection.power.stop(HOST, wanted.instance, StopMode.HARD),
    ):
        with pytest.raises(Busy):
            call()
    world.let(10)
    other = vm()
    world.connection.compute.create(HOST, other)
    assert started(world.connection.power.start(HOST, wanted.instance))


def test_what_needs_no_work_needs_no_task() -> None:
    world = slow_world()
    wanted = vm()
    world.connection.compute.create(HOST, wanted)
    world.let(10)
    assert world.connection.compute.create(HOST, wanted) == Done()
    assert world.connection.power.stop(HOST, wanted.instance, StopMode.HARD) == Done()
    assert world.connection.compute.apply(HOST, wanted.instance, [SetCPUs(wanted.cpus)]) == Done()
    assert world.connection.compute.delete(HOST, vm().instance, [POOL]) == Done()


def test_what_became_impossible_fails_at_the_end_and_leaves_nothing() -> None:
    world = slow_world()
    wanted = vm()
    op = started(world.connection.compute.create(HOST, wanted))
    world.connection.storage.delete_image(HOST, POOL, wanted.disks[0].image)
    world.let(10)
    progress = world.connection.tasks.poll(op)
    assert isinstance(progress, Failed)
    assert progress.native_code == "SIM_IMAGE_UNKNOWN"
    assert not progress.retryable
    assert world.control.census().vms == world.control.census().disks == ()


def test_a_scripted_failure_has_no_effect() -> None:
    world = World()
    world.control.add_fault(Fault(FaultKind.TASK_ERROR, "compute.create", count=1, code="SIM_BROKEN"))
    wanted = vm()
    op = started(world.connection.compute.create(HOST, wanted))
    world.let(0)
    assert world.connection.tasks.poll(op) == Failed("the task failed as scripted", True, "SIM_BROKEN")
    assert world.control.census().vms == ()
    assert world.connection.compute.create(HOST, wanted) == Done()


def test_a_vanished_task_still_takes_effect() -> None:
    world = slow_world()
    wanted = vm()
    world.control.add_fault(Fault(FaultKind.FORGET_TASK, "compute.create", count=1))
    op = started(world.connection.compute.create(HOST, wanted))
    with pytest.raises(NotFound):
        world.connection.tasks.poll(op)
    with pytest.raises(Busy):
        world.connection.compute.create(HOST, wanted)
    world.let(10)
    assert world.see(wanted).power is Power.OFF
    with pytest.raises(NotFound):
        world.connection.tasks.poll(op)


def test_only_the_task_that_was_meant_vanishes() -> None:
    world = slow_world()
    kept = started(world.connection.compute.create(HOST, vm()))
    world.control.add_fault(Fault(FaultKind.FORGET_TASK, "compute.create", count=1))
    world.connection.compute.create(HOST, vm())
    assert world.connection.tasks.poll(kept) == Running(0)
    world.control.act(Act.FORGET_TASKS)
    with pytest.raises(NotFound):
        world.connection.tasks.poll(kept)


def test_a_crashing_host_ends_its_tasks_without_effect() -> None:
    world = slow_world()
    wanted = vm()
    op = started(world.connection.compute.create(HOST, wanted))
    world.control.act(Act.CRASH_HOST, HOST)
    progress = world.connection.tasks.poll(op)
    assert isinstance(progress, Failed)
    assert progress.retryable
    world.let(100)
    assert world.control.census().vms == ()
    world.control.act(Act.BOOT_HOST, HOST)
    assert started(world.connection.compute.create(HOST, wanted))


def test_a_reference_of_an_earlier_life_is_not_found() -> None:
    first, second = slow_world(), slow_world()
    op = started(first.connection.compute.create(HOST, vm()))
    second.connection.compute.create(HOST, vm())
    with pytest.raises(NotFound):
        second.connection.tasks.poll(op)


def test_ended_tasks_are_forgotten_in_order_and_running_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    clock, timers = VirtualClock(), Timers()
    tasks = Tasks(clock, timers, "t")
    slow = started(tasks.run("slow", 1000, lambda: None, None))
    quick = [started(tasks.run(f"quick-{n}", 1 + n, lambda: None, None)) for n in range(5)]
    clock.sleep(10)
    timers.run_due(clock.now())
    assert isinstance(tasks.poll(slow), Running)
    for op in quick[:2]:
        with pytest.raises(NotFound):
            tasks.poll(op)
    assert [tasks.poll(op) for op in quick[2:]] == [Succeeded()] * 3


def test_a_deleted_vm_is_gone_only_at_the_end() -> None:
    world = slow_world()
    wanted = vm(disks=(disk(), disk("data", image="")))
    world.connection.compute.create(HOST, wanted)
    world.let(10)
    op = started(world.connection.compute.delete(HOST, wanted.instance, [POOL]))
    assert world.see(wanted).disks
    world.let(10)
    assert world.connection.tasks.poll(op) == Succeeded()
    assert world.control.census().disks == ()
