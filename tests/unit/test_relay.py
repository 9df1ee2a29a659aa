"""Whose connection it is that a relay takes calls from."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.support.live import relay
from tests.support.live.relay import Relay, process_at

CALLER = """
import socket, sys
link = socket.socket()
link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
link.bind(("127.0.0.1", int(sys.argv[1])))
link.connect(("127.0.0.1", int(sys.argv[2])))
print(link.getsockname()[1], flush=True)
sys.stdin.read()
"""
"""Connects from a port to another, says from which, and holds the connection until its input ends."""


@contextmanager
def caller(here: int, there: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process with such a connection, and the port that it has it from."""
    command = [sys.executable, "-c", CALLER, str(here), str(there)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


def test_of_two_processes_that_have_the_same_port_it_is_the_one_that_is_connected_to_us() -> None:
    """As the kernel gives ports: connections that go to different places may share one."""
    with ExitStack() as stack:
        ours, other = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        elsewhere, port = stack.enter_context(caller(0, other.getsockname()[1]))
        here, same = stack.enter_context(caller(port, ours.getsockname()[1]))
        assert same == port
        for first in ((), (here.pid, elsewhere.pid), (elsewhere.pid, here.pid)):
            assert process_at(("127.0.0.1", port), ours.getsockname(), first) == here.pid
            assert process_at(("127.0.0.1", port), other.getsockname(), first) == elsewhere.pid
            assert process_at(("127.0.0.1", port), ("127.0.0.1", 1), first) == 0


def test_nothing_passes_whose_sender_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """When its first bytes are read it may be dead: nobody could be named for what it asks."""
    monkeypatch.setattr(relay, "process_at", lambda *_: 0)
    with socket.create_server(("127.0.0.1", 0)) as simulator:
        with Relay(f"simulator://127.0.0.1:{simulator.getsockname()[1]}").running() as running:
            host, _, port = running.url.removeprefix("simulator://").rpartition(":")
            with socket.create_connection((host, int(port)), timeout=120) as link, suppress(ConnectionError):
                link.sendall(b"\0\0\0\x0dhosts.list \n[]")
                assert link.recv(1) == b""
            assert running.calls == []
        simulator.setblocking(False)
        with pytest.raises(BlockingIOError):
            simulator.accept()
