"""The certificates between controller and hosts, as libvirt wants them (https://libvirt.org/kbase/tlscerts.html).

One authority for all hosts of a cloud, one certificate for the controller as client, one for each host as server.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from cryptography import x509

import certificates
from certificates import CertificateError, Pair, Use

AUTHORITY_LIFE = datetime.timedelta(days=3650)
LIFE = datetime.timedelta(days=730)
"""A certificate's life; a new one is made in seconds, and every use of the command makes the host's anew."""
RENEW_BEFORE = datetime.timedelta(days=60)
CLIENT = "vireo-controller"
"""Common name of the controller's certificate: hosts let in nobody else."""


class AuthorityError(ValueError):
    """Files of certificates that can't be used; the text says which, and never shows them."""


def new_authority(now: datetime.datetime) -> Pair:
    """A certificate authority of its own."""
    return certificates.authority("vireo-hosts", now, AUTHORITY_LIFE)


def check_authority(pair: Pair, now: datetime.datetime) -> None:
    """Raises AuthorityError unless it can sign certificates that live as long as ours do."""
    try:
        certificate, key = certificates.read(pair)
    except CertificateError as error:
        raise AuthorityError(f"ca.pem and ca.key can't be used: {error}") from None
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
    return certificates.leaf(authority, CLIENT, [CLIENT], [Use.CLIENT], now, LIFE)


def server(authority: Pair, name: str, addresses: Sequence[str], now: datetime.datetime) -> Pair:
    """A host's certificate, for its name and for each of its addresses (IP addresses or DNS names)."""
    return certificates.leaf(authority, name, (name, *addresses), [Use.SERVER], now, LIFE)


def lasts(pair: Pair, authority: Pair, now: datetime.datetime) -> bool:
    """Whether the controller's certificate is of this authority, has its key, and need not be renewed yet.

    Raises AuthorityError for what can't be read.
    """
    try:
        return certificates.lasts(pair, authority.certificate, now + RENEW_BEFORE)
    except CertificateError as error:
        raise AuthorityError(f"controller.pem and controller.key can't be used: {error}") from None
