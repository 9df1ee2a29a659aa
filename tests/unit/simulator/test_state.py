"""What a state file keeps. That it keeps all of it is a property in test_invariants."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from drivers.errors import Conflict
from drivers.simulator.connection import SimulatorConnection
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.census import take_census
from drivers.simulator.engine.clock import VirtualClock
from drivers.simulator.engine.settings import Settings
from drivers.simulator.local import LocalTransport
from drivers.simulator.server.state import StateFile
from drivers.simulator.service import Service
from drivers.types import Credentials, Done, NFSExport, PoolSpec, Power, StopMode

from .world import HOST, POOL, SHARED, World, attachment, disk, snapshot


def reopened(
    world: World, path: Path, meanwhile: Callable[[Path], None] = lambda _: None
) -> tuple[Service, SimulatorConnection, VirtualClock]:
    """Saved, and read by another life of the server at the same time of day; `meanwhile` is done to the file in between."""
    state = StateFile(path)
    assert state.is_new()
    world.dc.dirty.update(("host", host) for host in world.dc.hosts)
    state.save(world.dc)
    state.close()
    meanwhile(path)
    clock = VirtualClock(world.clock.now())
    service = Service(Settings(hosts=0, boot=10, shutdown=5), clock, random=Random(1))
    again = StateFile(path)
    assert not again.is_new()
    again.load(service.dc)
    again.close()
    return service, SimulatorConnection(LocalTransport(service), Credentials()), clock


def test_vms_run_on(tmp_path: Path) -> None:
    world = World()
    wanted, off = world.running(), world.created()
    _, connection, _ = reopened(world, tmp_path / "state")
    assert connection.compute.observe(HOST, wanted.instance) == world.see(wanted)
    assert connection.compute.observe(HOST, off.instance).power is Power.OFF
    assert len(connection.hosts.list_hosts()) == 3
    connection.compute.delete(HOST, wanted.instance, [POOL])
    connection.compute.delete(HOST, off.instance, [POOL])
    assert connection.compute.observe_all() == {}


def test_hosts_have_the_pools_that_they_had(tmp_path: Path) -> None:
    world = World()
    export = PoolSpec("net", "/mnt/net", shared=True, nfs=NFSExport("nfs1", "/vms"))
    for pool in (SHARED, export):
        world.connection.storage.ensure_pool(HOST, pool)
    had = world.connection.storage.list_pools(HOST)
    assert replace(export, shared=False) in had
    _, connection, _ = reopened(world, tmp_path / "state")
    assert connection.storage.list_pools(HOST) == had
    connection.storage.release_pool(HOST, export)
    assert connection.storage.list_pools(HOST) == tuple(pool for pool in had if pool.name != "net")


def test_guests_go_on_booting_and_stopping(tmp_path: Path) -> None:
    world = World()
    booting, stopping = world.created(), world.running()
    world.connection.power.start(HOST, booting.instance)
    world.connection.power.stop(HOST, stopping.instance, StopMode.SOFT)
    service, connection, clock = reopened(world, tmp_path / "state")
    clock.sleep(5)
    service.advance()
    assert connection.compute.observe(HOST, stopping.instance).power is Power.OFF
    assert not connection.compute.observe(HOST, booting.instance).guest.agent
    clock.sleep(5)
    service.advance()
    assert connection.compute.observe(HOST, booting.instance).guest.agent


def test_another_life_has_another_epoch_and_what_was_kept_is_void(tmp_path: Path) -> None:
    world = World()
    wanted = world.created()
    service, connection, _ = reopened(world, tmp_path / "state")
    assert service.dc.epoch != world.dc.epoch
    cursor = world.dc.changes.number + 1000
    page = connection._session.call("compute.observe_page", world.dc.epoch, cursor)
    assert [vm.instance for host in page.hosts for vm in host.vms] == [wanted.instance]
    news = connection._session.call("events.wait", world.dc.epoch, cursor, 0.0)
    assert news.lost


def test_two_servers_can_t_share_a_file(tmp_path: Path) -> None:
    first = StateFile(tmp_path / "state")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        StateFile(tmp_path / "state")
    first.close()
    StateFile(tmp_path / "state").close()


def test_what_is_no_state_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("this is not a database, and long enough to be seen as such" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        StateFile(path)
    with pytest.raises(sqlite3.OperationalError):
        StateFile(tmp_path / "no" / "such" / "directory")


def test_nothing_that_changed_costs_nothing(tmp_path: Path) -> None:
    world = World()
    state = StateFile(tmp_path / "state")
    world.dc.dirty.clear()
    state.save(world.dc)
    assert state.is_new()
    state.close()


def test_volumes_and_snapshots_outlive_the_server(tmp_path: Path) -> None:
    world = World()
    one, kept = world.stored(), snapshot()
    wanted = world.running(volumes=(attachment(one),))
    world.connection.volumes.snapshot_volume(HOST, POOL, one.volume, kept)
    world.control.act(Act.WRITE_DISK, f"{HOST}/{wanted.instance}", "root=before")
    taken = world.taken(wanted, memory=True)
    world.control.act(Act.WRITE_DISK, f"{HOST}/{wanted.instance}", "root=after")
    service, connection, _ = reopened(world, tmp_path / "state")
    assert connection.compute.observe(HOST, wanted.instance) == world.see(wanted)
    assert connection.volumes.contents(HOST, POOL) == world.connection.volumes.contents(HOST, POOL)
    with pytest.raises(Conflict):
        connection.volumes.delete_volume(HOST, POOL, one.volume)
    connection.snapshots.restore(HOST, wanted.instance, taken.snapshot, "token")
    assert [one.content for one in take_census(service.dc).disks] == ["before"]
    assert connection.compute.observe(HOST, wanted.instance).guest.agent


def test_the_token_of_a_restore_outlives_the_server(tmp_path: Path) -> None:
    world, kept = World(), snapshot()
    wanted = world.stored()
    world.connection.volumes.snapshot_volume(HOST, POOL, wanted.volume, kept)
    world.connection.volumes.restore_volume(HOST, POOL, wanted.volume, kept.snapshot, "token")
    world.control.act(Act.WRITE_VOLUME, f"{HOST}/{wanted.volume}", "written since")
    service, connection, _ = reopened(world, tmp_path / "state")
    connection.volumes.restore_volume(HOST, POOL, wanted.volume, kept.snapshot, "token")
    assert [one.content for one in take_census(service.dc).volumes] == ["written since"]
    connection.volumes.restore_volume(HOST, POOL, wanted.volume, kept.snapshot, "another")
    assert [one.content for one in take_census(service.dc).volumes] == [""]


def with_one_token(path: Path) -> None:
    """As the version wrote it that kept of a VM, and of a volume, the token of the last restore alone, "" for none."""
    with sqlite3.connect(path) as db:
        for key, value in db.execute("SELECT key, value FROM object").fetchall():
            if key.startswith(("vm", "volume")):
                found = json.loads(value)
                for thing in (found, *(each["volume"] for each in found.get("volumes", {}).values())):
                    thing["restored"] = "".join(thing.pop("tokens")[:1])
                db.execute("UPDATE object SET value = ? WHERE key = ?", (json.dumps(found).encode(), key))
    db.close()


def test_the_token_that_the_version_before_kept_is_kept_on(tmp_path: Path) -> None:
    world, kept = World(), snapshot()
    one, untouched = world.stored(), world.created()
    world.connection.volumes.snapshot_volume(HOST, POOL, one.volume, kept)
    world.connection.volumes.restore_volume(HOST, POOL, one.volume, kept.snapshot, "of the volume")
    wanted = world.created(volumes=(attachment(one),))
    taken = world.taken(wanted)
    world.connection.snapshots.restore(HOST, wanted.instance, taken.snapshot, "of the VM")
    world.control.act(Act.WRITE_DISK, f"{HOST}/{wanted.instance}", "root=written since")
    service, connection, _ = reopened(world, tmp_path / "state", with_one_token)
    assert connection.compute.observe(HOST, wanted.instance).restored == ("of the VM",)
    assert connection.compute.observe(HOST, untouched.instance).restored == ()
    assert connection.volumes.restore_volume(HOST, POOL, one.volume, kept.snapshot, "of the volume") == Done()
    with pytest.raises(Conflict):
        connection.volumes.restore_volume(HOST, POOL, one.volume, kept.snapshot, "another")
    connection.snapshots.restore(HOST, wanted.instance, taken.snapshot, "of the VM")
    assert "written since" in [disk.content for disk in take_census(service.dc).disks]
    connection.snapshots.restore(HOST, wanted.instance, taken.snapshot, "another")
    assert "written since" not in [disk.content for disk in take_census(service.dc).disks]
    assert connection.compute.observe(HOST, wanted.instance).restored == ("another", "of the VM")


def test_what_is_called_like_a_former_field_is_none(tmp_path: Path) -> None:
    world = World()
    wanted = world.created(disks=(disk("root"), disk("restored")))
    _, connection, _ = reopened(world, tmp_path / "state")
    assert connection.compute.observe(HOST, wanted.instance) == world.see(wanted)


def test_what_lay_on_a_removed_host_does_not_come_back(tmp_path: Path) -> None:
    world = World()
    state = StateFile(tmp_path / "state")
    world.dc.dirty.update(("host", host) for host in world.dc.hosts)
    gone = world.stored()
    world.connection.volumes.snapshot_volume(HOST, POOL, gone.volume, snapshot())
    stays = world.stored(pool=SHARED)
    state.save(world.dc)
    world.dc.dirty.clear()
    world.control.act(Act.REMOVE_HOST, HOST)
    state.save(world.dc)
    service = Service(Settings(hosts=0), VirtualClock(world.clock.now()), random=Random(1))
    state.load(service.dc)
    state.close()
    assert [one.volume for one in take_census(service.dc).volumes] == [stays.volume]
    assert take_census(service.dc).snapshots == ()
