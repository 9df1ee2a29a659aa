"""The cache directory: what is built or installed once per machine and used by every checkout."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from standalone.errors import StandaloneError

Progress = Callable[[str], None]
"""Receives one line of text whenever there is something new to tell a waiting person."""


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """`$VIREO_CACHE`, else `$XDG_CACHE_HOME/vireo`, else `~/.cache/vireo` (XDG Base Directory Specification).

    A relative or empty value counts as unset, as that specification demands.
    """
    if Path(chosen := environ.get("VIREO_CACHE", "")).is_absolute():
        return Path(chosen)
    if Path(base := environ.get("XDG_CACHE_HOME", "")).is_absolute():
        return Path(base) / "vireo"
    home = environ.get("HOME", "")
    return (Path(home) if home else Path.home()) / ".cache" / "vireo"


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock on `path` (created if absent); `waiting` is called once if another process has it.

    The kernel frees the lock when its holder dies, so it can't go stale.
    Raises StandaloneError if the file can't be made.
    """
    with _open_lock(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_directory(path: Path, mode: int = 0o755) -> Path:
    """Create `path` and its parents, giving the last one `mode`.  Raises StandaloneError when that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if mode != 0o755:
            path.chmod(mode)
    except OSError as error:
        raise StandaloneError(f"cannot create {path}: {error.strerror}") from error
    return path


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    make_directory(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StandaloneError(f"cannot open the lock file {path}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
