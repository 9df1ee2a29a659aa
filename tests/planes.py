"""The control plane that one test run shares among its processes.

Whoever uses it holds a shared lock on a file. A guard process, started by the first user, starts the plane and then waits for the
exclusive lock: it gets it when the last user is done or dead, however it died, and stops the plane. If the guard is killed the
kernel kills the plane with it. So nothing is left behind, whatever happens to the run.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from standalone.errors import StandaloneError
from standalone.plane import ControlPlane

ROOT = Path(__file__).parent.parent


@contextlib.contextmanager
def shared(directory: Path) -> Iterator[ControlPlane]:
    """The running control plane of `directory`, started if no other process has done so.

    Raises StandaloneError if it can't be started.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _lock(directory / "users", fcntl.LOCK_SH):
        plane = ControlPlane(directory / "plane", durable=False, die_with_parent=True)
        with _lock(directory / "starting", fcntl.LOCK_EX):
            if not plane.running():
                _start_guard(directory)
        yield plane


def guard(directory: Path) -> None:
    """Run the plane of `directory` until nobody uses it, then stop it and remove its data; the logs stay."""
    plane = ControlPlane(directory / "plane", durable=False, die_with_parent=True)
    try:
        plane.start()
    except StandaloneError as error:
        print(error, flush=True)
        return
    print("ready", flush=True)
    with _lock(directory / "users", fcntl.LOCK_EX):
        plane.stop()
        shutil.rmtree(plane.directory / "etcd", ignore_errors=True)


def _start_guard(directory: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.planes", str(directory)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=(directory / "guard.log").open("a"),
        text=True,
        start_new_session=True,  # an interrupt at the terminal must not reach it before the users are done
    )
    process.returncode = 0  # it outlives this process on purpose
    assert process.stdout is not None
    with process.stdout as answer:
        said = answer.readline().strip()
    if said != "ready":
        raise StandaloneError(said or f"the guard of the control plane died, see {directory / 'guard.log'}")


@contextlib.contextmanager
def _lock(path: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
