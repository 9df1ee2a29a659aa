"""The census tells what an auditor needs: how often a VM was made, and its interfaces."""

from .world import HOST, World


def test_a_vm_made_again_is_counted_again_and_a_repeated_call_is_not() -> None:
    world = World()
    wanted = world.created()
    world.connection.compute.create(HOST, wanted)
    [entry] = world.control.census().vms
    assert entry.made == 1
    world.connection.compute.delete(HOST, wanted.instance)
    world.connection.compute.create(HOST, wanted)
    [entry] = world.control.census().vms
    assert entry.made == 2


def test_interfaces_are_as_they_were_declared() -> None:
    world = World()
    wanted = world.created()
    [entry] = world.control.census().vms
    assert [(nic.name, nic.mac, nic.segment) for nic in entry.nics] == [(nic.name, nic.mac, nic.segment) for nic in wanted.nics]
