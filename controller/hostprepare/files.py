"""The directory of authority and certificates, which nobody else may read or write."""

from __future__ import annotations

import stat
from pathlib import Path

from certificates import Pair
from certificates.files import write_private
from controller.hostprepare.authority import AuthorityError


def make_directory(path: Path) -> None:
    """A directory of our own. Raises AuthorityError for one that others can write to, OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AuthorityError(f"others can write to {path}: chmod 700 {path}")


def write_pair(directory: Path, name: str, pair: Pair) -> None:
    """The key first: a certificate is there only with its key."""
    write_private(directory / f"{name}.key", pair.key)
    write_private(directory / f"{name}.pem", pair.certificate)


def read_pair(directory: Path, name: str) -> Pair | None:
    """None if there is no certificate. Raises AuthorityError if its key is missing or open to others, OSError."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    if not certificate.exists():
        return None
    if not key.exists():
        raise AuthorityError(f"{key} is missing, and nothing can be signed or logged in with without it")
    check_private(key)
    return Pair(certificate.read_bytes(), key.read_bytes())


def check_private(key: Path) -> None:
    """Raises AuthorityError for a file that is open to others, OSError."""
    if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AuthorityError(f"others can read {key}: chmod 600 {key}, or better, start in another directory")
