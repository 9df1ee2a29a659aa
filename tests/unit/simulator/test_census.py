"""The census tells what an auditor needs: how often a VM was made, and its interfaces."""

from .world import HOST, POOL, World, attachment, snapshot, volume


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


def test_volumes_are_listed_with_all_who_have_them() -> None:
    world = World()
    one = world.stored()
    for _ in range(2):
        world.connection.volumes.create_volume(HOST, one)
    [entry] = world.control.census().volumes
    assert (entry.host, entry.path, entry.volume, entry.owner, entry.users) == (HOST, POOL.path, one.volume, one.owner.uid, ())
    wanted = world.created(volumes=(attachment(one),))
    [entry] = world.control.census().volumes
    assert (entry.users, entry.made) == ((f"{HOST}/{wanted.instance}",), 1)
    assert [[attached.volume for attached in vm.volumes] for vm in world.control.census().vms] == [[one.volume]]


def test_a_volume_made_again_is_counted_again() -> None:
    world = World()
    wanted = volume()
    for _ in range(2):
        world.connection.volumes.create_volume(HOST, wanted)
        world.connection.volumes.delete_volume(HOST, POOL, wanted.volume)
    world.connection.volumes.create_volume(HOST, wanted)
    assert [entry.made for entry in world.control.census().volumes] == [3]


def test_snapshots_and_restores_are_counted() -> None:
    world = World()
    wanted, one, kept = world.created(), world.stored(), snapshot()
    taken = world.taken(wanted)
    for token in ("a", "a", "b"):
        world.connection.snapshots.restore(HOST, wanted.instance, taken.snapshot, token)
        world.connection.volumes.snapshot_volume(HOST, POOL, one.volume, kept)
    census = world.control.census()
    assert [(entry.snapshot, entry.owner, entry.made) for entry in census.snapshots] == [(kept.snapshot, kept.owner.uid, 1)]
    assert [([seen.snapshot for seen in entry.snapshots], entry.restores) for entry in census.vms] == [([taken.snapshot], 2)]
