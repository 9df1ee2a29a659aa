"""Hosts that vanish from the inventory of their endpoint while their VMs run."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.errors import NotFound, Transient
from drivers.simulator.engine.actions import Act
from drivers.simulator.server.state import StateFile
from drivers.types import HostChanged, HostID, Power, StopMode

from .world import HOST, OTHER, POOL, SHARED, World, attachment, disk, vm


def unlist(world: World) -> None:
    world.control.act(Act.UNLIST_HOST, HOST)


def listed(world: World) -> list[HostID]:
    return [host.host for host in world.connection.hosts.list_hosts()]


def test_nobody_is_told_of_it_or_of_what_runs_there() -> None:
    world = World()
    running = world.running()
    listener = world.connect()
    before = listener.compute.observe_all()
    assert running.instance in before
    unlist(world)
    assert HOST not in listed(world)
    assert OTHER in listed(world)
    assert HostChanged(HOST) in listener.events.fetch()
    assert running.instance not in listener.compute.observe_all()
    assert world.connection.adoption.find(running.instance) == ()
    [entry] = world.control.census().vms
    assert (entry.host, entry.power, entry.starts) == (HOST, Power.ON, 1)


def test_no_call_reaches_it() -> None:
    world = World()
    running, stored = world.running(), world.stored()
    unlist(world)
    for call in (
        lambda: world.see(running),
        lambda: world.connection.power.stop(HOST, running.instance, StopMode.HARD),
        lambda: world.connection.compute.delete(HOST, running.instance, [POOL]),
        lambda: world.connection.storage.ensure_pool(HOST, POOL),
        lambda: world.connection.volumes.delete_volume(HOST, POOL, stored.volume),
    ):
        with pytest.raises(NotFound, match="no host"):
            call()
    with pytest.raises(Transient, match="no host"):
        world.connect(HOST)
    assert len(world.control.census().vms) == 1


def test_it_is_back_with_all_that_it_had() -> None:
    world = World()
    running = world.running()
    listener, before = world.connect(), world.see(running)
    unlist(world)
    assert listener.compute.observe_all() == {}
    world.control.act(Act.LIST_HOST, HOST)
    assert HostChanged(HOST) in listener.events.fetch()
    assert listener.compute.observe_all() == {running.instance: before}
    world.connection.power.stop(HOST, running.instance, StopMode.HARD)
    assert world.see(running).power is Power.OFF


def test_an_endpoint_does_not_know_of_identities_there() -> None:
    """So who makes a VM twice is found out."""
    world = World()
    running = world.running(disks=(disk(pool=SHARED),))
    unlist(world)
    world.connection.compute.create(OTHER, running)
    assert sorted(entry.host for entry in world.control.census().vms) == [HOST, OTHER]


def test_an_endpoint_does_not_know_of_users_there() -> None:
    """So who gives a volume to two VMs is found out."""
    world = World()
    volume = world.stored(pool=SHARED)
    world.running(volumes=(attachment(volume),))
    unlist(world)
    world.connection.compute.create(OTHER, vm(volumes=(attachment(volume),)))
    [entry] = world.control.census().volumes
    assert [user.partition("/")[0] for user in entry.users] == [HOST, OTHER]


def test_a_server_that_is_started_again_does_not_list_it(tmp_path: Path) -> None:
    world, again = World(), World()
    unlist(world)
    file = StateFile(tmp_path / "state")
    file.save(world.dc)
    file.load(again.dc)
    file.close()
    assert HOST not in listed(again)
    assert OTHER in listed(again)
