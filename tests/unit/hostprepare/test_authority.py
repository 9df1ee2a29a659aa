"""Certificates: who signs what, for whom, for how long, and what can't be used."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from certificates import Pair
from controller.hostprepare import authority as certificates
from controller.hostprepare.authority import LIFE, RENEW_BEFORE, AuthorityError

NOW = datetime.datetime(2026, 11, 21, 8, 0, tzinfo=datetime.UTC)
CA = certificates.new_authority(NOW)
OTHER = certificates.new_authority(NOW)


def read(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def test_a_server_s_certificate_is_for_its_name_and_each_address() -> None:
    made = certificates.server(CA, "kvm-1", ["192.0.2.11", "2001:db8::11", "kvm-1.example", "192.0.2.11"], NOW)
    names = read(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kvm-1", "kvm-1.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(each) for each in ("192.0.2.11", "2001:db8::11")]
    assert read(made).subject.rfc4514_string() == "CN=kvm-1"
    read(made).verify_directly_issued_by(read(CA))


@pytest.mark.parametrize(
    ("made", "usage"),
    [
        (certificates.server(CA, "kvm-1", ["192.0.2.11"], NOW), ExtendedKeyUsageOID.SERVER_AUTH),
        (certificates.client(CA, NOW), ExtendedKeyUsageOID.CLIENT_AUTH),
    ],
)
def test_a_leaf_is_good_for_one_side_only_and_signs_nothing(made: Pair, usage: x509.ObjectIdentifier) -> None:
    extensions = read(made).extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
    key = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (key.digital_signature, key.key_encipherment, key.key_cert_sign) == (True, True, False)
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert read(made).not_valid_before_utc < NOW < NOW + LIFE == read(made).not_valid_after_utc


def test_the_authority_signs_and_only_that() -> None:
    extensions = read(CA).extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    certificates.check_authority(CA, NOW)


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (Pair(CA.certificate, OTHER.key), "not the key"),
        (certificates.client(CA, NOW), "not the certificate of an authority"),
        (Pair(b"hunter2", CA.key), "not PEM"),
        (Pair(CA.certificate, b"hunter2"), "not PEM"),
        (certificates.new_authority(NOW - certificates.AUTHORITY_LIFE + datetime.timedelta(days=1)), "ends on 2026-11-22"),
    ],
)
def test_what_is_no_authority(pair: Pair, why: str) -> None:
    with pytest.raises(AuthorityError, match=why) as caught:
        certificates.check_authority(pair, NOW)
    assert "hunter2" not in str(caught.value)


def test_a_key_of_another_kind_is_refused() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(AuthorityError, match="elliptic"):
        certificates.check_authority(Pair(CA.certificate, pem), NOW)


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        (datetime.timedelta(0), True),
        (LIFE - RENEW_BEFORE - datetime.timedelta(days=1), True),
        (LIFE - RENEW_BEFORE + datetime.timedelta(days=1), False),
    ],
)
def test_when_a_client_s_certificate_is_kept(age: datetime.timedelta, kept: bool) -> None:
    assert certificates.lasts(certificates.client(CA, NOW), CA, NOW + age) is kept


def test_a_client_s_certificate_that_can_not_be_read_is_named() -> None:
    with pytest.raises(AuthorityError, match=r"controller\.pem.*not PEM"):
        certificates.lasts(Pair(b"hunter2", CA.key), CA, NOW)
