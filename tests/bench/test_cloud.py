"""The controller under measurement is started as an installed one is."""

from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path
from unittest import mock

import pytest

from tests.bench import cloud


def started(directory: Path) -> tuple[mock.MagicMock, cloud.Controller]:
    """A controller, and what would have been its process."""
    controller = cloud.Controller(directory / "kubeconfig", directory / "controller")
    with mock.patch("subprocess.Popen") as popen:
        controller.start()
    return popen, controller


def test_its_modules_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start would compile a thousand of them otherwise, where the environment says that nothing is to be kept."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OURS", "too")
    popen, controller = started(tmp_path)
    controller.held.close()
    given = popen.call_args.kwargs["env"]
    assert "PYTHONDONTWRITEBYTECODE" not in given
    assert given["OURS"] == "too"
    assert Path(given["PYTHONPYCACHEPREFIX"]).is_relative_to(tmp_path / "controller")
    assert popen.call_args.args[0][0] == sys.executable


def test_nobody_else_is_given_its_port(tmp_path: Path) -> None:
    """Another server that asks for a free one in the moment before it listens would answer in its place."""
    popen, controller = started(tmp_path)
    command = popen.call_args.args[0]
    place = ("127.0.0.1", int(command[command.index("--probe-port") + 1]))
    with controller.held, socket.socket() as other:
        with pytest.raises(OSError, match="in use") as refused:
            other.bind(place)
        assert refused.value.errno == errno.EADDRINUSE
        with socket.create_server(place) as server:  # with SO_REUSEADDR, as the controller's own
            assert server.getsockname() == place
            assert controller.port == place[1]


def test_time_that_the_machine_s_host_took_is_told(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 1 20 300 4 5 6 70 8 9\ncpu0 50 0 10 150 2 2 3 35 4 4\nintr 1\n")
    before = cloud.Ticks.now(stat)
    assert before == cloud.Ticks(70, 506)
    assert before.stolen_since(before) == 0.0
    stat.write_text("cpu  150 1 20 300 4 5 6 120 8 9\n")
    assert cloud.Ticks.now(stat).stolen_since(before) == 50.0


def test_this_machine_tells_it() -> None:
    ticks = cloud.Ticks.now()
    assert 0 <= ticks.stolen < ticks.all
