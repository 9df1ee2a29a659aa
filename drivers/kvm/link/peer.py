"""Who answers where a certificate was refused: libvirt says only that it was."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from drivers.kvm.link.url import Target

PORT = 16514
"""libvirt's port for TLS (https://libvirt.org/remote.html)."""

LONGEST_NAME = 80


def describe(target: Target, timeout: float) -> str:
    """The peer's certificate in words, empty if it shows none within `timeout` seconds. Nothing is sent but the greeting of TLS."""
    with suppress(OSError, ValueError):
        shown = _shown(target, timeout)
        return certificate(shown) if shown else ""
    return ""


def certificate(content: bytes) -> str:
    """Owner, issuer and SHA-256 fingerprint of a DER certificate. Raises ValueError for what is none."""
    read = x509.load_der_x509_certificate(content)
    return f"the certificate of {_name(read.subject)}, issued by {_name(read.issuer)}, SHA-256 {fingerprint(read)}"


def fingerprint(read: x509.Certificate) -> str:
    """As `openssl x509 -fingerprint -sha256` prints it."""
    return read.fingerprint(hashes.SHA256()).hex(":").upper()


def _shown(target: Target, timeout: float) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((target.host, target.port or PORT), timeout) as plain, context.wrap_socket(plain) as secured:
        return secured.getpeercert(binary_form=True)


def _name(name: x509.Name) -> str:
    """What a certificate says of itself is whatever its maker wrote."""
    text = "".join(character if character.isprintable() else "?" for character in name.rfc4514_string())
    return text[:LONGEST_NAME] or "nobody"
