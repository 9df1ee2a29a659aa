"""Certificates: who signed them, what for, when they are renewed, and that no key lies open."""

import datetime
import ipaddress
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from standalone.pki import RENEW_BEFORE, VALIDITY, Pki

NOW = datetime.datetime(2027, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path)
    made.ensure(NOW)
    return made


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def contents(pki: Pki) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pki.directory.iterdir()}


def public(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_files(pki: Pki) -> None:
    assert set(contents(pki)) == {"ca.crt", "apiserver.crt", "apiserver.key", "etcd.crt", "etcd.key", "service-account.key"}
    for path in pki.directory.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_authority_s_key_is_nowhere(pki: Pki) -> None:
    """Whoever reads the whole directory still can't sign another certificate."""
    authority = load(pki.authority).public_key()
    assert isinstance(authority, ec.EllipticCurvePublicKey)
    for path in pki.directory.glob("*.key"):
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert public(key.public_key()) != public(authority)


@pytest.mark.parametrize(
    ("name", "usages"),
    [
        ("apiserver", {ExtendedKeyUsageOID.SERVER_AUTH}),
        ("etcd", {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}),
    ],
)
def test_certificate(pki: Pki, name: str, usages: set[x509.ObjectIdentifier]) -> None:
    certificate = load(pki.certificate(name))
    certificate.verify_directly_issued_by(load(pki.authority))
    extensions = certificate.extensions
    assert set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == usages
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("10.96.0.1")]
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc == NOW + VALIDITY


def test_authority_may_sign_no_further_authority(pki: Pki) -> None:
    constraints = load(pki.authority).extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)


def test_nothing_changes_while_all_is_well(pki: Pki) -> None:
    before = contents(pki)
    pki.ensure(NOW + VALIDITY - RENEW_BEFORE - datetime.timedelta(seconds=1))
    assert contents(pki) == before


@pytest.mark.parametrize("when", [NOW + VALIDITY - RENEW_BEFORE, NOW + 2 * VALIDITY], ids=["near the end", "after the end"])
def test_renewed_in_time(pki: Pki, when: datetime.datetime) -> None:
    before = contents(pki)
    pki.ensure(when)
    after = contents(pki)
    assert {name for name in before if before[name] == after[name]} == {"service-account.key"}
    assert load(pki.certificate("apiserver")).not_valid_after_utc == when + VALIDITY


@pytest.mark.parametrize("name", ["ca.crt", "apiserver.crt", "apiserver.key", "etcd.crt", "etcd.key"])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
def test_repaired(pki: Pki, name: str, damage: str) -> None:
    path = pki.directory / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_text("" if damage == "empty" else "garbage")
    pki.ensure(NOW)
    for server in ("apiserver", "etcd"):
        load(pki.certificate(server)).verify_directly_issued_by(load(pki.authority))


def test_exchanged_keys_are_noticed(pki: Pki) -> None:
    """As after restoring half a backup."""
    pki.key("etcd").write_bytes(pki.key("apiserver").read_bytes())
    pki.ensure(NOW)
    key = serialization.load_pem_private_key(pki.key("etcd").read_bytes(), None)
    assert key.public_key() == load(pki.certificate("etcd")).public_key()


def test_lost_service_account_key_is_replaced_alone(pki: Pki) -> None:
    before = contents(pki)
    pki.key("service-account").unlink()
    pki.ensure(NOW)
    after = contents(pki)
    assert {name for name in before if before[name] != after[name]} == {"service-account.key"}
