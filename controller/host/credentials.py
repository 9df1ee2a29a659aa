"""Secret data → credentials of an endpoint.

Keys are those of Kubernetes' own Secret types: kubernetes.io/basic-auth, kubernetes.io/tls and kubernetes.io/ssh-auth; and
`known_hosts`, a file of sshd(8), as others call it too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from drivers.types import Credentials

LONGEST_TEXT = 1024
LONGEST_FILE = 64 * 1024
_KNOWN_HOST = re.compile(rb"^(?:@[a-z-]+ +)?[^\s#]\S* +[a-z0-9@.-]+ +[A-Za-z0-9+/]{16,}={0,2}(?:\s|$)", re.MULTILINE)

KEYS = ("username", "password", "tls.crt", "tls.key", "ca.crt", "ssh-privatekey", "known_hosts")


class SecretInvalid(ValueError):
    """A Secret does not hold what it should; the message names the key, never its value."""


def credentials(data: Mapping[str, bytes]) -> Credentials:
    """Credentials from the data of a Secret. Raises SecretInvalid."""
    if not any(key in data for key in KEYS):
        raise SecretInvalid(f"it has none of the keys {', '.join(KEYS)}")
    if ("tls.crt" in data) != ("tls.key" in data):
        raise SecretInvalid("tls.crt and tls.key go together")
    return Credentials(
        username=_text(data, "username"),
        password=_text(data, "password"),
        client_certificate=_pem(data, "tls.crt"),
        client_key=_pem(data, "tls.key"),
        ca_certificate=_pem(data, "ca.crt"),
        ssh_key=_pem(data, "ssh-privatekey"),
        known_hosts=_known_hosts(data),
    )


def authority(data: Mapping[str, bytes], key: str) -> bytes:
    """PEM certificates under `key` of a Secret. Raises SecretInvalid."""
    if key not in data:
        raise SecretInvalid(f"it has no key {key}")
    return _pem(data, key)


def _text(data: Mapping[str, bytes], key: str) -> str:
    value = data.get(key, b"")
    if len(value) > LONGEST_TEXT:
        raise SecretInvalid(f"{key} is longer than {LONGEST_TEXT} bytes")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise SecretInvalid(f"{key} is not UTF-8 text") from None
    if not text.isprintable():
        raise SecretInvalid(f"{key} holds a line break or another control character; a line break at its end is the usual cause")
    return text


def _known_hosts(data: Mapping[str, bytes]) -> bytes:
    """Lines that ssh reads: `NAME[,NAME…] KEYTYPE KEY`. ssh passes over what it can't read, so at least one must look right."""
    value = data.get("known_hosts", b"")
    if len(value) > LONGEST_FILE:
        raise SecretInvalid(f"known_hosts is longer than {LONGEST_FILE} bytes")
    if value and not _KNOWN_HOST.search(value):
        raise SecretInvalid("known_hosts has no line of the form: name, type of key, key; ssh-keyscan prints them")
    return value


def _pem(data: Mapping[str, bytes], key: str) -> bytes:
    if key not in data:
        return b""
    value = data[key]
    if len(value) > LONGEST_FILE:
        raise SecretInvalid(f"{key} is longer than {LONGEST_FILE} bytes")
    if b"-----BEGIN " not in value:
        raise SecretInvalid(f"{key} is not PEM: it has no BEGIN line")
    return value
