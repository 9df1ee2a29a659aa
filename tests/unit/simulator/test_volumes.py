"""Volumes of simulated hosts beyond the contract: room, sharing, tasks, faults, names."""

from collections.abc import Callable

import pytest

from drivers.errors import Busy, Conflict, InvalidSpec, NoRoom, NotFound, Transient, Unsupported
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.datacentre import DISK_OVERHEAD
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from drivers.types import (
    AttachVolume,
    Capability,
    DetachVolume,
    Done,
    Failed,
    PoolSpec,
    Power,
    Running,
    Started,
    StopMode,
    Succeeded,
)

from .world import HOST, IMAGE, MIB, OTHER, POOL, SHARED, World, attachment, snapshot, vm, volume


def slow() -> World:
    return World(Settings(hosts=2, boot=0, durations=dict.fromkeys(TASK_METHODS, 10.0)))


def settled(world: World, call: Callable[[], Done | Started]) -> None:
    outcome = call()
    assert isinstance(outcome, Started)
    assert world.connection.tasks.poll(outcome.op) == Running(0)
    world.let(5)
    assert world.connection.tasks.poll(outcome.op) == Running(50)
    world.let(5)
    assert world.connection.tasks.poll(outcome.op) == Succeeded()


def room(world: World, pool: PoolSpec = POOL) -> int:
    return world.connection.storage.ensure_pool(HOST, pool).available


def test_room_is_taken_and_given_back() -> None:
    world = World()
    before = room(world)
    wanted, kept = world.stored(), snapshot()
    world.connection.volumes.snapshot_volume(HOST, POOL, wanted.volume, kept)
    assert room(world) == before - 2 * DISK_OVERHEAD
    world.connection.volumes.delete_volume(HOST, POOL, wanted.volume)
    world.connection.volumes.delete_volume_snapshot(HOST, POOL, kept.snapshot)
    assert room(world) == before


def test_a_full_pool_takes_no_more() -> None:
    world = World(Settings(hosts=2, pool_capacity=2 * DISK_OVERHEAD))
    first = world.stored(size=1)
    world.stored(size=1)
    with pytest.raises(NoRoom, match=f"{POOL.name} has 0 free of the"):
        world.stored(size=1)
    with pytest.raises(NoRoom, match=f"{POOL.name} has 0 free of the"):
        world.connection.volumes.snapshot_volume(HOST, POOL, first.volume, snapshot())
    with pytest.raises(NoRoom, match=f"{POOL.name} has 0 free of the"):
        world.connection.volumes.grow_volume(HOST, POOL, first.volume, 2 * DISK_OVERHEAD + 1)
    assert [one.size for one in world.connection.volumes.contents(HOST, POOL).volumes] == [1, 1]


def test_a_restore_needs_room_for_the_copy_beside_what_is_there() -> None:
    world = World(Settings(hosts=2, pool_capacity=3 * DISK_OVERHEAD))
    made, kept = world.stored(size=1), snapshot()
    world.connection.volumes.snapshot_volume(HOST, POOL, made.volume, kept)
    other = world.stored(size=1)
    with pytest.raises(NoRoom, match="has 0 free of the 256Ki needed"):
        world.connection.volumes.restore_volume(HOST, POOL, made.volume, kept.snapshot, "token")
    world.connection.volumes.delete_volume(HOST, POOL, other.volume)
    world.connection.volumes.restore_volume(HOST, POOL, made.volume, kept.snapshot, "token")


def test_a_shared_pool_s_volume_is_everybody_s() -> None:
    world = World()
    wanted = world.stored(pool=SHARED)
    assert [one.volume for one in world.connection.volumes.contents(OTHER, SHARED).volumes] == [wanted.volume]
    assert world.connection.volumes.contents(OTHER, POOL).volumes == ()
    world.connection.volumes.grow_volume(OTHER, SHARED, wanted.volume, 9 * MIB)
    other = vm(volumes=(attachment(wanted),))
    world.connection.compute.create(OTHER, other)
    assert [one.size for one in world.see(other, OTHER).volumes] == [9 * MIB]
    with pytest.raises(Conflict):
        world.connection.volumes.delete_volume(HOST, SHARED, wanted.volume)


def test_single_hosts_know_nothing_of_each_other_s_vms() -> None:
    """As libvirt on two hosts with NFS: only the caller prevents that two VMs have one volume, and the census tells."""
    world = World()
    wanted = world.stored(pool=SHARED)
    machines = [vm(volumes=(attachment(wanted),)) for _ in range(2)]
    for host, machine in zip((HOST, OTHER), machines, strict=True):
        world.connect(host).compute.create(host, machine)
    [entry] = world.control.census().volumes
    assert entry.users == (f"{HOST}/{machines[0].instance}", f"{OTHER}/{machines[1].instance}")
    world.connect(HOST).compute.apply(HOST, machines[0].instance, [DetachVolume(wanted.volume)])
    world.connect(HOST).volumes.delete_volume(HOST, SHARED, wanted.volume)
    with pytest.raises(InvalidSpec, match="gone"):
        world.connection.power.start(OTHER, machines[1].instance)


