"""The controller's SSH login as root: its key, and whom it believes to be a host (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

Rules on the ports of Open vSwitch, and the interfaces of backend Linux, are made over SSH: libvirt has no call for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from certificates.files import write_private
from controller.hostprepare.authority import AuthorityError
from controller.hostprepare.files import check_private

KEY, KNOWN_HOSTS = "controller-ssh.key", "known_hosts"
"""Names of the files: one key for the directory, known hosts for each host in its own."""

OWNER = "vireo-controller"
"""Comment of the public key: by it a host's old one is found and replaced."""

LONGEST = 64 * 1024
"""Bytes of known hosts that a controller takes from one Secret."""

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


@dataclass(frozen=True, slots=True)
class Login:
    """A private key in OpenSSH's form, and a file of known hosts."""

    key: bytes = field(repr=False)
    known_hosts: str

    @property
    def public(self) -> str:
        """One line, as in authorized_keys."""
        return f"{_public(_load(self.key))} {OWNER}"


def host_keys(path: Path) -> Sequence[str]:
    """The keys of a machine's sshd, from the text of `ssh_host_*_key.pub`: kind and key of each.

    Raises ValueError if there is none or one can't be read, OSError.
    """
    with path.open(errors="replace") as file:
        lines = [line for line in file.read(LONGEST).splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{path} has no key")
    try:
        return [checked(line) for line in lines]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def checked(line: str) -> str:
    """Kind and key of one line of a public key, written afresh, without its comment. Raises ValueError."""
    words = line.split()
    try:
        if len(words) < 2 or words[0] not in _KINDS:
            raise ValueError
        key = load_ssh_public_key(" ".join(words[:2]).encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"no public key of sshd: it has no kind ({', '.join(_KINDS)}) with a key that fits") from None
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def prepare(directory: Path, name: str, addresses: Sequence[str], keys: Sequence[str]) -> Login | None:
    """The login to all hosts of the directory, after writing down that the host `name` has these keys at these addresses.

    Without `keys` those of an earlier time hold; None if the host never had any. Raises AuthorityError, OSError.
    """
    own = directory / name / KNOWN_HOSTS
    keys = keys or _earlier(own)
    if keys:
        write_private(own, "".join(f"{','.join(addresses)} {key}\n" for key in keys))
    known = "".join(path.read_text() for path in sorted(directory.glob(f"*/{KNOWN_HOSTS}")))
    if len(known) > LONGEST:
        raise AuthorityError(f"{directory} has more hosts than one Secret has room for: use another directory")
    return Login(_key(directory / KEY), known) if known else None


def _earlier(path: Path) -> Sequence[str]:
    try:
        return [checked(line.partition(" ")[2]) for line in path.read_text().splitlines()] if path.exists() else []
    except ValueError as error:
        raise AuthorityError(f"{path}: {error}") from None


def _key(path: Path) -> bytes:
    if path.exists():
        check_private(path)
        content = path.read_bytes()
        _load(content)
        return content
    made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    write_private(path, made)
    return made


def _load(key: bytes) -> Ed25519PrivateKey:
    """Without the parser's words: they may quote the key."""
    try:
        loaded = load_ssh_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise AuthorityError(f"{KEY} is not a private key of OpenSSH, or has a passphrase") from None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise AuthorityError(f"{KEY} is not a key that this command made: only Ed25519 is used")
    return loaded


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
