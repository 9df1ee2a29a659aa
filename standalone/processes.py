"""Processes that may outlive their starter: started with a pid file, found again, and ended by pid alone.

A pid by itself proves nothing, since pids are reused: a pid file also holds the command line, and only a process
whose `/proc/<pid>/cmdline` shows it is taken for ours.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from standalone.errors import StandaloneError

_DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"]


@dataclass(frozen=True)
class Process:
    """One component: where its pid file and its log are."""

    name: str
    pid_file: Path
    log_file: Path

    def start(self, argv: list[str], die_with_parent: bool) -> None:
        """Run `argv` in a session of its own, its output going to the log file, which is emptied first.

        `die_with_parent`: the kernel kills it when the thread that called this ends (prctl(2), PR_SET_PDEATHSIG).
        Raises StandaloneError if it can't be run.
        """
        prefix = _DIE_WITH_PARENT if die_with_parent else []
        if prefix and not shutil.which(prefix[0]):
            raise StandaloneError("the command setpriv (Debian package util-linux) is missing")
        try:
            with self.log_file.open("w") as log:
                child = subprocess.Popen([*prefix, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            self.pid_file.write_text(json.dumps({"pid": child.pid, "argv": argv}) + "\n")
        except OSError as error:
            raise StandaloneError(f"cannot start {self.name}: {error.strerror}") from error
        _await_exec(child.pid, argv)
        child.returncode = 0  # it is left running on purpose: keeps Popen from warning; `stop` reaps it

    def pid(self) -> int | None:
        """The pid if it runs, else None: no pid file, a stale or a damaged one, or a zombie."""
        recorded = self._recorded()
        if recorded is None:
            return None
        pid, argv = recorded
        return pid if argv and command_line(pid)[-len(argv) :] == argv else None

    def stop(self, grace: float) -> None:
        """End it: SIGTERM, after `grace` seconds SIGKILL.  Returns when it is gone; not running is success."""
        with self._handle() as handle:
            if handle is not None:
                _end(handle, grace)
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

    def _recorded(self) -> tuple[int, list[str]] | None:
        try:
            saved = json.loads(self.pid_file.read_text())
            return int(saved["pid"]), [str(word) for word in saved["argv"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextlib.contextmanager
    def _handle(self) -> Iterator[int | None]:
        """A pidfd of the running process.  Opened before the check, so that a reused pid can't be hit."""
        recorded = self._recorded()
        try:
            handle = os.pidfd_open(recorded[0]) if recorded else None
        except (OSError, OverflowError):
            handle = None
        if handle is None:
            yield None
            return
        try:
            yield handle if self.pid() is not None else None
        finally:
            with contextlib.suppress(ChildProcessError):  # not our child if an earlier program started it
                os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOHANG)
            os.close(handle)


def command_line(pid: int) -> list[str]:
    """The words of `/proc/<pid>/cmdline`; empty for a zombie or a process that doesn't exist."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode(errors="replace") for word in raw.split(b"\0")[:-1]]


def _await_exec(pid: int, argv: list[str]) -> None:
    """Return once the child runs `argv` itself or has ended: during execve(2) its command line reads empty."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        words = command_line(pid)
        if words[-len(argv) :] == argv and words[:1] != _DIE_WITH_PARENT[:1]:
            return
        time.sleep(0.001)


def _end(handle: int, grace: float) -> None:
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        if select.select([handle], [], [], patience)[0]:
            break
