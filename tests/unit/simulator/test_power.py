"""Power and guests in virtual time."""

import pytest

from drivers.errors import Conflict, InvalidSpec, Transient
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import ApplyMode, DiskFailure, HostID, Power, SetMemory, StopMode, VMChanged

from .world import HOST, MIB, POOL, World


def stop(world: World, instance: str, mode: StopMode) -> None:
    world.connection.power.stop(HOST, instance, mode)  # type: ignore[arg-type]


def test_a_soft_stop_takes_the_guest_its_time() -> None:
    world = World()
    wanted = world.running()
    stop(world, wanted.instance, StopMode.SOFT)
    world.let(4.9)
    assert world.see(wanted).power is Power.ON
    world.let(0.2)
    assert world.see(wanted).power is Power.OFF


def test_asking_again_does_not_begin_anew() -> None:
    world = World()
    wanted = world.running()
    stop(world, wanted.instance, StopMode.SOFT)
    world.let(4)
    stop(world, wanted.instance, StopMode.SOFT)
    world.let(1)
    assert world.see(wanted).power is Power.OFF


def test_a_guest_that_still_boots_hears_nothing() -> None:
    world = World()
    wanted = world.created()
    world.connection.power.start(HOST, wanted.instance)
    world.let(5)
    stop(world, wanted.instance, StopMode.SOFT)
    world.let(100)
    assert world.see(wanted).power is Power.ON
    stop(world, wanted.instance, StopMode.SOFT)
    world.let(5)
    assert world.see(wanted).power is Power.OFF


def test_a_guest_may_be_told_to_ignore_it() -> None:
    world = World()
    wanted = world.running()
    world.control.act(Act.IGNORE_STOP, f"{HOST}/{wanted.instance}")
    stop(world, wanted.instance, StopMode.SOFT)
    world.let(1000)
    assert world.see(wanted).power is Power.ON
    world.control.act(Act.IGNORE_STOP, f"{HOST}/{wanted.instance}", "false")
    stop(world, wanted.instance, StopMode.SOFT)
    world.let(5)
    assert world.see(wanted).power is Power.OFF


def test_a_stop_that_was_overtaken_does_nothing_later() -> None:
    """Asked softly, then cut and started again within the guest's time: the new run is not stopped."""
    world = World()
    wanted = world.running()
    stop(world, wanted.instance, StopMode.SOFT)
    stop(world, wanted.instance, StopMode.HARD)
    world.connection.power.start(HOST, wanted.instance)
    world.let(100)
    assert world.see(wanted).power is Power.ON
    assert world.see(wanted).guest.agent


def test_a_boot_that_was_overtaken_says_nothing_early() -> None:
    world = World()
    wanted = world.created()
    world.connection.power.start(HOST, wanted.instance)
    world.let(6)
    stop(world, wanted.instance, StopMode.HARD)
    world.connection.power.start(HOST, wanted.instance)
    world.let(6)
    assert not world.see(wanted).guest.agent
    world.let(4)
    assert world.see(wanted).guest.agent


def test_a_paused_guest_stands_still() -> None:
    world = World()
    wanted = world.created()
    world.connection.power.start(HOST, wanted.instance)
    world.control.act(Act.PAUSE, f"{HOST}/{wanted.instance}")
    world.let(100)
    assert world.see(wanted).power is Power.PAUSED
    with pytest.raises(Conflict):
        stop(world, wanted.instance, StopMode.SOFT)
    world.connection.power.start(HOST, wanted.instance)
    world.let(0)
    assert world.see(wanted).power is Power.ON
    assert world.see(wanted).guest.agent
    [entry] = world.control.census().vms
    assert entry.starts == 1, "to go on is no restart"


def test_a_paused_vm_can_be_cut() -> None:
    world = World()
    wanted = world.running()
    world.control.act(Act.PAUSE, f"{HOST}/{wanted.instance}")
    stop(world, wanted.instance, StopMode.HARD)
    assert world.see(wanted).power is Power.OFF


