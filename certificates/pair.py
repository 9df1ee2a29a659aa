"""A certificate with its key, as PEM: read, checked, and never shown."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


class CertificateError(ValueError):
    """A certificate or key that can't be used; the text says why, and never shows it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key on the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8 without a passphrase."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def read(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Raises CertificateError, without the parser's words: they may quote the key."""
    try:
        key = serialization.load_pem_private_key(pair.key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateError("the key is not PEM, or has a passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the key is not one that was made here: only elliptic curves are used")
    return _certificate(pair.certificate), key


def lasts(pair: Pair, authority: bytes, until: datetime.datetime) -> bool:
    """Whether a certificate is of the authority with this certificate, has its key, and is valid beyond `until`.

    Raises CertificateError for what can't be read.
    """
    certificate, key = read(pair)
    issuer = _certificate(authority)
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return certificate.public_key() == key.public_key() and certificate.not_valid_after_utc > until


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise CertificateError("the certificate is not PEM") from None
