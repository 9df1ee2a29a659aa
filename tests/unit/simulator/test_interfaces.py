"""NICs that somebody plugs in elsewhere, through marks that come and go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from drivers.errors import Conflict, InvalidSpec
from drivers.simulator.engine.actions import Act
from drivers.simulator.server.state import StateFile
from drivers.types import Attachment, AttachNIC, DesiredVM, DetachNIC, Moved, NetworkBackend, Segment

from .test_adoption import adopt, wanted
from .world import HOST, World, nic

MADE, THERE = "bridge br, vlan-10", "bridge other, vlan-20"


def move(world: World, vm: DesiredVM, value: str = "front=other/20") -> None:
    world.control.act(Act.MOVE_NIC, f"{HOST}/{vm.instance}", value)


def moved(world: World, vm: DesiredVM) -> list[Moved | None]:
    return [each.moved for each in world.see(vm).nics]


def apply(world: World, vm: DesiredVM, *changes: AttachNIC | DetachNIC) -> None:
    world.connection.compute.apply(HOST, vm.instance, changes)


def test_it_is_seen_by_all_and_gone_when_it_is_back() -> None:
    world = World()
    vm, other = world.created(), world.created()
    move(world, vm)
    assert (moved(world, vm), moved(world, other)) == ([Moved(MADE, THERE)], [None])
    assert [[each.moved for each in entry.nics] for entry in world.control.census().vms] == [[Moved(MADE, THERE)], [None]]
    move(world, vm, "front=br/10")
    assert moved(world, vm) == [None]


@pytest.mark.parametrize(("value", "place"), [("front=br/", "bridge br, untagged"), ("front=other/10", "bridge other, vlan-10")])
def test_bridge_and_vlan_count_alike(value: str, place: str) -> None:
    world = World()
    vm = world.created()
    move(world, vm, value)
    assert moved(world, vm) == [Moved(MADE, place)]


@pytest.mark.parametrize("value", ["", "front", "front=", "front=/20", "back=other/20", "front=other/x"])
def test_a_place_that_makes_no_sense_is_refused(value: str) -> None:
    world = World()
    vm = world.created()
    with pytest.raises(InvalidSpec):
        move(world, vm, value)
    assert moved(world, vm) == [None]


def test_only_the_very_nic_is_put_back() -> None:
    world = World()
    vm = world.created()
    move(world, vm)
    for other in (replace(vm.nics[0], ip="10.0.0.9"), replace(vm.nics[0], segment=Segment(30)), nic("front")):
        with pytest.raises(Conflict):
            apply(world, vm, AttachNIC(other))
    assert moved(world, vm) == [Moved(MADE, THERE)]
    apply(world, vm, AttachNIC(vm.nics[0]))
    assert moved(world, vm) == [None]


def test_one_that_is_made_anew_was_made_there() -> None:
    world = World()
    vm = world.created()
    move(world, vm)
    fresh = replace(vm.nics[0], attachment=Attachment(NetworkBackend.OVS, "other"), segment=Segment(20))
    apply(world, vm, DetachNIC("front"), AttachNIC(fresh))
    assert moved(world, vm) == [None]
    move(world, vm, "front=br/10")
    assert moved(world, vm) == [Moved(THERE, MADE)]


def test_one_that_is_removed_and_put_back_by_us_is_where_it_belongs() -> None:
    world = World()
    vm = world.created()
    move(world, vm)
    world.control.act(Act.REMOVE_NIC, f"{HOST}/{vm.instance}", "front")
    apply(world, vm, AttachNIC(vm.nics[0]))
    assert moved(world, vm) == [None]


def test_who_looks_for_the_vm_finds_the_nic_where_it_is() -> None:
    world = World()
    vm = world.created()
    move(world, vm)
    [found] = world.connection.adoption.find(vm.instance)
    assert [(each.name, each.segment, each.attachment) for each in found.nics] == [
        ("front", Segment(20), Attachment(NetworkBackend.OVS, "other"))
    ]


def test_another_owner_has_it_as_it_is_and_as_it_was_made() -> None:
    world = World()
    vm = world.created()
    move(world, vm)
    adoption = wanted(world, vm)
    adopt(world, vm, replace(adoption, nics=(replace(vm.nics[0], name="again"),)))
    assert [(each.name, each.moved) for each in world.see(vm).nics] == [("again", Moved(MADE, THERE))]
    world.connection.adoption.disown(HOST, vm.instance, adoption.owner.uid)
    [found] = world.connection.adoption.find(vm.instance)
    assert [(each.name, each.segment) for each in found.nics] == [("", Segment(20))]


def test_one_that_is_adopted_where_it_is_was_not_moved() -> None:
    world = World()
    vm = world.created()
    move(world, vm)
    there = replace(vm.nics[0], attachment=Attachment(NetworkBackend.OVS, "other"), segment=Segment(20))
    adopt(world, vm, replace(wanted(world, vm), nics=(there,)))
    assert moved(world, vm) == [None]


def test_a_server_that_is_started_again_knows_it(tmp_path: Path) -> None:
    world, again = World(), World()
    vm = world.created()
    move(world, vm)
    file = StateFile(tmp_path / "state")
    file.save(world.dc)
    for host in again.dc.hosts.values():
        host.vms.clear()
    file.load(again.dc)
    file.close()
    assert moved(again, vm) == [Moved(MADE, THERE)]
