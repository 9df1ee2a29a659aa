"""Marks of simulated VMs beyond the contract: tasks during which the world changes, and volumes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.adoption import AdoptedDisk, Adoption
from drivers.errors import Conflict
from drivers.simulator.engine.settings import Settings
from drivers.types import AttachVolume, DesiredVM, DetachVolume, Done, Failed, Owner, Started, Succeeded

from .world import HOST, POOL, World, attachment

OTHER = Owner("uid-other", "shop", "other")


def wanted(world: World, vm: DesiredVM, owner: Owner = OTHER) -> Adoption:
    """What takes the VM from the owner that it was made for."""
    [found] = world.connection.adoption.find(vm.instance)
    disks = tuple(AdoptedDisk("root", disk.device, disk.path, POOL.name, disk.size) for disk in found.disks)
    return Adoption(owner, disks, vm.nics, vm.owner.uid)


def adopt(world: World, vm: DesiredVM, adoption: Adoption) -> Done | Started:
    return world.connection.adoption.adopt(HOST, vm.instance, adoption)


def test_a_mark_is_not_swapped_while_there_are_volumes() -> None:
    world = World()
    vm, volume = world.created(), world.stored()
    world.connection.compute.apply(HOST, vm.instance, [AttachVolume(attachment(volume))])
    [found] = world.connection.adoption.find(vm.instance)
    assert [(each.name, each.volume) for each in found.volumes] == [("data", volume.volume)]
    with pytest.raises(Conflict, match=volume.volume):
        adopt(world, vm, wanted(world, vm))
    assert world.see(vm).owner == vm.owner
    world.connection.compute.apply(HOST, vm.instance, [DetachVolume(volume.volume)])
    adopt(world, vm, wanted(world, vm))
    assert world.see(vm).owner == OTHER


@pytest.mark.parametrize("changed", [False, True])
def test_the_mark_at_the_end_of_the_task_counts(changed: bool) -> None:
    world = World(Settings(hosts=3, durations={"adoption.adopt": 10.0}))
    vm = world.created()
    outcome = adopt(world, vm, wanted(world, vm))
    assert isinstance(outcome, Started)
    assert world.see(vm).owner == vm.owner
    if changed:
        world.dc.hosts[HOST].vms[vm.instance].owner = replace(vm.owner, uid="uid-again")
    world.let(11)
    assert isinstance(world.connection.tasks.poll(outcome.op), Failed if changed else Succeeded)
    assert world.see(vm).owner.uid == ("uid-again" if changed else OTHER.uid)


def test_disks_count_as_before_whoever_the_vm_belongs_to() -> None:
    world = World()
    vm = world.created()
    pool = next(pool for pool in world.dc.pools.values() if pool.disks)
    used, layered = pool.used, dict(pool.layered)
    adopt(world, vm, wanted(world, vm))
    assert (pool.used, pool.layered) == (used, layered)
    world.connection.compute.delete(HOST, vm.instance, [POOL])
    assert (pool.used < used, pool.disks, sum(pool.layered.values())) == (True, {}, 0)
