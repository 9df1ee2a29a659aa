"""The certificates between controller and hosts, as libvirt wants them (https://libvirt.org/kbase/tlscerts.html).

One authority for all hosts of a cloud, one certificate for the controller as client, one for each host as server.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = datetime.timedelta(days=3650)
LIFE = datetime.timedelta(days=730)
"""A certificate's life; a new one is made in seconds, and every use of the command makes the host's anew."""
RENEW_BEFORE = datetime.timedelta(days=60)
CLOCK_SKEW = datetime.timedelta(hours=1)
CLIENT = "vireo-controller"
"""Common name of the controller's certificate: hosts let in nobody else."""


class AuthorityError(ValueError):
    """Files of certificates that can't be used; the text says which, and never shows them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


def new_authority(now: datetime.datetime) -> Pair:
    """A certificate authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vireo-hosts")])
    builder = (
        _builder(name, name, key, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
    )
    return Pair(_pem(builder.sign(key, hashes.SHA256())), _key(key))


def check_authority(pair: Pair, now: datetime.datetime) -> None:
    """Raises AuthorityError unless it can sign certificates that live as long as ours do."""
    certificate, key = _read(pair)
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        basic = None
    if basic is None or not basic.ca:
        raise AuthorityError("ca.pem is not the certificate of an authority")
    if certificate.public_key() != key.public_key():
        raise AuthorityError("ca.key is not the key of ca.pem")
    if certificate.not_valid_after_utc < now + LIFE:
        end = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        raise AuthorityError(f"the authority ends on {end}, before a new certificate would: use another directory")


def client(authority: Pair, now: datetime.datetime) -> Pair:
    """The controller's certificate."""
    names = [x509.DNSName(CLIENT)]
    return _issue(authority, CLIENT, names, ExtendedKeyUsageOID.CLIENT_AUTH, now)


def server(authority: Pair, name: str, addresses: Sequence[str], now: datetime.datetime) -> Pair:
    """A host's certificate, for its name and for each of its addresses (IP addresses or DNS names)."""
    names = list(dict.fromkeys(_alternative(each) for each in (name, *addresses)))
    return _issue(authority, name[:64], names, ExtendedKeyUsageOID.SERVER_AUTH, now)


def lasts(pair: Pair, authority: Pair, now: datetime.datetime) -> bool:
    """Whether a certificate is of this authority, has its key, and need not be renewed yet."""
    certificate, key = _read(pair)
    try:
        certificate.verify_directly_issued_by(_read(authority)[0])
    except (InvalidSignature, ValueError, TypeError):
        return False
    return certificate.public_key() == key.public_key() and certificate.not_valid_after_utc - RENEW_BEFORE > now


def _issue(
    authority: Pair, name: str, alternatives: Sequence[x509.GeneralName], usage: x509.ObjectIdentifier, now: datetime.datetime
) -> Pair:
    issuer, signing = _read(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, issuer.subject, key, now, LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    return Pair(_pem(builder.sign(signing, hashes.SHA256())), _key(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime, life: datetime.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    """A leaf has both digitalSignature and keyEncipherment, whatever its key: libvirt asks for them."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_encipherment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _read(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Raises AuthorityError, without the parser's words: they may quote the key."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise AuthorityError("a certificate or key in the directory is not PEM, or its key has a passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityError("a key in the directory is not one that this command made: only elliptic curves are used")
    return certificate, key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
