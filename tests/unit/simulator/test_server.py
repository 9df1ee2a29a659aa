"""The server as a process: real sockets, signals and files."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.base import Connection
from drivers.errors import DriverError, NotFound, Transient
from drivers.simulator.connect import SimulatorDriver
from drivers.simulator.control import Control
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.types import DesiredVM, HostChanged, ImageFile, Power, SetCPUs, StopMode, VMChanged
from tests.support.listening import Listening
from tests.support.simulator import SimulatorProcess

from .world import HOST, IMAGE, OTHER, POOL, vm


@pytest.fixture
def connection(simulator: SimulatorProcess) -> Iterator[Connection]:
    connection = SimulatorDriver().connect(simulator.endpoint(timeout=60))
    connection.storage.ensure_pool(HOST, POOL)
    yield connection
    connection.close()


def empty() -> DesiredVM:
    return vm(disks=(), nics=())


def impatient(simulator: SimulatorProcess, host: str = "", *, seconds: float) -> Connection:
    """A connection whose calls are given up after so long. Its login had as long as a busy machine may need."""
    made = SimulatorDriver().connect(simulator.endpoint(host, timeout=60))
    made._session._transport._timeout = seconds  # type: ignore[attr-defined]
    return made


class TestFaults:
    def test_a_hang_ends_at_the_client_s_timeout_and_nobody_else_waits(
        self, simulator: SimulatorProcess, simulator_control: Control, connection: Connection
    ) -> None:
        wanted, hasty = empty(), impatient(simulator, seconds=2)
        connection.compute.create(HOST, wanted)
        errors: list[DriverError] = []

        def start() -> None:
            try:
                hasty.power.start(HOST, wanted.instance)
            except DriverError as error:
                errors.append(error)

        def others() -> int:
            """Calls of others while one hangs."""
            simulator_control.add_fault(Fault(FaultKind.HANG, "power.start", object=wanted.instance, count=1))
            thread = threading.Thread(target=start)
            thread.start()
            made = 0
            while thread.is_alive():
                connection.compute.observe(HOST, wanted.instance)
                made += 1
            return made

        assert any(others() > 10 for _ in range(5)), "a machine that stands still for two seconds does not do so each time"
        assert all(isinstance(error, Transient) and error.outcome_unknown for error in errors)
        assert errors
        assert connection.compute.observe(HOST, wanted.instance).power is Power.OFF

    def test_a_lost_reply_took_effect(self, simulator_control: Control, connection: Connection) -> None:
        wanted = empty()
        simulator_control.add_fault(Fault(FaultKind.LOSE_REPLY, "compute.create", count=1))
        with pytest.raises(Transient) as caught:
            connection.compute.create(HOST, wanted)
        assert caught.value.outcome_unknown
        assert connection.compute.observe(HOST, wanted.instance).power is Power.OFF

    def test_a_delayed_call_sees_the_world_after_its_delay(self, simulator_control: Control, connection: Connection) -> None:
        def goes_meanwhile(seconds: float) -> bool:
            wanted = empty()
            connection.compute.create(HOST, wanted)
            simulator_control.add_fault(Fault(FaultKind.DELAY, "compute.observe", seconds=seconds, count=1))

            def delete() -> None:
                while simulator_control.list_faults():  # until the call was made
                    time.sleep(0.01)
                simulator_control.act(Act.DELETE_VM, f"{HOST}/{wanted.instance}")

            thread = threading.Thread(target=delete)
            thread.start()
            try:
                connection.compute.observe(HOST, wanted.instance)
            except NotFound:
                return True
            finally:
                thread.join()
            return False

        assert any(map(goes_meanwhile, (1.0, 5.0, 30.0))), "a busy machine may take a second to delete it, or five"

    def test_a_session_that_expires_is_renewed(self, simulator_control: Control, connection: Connection) -> None:
        for _ in range(3):
            simulator_control.add_fault(Fault(FaultKind.EXPIRE_SESSION, "hosts.list", count=1))
            assert len(connection.hosts.list_hosts()) == 10
        assert simulator_control.list_faults() == {}

    def test_faults_can_be_seen_and_cleared(self, simulator_control: Control, connection: Connection) -> None:
        fault = Fault(FaultKind.ERROR, "hosts.*", probability=1.0)
        number = simulator_control.add_fault(fault)
        assert simulator_control.list_faults() == {number: fault}
        with pytest.raises(Transient):
            connection.hosts.list_hosts()
        simulator_control.clear_faults()
        assert connection.hosts.list_hosts()


class TestPartition:
    def test_a_host_cut_off_is_silent_and_its_neighbours_are_not(
        self, simulator: SimulatorProcess, simulator_control: Control
    ) -> None:
        driver = SimulatorDriver()
        alone, neighbour = (driver.connect(simulator.endpoint(host, timeout=60)) for host in (HOST, OTHER))
        hasty, wanted = impatient(simulator, HOST, seconds=3), empty()
        alone.compute.create(HOST, wanted)
        simulator_control.act(Act.CUT_HOST, HOST)
        with pytest.raises(Transient) as caught:
            hasty.power.start(HOST, wanted.instance)
        assert caught.value.outcome_unknown
        with pytest.raises(Transient):
            driver.connect(simulator.endpoint(HOST, timeout=3))
        assert neighbour.hosts.list_hosts()[0].up
        simulator_control.act(Act.HEAL_HOST, HOST)
        assert alone.compute.observe(HOST, wanted.instance).power is Power.OFF
        alone.power.start(HOST, wanted.instance)

    def test_who_listens_to_a_host_cut_off_hears_nothing(self, simulator: SimulatorProcess, simulator_control: Control) -> None:
        alone = impatient(simulator, HOST, seconds=3)
        everything = Listening(SimulatorDriver().connect(simulator.endpoint()))
        listener = Listening(alone)
        simulator_control.act(Act.CUT_HOST, HOST)
        assert HostChanged(HOST) in everything.wait(120)
        assert list(listener.wait(0.2)) == []
        with pytest.raises(Transient):
            alone.hosts.list_hosts()


class TestEvents:
    def test_many_listen_and_each_hears_its_own(self, simulator: SimulatorProcess, connection: Connection) -> None:
        here, there, everywhere = (
            Listening(SimulatorDriver().connect(simulator.endpoint(host, timeout=60))) for host in (HOST, OTHER, "")
        )
        wanted = empty()
        connection.compute.create(HOST, wanted)
        for listener in (here, everywhere):
            assert list(listener.wait(120)) == [VMChanged(wanted.instance)]
        assert list(there.wait(0.1)) == []

    def test_all_endpoints_of_a_driver_share_one_thread(self, simulator: SimulatorProcess, connection: Connection) -> None:
        driver, before = SimulatorDriver(), set(threading.enumerate())
        connections = [driver.connect(simulator.endpoint(HOST, timeout=60)) for _ in range(50)]
        listeners = [Listening(one) for one in connections]
        assert len(set(threading.enumerate()) - before) == 1
        wanted = empty()
        connection.compute.create(HOST, wanted)
        for listener in listeners:
            assert list(listener.wait(120)) == [VMChanged(wanted.instance)]
        for one in connections:
            one.close()

    def test_a_storm_of_changes_rings_once_until_somebody_fetches(
        self, simulator: SimulatorProcess, connection: Connection
    ) -> None:
        listener = Listening(SimulatorDriver().connect(simulator.endpoint(HOST, timeout=60)))
        wanted = [empty() for _ in range(20)]
        for one in wanted:
            connection.compute.create(HOST, one)
            connection.compute.apply(HOST, one.instance, [SetCPUs(5)])
        heard: list[object] = []
        while len(heard) < len(wanted):
            heard += listener.wait(120)
        assert set(heard) == {VMChanged(one.instance) for one in wanted}
        assert listener.rung <= 3

    def test_what_happened_while_nobody_listened_is_told(self, simulator: SimulatorProcess, connection: Connection) -> None:
        late = SimulatorDriver().connect(simulator.endpoint(HOST, timeout=60))
        wanted = empty()
        connection.compute.create(HOST, wanted)
        assert list(Listening(late).wait(120)) == [VMChanged(wanted.instance)]

    def test_a_session_that_ended_is_renewed_and_nothing_is_missed(
        self, simulator: SimulatorProcess, simulator_control: Control
    ) -> None:
        there = SimulatorDriver().connect(simulator.endpoint(HOST, timeout=60))
        listener, wanted = Listening(there), empty()
        simulator_control.add_fault(Fault(FaultKind.EXPIRE_SESSION, "compute.create", count=1))
        there.compute.create(HOST, wanted)
        assert list(listener.wait(120)) == [VMChanged(wanted.instance)]

    def test_a_guest_s_boot_is_told(self, simulator_control: Control, connection: Connection, tmp_path: Path) -> None:
        simulator_control.set_guests(boot=0.5, shutdown=0)
        image = tmp_path / "image"
        image.write_bytes(b"QFI")
        connection.storage.put_image(HOST, POOL, ImageFile(IMAGE, str(image), 1, 3))
        wanted, listener = vm(nics=()), Listening(connection)
        connection.compute.create(HOST, wanted)
        connection.power.start(HOST, wanted.instance)
        while not connection.compute.observe(HOST, wanted.instance).guest.agent:
            assert list(listener.wait(120)) == [VMChanged(wanted.instance)]

    def test_tasks_set_at_run_time_end_by_themselves(self, simulator_control: Control, connection: Connection) -> None:
        simulator_control.set_durations({"compute.create": 0.2})
        wanted, listener = empty(), Listening(connection)
        connection.compute.create(HOST, wanted)
        assert list(listener.wait(120)) == [VMChanged(wanted.instance)]
        assert connection.compute.observe(HOST, wanted.instance).power is Power.OFF


class TestProtocol:
    @pytest.mark.parametrize(
        "sent",
        [
            b"",
            b"\0",
            struct.pack(">I", 0),
            struct.pack(">I", 2**32 - 1),
            struct.pack(">I", 5) + b"hello",
            struct.pack(">I", 10) + b"hello",
            struct.pack(">I", 15) + b"compute.create ",
            struct.pack(">I", 13) + b"hosts.list \n[]"[:13],
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\xff" * 5000,
        ],
    )
    def test_garbage_harms_nobody(self, simulator: SimulatorProcess, connection: Connection, sent: bytes) -> None:
        host, _, port = simulator.url.removeprefix("simulator://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=120) as link:
            link.sendall(sent)
            link.shutdown(socket.SHUT_WR)
            reply = b"".join(iter(lambda: link.recv(4096), b""))
        assert reply == b"" or b"error\n" in reply
        assert len(connection.hosts.list_hosts()) == 10

    def test_without_a_session_nothing_is_done(self, simulator: SimulatorProcess, connection: Connection) -> None:
        host, _, port = simulator.url.removeprefix("simulator://").rpartition(":")
        payload = b"control.census no-such-session\n[]"
        with socket.create_connection((host, int(port)), timeout=120) as link:
            link.sendall(struct.pack(">I", len(payload)) + payload)
            assert b"SessionExpired" in link.recv(4096)


class TestLife:
    def test_vms_outlive_the_server(self, tmp_path: Path) -> None:
        arguments = ["--hosts", "2", "--boot", "0", "--state", str(tmp_path / "state")]
        with SimulatorProcess(arguments) as process:
            connection = SimulatorDriver().connect(process.endpoint())
            on, off = empty(), empty()
            for wanted in (on, off):
                connection.compute.create(HOST, wanted)
                connection.power.start(HOST, wanted.instance)
            connection.power.stop(HOST, off.instance, StopMode.HARD)
            before = connection.compute.observe_all()
            for end in (process.kill, process.stop):
                end()
                with pytest.raises(Transient):
                    connection.hosts.list_hosts()
                process.start()
                assert connection.compute.observe_all() == before
                with pytest.raises(Transient, match="lost"):
                    connection.events.fetch()
                with process.control() as control:
                    assert {(entry.instance, entry.starts) for entry in control.census().vms} == {
                        (on.instance, 1),
                        (off.instance, 1),
                    }
            connection.compute.apply(HOST, on.instance, [SetCPUs(5)])
            process.kill()
            process.start()
            with pytest.raises(DriverError):
                SimulatorDriver().connect(process.endpoint("no-such-host"))
            assert SimulatorDriver().connect(process.endpoint()).compute.observe(HOST, on.instance).cpus == 5

    def test_without_a_file_everything_ends_with_it(self) -> None:
        with SimulatorProcess(["--hosts", "1"]) as process:
            connection = SimulatorDriver().connect(process.endpoint())
            wanted = empty()
            connection.compute.create(HOST, wanted)
            assert list(connection.compute.observe_all()) == [wanted.instance]
            assert process.stop() == 0
            process.start()
            assert connection.compute.observe_all() == {}

    def test_it_stops_while_others_listen_and_they_learn_it(self, simulator: SimulatorProcess, connection: Connection) -> None:
        listener = Listening(connection)
        assert simulator.stop() == 0
        with pytest.raises(Transient):
            listener.wait(120)

    def test_who_listens_learns_of_a_new_life(self, tmp_path: Path) -> None:
        with SimulatorProcess(["--hosts", "1", "--state", str(tmp_path / "state")]) as process:
            connection = SimulatorDriver().connect(process.endpoint())
            listener = Listening(connection)
            process.kill()
            with pytest.raises(Transient):
                listener.wait(120)
            process.start()
            with pytest.raises(Transient, match="lost"):
                connection.events.fetch()
            wanted = empty()
            connection.compute.create(HOST, wanted)
            assert list(listener.wait(120)) == [VMChanged(wanted.instance)]
