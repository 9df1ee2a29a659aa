"""Makes authorities and the certificates that they sign (RFC 5280). Pure but for randomness: the time is given."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Collection, Iterable
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certificates.pair import Pair, key_pem, new_key, read

CLOCK_SKEW = datetime.timedelta(hours=1)
"""By how much a peer's clock may be late: certificates are valid from that long ago."""

LONGEST_NAME = 64
"""Characters of a common name (RFC 5280, ub-common-name); a longer one is cut, the alternative names are not."""


class Use(Enum):
    """Which side of a connection shows the certificate."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


def authority(name: str, now: datetime.datetime, life: datetime.timedelta) -> Pair:
    """A certificate authority of its own, that signs leaves and no further authority. `now` is an aware time."""
    key, owner = new_key(), _name(name)
    builder = (
        _builder(owner, owner, key, now, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
    )
    return _signed(builder, key, key)


def leaf(
    issuer: Pair, name: str, alternatives: Iterable[str], uses: Collection[Use], now: datetime.datetime, life: datetime.timedelta
) -> Pair:
    """A certificate of `issuer` for `name`, believed for each of `alternatives` (IP addresses or DNS names).

    Raises CertificateError if the issuer can't be read.
    """
    certificate, signing = read(issuer)
    key = new_key()
    alternative = x509.SubjectAlternativeName([_alternative(each) for each in dict.fromkeys(alternatives)])
    builder = (
        _builder(_name(name), certificate.subject, key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(alternative, critical=False)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use.value for use in uses]), critical=False)
    )
    return _signed(builder, key, signing)


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


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signing: ec.EllipticCurvePrivateKey) -> Pair:
    certificate = builder.sign(signing, hashes.SHA256())
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), key_pem(key))


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


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:LONGEST_NAME])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
