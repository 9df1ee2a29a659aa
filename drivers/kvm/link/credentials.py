"""Login material for libvirt, which reads certificates and keys from files only.

They live in a private directory in memory (tmpfs) for as long as a connection is being opened, and no longer; those of a process
that was killed meanwhile go when the next one starts.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import libvirt

from drivers.errors import InvalidSpec
from drivers.kvm.link.url import Target, Transport
from drivers.types import Credentials, Endpoint

MEMORY_DIRECTORY = Path("/dev/shm")  # noqa: S108  # tmpfs on every Linux; entries are made with mkdtemp, mode 0700
"""Where the directories are made."""

SSH = Path(__file__).parent / "ssh-known-hosts.sh"
"""Calls ssh with the known hosts beside the key: libvirt has no parameter for them."""

FRESH = 60.0
"""Seconds for which a directory is left alone, though nobody holds it: whoever makes one takes hold of it a moment later."""

_PREFIX = "vireo-login-"
KEY, KNOWN_HOSTS = "id", "known_hosts"
"""Names of the files for ssh."""


@contextmanager
def private(directory: Path = MEMORY_DIRECTORY) -> Iterator[Path]:
    """A directory for this account only, gone when the context ends; its lock goes with this process, however that ends."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=directory) as made:
        held = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield Path(made)
        finally:
            os.close(held)


def sweep(directory: Path = MEMORY_DIRECTORY) -> None:
    """Remove what processes of this account left that were killed."""
    for left in directory.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # held by somebody who lives, or gone
            held = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                found = os.fstat(held)
                if found.st_uid == os.geteuid() and time.time() - found.st_mtime > FRESH:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left)
            finally:
                os.close(held)


@contextmanager
def login(endpoint: Endpoint, target: Target, directory: Path = MEMORY_DIRECTORY) -> Iterator[str]:
    """The libvirt URI for the endpoint; the files that it names are gone when the context ends.

    Raises InvalidSpec when a key comes without its certificate or the other way round.
    """
    files = _files(endpoint.credentials, target.transport)
    parameters = {"no_verify": "1"} if endpoint.insecure and target.transport is not Transport.UNIX else {}
    if target.transport is Transport.SSH:
        parameters["no_tty"] = "1"
    if endpoint.insecure:
        files = {name: content for name, content in files.items() if name != KNOWN_HOSTS}
    if not files:
        yield target.uri(parameters, user=endpoint.credentials.username)
        return
    with private(directory) as place:
        write(place, files)
        where = {"pkipath": str(place)} if target.transport is Transport.TLS else {"keyfile": f"{place}/{KEY}"}
        if KNOWN_HOSTS in files:
            where["command"] = str(SSH)
        yield target.uri({**parameters, **where}, user=endpoint.credentials.username)


def _files(credentials: Credentials, transport: Transport) -> Mapping[str, bytes]:
    """File names are those that libvirt wants below `pkipath` (https://libvirt.org/remote.html)."""
    if transport is Transport.SSH:
        given = {KEY: credentials.ssh_key, KNOWN_HOSTS: credentials.known_hosts}
        return {name: content for name, content in given.items() if content}
    if transport is Transport.UNIX:
        return {}
    if bool(credentials.client_certificate) != bool(credentials.client_key):
        raise InvalidSpec("a client certificate and its key must be given together")
    files = {
        "cacert.pem": credentials.ca_certificate,
        "clientcert.pem": credentials.client_certificate,
        "clientkey.pem": credentials.client_key,
    }
    return {name: content for name, content in files.items() if content}


def write(directory: Path, files: Mapping[str, bytes]) -> None:
    """Make the files, for this account only, in a directory of its own."""
    for name, content in files.items():
        descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def sasl(credentials: Credentials) -> list[Any]:
    """What `libvirt.openAuth` asks for a user name and a password (SASL); refuses where the Secret has none."""

    def answer(requests: list[list[Any]], _: object) -> int:
        for request in requests:
            given = credentials.username if request[0] == libvirt.VIR_CRED_AUTHNAME else credentials.password
            if not given:
                return -1
            request[4] = given
        return 0

    return [[libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE], answer, None]
