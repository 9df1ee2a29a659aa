"""What people do behind Vireo's back."""

import uuid

import pytest

from drivers.errors import Conflict, InvalidSpec, NotFound
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import OFFERED, Settings
from drivers.types import Capability, DesiredVM, DiskLimits, InstanceID, Power, StopMode, VMChanged

from .world import HOST, OTHER, POOL, SHARED, World, attachment, disk, snapshot, vm


def at(wanted: DesiredVM) -> str:
    return f"{HOST}/{wanted.instance}"


def test_power_by_hand() -> None:
    world = World()
    wanted = world.created()
    world.control.act(Act.POWER_ON, at(wanted))
    seen = world.see(wanted)
    assert (seen.power, seen.guest.agent) == (Power.ON, True)
    world.control.act(Act.POWER_OFF, at(wanted))
    assert world.see(wanted).power is Power.OFF
    [entry] = world.control.census().vms
    assert entry.starts == 1


def test_hardware_by_hand() -> None:
    world = World()
    wanted = world.created()
    world.control.act(Act.SET_CPUS, at(wanted), "7")
    world.control.act(Act.SET_MEMORY, at(wanted), "1024")
    world.control.act(Act.RENAME_VM, at(wanted), "renamed")
    world.control.act(Act.ADD_DEVICE, at(wanted), "usb-disk")
    world.control.act(Act.REMOVE_NIC, at(wanted), "front")
    world.control.act(Act.SET_DISK_LIMITS, at(wanted), "root=1000:0")
    seen = world.see(wanted)
    assert [disk.limits for disk in seen.disks] == [DiskLimits(read_bytes=1000)]
    assert (seen.cpus, seen.memory, seen.name, seen.foreign_devices, seen.nics) == (7, 1024, "renamed", ("usb-disk",), ())


DEFINITION = {
    Act.SET_CPUS: "7",
    Act.SET_MEMORY: "1024",
    Act.ADD_DEVICE: "usb-disk",
    Act.REMOVE_NIC: "front",
    Act.MOVE_NIC: "front=other/7",
    Act.REMOVE_DISK: "root",
}


@pytest.mark.parametrize("act", DEFINITION)
@pytest.mark.parametrize("told", [True, False])
def test_a_changed_definition_is_told_where_that_is_offered_and_seen_by_a_look_anywhere(act: Act, told: bool) -> None:
    capabilities = OFFERED if told else OFFERED - {Capability.DEFINITION_EVENTS}
    world = World(Settings(hosts=2, boot=0, capabilities=capabilities))
    wanted = world.created()
    for connection in (world.connect(), world.connect(HOST)):
        before = connection.compute.observe_all()[wanted.instance]
        connection.events.fetch()
        world.control.act(act, at(wanted), DEFINITION[act])
        assert connection.compute.observe_all()[wanted.instance] != before
        assert list(connection.events.fetch()) == ([VMChanged(wanted.instance)] if told else [])
        world.control.act(Act.POWER_OFF, at(wanted))
        assert list(connection.events.fetch()) == [VMChanged(wanted.instance)], "power is told anyhow"
        wanted = world.created()


def test_a_deleted_vm_leaves_its_disk_and_a_removed_disk_is_gone() -> None:
    world = World()
    wanted = world.created(disks=(disk(), disk("data", image="")))
    world.control.act(Act.REMOVE_DISK, at(wanted), "data")
    assert [one.name for one in world.see(wanted).disks] == ["root"]
    world.control.act(Act.DELETE_VM, at(wanted))
    assert [one.name for one in world.control.census().disks] == ["root"]
    with pytest.raises(NotFound):
        world.see(wanted)


def test_a_vm_that_lost_our_mark_is_foreign() -> None:
    world = World()
    wanted = world.created()
    world.control.act(Act.DISOWN_VM, at(wanted))
    with pytest.raises(Conflict):
        world.see(wanted)
    with pytest.raises(Conflict):
        world.connection.compute.delete(HOST, wanted.instance, [POOL])
    assert wanted.instance not in world.connection.compute.observe_all()


def test_a_moved_vm_is_elsewhere_and_runs_on() -> None:
    world = World()
    wanted = world.running(disks=(disk(pool=SHARED),))
    world.control.act(Act.MOVE_VM, at(wanted), OTHER)
    with pytest.raises(NotFound):
        world.see(wanted)
    assert world.see(wanted, OTHER).power is Power.ON
    assert world.connection.compute.observe_all()[wanted.instance].host == OTHER
    world.connection.compute.delete(OTHER, wanted.instance)
    assert world.control.census().disks == ()


