"""Secret data → credentials of an endpoint.

Keys are those of Kubernetes' own Secret types: kubernetes.io/basic-auth, kubernetes.io/tls and kubernetes.io/ssh-auth.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.types import Credentials

LONGEST_TEXT = 1024
LONGEST_FILE = 64 * 1024

KEYS = ("username", "password", "tls.crt", "tls.key", "ca.crt", "ssh-privatekey")


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


def _pem(data: Mapping[str, bytes], key: str) -> bytes:
    if key not in data:
        return b""
    value = data[key]
    if len(value) > LONGEST_FILE:
        raise SecretInvalid(f"{key} is longer than {LONGEST_FILE} bytes")
    if b"-----BEGIN " not in value:
        raise SecretInvalid(f"{key} is not PEM: it has no BEGIN line")
    return value
