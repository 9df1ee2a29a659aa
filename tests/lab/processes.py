"""The processes of a network namespace, found by looking: nothing to keep in a file that could be stale."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.lab.shell import LabError

NAMESPACES = Path("/run/netns")
PROC = Path("/proc")


def namespaces() -> list[str]:
    """Names of all network namespaces of the machine."""
    return sorted(path.name for path in NAMESPACES.iterdir()) if NAMESPACES.is_dir() else []


def members(names: Iterable[str]) -> list[int]:
    """Processes that live in one of these network namespaces, without the caller's own."""
    wanted = {inode for name in names if (inode := _inode(NAMESPACES / name))}
    return [pid for pid in _all() if _inode(PROC / str(pid) / "ns/net") in wanted]


def started_for(directory: Path) -> list[int]:
    """Processes of the hosts whose files are below a directory, wherever they have got to (LAB_DIR in environ of proc(5))."""
    mark = f"LAB_DIR={directory}"
    return [pid for pid in _all() if any(f"{word}/".startswith(f"{mark}/") for word in _environment(pid))]


def kill(find: Callable[[], list[int]]) -> None:
    """End at once every process that `find` finds, until it finds none. Raises LabError when that takes long."""

    def none_left() -> bool:
        left = find()
        for pid in left:
            send(pid, signal.SIGKILL)
        return not left

    wait(none_left, f"processes {find()} did not end")


def init(name: str) -> int | None:
    """The process that is pid 1 of the host in this network namespace, None when the host is off."""
    return next((pid for pid in members([name]) if _ids(pid)[1:] == [1]), None)


def children(parent: int) -> list[int]:
    """Processes that a process started and that have not ended."""
    return [pid for pid in _all() if (fields := _stat(pid)) and fields[2] == parent]


def daemon(name: str, command: str) -> int | None:
    """The process started by pid 1 of the host that runs `command`, None when there is none."""
    parent = init(name)
    for pid in members([name]):
        fields = _stat(pid)
        if fields and (fields[0], fields[2]) == (command, parent):
            return pid
    return None


def command(pid: int) -> str:
    """Name of the command that a process runs; empty when it has ended."""
    fields = _stat(pid)
    return fields[0] if fields else ""


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has ended meanwhile is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal."""
    fields = _stat(pid)
    return fields is not None and fields[1] == "T"


def exists(pid: int) -> bool:
    """Whether a process is there, running or not yet reaped."""
    return (PROC / str(pid)).exists()


def ended(pid: int) -> bool:
    """Whether nothing of a process is left but, at most, its exit status."""
    fields = _stat(pid)
    return fields is None or fields[1] == "Z"


def wait(until: Callable[[], bool], otherwise: str, limit: float = 60.0) -> None:
    """Wait until something is so. Raises LabError, saying `otherwise`, when it is not after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not until():
        if time.monotonic() > deadline:
            raise LabError(f"{otherwise} within {limit:g} s")
        time.sleep(0.01)


def _all() -> list[int]:
    pids = (int(path.name) for path in PROC.iterdir() if path.name.isdigit())
    return [pid for pid in pids if pid != os.getpid()]


def _environment(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "environ").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:  # ended, or a zombie, which has no namespaces any more
        return None


def _ids(pid: int) -> list[int]:
    """The process's id in each pid namespace, outermost first (NSpid of proc(5))."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return []
    return [int(word) for line in lines if line.startswith("NSpid:") for word in line.split()[1:]]


def _stat(pid: int) -> tuple[str, str, int] | None:
    """Command name, state letter and parent of a process (stat of proc(5))."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    state, parent = text[text.rindex(")") + 2 :].split()[:2]
    return text[text.index("(") + 1 : text.rindex(")")], state, int(parent)