def test_each_act_is_an_event() -> None:
    world = World()
    for act, value in (
        (Act.POWER_ON, ""),
        (Act.PAUSE, ""),
        (Act.SET_CPUS, "3"),
        (Act.RENAME_VM, "x"),
        (Act.ADD_DEVICE, "x"),
        (Act.MOVE_NIC, "front=other/20"),
        (Act.REMOVE_NIC, "front"),
        (Act.REMOVE_DISK, "root"),
        (Act.MOVE_VM, OTHER),
        (Act.DELETE_VM, ""),
        (Act.DISOWN_VM, ""),
        (Act.CRASH_VM, ""),
    ):
        wanted = world.running() if act in (Act.PAUSE, Act.CRASH_VM) else world.created()
        listener = world.connect()
        world.control.act(act, at(wanted), value)
        assert VMChanged(wanted.instance) in listener.events.fetch(), act


def test_a_foreign_vm_has_no_mark_of_ours() -> None:
    world = World()
    instance = InstanceID(str(uuid.uuid4()))
    world.control.act(Act.FOREIGN_VM, f"{HOST}/{instance}")
    [entry] = world.control.census().vms
    assert (entry.owner, entry.power) == ("", Power.ON)
    with pytest.raises(Conflict):
        world.connection.power.stop(HOST, instance, StopMode.HARD)


@pytest.mark.parametrize(
    ("act", "target", "value", "error"),
    [
        (Act.CRASH_HOST, "nowhere", "", NotFound),
        (Act.POWER_OFF, HOST, "", NotFound),
        (Act.POWER_OFF, f"{HOST}/nobody", "", NotFound),
        (Act.POWER_OFF, "nowhere/nobody", "", NotFound),
        (Act.SET_CPUS, "{vm}", "many", InvalidSpec),
        (Act.SET_CPUS, "{vm}", "", InvalidSpec),
        (Act.REMOVE_NIC, "{vm}", "no-such-nic", InvalidSpec),
        (Act.REMOVE_DISK, "{vm}", "no-such-disk", InvalidSpec),
        (Act.MOVE_VM, "{vm}", "nowhere", NotFound),
        (Act.PAUSE, "{vm}", "", InvalidSpec),
        (Act.FOREIGN_VM, "{vm}", "", InvalidSpec),
        (Act.ADD_HOST, HOST, "", InvalidSpec),
        (Act.LIE, HOST, "a:b", InvalidSpec),
        (Act.UNLIST_HOST, "nowhere", "", NotFound),
        (Act.LOSE_NETWORK, HOST, "", InvalidSpec),
        (Act.LOSE_NETWORK, HOST, "/10", InvalidSpec),
        (Act.LOSE_NETWORK, HOST, "br/x", InvalidSpec),
        (Act.LOSE_NETWORK, "{vm}", "br", NotFound),
        (Act.HEAL_NETWORK, HOST, "br", InvalidSpec),
        (Act.WRITE_DISK, "{vm}", "no-such-disk=x", InvalidSpec),
        (Act.WRITE_DISK, "{vm}", "root", InvalidSpec),
        (Act.DETACH_VOLUME, "{vm}", "no-such-volume", InvalidSpec),
        (Act.SET_DISK_LIMITS, "{vm}", "no-such-disk=1:1", InvalidSpec),
        (Act.SET_DISK_LIMITS, "{vm}", "root", InvalidSpec),
        (Act.DELETE_SNAPSHOT, "{vm}", "no-such-snapshot", InvalidSpec),
        (Act.WRITE_VOLUME, f"{HOST}/no-such-volume", "x", InvalidSpec),
        (Act.DELETE_VOLUME, f"{HOST}/no-such-volume", "", InvalidSpec),
        (Act.DELETE_VOLUME, "nowhere/no-such-volume", "", NotFound),
        (Act.DELETE_VOLUME_SNAPSHOT, f"{HOST}/no-such-snapshot", "", InvalidSpec),
    ],
)
def test_what_makes_no_sense_is_refused_and_does_nothing(act: Act, target: str, value: str, error: type[Exception]) -> None:
    world = World()
    wanted = world.created()
    before = world.control.census()
    with pytest.raises(error):
        world.control.act(act, target.format(vm=at(wanted)), value)
    assert world.control.census() == before


