"""Changes of simulated VMs beyond the contract."""

from dataclasses import replace

import pytest

from drivers.errors import Conflict, InvalidSpec
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import AttachNIC, Capability, Change, DetachNIC, GrowDisk, Power, SetCPUs, SetMemory, StopMode

from .world import HOST, MIB, World, nic


def test_another_nic_of_the_same_name_or_mac_is_refused() -> None:
    world = World()
    wanted = world.created(nics=(nic("front"), nic("back")))
    before = world.see(wanted)
    for wrong in (nic("front"), replace(nic("other"), mac=wanted.nics[0].mac)):
        with pytest.raises(Conflict):
            world.connection.compute.apply(HOST, wanted.instance, [AttachNIC(wrong)])
    assert world.see(wanted) == before


def test_the_same_nic_again_is_in_effect() -> None:
    world = World()
    wanted = world.created()
    cursor = world.dc.changes.number
    world.connection.compute.apply(HOST, wanted.instance, [AttachNIC(wanted.nics[0])])
    assert world.dc.changes.number == cursor, "nothing was done, so nobody is told"


def test_a_nic_may_be_exchanged_in_one_call() -> None:
    world = World()
    wanted = world.created()
    fresh = nic("front")
    world.connection.compute.apply(HOST, wanted.instance, [DetachNIC("front"), AttachNIC(fresh)])
    assert [one.mac for one in world.see(wanted).nics] == [fresh.mac]


@pytest.mark.parametrize(
    "change", [SetCPUs(0), SetCPUs(33), SetMemory(0), SetMemory(129 * 1024 * MIB), GrowDisk("root", 1), AttachNIC(nic(ip=""))]
)
def test_one_that_can_t_be_stops_all(change: Change) -> None:
    world = World()
    wanted = world.created()
    before = world.see(wanted)
    with pytest.raises((InvalidSpec, Conflict)):
        world.connection.compute.apply(HOST, wanted.instance, [SetCPUs(3), change])
    assert world.see(wanted) == before


def test_what_needs_power_off_stops_the_live_ones_too() -> None:
    world = World(Settings(hosts=2, boot=0, capabilities=frozenset(Capability) - {Capability.NIC_HOTPLUG}))
    wanted = world.running()
    with pytest.raises(Conflict):
        world.connection.compute.apply(HOST, wanted.instance, [SetCPUs(3), DetachNIC("front")])
    seen = world.see(wanted)
    assert (seen.cpus, seen.power, len(seen.nics)) == (2, Power.ON, 1)


def test_a_guest_may_not_take_memory_that_it_is_given_while_it_runs() -> None:
    world = World()
    wanted = world.running()
    at, more = f"{HOST}/{wanted.instance}", 2 * wanted.memory
    world.control.act(Act.IGNORE_MEMORY, at)
    world.connection.compute.apply(HOST, wanted.instance, [SetMemory(more)])
    seen = world.see(wanted)
    assert (seen.memory, seen.running_memory, seen.offered_memory) == (more, wanted.memory, more)
    world.control.act(Act.IGNORE_MEMORY, at, "false")
    seen = world.see(wanted)
    assert (seen.memory, seen.running_memory, seen.offered_memory) == (more, more, 0)


def test_memory_that_was_not_taken_is_there_at_the_next_start_or_withdrawn() -> None:
    world = World()
    for withdrawn in (False, True):
        wanted = world.running()
        world.control.act(Act.IGNORE_MEMORY, f"{HOST}/{wanted.instance}")
        world.connection.compute.apply(HOST, wanted.instance, [SetMemory(2 * wanted.memory)])
        if withdrawn:
            world.connection.compute.apply(HOST, wanted.instance, [SetMemory(wanted.memory)])
        else:
            world.connection.power.stop(HOST, wanted.instance, StopMode.HARD)
            world.connection.power.start(HOST, wanted.instance)
        seen = world.see(wanted)
        expected = wanted.memory if withdrawn else 2 * wanted.memory
        assert (seen.memory, seen.running_memory, seen.offered_memory) == (expected, expected, 0)
