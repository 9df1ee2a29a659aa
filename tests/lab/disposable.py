"""A lab for one run of tests: its own name and directory, taken down at the end, or by the next run when this one is killed."""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.record import exclusive


def base_directory() -> Path:
    """Where the labs of all test runs of this machine keep their files."""
    return Path(tempfile.gettempdir()) / "vireo-labs"


@contextmanager
def disposable(base: Path | None = None) -> Iterator[Lab]:
    """A lab with a name of its own, not up yet; takes down first what killed processes left in `base`."""
    base = base or base_directory()
    prefix = f"t{secrets.token_hex(4)}"
    with exclusive(base):
        reap(base)
        # held while this process lives: the kernel lets go of it however the process ends
        mark = os.open(base / f"{prefix}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(mark, fcntl.LOCK_EX)
    lab = Lab(base / prefix, prefix)
    try:
        yield lab
    finally:
        lab.down()
        with exclusive(base):
            (base / f"{prefix}.lock").unlink()
            os.close(mark)
            if not any(base.iterdir()):
                base.rmdir()


def reap(base: Path) -> None:
    """Take down every lab in `base` whose process is gone. The caller holds `base` for itself."""
    for path in sorted(base.glob("*.lock")):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Lab(base / path.stem, path.stem).down()
            path.unlink()
        except BlockingIOError:
            continue  # in use
        finally:
            os.close(descriptor)