class TestStored:
    """Volumes and snapshots by hand."""

    def test_a_volume_deleted_under_its_vm_is_missed_at_the_next_start(self) -> None:
        world = World()
        volume = world.stored()
        wanted = world.running(volumes=(attachment(volume),))
        world.control.act(Act.DELETE_VOLUME, f"{HOST}/{volume.volume}")
        assert world.control.census().volumes == ()
        assert [one.volume for one in world.see(wanted).volumes] == [volume.volume]
        world.connection.power.stop(HOST, wanted.instance, StopMode.HARD)
        with pytest.raises(InvalidSpec, match="gone"):
            world.connection.power.start(HOST, wanted.instance)
        world.connection.volumes.create_volume(HOST, volume)
        world.connection.power.start(HOST, wanted.instance)
        assert world.see(wanted).power is Power.ON

    def test_a_volume_of_a_pool_that_all_hosts_share_is_found_from_each(self) -> None:
        world = World()
        volume = world.stored(pool=SHARED)
        world.control.act(Act.WRITE_VOLUME, f"{OTHER}/{volume.volume}", "written")
        assert [one.content for one in world.control.census().volumes] == ["written"]
        with pytest.raises(InvalidSpec):
            world.control.act(Act.DELETE_VOLUME, f"{OTHER}/{world.stored().volume}")

    def test_a_volume_is_detached_snapshots_or_not(self) -> None:
        world = World()
        volume = world.stored()
        wanted = world.created(volumes=(attachment(volume),))
        taken = world.taken(wanted)
        listener = world.connect()
        world.control.act(Act.DETACH_VOLUME, at(wanted), volume.volume)
        assert VMChanged(wanted.instance) in listener.events.fetch()
        assert world.see(wanted).volumes == ()
        with pytest.raises(Conflict, match="other disks"):
            world.connection.snapshots.restore(HOST, wanted.instance, taken.snapshot, "token")

    def test_snapshots_are_deleted(self) -> None:
        world = World()
        wanted, volume = world.created(), world.stored()
        taken, kept = world.taken(wanted), snapshot()
        world.connection.volumes.snapshot_volume(HOST, POOL, volume.volume, kept)
        world.control.act(Act.DELETE_SNAPSHOT, at(wanted), taken.snapshot)
        world.control.act(Act.DELETE_VOLUME_SNAPSHOT, f"{HOST}/{kept.snapshot}")
        assert world.see(wanted).snapshots == ()
        assert world.control.census().snapshots == ()


class TestPlaces:
    """One identity on several hosts: an endpoint of many hosts forbids it, single hosts know nothing of each other."""

    def test_an_endpoint_of_many_hosts_has_it_once(self) -> None:
        world = World()
        wanted = world.created()
        with pytest.raises(Conflict):
            world.connection.compute.create(OTHER, wanted)
        world.connection.compute.delete(HOST, wanted.instance)
        world.connection.compute.create(OTHER, wanted)
        assert world.see(wanted, OTHER).host == OTHER

    def test_single_hosts_make_it_twice(self) -> None:
        world = World()
        wanted = vm()
        for host in (HOST, OTHER):
            world.connect(host).compute.create(host, wanted)
        assert [entry.host for entry in world.control.census().vms] == [HOST, OTHER]
        world.connect(HOST).compute.delete(HOST, wanted.instance, [POOL])
        assert world.see(wanted, OTHER)
        assert [entry.host for entry in world.control.census().disks] == [OTHER]

    def test_the_endpoint_of_one_host_reaches_no_other(self) -> None:
        world = World()
        wanted = world.created()
        alone = world.connect(OTHER)
        assert [host.host for host in alone.hosts.list_hosts()] == [OTHER]
        assert alone.compute.observe_all() == {}
        for call in (
            lambda: alone.compute.observe(HOST, wanted.instance),
            lambda: alone.power.start(HOST, wanted.instance),
            lambda: alone.storage.ensure_pool(HOST, POOL),
            lambda: alone.volumes.contents(HOST, POOL),
            lambda: alone.snapshots.delete_snapshot(HOST, wanted.instance, snapshot().snapshot),
        ):
            with pytest.raises(NotFound):
                call()

    def test_events_of_other_hosts_are_not_told(self) -> None:
        world = World()
        here, there = world.connect(HOST), world.connect(OTHER)
        wanted = world.created()
        assert list(here.events.fetch()) == [VMChanged(wanted.instance)]
        assert list(there.events.fetch()) == []

    def test_when_one_of_two_goes_the_other_is_still_seen(self) -> None:
        world = World()
        keeper = world.connect()
        wanted = vm()
        for host in (HOST, OTHER):
            world.connect(host).compute.create(host, wanted)
            assert keeper.compute.observe_all()[wanted.instance].host == host
        world.connect(OTHER).compute.delete(OTHER, wanted.instance, [POOL])
        assert keeper.compute.observe_all()[wanted.instance].host == HOST
        assert keeper.compute.observe_all() == world.connect().compute.observe_all()
