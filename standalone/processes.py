"""Processes that may outlive their starter: started with a pid file, found again, and ended by pid alone.

A pid by itself proves nothing, since pids are reused: a pid file also holds the command line, and only a process
whose `/proc/<pid>/cmdline` shows it is taken for ours. Where the pid file is lost, the process is found by words that no other
command line has.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from standalone.errors import StandaloneError

_DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"]

_WHEN_TOLD = ["/bin/sh", "-c", 'read -r _ && exec "$@" </dev/null', "when-told"]
"""Becomes the program once it gets a line; ends if whoever was to send it ends instead."""


@dataclass(frozen=True)
class Process:
    """One component: where its pid file and its log are, and the words of its command line that no other process has together."""

    name: str
    pid_file: Path
    log_file: Path
    marks: frozenset[str] = frozenset()

    def start(self, argv: list[str], die_with_parent: bool) -> None:
        """Run `argv` in a session of its own, its output going to the log file, which is emptied first.

        Whatever ends the caller on the way, the program doesn't run without its pid file. `die_with_parent`: the kernel kills it
        when the thread that called this ends (prctl(2), PR_SET_PDEATHSIG). Raises StandaloneError if it can't be run.
        """
        prefix = _DIE_WITH_PARENT if die_with_parent else []
        if prefix and not shutil.which(prefix[0]):
            raise StandaloneError("the command setpriv (Debian package util-linux) is missing")
        try:
            with self.log_file.open("w") as log:
                runs = _launch([*prefix, *_WHEN_TOLD, *argv], argv, log, lambda pid: self._record(pid, argv))
        except OSError as error:
            raise StandaloneError(f"cannot start {self.name}: {error.strerror}") from error
        if not runs:
            self.stop(0)
            raise StandaloneError(f"cannot start {self.name}: {self.last_words().rpartition('exec: ')[2]}")

    def pid(self) -> int | None:
        """The pid if it runs, else None: no pid file, a stale or a damaged one, or a zombie."""
        recorded = self._recorded()
        return recorded[0] if recorded and _runs(*recorded) else None

    def stop(self, grace: float) -> None:
        """End it, whether the pid file tells of it or not: SIGTERM, after `grace` seconds SIGKILL.

        Returns when it is gone; not running is success.
        """
        recorded = self._recorded()
        if recorded is not None:
            _stop(recorded[0], partial(_runs, *recorded), grace)
        for pid in self._unrecorded():
            _stop(pid, partial(self._marked, pid), grace)
        self.pid_file.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The last line it logged that says something, or its Go panic, shortened to 300 characters."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        said = [line.strip() for line in lines if line.strip()]
        panics = [line for line in said if line.startswith("panic: ")]
        return (panics or said or ["it logged nothing"])[-1][:300]

    def logged(self, text: str) -> bool:
        """Whether its log contains `text` in any case."""
        try:
            return text.lower() in self.log_file.read_text(errors="replace").lower()
        except OSError:
            return False

    def _record(self, pid: int, argv: list[str]) -> None:
        self.pid_file.write_text(json.dumps({"pid": pid, "argv": argv}) + "\n")

    def _recorded(self) -> tuple[int, list[str]] | None:
        try:
            saved = json.loads(self.pid_file.read_text())
            return int(saved["pid"]), [str(word) for word in saved["argv"]]
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def _unrecorded(self) -> list[int]:
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()] if self.marks else []
        return [pid for pid in pids if self._marked(pid)]

    def _marked(self, pid: int) -> bool:
        return self.marks <= set(command_line(pid))


def command_line(pid: int) -> list[str]:
    """The words of `/proc/<pid>/cmdline`; empty for a zombie or a process that doesn't exist."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode(errors="replace") for word in raw.split(b"\0")[:-1]]


def _launch(command: list[str], argv: list[str], log: IO[str], record: Callable[[int], None]) -> bool:
    """Start `command`, which becomes `argv` when it is told to, which is when `record` has its pid; whether it could."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, bufsize=0)
    assert child.stdin is not None
    with child.stdin as told:
        try:
            record(child.pid)
        except BaseException:
            told.close()
            child.wait()
            raise
        told.write(b"\n")
    child.returncode = 0  # it is left running on purpose: keeps Popen from warning; `stop` reaps it
    return _await_exec(child.pid, argv)


def _await_exec(pid: int, argv: list[str]) -> bool:
    """Return once the child runs `argv` itself or has ended: during execve(2) its command line reads empty.

    False if a shell's exit code says that it can't be run (POSIX, Shell Command Language, 2.8.2).
    """
    while (ended := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
        words = command_line(pid)
        if words[-len(argv) :] == argv and _WHEN_TOLD[2] not in words:
            return True
        time.sleep(0.001)
    return not (ended.si_code == os.CLD_EXITED and ended.si_status in (126, 127))


def _runs(pid: int, argv: list[str]) -> bool:
    return bool(argv) and command_line(pid)[-len(argv) :] == argv


def _stop(pid: int, ours: Callable[[], bool], grace: float) -> None:
    """End a process if it is ours. Its pidfd is opened before that is asked, so that a reused pid can't be hit."""
    try:
        handle = os.pidfd_open(pid)
    except (OSError, OverflowError):
        return
    try:
        if ours():
            _end(handle, grace)
    finally:
        with contextlib.suppress(ChildProcessError):  # not our child if an earlier program started it
            os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOHANG)
        os.close(handle)


def _end(handle: int, grace: float) -> None:
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        if select.select([handle], [], [], patience)[0]:
            break
