"""Networks that a host loses: what is in the air then, what can't be started, and what it takes to have it back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from drivers.errors import InvalidSpec, NetworkMissing
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.simulator.server.state import StateFile
from drivers.types import AttachNIC, DesiredVM, DetachNIC, Power, Segment, StopMode, Unplugged, VMChanged

from .test_adoption import adopt, wanted
from .world import HOST, OTHER, SHARED, World, disk, nic

PLACE = "bridge br, vlan-10"
BRIDGE_OR_SEGMENT = pytest.mark.parametrize("network", ["br", "br/10"])


def lose(world: World, network: str = "br", host: str = HOST) -> None:
    world.control.act(Act.LOSE_NETWORK, host, network)


def heal(world: World, network: str = "br") -> None:
    world.control.act(Act.HEAL_NETWORK, HOST, network)


def unplugged(world: World, vm: DesiredVM) -> list[Unplugged | None]:
    return [each.unplugged for each in world.see(vm).nics]


def apply(world: World, vm: DesiredVM, *changes: AttachNIC | DetachNIC) -> None:
    world.connection.compute.apply(HOST, vm.instance, changes)


@BRIDGE_OR_SEGMENT
def test_what_runs_there_is_in_the_air_and_runs_on(network: str) -> None:
    world = World()
    vm, off = world.running(), world.created()
    lose(world, network)
    assert world.see(vm).power is Power.ON
    assert (unplugged(world, vm), unplugged(world, off)) == ([Unplugged(PLACE, missing=True)], [None])
    assert world.connection.compute.observe_all()[vm.instance] == world.see(vm)
    entries = {entry.instance: [nic.unplugged for nic in entry.nics] for entry in world.control.census().vms}
    assert entries == {vm.instance: unplugged(world, vm), off.instance: [None]}


def test_what_is_plugged_in_elsewhere_stays() -> None:
    world = World()
    one, two = nic(), replace(nic("back"), segment=Segment(20))
    vm = world.running(nics=(one, two))
    lose(world, "br/20")
    assert unplugged(world, vm) == [None, Unplugged("bridge br, vlan-20", missing=True)]
    lose(world, "other")
    lose(world, "br", OTHER)
    assert unplugged(world, vm)[0] is None


def test_the_untagged_segment_of_a_bridge_is_one_of_its_own() -> None:
    world = World()
    vm = world.running(nics=(nic(), replace(nic("back"), segment=Segment())))
    lose(world, "br/")
    assert unplugged(world, vm) == [None, Unplugged("bridge br, untagged", missing=True)]


@BRIDGE_OR_SEGMENT
def test_no_vm_starts_without_it_and_each_does_once_it_is_there(network: str) -> None:
    world = World()
    vm = world.created()
    lose(world, network)
    with pytest.raises(NetworkMissing, match=f"no {PLACE}, which NIC 'front' needs"):
        world.connection.power.start(HOST, vm.instance)
    with pytest.raises(InvalidSpec, match="no bridge br"):
        world.control.act(Act.POWER_ON, f"{HOST}/{vm.instance}")
    assert world.see(vm).power is Power.OFF
    heal(world, network)
    world.connection.power.start(HOST, vm.instance)
    assert (world.see(vm).power, unplugged(world, vm)) == (Power.ON, [None])


def test_a_start_that_takes_its_time_fails_if_it_goes_meanwhile() -> None:
    world = World(Settings(hosts=2, durations={"power.start": 3.0}))
    vm = world.created()
    world.connection.power.start(HOST, vm.instance)
    lose(world)
    world.let(5)
    assert world.see(vm).power is Power.OFF


def test_what_is_paused_goes_on_without_it() -> None:
    world = World()
    vm = world.running()
    world.control.act(Act.PAUSE, f"{HOST}/{vm.instance}")
    lose(world)
    world.connection.power.start(HOST, vm.instance)
    assert (world.see(vm).power, unplugged(world, vm)) == (Power.ON, [Unplugged(PLACE, missing=True)])


def test_a_network_that_is_back_has_nothing_plugged_in() -> None:
    """As on a real host: somebody has to."""
    world = World()
    vm = world.running()
    lose(world)
    with pytest.raises(NetworkMissing):
        apply(world, vm, AttachNIC(vm.nics[0]))
    heal(world)
    assert unplugged(world, vm) == [Unplugged(PLACE, missing=False)]
    apply(world, vm, AttachNIC(vm.nics[0]))
    assert unplugged(world, vm) == [None]
    assert world.see(vm).power is Power.ON


def test_no_nic_comes_to_a_vm_that_runs_where_there_is_no_place_for_it() -> None:
    world = World()
    running, off = world.running(nics=()), world.created(nics=())
    lose(world)
    with pytest.raises(NetworkMissing, match="no bridge br"):
        apply(world, running, AttachNIC(nic("late")))
    apply(world, off, AttachNIC(nic("late")))
    assert ([each.name for each in world.see(running).nics], [each.name for each in world.see(off).nics]) == ([], ["late"])


@pytest.mark.parametrize("how", ["off", "crash", "detach", "move"])
def test_what_ends_it(how: str) -> None:
    world = World()
    vm = world.running()
    lose(world)
    at = f"{HOST}/{vm.instance}"
    if how == "off":
        world.connection.power.stop(HOST, vm.instance, StopMode.HARD)
    elif how == "crash":
        world.control.act(Act.CRASH_VM, at)
    elif how == "detach":
        apply(world, vm, DetachNIC("front"))
        assert world.see(vm).nics == ()
        return
    else:
        world.control.act(Act.MOVE_NIC, at, "front=other/20")
    assert unplugged(world, vm) == [None]


def test_a_nic_that_somebody_plugs_in_where_nothing_is_stays_in_the_air() -> None:
    world = World()
    vm = world.running(nics=(nic(), nic("back")))
    lose(world)
    heal(world)
    lose(world, "other")
    world.control.act(Act.MOVE_NIC, f"{HOST}/{vm.instance}", "front=other/20")
    assert unplugged(world, vm) == [Unplugged(PLACE, missing=False)] * 2
    world.control.act(Act.MOVE_NIC, f"{HOST}/{vm.instance}", "front=br/10")
    assert unplugged(world, vm) == [None, Unplugged(PLACE, missing=False)], "nobody plugged in the other one"


def test_a_vm_that_moves_has_what_there_is_where_it_comes() -> None:
    world = World()
    vm = world.running(disks=(disk(pool=SHARED),))
    lose(world)
    world.control.act(Act.MOVE_VM, f"{HOST}/{vm.instance}", OTHER)
    assert [each.unplugged for each in world.see(vm, OTHER).nics] == [None]
    world.control.act(Act.MOVE_VM, f"{OTHER}/{vm.instance}", HOST)
    assert unplugged(world, vm) == [Unplugged(PLACE, missing=True)]


def test_no_vm_comes_back_to_running_where_a_network_is_missing() -> None:
    world = World()
    vm = world.running()
    taken = world.taken(vm, memory=True)
    lose(world)
    with pytest.raises(NetworkMissing, match="no bridge br"):
        world.connection.snapshots.restore(HOST, vm.instance, taken.snapshot, "token")
    heal(world)
    world.connection.snapshots.restore(HOST, vm.instance, taken.snapshot, "token")
    assert unplugged(world, vm) == [None]


def test_it_is_an_event_of_each_vm_that_it_concerns() -> None:
    world = World()
    vm, off = world.running(), world.created()
    listener = world.connect()
    for act in (Act.LOSE_NETWORK, Act.HEAL_NETWORK):
        world.control.act(act, HOST, "br")
        told = listener.events.fetch()
        assert VMChanged(vm.instance) in told
        assert VMChanged(off.instance) not in told


def test_another_owner_has_it_as_it_is() -> None:
    world = World()
    vm = world.running()
    lose(world)
    adopt(world, vm, replace(wanted(world, vm), nics=(replace(vm.nics[0], name="again"),)))
    assert [(each.name, each.unplugged) for each in world.see(vm).nics] == [("again", Unplugged(PLACE, missing=True))]


def test_a_server_that_is_started_again_knows_it(tmp_path: Path) -> None:
    world, again = World(), World()
    vm = world.running()
    lose(world)
    file = StateFile(tmp_path / "state")
    file.save(world.dc)
    file.load(again.dc)
    file.close()
    assert unplugged(again, vm) == [Unplugged(PLACE, missing=True)]
    with pytest.raises(NetworkMissing):
        apply(again, vm, AttachNIC(vm.nics[0]))
