"""Commands of the machine, run with a time limit and with their complaint kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LabError(Exception):
    """The lab could not do what was asked; the message is one sentence for a person."""


def environment() -> dict[str, str]:
    """The caller's environment with the system directories first on PATH and messages in English."""
    return {**os.environ, "PATH": f"{SYSTEM_PATH}:{os.environ.get('PATH', '')}", "LC_ALL": "C.UTF-8"}


def find(command: str) -> str | None:
    """Path of a command of the system, None when it is not installed."""
    return shutil.which(command, path=SYSTEM_PATH)


def run(*argv: str, timeout: float = 30.0) -> str:
    """Run a command and return its standard output.

    timeout: seconds. Raises LabError when the command is missing, fails or takes longer.
    """
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=timeout, env=environment(), stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)} did not end within {timeout:g} s") from error
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise LabError(f"{' '.join(argv)}: {complaint}")
    return done.stdout


def succeeds(argv: Sequence[str], timeout: float = 30.0) -> bool:
    """Whether a command ends with status 0 in time."""
    try:
        run(*argv, timeout=timeout)
    except LabError:
        return False
    return True
