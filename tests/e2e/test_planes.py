"""The control plane that a test run shares stays while anyone uses it, and goes whatever way its users end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.test_standalone import ROOT, eventually, processes_below

USER = """if True:
    import pathlib, sys
    from tests import planes
    with planes.shared(pathlib.Path(sys.argv[1])) as plane:
        print([process.pid() for process in plane.processes()], flush=True)
        sys.stdin.readline()
"""

StartUser = Callable[[], tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start_user(tmp_path: Path) -> Iterator[StartUser]:
    """Starts a process that uses the shared plane until it gets a line; returns it and the plane's pids."""
    users: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", USER, str(tmp_path / "shared")]
        user = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        users.append(user)
        assert user.stdout is not None
        said = user.stdout.readline().strip()
        assert said.startswith("["), said
        return user, said

    yield start
    for user in users:
        user.kill()
        user.communicate()


def finish(user: subprocess.Popen[str]) -> None:
    user.communicate("\n")
    assert user.returncode == 0


def plane_processes(directory: Path) -> list[int]:
    return processes_below(directory / "shared" / "plane")


def all_gone(directory: Path) -> None:
    eventually(lambda: processes_below(directory / "shared") == [], "neither guard nor plane are left")


def test_shared_until_the_last_user_is_done(tmp_path: Path, start_user: StartUser) -> None:
    first, pids = start_user()
    second, same = start_user()
    assert same == pids, "the second user finds the first one's plane"
    finish(first)
    assert len(plane_processes(tmp_path)) == 3, "the one who started it may go"
    finish(second)
    all_gone(tmp_path)
    assert not (tmp_path / "shared" / "plane" / "etcd").exists()
    assert (tmp_path / "shared" / "plane" / "log" / "kube-apiserver.log").exists(), "for whoever looks for a reason"

    third, others = start_user()
    assert others != pids, "a new one after the end of the old one"
    finish(third)
    all_gone(tmp_path)


def test_killed_users_leave_nothing(tmp_path: Path, start_user: StartUser) -> None:
    user, _ = start_user()
    user.kill()
    all_gone(tmp_path)


def test_killed_guard_takes_the_plane_with_it(tmp_path: Path, start_user: StartUser) -> None:
    """And the next user gets a new one."""
    first, pids = start_user()
    (guard,) = set(processes_below(tmp_path / "shared")) - set(plane_processes(tmp_path)) - {first.pid}
    os.kill(guard, signal.SIGKILL)
    eventually(lambda: plane_processes(tmp_path) == [], "the kernel ended the plane")
    second, others = start_user()
    assert others != pids
    finish(first)
    finish(second)
    all_gone(tmp_path)
