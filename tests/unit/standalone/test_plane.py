"""Starting and stopping with a program that plays the components: what goes wrong, and what is left behind then."""

import datetime
import os
from pathlib import Path

import pytest

from standalone import components, plane, ports, rbac
from standalone.cache import Progress
from standalone.client import Client
from standalone.components import Layout
from standalone.errors import StandaloneError
from standalone.plane import ControlPlane
from standalone.ports import Ports
from standalone.processes import Process, command_line
from tests.unit.standalone.test_golang import script

PORTS = Ports(api=20001, etcd=20002, peer=20003)


def control_plane(directory: Path, program: str) -> ControlPlane:
    """A control plane whose binary is a shell script; `$1` is the component's name, and `stay` waits by the shell itself."""
    never = directory / "never"
    os.mkfifo(never)
    stay = f"stay() {{ exec 3<>{never}; read -r _ <&3; }}"
    binary = script(directory / "plane", f'{stay}\necho "$1" >> {directory}/started\n{program}')
    return ControlPlane(directory / "data", binary=lambda _: binary)


def started(directory: Path) -> list[str]:
    path = directory / "started"
    return path.read_text().split() if path.exists() else []


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of short waits only for an end in order: what dies at its start does so when the machine gets round to it."""
    monkeypatch.setattr(plane, "CLEAR_SECONDS", 0.2)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("[ $1 = etcd ] && echo bad data && exit 1; stay", r"etcd stopped at its start: bad data \(log: .*/log/etcd\.log\)"),
        (
            "[ $1 = etcd ] && echo 'panic: write wal: no space left on device' && exit 2; stay",
            r"etcd stopped: the disk is full \(.*/log\)",
        ),
        ("[ $1 = kube-apiserver ] && exit 3; stay", r"kube-apiserver stopped at its start: it logged nothing"),
    ],
    ids=["dies", "disk full", "dies silently"],
)
def test_failed_start_leaves_no_process(tmp_path: Path, program: str, said: str) -> None:
    check_failed_start(tmp_path, program, said)


@pytest.mark.usefixtures("patience")
def test_one_that_is_never_ready_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "READY_SECONDS", 0.5)
    said = r"kube-apiserver is not ready after 0 s: it logged nothing \(.*/log/kube-apiserver\.log\)"
    check_failed_start(tmp_path, "stay", said)


def check_failed_start(directory: Path, program: str, said: str) -> None:
    own = control_plane(directory, program)
    with pytest.raises(StandaloneError, match=f"^{said}"):
        own.start()
    assert [process.pid() for process in own.processes()] == [None, None, None]
    assert list(Layout(own.directory).run.glob("*.pid")) == []


@pytest.mark.usefixtures("patience")
def test_a_port_taken_meanwhile_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between choosing and listening another program may come: three attempts, then the reason."""
    own = control_plane(tmp_path, "[ $1 = etcd ] && echo 'listen tcp: bind: address already in use' && exit 1; stay")
    choices: list[Ports] = []

    def choose(remembered: Ports | None, api: int | None) -> Ports:
        choices.append(PORTS)
        return PORTS

    monkeypatch.setattr(ports, "choose", choose)
    with pytest.raises(StandaloneError, match="etcd found its port in use: listen tcp: bind: address already in use"):
        own.start()
    assert len(choices) == started(tmp_path).count("etcd") == 3
    assert not any(process.pid() for process in own.processes())


@pytest.mark.usefixtures("patience")
def test_interrupt_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = control_plane(tmp_path, "stay")

    def interrupt(*_: object) -> None:
        assert own.processes()[0].pid() is not None
        raise KeyboardInterrupt

    monkeypatch.setattr(ControlPlane, "_await_ready", interrupt)
    with pytest.raises(KeyboardInterrupt):
        own.start()
    assert not any(process.pid() for process in own.processes())