def test_a_disk_without_room_holds_a_guest_until_its_pool_has_some() -> None:
    world = World()
    wanted = world.running()
    target = f"{HOST}/{wanted.instance}"
    [pool] = [pool for pool in world.dc.pools.values() if wanted.instance in pool.disks]
    before, pool.used = pool.used, pool.capacity
    world.control.act(Act.FAIL_DISK, target, "root=full")
    for _ in range(2):
        seen = world.see(wanted)
        assert (seen.power, seen.failures) == (Power.PAUSED, (DiskFailure("root", POOL.name, full=True),))
        world.connection.power.resume(HOST, wanted.instance)
    pool.used = before
    world.connection.power.resume(HOST, wanted.instance)
    assert (world.see(wanted).power, world.see(wanted).failures) == (Power.ON, ())


def test_a_disk_that_fails_does_so_until_it_is_mended() -> None:
    world = World()
    wanted = world.running()
    target = f"{HOST}/{wanted.instance}"
    world.control.act(Act.FAIL_DISK, target, "root=error")
    world.connection.power.resume(HOST, wanted.instance)
    assert world.see(wanted).failures == (DiskFailure("root", POOL.name),)
    world.control.act(Act.FAIL_DISK, target, "root=")
    assert world.see(wanted).power is Power.PAUSED, "nobody has let it go on"
    world.connection.power.resume(HOST, wanted.instance)
    assert world.see(wanted).power is Power.ON
    with pytest.raises(InvalidSpec):
        world.control.act(Act.FAIL_DISK, target, "root=often")


def test_what_somebody_paused_is_not_let_go_on_after_a_failure() -> None:
    world = World()
    wanted = world.running()
    world.control.act(Act.PAUSE, f"{HOST}/{wanted.instance}")
    world.connection.power.resume(HOST, wanted.instance)
    assert (world.see(wanted).power, world.see(wanted).failures) == (Power.PAUSED, ())


def test_a_crashed_vm_is_seen_and_starts_or_stops() -> None:
    world = World()
    for finish in (lambda vm: world.connection.power.start(HOST, vm), lambda vm: stop(world, vm, StopMode.HARD)):
        wanted = world.running()
        world.control.act(Act.CRASH_VM, f"{HOST}/{wanted.instance}")
        assert world.see(wanted).power is Power.CRASHED
        finish(wanted.instance)
        assert world.see(wanted).power is not Power.CRASHED


def test_memory_is_not_there_twice() -> None:
    world = World(Settings(hosts=2, memory=1024 * MIB, boot=0))
    first, second = world.running(), world.running()
    third = world.created()
    with pytest.raises(Transient, match="free memory"):
        world.connection.power.start(HOST, third.instance)
    grow = SetMemory(768 * MIB)
    assert world.connection.compute.apply_mode(grow, world.see(first)) is ApplyMode.LIVE
    with pytest.raises(Transient, match="free memory"):
        world.connection.compute.apply(HOST, first.instance, [grow])
    stop(world, second.instance, StopMode.HARD)
    world.connection.compute.apply(HOST, first.instance, [grow])
    with pytest.raises(Transient):
        world.connection.power.start(HOST, third.instance)


def test_what_is_larger_than_the_host_never_starts() -> None:
    world = World(Settings(hosts=2, memory=1024 * MIB, cpus=4))
    with pytest.raises(InvalidSpec):
        world.created(memory=1025 * MIB)
    with pytest.raises(InvalidSpec):
        world.created(cpus=5)
    wanted = world.created()
    world.control.act(Act.SET_MEMORY, f"{HOST}/{wanted.instance}", str(2048 * MIB))
    with pytest.raises(InvalidSpec):
        world.connection.power.start(HOST, wanted.instance)


def test_a_guest_s_own_doing_is_an_event() -> None:
    world = World()
    wanted = world.created()
    listener = world.connect(HostID(HOST))
    world.connection.power.start(HOST, wanted.instance)
    assert list(listener.events.fetch()) == [VMChanged(wanted.instance)]
    world.let(10)
    assert list(listener.events.fetch()) == [VMChanged(wanted.instance)]
    stop(world, wanted.instance, StopMode.SOFT)
    assert list(listener.events.fetch()) == []
    world.let(5)
    assert list(listener.events.fetch()) == [VMChanged(wanted.instance)]
