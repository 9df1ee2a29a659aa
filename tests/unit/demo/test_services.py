"""Processes of the demo: started once, started anew when gone or when they should run otherwise; failures in a sentence."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from standalone import ports
from standalone.demo import services
from standalone.demo.layout import Layout
from standalone.demo.record import Record
from standalone.demo.services import Service
from standalone.errors import StandaloneError
from standalone.processes import Process, command_line

LISTENER = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"


def ignore(_: str) -> None:
    """Nobody watches."""


@pytest.fixture
def port() -> Iterator[int]:
    """A port that no other program chooses meanwhile."""
    chosen = ports.choose(None, None).api
    with ports.held([chosen]):
        yield chosen


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process("listener", tmp_path / "listener.pid", tmp_path / "listener.log")
    yield made
    made.stop(0)


def service(process: Process, port: int, *more: str, code: str = LISTENER) -> Service:
    return Service(process, [sys.executable, "-c", code, str(port), *more], port, services.connects)


def pid(process: Process) -> int:
    found = process.pid()
    assert found is not None
    return found


def kill(process: Process) -> int:
    """Kill it and return when it is dead, with the pid that it had."""
    victim = pid(process)
    os.kill(victim, signal.SIGKILL)
    os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)
    return victim


def test_started_once(process: Process, port: int) -> None:
    service(process, port).start(ignore)
    first = pid(process)
    assert services.connects(port)
    service(process, port).start(ignore)
    assert pid(process) == first


def test_started_anew_after_a_kill(process: Process, port: int) -> None:
    service(process, port).start(ignore)
    first = kill(process)
    service(process, port).start(ignore)
    assert pid(process) != first
    assert services.connects(port)


def test_started_anew_with_other_arguments(process: Process, port: int) -> None:
    service(process, port).start(ignore)
    first, told = pid(process), list[str]()
    service(process, port, "other").start(told.append)
    assert pid(process) != first
    assert command_line(pid(process))[-1] == "other"
    assert told == ["restarting it with other settings"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import sys; sys.exit('the door is locked')", r"the listener ended: the door is locked \(log: .*listener\.log\)"),
        ("pass", r"the listener ended: it logged nothing \(log: .*\)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"the listener ended: it logged nothing"),
    ],
)
def test_ends_at_its_start(process: Process, port: int, code: str, sentence: str) -> None:
    with pytest.raises(StandaloneError, match=sentence):
        service(process, port, code=code).start(ignore)


def test_its_port_is_taken(process: Process) -> None:
    """By one who does not answer as it should, or the demo would take him for its own."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(StandaloneError, match=f"port {port} on 127.0.0.1, which the listener needs, is in use: try again"):
            service(process, port).start(ignore)


def test_never_works(process: Process, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "START_SECONDS", 0.3)
    silent = Service(process, [sys.executable, "-c", "import time; time.sleep(600)"], port, lambda _: False)
    with pytest.raises(StandaloneError, match=r"the listener does not answer after 0 s: it logged nothing \(log: "):
        silent.start(ignore)


def test_check(process: Process, port: int) -> None:
    running = service(process, port)
    running.start(ignore)
    running.check()
    kill(process)
    with pytest.raises(StandaloneError, match="the listener ended"):
        running.check()


@pytest.fixture
def answering(port: int) -> Iterator[list[int]]:
    """An HTTP server on the port that answers with the codes of the list, the last one again and again."""
    codes = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(codes.pop(0) if len(codes) > 1 else codes[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield codes
        server.shutdown()
        thread.join()


def test_is_ready(answering: list[int], port: int) -> None:
    answering[:] = [503, 500, 200]
    assert [services.is_ready(port) for _ in range(4)] == [False, False, True, True]


def test_nobody_is_ready(port: int) -> None:
    assert not services.is_ready(port)
    with socket.create_server(("127.0.0.1", port)) as server:
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        assert not services.is_ready(port), "who hangs up is not ready"


RECORD = Record("standalone", True, image_port=1, simulator_port=2, probe_port=3)


def test_ports_of_what_runs(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.run.mkdir()
    layout.log.mkdir()
    running = services.process(layout, "image server")
    running.start(["sleep", "600"], die_with_parent=False)
    assert services.ports_in_use(layout, RECORD) == {1}
    services.stop(layout)
    assert services.ports_in_use(layout, RECORD) == set()
    services.stop(layout)


def test_command_lines(tmp_path: Path) -> None:
    """What the programs themselves accept: their parsers are asked by the tests of the whole demo."""
    layout = Layout(tmp_path)
    lines = {
        "simulator": services.simulator(layout, RECORD).argv,
        "image server": services.image_server(layout, RECORD).argv,
        "controller": services.controller(layout, RECORD, tmp_path / "kubeconfig").argv,
    }
    assert set(lines) == set(services.NAMES)
    assert all(argv[:2] == [sys.executable, "-m"] for argv in lines.values())
    assert "127.0.0.1:2" in lines["simulator"]
    assert lines["image server"][3:6] == ["1", "--bind", "127.0.0.1"], "nobody else on the network is served"
    assert f"--identity=vireo-{layout.prefix}" in lines["controller"]


@pytest.mark.parametrize("name", services.NAMES)
def test_each_is_known_by_its_own_command_line(tmp_path: Path, name: str) -> None:
    """And not by that of another demo, or of a person who looks at its files."""
    layout, record = Layout(tmp_path), Record("standalone", True, 1, 2, 3)
    made = [
        services.controller(layout, record, tmp_path),
        services.image_server(layout, record),
        services.simulator(layout, record),
    ]
    marks = services.process(layout, name).marks
    assert [service.process.name for service in made if marks <= set(service.argv)] == [name]
    other = services.controller(Layout(tmp_path / "other"), record, tmp_path)
    assert not marks <= {*other.argv, "ls", str(layout.simulator), str(layout.served), str(layout.images)}


def test_one_that_lost_its_pid_file_is_replaced(tmp_path: Path, port: int) -> None:
    process = Process("listener", tmp_path / "listener.pid", tmp_path / "listener.log", frozenset([str(tmp_path)]))
    lost = service(process, port, str(tmp_path))
    lost.start(ignore)
    first = pid(process)
    process.pid_file.unlink()
    lost.start(ignore)
    assert command_line(first) == []
    assert pid(process) != first
    process.stop(10)
