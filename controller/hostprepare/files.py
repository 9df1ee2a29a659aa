"""Private files: nobody else reads them, not even for a moment, and a reader finds an old one or a new one, never half of it."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from controller.hostprepare.authority import AuthorityError, Pair


def make_directory(path: Path) -> None:
    """A directory of our own. Raises AuthorityError for one that others can write to, OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AuthorityError(f"others can write to {path}: chmod 700 {path}")


def write(path: Path, content: bytes | str) -> None:
    """Mode 0600. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_pair(directory: Path, name: str, pair: Pair) -> None:
    """The key first: a certificate is there only with its key."""
    write(directory / f"{name}.key", pair.key)
    write(directory / f"{name}.pem", pair.certificate)


def read_pair(directory: Path, name: str) -> Pair | None:
    """None if there is no certificate. Raises AuthorityError if its key is missing or open to others, OSError."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    if not certificate.exists():
        return None
    if not key.exists():
        raise AuthorityError(f"{key} is missing, and nothing can be signed or logged in with without it")
    if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AuthorityError(f"others can read {key}: chmod 600 {key}, or better, start in another directory")
    return Pair(certificate.read_bytes(), key.read_bytes())