def test_a_local_volume_is_not_on_another_host() -> None:
    world = World()
    wanted = world.stored()
    with pytest.raises(NotFound):
        world.connection.compute.create(OTHER, vm(volumes=(attachment(wanted),)))
    assert world.control.census().vms == ()


def test_each_call_can_be_a_task() -> None:
    world = slow()
    volumes, wanted, kept = world.connection.volumes, volume(), snapshot()
    settled(world, lambda: volumes.create_volume(HOST, wanted))
    settled(world, lambda: volumes.grow_volume(HOST, POOL, wanted.volume, 9 * MIB))
    settled(world, lambda: volumes.snapshot_volume(HOST, POOL, wanted.volume, kept))
    settled(world, lambda: volumes.restore_volume(HOST, POOL, wanted.volume, kept.snapshot, "token"))
    settled(world, lambda: volumes.delete_volume(HOST, POOL, wanted.volume))
    settled(world, lambda: volumes.delete_volume_snapshot(HOST, POOL, kept.snapshot))
    assert world.control.census().volumes == world.control.census().snapshots == ()


def test_of_two_tasks_with_one_token_the_first_takes_effect() -> None:
    """Through two hosts: neither task knows of the other one."""
    world = slow()
    wanted, kept = volume(pool=SHARED), snapshot()
    settled(world, lambda: world.connection.volumes.create_volume(HOST, wanted))
    settled(world, lambda: world.connection.volumes.snapshot_volume(HOST, SHARED, wanted.volume, kept))
    for host in (HOST, OTHER):
        outcome = world.connection.volumes.restore_volume(host, SHARED, wanted.volume, kept.snapshot, "token")
        assert isinstance(outcome, Started)
        world.let(5)
    world.let(5)
    world.control.act(Act.WRITE_VOLUME, f"{HOST}/{wanted.volume}", "written since")
    world.let(5)
    assert world.connection.tasks.poll(outcome.op) == Succeeded()
    [found] = world.control.census().volumes
    assert found.content == "written since"


def test_a_volume_is_not_there_before_its_task_s_end_and_busy_meanwhile() -> None:
    world = slow()
    wanted = volume()
    world.connection.volumes.create_volume(HOST, wanted)
    assert world.control.census().volumes == ()
    for call in (
        lambda: world.connection.volumes.create_volume(HOST, wanted),
        lambda: world.connection.volumes.delete_volume(HOST, POOL, wanted.volume),
    ):
        with pytest.raises(Busy):
            call()
    world.let(10)
    assert len(world.control.census().volumes) == 1


def test_a_task_that_became_impossible_fails_and_leaves_nothing() -> None:
    world = slow()
    kept, source, wanted = snapshot(), volume(), volume()
    for call in (
        lambda: world.connection.volumes.create_volume(HOST, source),
        lambda: world.connection.volumes.snapshot_volume(HOST, POOL, source.volume, kept),
    ):
        settled(world, call)
    outcome = world.connection.volumes.create_volume(HOST, volume(1, snapshot=kept.snapshot))
    world.control.act(Act.DELETE_VOLUME_SNAPSHOT, f"{HOST}/{kept.snapshot}")
    world.let(10)
    assert isinstance(outcome, Started)
    failed = world.connection.tasks.poll(outcome.op)
    assert isinstance(failed, Failed)
    assert (failed.retryable, failed.native_code) == (False, "SIM_SNAPSHOT_UNKNOWN")
    assert [one.volume for one in world.control.census().volumes] == [source.volume]
    settled(world, lambda: world.connection.volumes.create_volume(HOST, wanted))


def test_a_delete_that_lost_a_race_with_an_attach_fails() -> None:
    world = World(Settings(hosts=2, boot=0, durations={"volumes.delete_volume": 10.0}))
    wanted, machine = world.stored(), world.created()
    outcome = world.connection.volumes.delete_volume(HOST, POOL, wanted.volume)
    world.connection.compute.apply(HOST, machine.instance, [AttachVolume(attachment(wanted))])
    world.let(10)
    assert isinstance(outcome, Started)
    assert isinstance(world.connection.tasks.poll(outcome.op), Failed)
    assert [one.volume for one in world.see(machine).volumes] == [wanted.volume]
    assert len(world.control.census().volumes) == 1


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.HANG, FaultKind.TASK_ERROR])
def test_a_call_that_goes_wrong_leaves_nothing_and_can_be_repeated(kind: FaultKind) -> None:
    world = World()
    source, kept = world.stored(), snapshot()
    calls: list[Callable[[], Done | Started]] = [
        lambda: world.connection.volumes.create_volume(HOST, volume(7)),
        lambda: world.connection.volumes.snapshot_volume(HOST, POOL, source.volume, kept),
        lambda: world.connection.volumes.grow_volume(HOST, POOL, source.volume, 9 * MIB),
        lambda: world.connection.volumes.delete_volume(HOST, POOL, source.volume),
    ]
    for call in calls:
        world.control.add_fault(Fault(kind, "volumes.*", count=1))
        before = world.control.census()
        world.goes_wrong(kind, call)
        assert world.control.census() == before
        assert call() == Done()
        assert world.control.census() != before