def test_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """etcd first up, last down: an API server without etcd hangs in its shutdown."""
    log: list[str] = []
    monkeypatch.setattr(Process, "start", lambda self, argv, die_with_parent: log.append(f"start {self.name}"))
    monkeypatch.setattr(Process, "stop", lambda self, grace: log.append(f"stop {self.name}"))
    monkeypatch.setattr(Process, "pid", lambda self: 1)
    monkeypatch.setattr(Client, "ready", lambda self: "start kube-apiserver" in log)
    monkeypatch.setattr(rbac, "apply", lambda client: log.append("rules"))
    own = control_plane(tmp_path, "exit")
    said: list[str] = []
    own.start(said.append)
    components = list(plane.NAMES)
    starts, stops = [f"start {name}" for name in components], [f"stop {name}" for name in reversed(components)]
    assert log == [*stops, *starts, "rules"]
    assert said[0].startswith("starting the control plane on port ")
    assert said[-1] == "the control plane is ready"
    log.clear()
    own.stop()
    assert log == stops


def test_running_and_ready_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "start", lambda *_: pytest.fail("started again"))
    monkeypatch.setattr(Process, "stop", lambda *_: pytest.fail("stopped"))
    monkeypatch.setattr(Process, "pid", lambda self: 1)
    monkeypatch.setattr(Client, "ready", lambda self: True)
    own = control_plane(tmp_path, "exit")
    layout = Layout(own.directory)
    layout.pki.directory.mkdir(parents=True)
    layout.pki.ensure(datetime.datetime.now(datetime.UTC))
    ports.save(layout.ports, PORTS)
    own.start()
    ControlPlane(own.directory, api_port=PORTS.api, binary=own.binary).start()


def test_stop_of_what_never_was(tmp_path: Path) -> None:
    own = ControlPlane(tmp_path / "absent", binary=lambda _: pytest.fail("nothing to run"))
    own.stop()
    assert not own.running()
    assert not own.directory.exists()
    own.delete()


def test_nothing_is_made_if_the_program_cannot_be_built(tmp_path: Path) -> None:
    def broken(progress: Progress) -> Path:
        raise StandaloneError("the control plane could not be built: no network")

    own = ControlPlane(tmp_path / "data", binary=broken)
    with pytest.raises(StandaloneError, match="no network"):
        own.start()
    assert not own.directory.exists()


def test_kubectl(tmp_path: Path) -> None:
    own = ControlPlane(tmp_path / "data", binary=lambda _: Path("/cache/plane"))
    cache = f"--cache-dir={tmp_path}/data/kubectl-cache"
    assert own.kubectl() == ["/cache/plane", "kubectl", f"--kubeconfig={own.kubeconfig}", cache]
    assert own.kubectl("controller")[2] == f"--kubeconfig={own.controller_kubeconfig}"
    assert own.kubeconfig == tmp_path / "data" / "admin.kubeconfig"


def test_relative_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubeconfig's path is printed for other shells: it is absolute."""
    monkeypatch.chdir(tmp_path)
    assert ControlPlane(Path("data")).kubeconfig == tmp_path / "data" / "admin.kubeconfig"


@pytest.mark.parametrize("number", range(3), ids=plane.NAMES)
def test_one_that_lost_its_pid_file_is_stopped_too(tmp_path: Path, number: int) -> None:
    own, layout = control_plane(tmp_path, "stay"), Layout(tmp_path / "data")
    for directory in (layout.run, layout.log):
        directory.mkdir(parents=True)
    binary, process = own.binary(lambda _: None), own.processes()[number]
    lines = [components.etcd(binary, layout, PORTS, True), components.apiserver(binary, layout, PORTS)]
    process.start([*lines, components.controller_manager(binary, layout)][number], die_with_parent=False)
    pid = process.pid()
    process.pid_file.unlink()
    assert (process.pid(), command_line(pid or 0)[2:3]) == (None, [plane.NAMES[number]])
    own.stop()
    assert command_line(pid or 0) == []
