"""The command line, against a server process."""

import json
import socket
from pathlib import Path

import pytest

from drivers.base import Connection
from drivers.errors import Transient
from drivers.simulator.__main__ import main
from drivers.simulator.connect import SimulatorDriver
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.engine.settings import OFFERED
from drivers.types import Capability, Credentials
from tests.support.simulator import SimulatorProcess

from .world import HOST, POOL, vm, volume


def succeeds(connection: Connection) -> bool:
    """Whether a call gets through."""
    try:
        connection.hosts.list_hosts()
    except Transient:
        return False
    return True


def run(process: SimulatorProcess, *arguments: str, environment: dict[str, str] | None = None) -> int:
    return main([*arguments, "--url", process.url], environment or {})


def test_faults_are_added_listed_and_cleared(simulator: SimulatorProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(simulator, "fault", "add", "kind=error", "method=hosts.list", "error=Busy", "count=1") == 0
    number = capsys.readouterr().out.strip()
    assert run(simulator, "fault", "list") == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed[number]["kind"], listed[number]["method"], listed[number]["count"]) == ("error", "hosts.list", 1)
    assert run(simulator, "fault", "clear") == 0
    assert run(simulator, "fault", "list") == 0
    assert json.loads(capsys.readouterr().out) == {}


def test_acts_and_the_census(simulator: SimulatorProcess, capsys: pytest.CaptureFixture[str]) -> None:
    connection = SimulatorDriver().connect(simulator.endpoint())
    wanted = vm(disks=(), nics=())
    connection.compute.create(HOST, wanted)
    assert run(simulator, "oob", "set-cpus", f"{HOST}/{wanted.instance}", "7") == 0
    assert run(simulator, "census") == 0
    [entry] = json.loads(capsys.readouterr().out)["vms"]
    assert (entry["instance"], entry["cpus"], entry["owner"]) == (wanted.instance, 7, wanted.owner.uid)
    connection.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fault", "add", "kind=explode"], "kind"),
        (["fault", "add", "colour=red"], "colour"),
        (["fault", "add"], "kind"),
        (["oob", "crash-host", "nowhere"], "nowhere"),
        (["oob", "set-cpus", f"{HOST}/nobody", "7"], "nobody"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    simulator: SimulatorProcess, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run(simulator, *arguments) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("simulator: ")
    assert output.err.count("\n") == 1
    assert says in output.err


def test_nobody_there_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["census", "--url", "simulator://127.0.0.1:1"], {}) == 1
    assert "can't be reached" in capsys.readouterr().err


def test_credentials_are_asked_for_and_given(capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatorProcess(["--hosts", "1"], Credentials("vireo", "open sesame")) as process:
        assert run(process, "census") == 1
        output = capsys.readouterr()
        assert "refused the user name or password" in output.err
        assert "sesame" not in output.err
        right = {"VIREO_SIMULATOR_USERNAME": "vireo", "VIREO_SIMULATOR_PASSWORD": "open sesame"}
        assert run(process, "census", environment=right) == 0


class TestServe:
    """What `serve` refuses. It returns only when it could not start."""

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--listen", "8470"], "ADDRESS:PORT"),
            (["--listen", "127.0.0.1:x"], "ADDRESS:PORT"),
            (["--listen", "127.0.0.1:99999"], "ADDRESS:PORT"),
            (["--listen", "0.0.0.0:0"], "without credentials"),
            (["--listen", "[::]:0"], "without credentials"),
            (["--listen", "192.0.2.1:0"], "without credentials"),
            (["--listen", "127.0.0.1:0", "--hosts", "-1"], "hosts"),
            (["--listen", "127.0.0.1:0", "--cpus", "0"], "cpus"),
            (["--listen", "127.0.0.1:0", "--boot", "-1"], "boot"),
            (["--listen", "127.0.0.1:0", "--boot", "nan"], "boot"),
            (["--listen", "127.0.0.1:0", "--duration", "compute.create"], "METHOD=SECONDS"),
            (["--listen", "127.0.0.1:0", "--duration", "compute.create=soon"], "METHOD=SECONDS"),
            (["--listen", "127.0.0.1:0", "--duration", "compute.crate=1"], "compute.crate"),
            (["--listen", "127.0.0.1:0", "--duration", "compute.create=-1"], "compute.create"),
            (["--listen", "127.0.0.1:0", "--script", "/no/such/file"], "/no/such/file"),
            (["--listen", "127.0.0.1:0", "--state", "/no/such/directory/state"], "state"),
        ],
    )
    def test_it_says_what_is_wrong(self, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
        assert main(["serve", *arguments], {}) == 1
        error = capsys.readouterr().err
        assert error.startswith("simulator: ")
        assert error.count("\n") == 1
        assert says in error

    def test_chance_can_be_repeated(self) -> None:
        histories = []
        for seed in ("1", "1", "2"):
            with SimulatorProcess(["--hosts", "1", "--seed", seed]) as process, process.control() as control:
                connection = SimulatorDriver().connect(process.endpoint())
                control.add_fault(Fault(FaultKind.ERROR, "hosts.list", probability=0.5))
                histories.append([succeeds(connection) for _ in range(64)])
                connection.close()
        assert histories[0] == histories[1] != histories[2]

    def test_a_port_in_use_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert main(["serve", "--listen", f"127.0.0.1:{port}"], {}) == 1
        assert str(port) in capsys.readouterr().err

    def test_a_file_that_is_no_state_is_left_alone(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "precious"
        path.write_text("precious " * 1000)
        assert main(["serve", "--listen", "127.0.0.1:0", "--state", str(path)], {}) == 1
        assert "precious is not a simulator's state" in capsys.readouterr().err
        assert path.read_text() == "precious " * 1000

    def test_a_server_may_lack_a_capability_and_have_its_own_sizes(self) -> None:
        arguments = ["--hosts", "2", "--cpus", "3", "--memory", "5", "--without", "Events", "--without", "UEFI"]
        with SimulatorProcess(arguments) as process:
            connection = SimulatorDriver().connect(process.endpoint())
            assert connection.capabilities == OFFERED - {Capability.EVENTS, Capability.UEFI}
            hosts = connection.hosts.list_hosts()
            assert [(host.cpus, host.memory) for host in hosts] == [(3, 5 * 1024**3)] * 2
            connection.close()


def test_volumes_by_hand(simulator: SimulatorProcess, capsys: pytest.CaptureFixture[str]) -> None:
    connection = SimulatorDriver().connect(simulator.endpoint())
    connection.storage.ensure_pool(HOST, POOL)
    wanted = volume()
    connection.volumes.create_volume(HOST, wanted)
    assert run(simulator, "oob", "write-volume", f"{HOST}/{wanted.volume}", "hello") == 0
    assert run(simulator, "census") == 0
    [entry] = json.loads(capsys.readouterr().out)["volumes"]
    assert (entry["volume"], entry["content"], entry["users"]) == (wanted.volume, "hello", [])
    assert run(simulator, "oob", "delete-volume", f"{HOST}/{wanted.volume}") == 0
    assert connection.volumes.contents(HOST, POOL).volumes == ()
    assert run(simulator, "oob", "delete-volume", f"{HOST}/{wanted.volume}") == 1
    connection.close()