def test_a_crash_of_the_host_ends_its_tasks() -> None:
    world = slow()
    wanted = volume()
    outcome = world.connection.volumes.create_volume(HOST, wanted)
    world.control.act(Act.CRASH_HOST, HOST)
    world.let(20)
    assert isinstance(outcome, Started)
    assert isinstance(world.connection.tasks.poll(outcome.op), Failed)
    assert world.control.census().volumes == ()
    with pytest.raises(Transient):
        world.connection.volumes.contents(HOST, POOL)


def test_faults_know_volumes_and_snapshots_by_their_names() -> None:
    world = World()
    meant, other, kept = world.stored(), world.stored(), snapshot()
    world.connection.volumes.snapshot_volume(HOST, POOL, meant.volume, kept)
    for name in (meant.name, meant.owner.name, meant.volume):
        world.control.add_fault(Fault(FaultKind.ERROR, "*", name))
        for call in (
            lambda: world.connection.volumes.create_volume(HOST, meant),
            lambda: world.connection.volumes.grow_volume(HOST, POOL, meant.volume, 9 * MIB),
            lambda: world.connection.volumes.delete_volume(HOST, POOL, meant.volume),
        ):
            with pytest.raises(Transient):
                call()
        world.connection.volumes.grow_volume(HOST, POOL, other.volume, 9 * MIB)
        world.control.clear_faults()
    for name in (kept.name, kept.owner.name, kept.snapshot):
        world.control.add_fault(Fault(FaultKind.ERROR, "*", name))
        with pytest.raises(Transient):
            world.connection.volumes.delete_volume_snapshot(HOST, POOL, kept.snapshot)
        world.control.clear_faults()


def test_faults_know_a_volume_that_comes_or_goes() -> None:
    world = World()
    meant, other, machine = world.stored(), world.stored(), world.created()
    world.control.add_fault(Fault(FaultKind.ERROR, "compute.apply", meant.volume))
    apply = world.connection.compute.apply
    for change in (AttachVolume(attachment(meant)), DetachVolume(meant.volume)):
        with pytest.raises(Transient):
            apply(HOST, machine.instance, [change])
    apply(HOST, machine.instance, [AttachVolume(attachment(other))])
    assert [one.volume for one in world.see(machine).volumes] == [other.volume]


def test_an_attached_volume_that_grows_is_an_event_of_its_vm() -> None:
    world = World()
    wanted = world.stored()
    machine = world.running(volumes=(attachment(wanted),))
    keeper, listener = world.connect(), world.connect()
    assert keeper.compute.observe_all()[machine.instance].volumes[0].size == 8 * MIB
    world.connection.volumes.grow_volume(HOST, POOL, wanted.volume, 9 * MIB)
    assert [event.instance for event in listener.events.fetch()] == [machine.instance]  # type: ignore[union-attr]
    assert keeper.compute.observe_all()[machine.instance].volumes[0].size == 9 * MIB


def test_a_moved_vm_keeps_its_volumes() -> None:
    world = World()
    wanted = world.stored(pool=SHARED)
    machine = world.running(volumes=(attachment(wanted),))
    world.control.act(Act.MOVE_VM, f"{HOST}/{machine.instance}", OTHER)
    assert [one.users for one in world.control.census().volumes] == [(f"{OTHER}/{machine.instance}",)]
    assert world.see(machine, OTHER).power is Power.ON
    world.connection.compute.delete(OTHER, machine.instance, [SHARED])
    assert [one.users for one in world.control.census().volumes] == [()]


def test_without_the_capability_a_snapshot_is_no_source() -> None:
    world = World(Settings(hosts=2, capabilities=frozenset(Capability) - {Capability.VOLUME_SNAPSHOTS}))
    with pytest.raises(Unsupported):
        world.stored(snapshot=snapshot().snapshot)
    assert world.stored(image=IMAGE)


def test_a_frozen_guest_s_volume_needs_its_agent_only_while_it_runs() -> None:
    world = World()
    wanted = world.stored()
    machine = world.created(volumes=(attachment(wanted),))
    keep = world.connection.volumes.snapshot_volume
    keep(HOST, POOL, wanted.volume, snapshot(quiesce=True))
    world.connection.power.start(HOST, machine.instance)
    with pytest.raises(Conflict, match="agent"):
        keep(HOST, POOL, wanted.volume, snapshot(quiesce=True))
    world.let(world.settings.boot)
    keep(HOST, POOL, wanted.volume, snapshot(quiesce=True))
    world.connection.power.stop(HOST, machine.instance, StopMode.HARD)
    assert len(world.control.census().snapshots) == 2
