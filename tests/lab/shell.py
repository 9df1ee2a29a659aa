"""Commands of the machine, run with a time limit and with their complaint kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMIT = 120.0
"""Seconds after which a command hangs rather than being slow, on a busy machine too."""


class LabError(Exception):
    """The lab could not do what was asked; the message is one sentence for a person."""


def environment() -> dict[str, str]:
    """The caller's environment with the system directories first on PATH and messages in English."""
    return {**os.environ, "PATH": f"{SYSTEM_PATH}:{os.environ.get('PATH', '')}", "LC_ALL": "C.UTF-8"}


def find(command: str) -> str | None:
    """Path of a command of the system, None when it is not installed."""
    return shutil.which(command, path=SYSTEM_PATH)


def run(*argv: str, timeout: float = LIMIT) -> str:
    """Run a command and return its standard output.

    timeout: seconds. Raises LabError when the command is missing, fails or takes longer; then all that it started is ended.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise LabError(f"{argv[0]}: {error.strerror}") from error
    try:
        output, complaint = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)} did not end within {timeout:g} s") from error
    finally:
        _end_group(process)
    if process.returncode:
        lines = (complaint.strip() or output.strip() or f"exit status {process.returncode}").splitlines()
        raise LabError(f"{' '.join(argv)}: {lines[-1]}")
    return output


def _end_group(process: subprocess.Popen[str]) -> None:
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def succeeds(argv: Sequence[str], timeout: float = LIMIT) -> bool:
    """Whether a command ends with status 0 in time."""
    try:
        run(*argv, timeout=timeout)
    except LabError:
        return False
    return True
